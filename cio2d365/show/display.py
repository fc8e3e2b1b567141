"""What every function of `show` gives back: a value that knows how to appear in a notebook and in a report.

Text from a customer's data is hostile (L11). HTML is only ever built with `Markup(...).format(...)`, which escapes
each argument that is not itself Markup; there is no other way into `Display.html`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files

from markupsafe import Markup


@cache
def stylesheet() -> str:
    """The rules for all blocks, as CSS text; a rendered report holds them once."""
    return files("cio2d365.show").joinpath("blocks.css").read_text(encoding="utf-8")


@cache
def style_tag() -> Markup:
    """The stylesheet as it travels with each output, so that a block looks right wherever a notebook is opened."""
    return Markup("<style>{}</style>\n").format(Markup(stylesheet()))


@dataclass(frozen=True)
class Display:
    """A block to look at: `html` for people, `text` where there is no HTML, `data` for programs (by mime type)."""

    html: Markup
    text: str
    data: Mapping[str, object] = field(default_factory=dict)

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, object]:
        return {**self.data, "text/html": style_tag() + self.html, "text/plain": self.text}


def joined(parts: Iterable[Markup]) -> Markup:
    """The parts one after the other."""
    return Markup("").join(parts)
