"""Frames as tables: `table`, and the three special ones `facts`, `diff` and `balance`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import polars as pl
from markupsafe import Markup

from cio2d365.errors import ConservationError, InputError
from cio2d365.show.display import Display, joined
from cio2d365.show.values import as_html, as_text, heading_of

FORMS = ("percent", "bytes", "seconds", "id", "time")
TALL_ROWS = 25
WIDE_CHARACTERS = 24

# What a plan does to a thing, in the order in which a reader needs it: sign, wording, css class.
PLAN_STATES = {
    "conflict": ("!", "conflict", "problem"),
    "create": ("+", "to create", "good"),
    "update": ("~", "to change", "warning"),
    "left_alone": ("·", "left alone", "quiet"),
    "equal": ("=", "equal", "quiet"),
}


def table(
    frame: pl.DataFrame,
    title: str,
    *,
    labels: Mapping[str, str] | None = None,
    units: Mapping[str, str] | None = None,
    note: str | None = None,
    rows: int = 50,
) -> Display:
    """The first `rows` rows under a title; when the frame is longer, the table says how much of it is shown.

    `labels` gives headings by column. `units` gives by column one of "percent" (of a fraction), "bytes", "seconds",
    "id" (a number without separators) and "time" (epoch milliseconds or ISO text); any other word is a unit and goes
    into the heading.
    """
    shown = frame.head(rows)
    forms = units or {}
    head = _head(frame, labels or {}, forms)
    body = joined(_row(values, shown, forms) for values in shown.iter_rows())
    foot = _foot(frame.height, shown.height, note)
    html = Markup('<figure class="cio-block cio-table"><figcaption>{}</figcaption>{}{}</figure>').format(
        title, _scrolled(title, head, body, shown.height), foot
    )
    return Display(html, f"{title} ({frame.height:,} rows)")


def _scrolled(title: str, head: Markup, body: Markup, height: int) -> Markup:
    """The table in a box of its own that scrolls, by keyboard too; a tall one keeps its head in view."""
    tall = Markup(" cio-tall") if height > TALL_ROWS else Markup("")
    return Markup(
        '<div class="cio-scroll{}" tabindex="0" role="region" aria-label="{}"><table>'
        "<thead><tr>{}</tr></thead><tbody>{}</tbody></table></div>"
    ).format(tall, title, head, body)


def _head(frame: pl.DataFrame, labels: Mapping[str, str], forms: Mapping[str, str]) -> Markup:
    cell = Markup('<th scope="col"{}>{}</th>')
    return joined(
        cell.format(_side(kind), _heading(name, labels, forms.get(name, ""))) for name, kind in frame.schema.items()
    )


def _heading(name: str, labels: Mapping[str, str], form: str) -> str:
    label = labels.get(name) or heading_of(name)
    label = label[:1].upper() + label[1:] if name in labels else label
    return f"{label} ({form})" if form and form not in FORMS else label


def _side(kind: pl.DataType) -> Markup:
    return Markup(' class="cio-number"') if kind.is_numeric() or kind.is_temporal() else Markup("")


def _width(value: object, form: str) -> Markup:
    """Longer text may wrap, in a column that keeps some width; short text stays on its line."""
    return Markup(' class="cio-wide"') if len(as_text(value, form)) > WIDE_CHARACTERS else Markup("")


def _row(values: tuple[object, ...], frame: pl.DataFrame, forms: Mapping[str, str]) -> Markup:
    cell = Markup("<td{}>{}</td>")
    cells = (
        cell.format(_side(kind) or _width(value, forms.get(name, "")), as_html(value, forms.get(name, "")))
        for value, (name, kind) in zip(values, frame.schema.items(), strict=True)
    )
    return Markup("<tr>{}</tr>").format(joined(cells))


def _foot(total: int, shown: int, note: str | None) -> Markup:
    lines = [note] if note else []
    if total == 0:
        lines.append("No rows.")
    elif shown < total:
        lines.append(f"Showing {shown:,} of {total:,} rows.")
    elif shown > TALL_ROWS:
        lines.append(f"{total:,} rows.")
    return joined(Markup('<p class="cio-note">{}</p>').format(line) for line in lines)


def facts(values: Mapping[str, object], title: str = "", *, units: Mapping[str, str] | None = None) -> Display:
    """Names and values in two columns; `units` as in `table`, by name."""
    forms = units or {}
    line = Markup('<tr><th scope="row">{}</th><td>{}</td></tr>')
    body = joined(line.format(heading_of(name), _fact(value, forms.get(name, ""))) for name, value in values.items())
    caption = Markup("<figcaption>{}</figcaption>").format(title) if title else Markup("")
    html = Markup('<figure class="cio-block cio-facts">{}<table><tbody>{}</tbody></table></figure>')
    text = "\n".join(f"{name}: {as_text(value, forms.get(name, ''))}" for name, value in values.items())
    return Display(html.format(caption, body), text)


def _fact(value: object, form: str) -> Markup:
    shown = as_html(value, form)
    return shown if not form or form in FORMS else Markup("{} {}").format(shown, form)


def diff(
    frame: pl.DataFrame | Iterable[Mapping[str, object]],
    title: str = "The plan",
    *,
    labels: Mapping[str, str] | None = None,
    rows: int = 200,
) -> Display:
    """A plan: one row per thing with its `state`, one of `PLAN_STATES`; conflicts first.

    The state is said in words and by a sign as well as by colour. Raises InputError for a state that is not known.
    """
    frame = frame if isinstance(frame, pl.DataFrame) else pl.DataFrame(list(frame))
    return stated(frame, title, states=PLAN_STATES, heading="Plan", labels=labels, rows=rows)


def stated(
    frame: pl.DataFrame,
    title: str,
    *,
    states: Mapping[str, tuple[str, str, str]],
    heading: str,
    labels: Mapping[str, str] | None = None,
    rows: int = 200,
) -> Display:
    """One row per thing with its `state`, in the order of `states`: state → sign, wording, css class.

    Raises InputError for a state that is not known.
    """
    if frame.is_empty():
        return Display(_diff_html(title, Markup(""), Markup(""), _foot(0, 0, None)), f"{title}: empty")
    unknown = set(frame["state"].to_list()) - set(states)
    if unknown:
        raise InputError(f"{title}: there is no state {min(map(str, unknown))!r}; there are {', '.join(states)}")
    rank = {state: rank for rank, state in enumerate(states)}
    ordered = frame.sort(pl.col("state").replace_strict(rank), maintain_order=True)
    return _stated(ordered, title, states, heading, labels or {}, rows)


def _stated(
    frame: pl.DataFrame,
    title: str,
    states: Mapping[str, tuple[str, str, str]],
    heading: str,
    labels: Mapping[str, str],
    rows: int,
) -> Display:
    rest = frame.drop("state")
    shown = rest.head(rows)
    given = frame["state"].to_list()
    body = joined(
        Markup('<tr class="cio-{}"><td class="cio-state">{} {}</td>{}').format(
            states[state][2], *states[state][:2], _row(values, shown, {})[len("<tr>") :]
        )
        for state, values in zip(given, shown.iter_rows(), strict=False)
    )
    counted = ", ".join(f"{given.count(s):,} {states[s][1]}" for s in states if s in given)
    summary = Markup('<p class="cio-lead">{}</p>').format(counted)
    head = Markup('<th scope="col">{}</th>{}').format(heading, _head(rest, labels, {}))
    grid = _scrolled(title, head, body, shown.height)
    html = _diff_html(title, summary, grid, _foot(frame.height, shown.height, None))
    return Display(html, f"{title}: {counted}")


def _diff_html(title: str, summary: Markup, grid: Markup, foot: Markup) -> Markup:
    return Markup('<figure class="cio-block cio-table cio-diff"><figcaption>{}</figcaption>{}{}{}</figure>').format(
        title, summary, grid, foot
    )


def balance(title: str, *, read: int, parts: Mapping[str, int]) -> Display:
    """`read` equals the sum of `parts`, shown as an account; raises ConservationError when it does not (L1)."""
    total = sum(parts.values())
    if total != read:
        account = " + ".join(f"{count:,} {name}" for name, count in parts.items())
        raise ConservationError(f"{title}: read {read:,}, but {account} = {total:,} (off by {total - read:+,})")
    line = Markup('<tr><th scope="row">{}</th><td class="cio-number">{}</td><td>{}</td></tr>')
    check = Markup('<span class="cio-check">✓ equal</span>')
    body = joined(line.format(heading_of(name), as_html(count), "") for name, count in parts.items())
    foot = line.format("Accounted for", as_html(total), "") + line.format("Read", as_html(read), check)
    html = Markup(
        '<figure class="cio-block cio-table cio-balance"><figcaption>{}</figcaption><table><tbody>{}</tbody>'
        "<tfoot>{}</tfoot></table></figure>"
    ).format(title, body, foot)
    return Display(html, f"{title}: {read:,} read, all accounted for")
