"""The plan of a schema as a table: one group of rows for each Dataverse table, what needs attention first."""

from __future__ import annotations

import polars as pl
from markupsafe import Markup

from cio2d365.show.display import Display, joined
from cio2d365.show.tables import PLAN_STATES, TALL_ROWS
from cio2d365.show.values import as_html

COLUMNS = ("kind", "name", "wanted", "existing")


def by_table(frame: pl.DataFrame, title: str = "The plan") -> Display:
    """Every row of a schema plan (`SchemaPlan.frame()`), none left out.

    Tables with conflicts come first, then those where something is created; inside a table the same order holds.
    """
    groups = sorted(_groups(frame).items(), key=lambda item: min(_rank(state) for state in item[1]["state"]))
    counted = _counts(frame["state"].to_list())
    head = joined(Markup('<th scope="col">{}</th>').format(name.title()) for name in ("plan", *COLUMNS))
    body = joined(_group(name, rows) for name, rows in groups)
    tall = " cio-tall" if frame.height > TALL_ROWS else ""
    html = Markup(
        '<figure class="cio-block cio-table cio-diff"><figcaption>{}</figcaption><p class="cio-lead">{}</p>'
        '<div class="cio-scroll{}" tabindex="0" role="region" aria-label="{}"><table><thead><tr>{}</tr></thead>{}'
        "</table></div></figure>"
    ).format(title, counted or "Nothing to compare.", tall, title, head, body)
    return Display(html, f"{title}: {counted}")


def _groups(frame: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """The rows of each table, in the order in which the tables come."""
    return {str(rows["table"][0]): rows for rows in frame.partition_by("table", maintain_order=True)}


def _rank(state: str) -> int:
    return list(PLAN_STATES).index(state)


def _counts(states: list[str]) -> str:
    return ", ".join(f"{states.count(s):,} {wording}" for s, (_, wording, _) in PLAN_STATES.items() if s in states)


def _group(name: str, rows: pl.DataFrame) -> Markup:
    states = rows["state"].to_list()
    head = Markup('<tr class="cio-group"><th scope="rowgroup" colspan="{}">{} <span>{}</span></th></tr>')
    ordered = sorted(rows.iter_rows(named=True), key=lambda row: _rank(row["state"]))
    return Markup("<tbody>{}{}</tbody>").format(
        head.format(1 + len(COLUMNS), name, _counts(states)), joined(_row(row) for row in ordered)
    )


def _row(row: dict[str, str]) -> Markup:
    sign, wording, css = PLAN_STATES[row["state"]]
    cells = joined(Markup("<td>{}</td>").format(as_html(row[name])) for name in COLUMNS)
    return Markup('<tr class="cio-{}"><td class="cio-state">{} {}</td>{}</tr>').format(css, sign, wording, cells)
