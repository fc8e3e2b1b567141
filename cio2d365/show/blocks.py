"""Small blocks: big numbers, notices, and the two that also speak to the runner (findings, outcome)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from markupsafe import Markup

from cio2d365.errors import InputError
from cio2d365.show.display import Display, joined
from cio2d365.show.values import as_html, as_text

FINDINGS_MIME = "application/vnd.cio2d365.findings+json"
OUTCOME_MIME = "application/vnd.cio2d365.outcome+json"

CALLOUTS = {"info": "Note", "warning": "Attention", "problem": "Problem"}


def cards(values: Mapping[str, object], *, units: Mapping[str, str] | None = None) -> Display:
    """A row of big numbers with a name under each; `units` as in `table`, by name."""
    forms = units or {}
    card = Markup('<div class="cio-card"><div class="cio-big">{}</div><div class="cio-name">{}</div></div>')
    body = joined(card.format(as_html(v, forms.get(name, "")), name) for name, v in values.items())
    text = "\n".join(f"{name}: {as_text(value, forms.get(name, ''))}" for name, value in values.items())
    return Display(Markup('<div class="cio-block cio-cards">{}</div>').format(body), text)


def callout(kind: Literal["info", "warning", "problem"], text: str) -> Display:
    """A notice in a frame; its kind is a word as well as a colour. Raises InputError for another kind."""
    if kind not in CALLOUTS:
        raise InputError(f"a callout is one of {', '.join(CALLOUTS)}, not {kind!r}")
    html = Markup('<div class="cio-block cio-callout cio-{}" role="note"><strong>{}</strong> {}</div>')
    return Display(html.format(kind, CALLOUTS[kind], text), f"{CALLOUTS[kind]}: {text}")


def findings(counts: Mapping[str, int]) -> Display:
    """Open findings by kind, shown and reported to the runner; a run with any ends with exit code 1 (design 7).

    Raises InputError for a count that is negative or no whole number.
    """
    for name, count in counts.items():
        if isinstance(count, bool) or not isinstance(count, int) or count < 0:
            raise InputError(f"findings {name!r}: {count!r} is no count")
    open_ones = {name: count for name, count in counts.items() if count}
    data = {FINDINGS_MIME: dict(counts)}
    if not open_ones:
        shown = callout("info", "Nothing is open.")
        return Display(shown.html, "No open findings", data)
    line = Markup('<tr><td class="cio-number">{}</td><th scope="row">{}</th></tr>')
    body = joined(line.format(as_html(count), name) for name, count in open_ones.items())
    html = Markup(
        '<figure class="cio-block cio-table cio-findings"><figcaption>Open findings</figcaption>'
        "<table><tbody>{}</tbody></table></figure>"
    ).format(body)
    return Display(html, "Open findings: " + ", ".join(f"{n} {c:,}" for n, c in open_ones.items()), data)


def outcome(changed: str, figures: Mapping[str, object] | None = None) -> Display:
    """What the notebook changed outside its own files, in a sentence, and its key figures.

    The sentence goes into the report's title bar, the figures onto the run's index page.
    """
    shown = {name: as_text(value) for name, value in (figures or {}).items()}
    block = cards(figures or {})
    html = Markup('<p class="cio-lead">{}</p>{}').format(changed, block.html if figures else Markup(""))
    return Display(html, changed, {OUTCOME_MIME: {"changed": changed, "figures": shown}})
