"""HTML from a notebook's output, rebuilt from an allow-list: what is not on it is dropped, its text stays (L11, B-103).

Outputs hold values from a customer's data. Our own blocks escape them, but a cell may show anything, so a report takes
over only what it knows: tables, figures, text and embedded pictures. The result is balanced, so an output cannot close
the box that it stands in.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser

from markupsafe import Markup, escape

PROSE = frozenset(
    ("b", "br", "code", "em", "h3", "h4", "h5", "h6", "hr", "i", "p", "pre", "s", "small", "span", "strong", "sub")
)
BOXES = frozenset(("blockquote", "details", "div", "figcaption", "figure", "img", "section", "summary", "sup"))
LISTS = frozenset(("dd", "dl", "dt", "li", "ol", "ul"))
TABLES = frozenset(("caption", "col", "colgroup", "table", "tbody", "td", "tfoot", "th", "thead", "tr"))
KNOWN = PROSE | BOXES | LISTS | TABLES
VOID = frozenset(("br", "col", "hr", "img"))
# What stands inside these is no text for people.
SILENT = frozenset(
    ("iframe", "math", "noembed", "noframes", "noscript", "object", "script", "style", "svg", "template")
)
PLAIN = frozenset(("alt", "aria-label", "colspan", "dir", "lang", "open", "role", "rowspan", "scope", "title"))
PICTURE = re.compile(r"data:image/(?:png|jpeg|gif|svg\+xml);base64,[A-Za-z0-9+/=\s]+")


def safe(html: str) -> Markup:
    """`html` without scripts, handlers, styles, links, forms, ids and foreign classes; every open element closed."""
    reader = _Reader()
    reader.feed(html)
    reader.close()
    return Markup("").join([*reader.parts, *reader.ends()])


class _Reader(HTMLParser):
    """Collects the parts of the new document."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[Markup] = []
        self._open: list[str] = []
        self._silent: list[str] = []

    def ends(self) -> list[Markup]:
        return [_end(tag) for tag in reversed(self._open)]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in SILENT:
            self._silent.append(tag)
        elif tag in KNOWN and not self._silent and not _is_foreign_picture(tag, attrs):
            self.parts.append(_start(tag, attrs))
            if tag not in VOID:
                self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in SILENT:
            self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        if self._silent:
            if tag == self._silent[-1]:
                self._silent.pop()
        elif tag in self._open:
            while (last := self._open.pop()) != tag:
                self.parts.append(_end(last))
            self.parts.append(_end(tag))

    def handle_data(self, data: str) -> None:
        if not self._silent:
            self.parts.append(escape(data))


def _is_foreign_picture(tag: str, attrs: list[tuple[str, str | None]]) -> bool:
    return tag == "img" and not any(name == "src" for name, _ in _kept(tag, attrs))


def _start(tag: str, attrs: list[tuple[str, str | None]]) -> Markup:
    kept = Markup("").join(Markup(' {}="{}"').format(name, value) for name, value in _kept(tag, attrs))
    return Markup("<{}{}>").format(tag, kept)


def _end(tag: str) -> Markup:
    return Markup("</{}>").format(tag)


def _kept(tag: str, attrs: list[tuple[str, str | None]]) -> Iterator[tuple[str, str]]:
    for name, value in dict(attrs).items():
        text = value or ""
        if name in PLAIN or (name == "tabindex" and text == "0"):
            yield name, text
        elif name == "class" and (own := " ".join(c for c in text.split() if c.startswith("cio-"))):
            yield name, own
        elif name == "src" and tag == "img" and PICTURE.fullmatch(text):
            yield name, text
