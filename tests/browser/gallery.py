"""A notebook that shows everything `show` can show, filled with text that would break out of a careless report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

BREAK_OUT = "</script><script>alert('script')</script>"
HANDLER = "<img src=x onerror=\"document.title='owned'\">"
LINK = "[x](javascript:alert('link'))"
TEMPLATE = "{{ 7*7 }}{% include '/etc/hosts' %}"
HOSTILE = (BREAK_OUT, HANDLER, LINK, TEMPLATE)

# More than one chart's worth of combinations, so that each threshold up to 5 gives other counts.
PEOPLE: dict[str, list[object]] = {
    "trait_count": [0, 1, 2, 3, 4, 5, 5, 2],
    "valid_email": [True, True, True, True, True, True, False, True],
    "business_identity": [False, True, False, False, False, False, False, False],
    "excluded": [False, False, False, False, False, False, False, True],
    "people": [101, 22, 33, 307, 59, 1013, 7, 4],
}

CELLS: tuple[tuple[str, str], ...] = (
    (
        "Prepared figures",
        f"""
from datetime import UTC, datetime
import polars as pl
from cio2d365 import show
show.setup()
hostile = {list(HOSTILE)!r}
months = pl.DataFrame({{
    "month": [datetime(2025, m, 1, tzinfo=UTC) for m in range(1, 13) for _ in range(2)],
    "source": ["export files", hostile[0]] * 12,
    "events": [100 * m + 7 * s for m in range(12) for s in range(2)],
}})
print("a line that belongs in the log")
""",
    ),
    (
        "Table",
        """
frame = pl.DataFrame({hostile[0]: hostile, "share": [0.5, 0.25, None, 0.125]})
show.table(frame, hostile[1], units={"share": "percent"})
""",
    ),
    (
        "Long table",
        """
show.table(pl.DataFrame({"row": range(300), "name": hostile * 75}), "Three hundred rows", rows=120)
""",
    ),
    (
        "Wide table",
        """
show.table(pl.DataFrame({f"column_{n}": ["a value that takes room"] for n in range(30)}), "Thirty columns")
""",
    ),
    (
        "Facts",
        """
values = {hostile[0]: hostile[1], "rows": 1234567, "share": 0.8312}
show.facts(values, hostile[2], units={"share": "percent"})
""",
    ),
    (
        "Plan",
        """
show.diff(pl.DataFrame({"state": ["create", "equal", "conflict", "update"], "name": hostile}), hostile[0])
""",
    ),
    (
        "Account",
        """
show.balance("Rows read", read=30, parts={hostile[0]: 10, "loaded": 20})
""",
    ),
    (
        "Numbers",
        """
show.cards({"People": 40000, hostile[1]: 0.5}, units={hostile[1]: "percent"})
""",
    ),
    (
        "Notice",
        """
show.callout("warning", hostile[0] + hostile[1])
""",
    ),
    (
        "Bars",
        """
shares = pl.DataFrame({"key": hostile, "share": [0.9, 0.4, 0.2, 0.05]})
show.bars(shares, category="key", value="share", title=hostile[0], form="percent", threshold=0.1)
""",
    ),
    (
        "Columns",
        """
show.columns_over_time(
    months, time="month", value="events", series="source", title="Events per month", unit="events"
)
""",
    ),
    (
        "Stacked",
        """
places = pl.DataFrame({"object": hostile, "place": ["loaded", "review"] * 2, "rows": [5, 3, 2, 1]})
show.stacked(places, category="object", series="place", value="rows", title="Rows by place", unit="rows")
""",
    ),
    (
        "Histogram",
        """
bins = pl.DataFrame({"bin": ["0", "1", "2", hostile[0]], "people": [5, 3, 2, 1]})
show.histogram(bins, bin="bin", count="people", title="Traits", unit="people")
""",
    ),
    ("Preview", f"show.threshold_preview(pl.DataFrame({PEOPLE!r}))"),
    (
        "Foreign HTML",
        """
from IPython.display import HTML, Markdown, display
display(HTML(hostile[0] + hostile[1] + '<form action="https://example.com"><input name="a"></form>'
             '<a href="https://example.com">away</a><meta http-equiv="refresh" content="0;url=https://example.com">'
             '<table><tr><td onclick="alert(1)">a cell</td></tr></table></div></main>'))
display(Markdown(hostile[1] + hostile[2]))
""",
    ),
    ("Findings", "show.findings({hostile[0]: 3, 'rows in review': 0})"),
    ("Outcome", "show.outcome('Created 12 rows in ' + hostile[1], {'Rows': 12, hostile[0]: 1})"),
)


def notebook() -> Any:
    """The notebook, not executed."""
    cells = [new_markdown_cell("# Everything there is\n\nOne paragraph about $5 and $6.")]
    for heading, source in CELLS:
        cells += [new_markdown_cell(f"## {heading}"), new_code_cell(source.strip())]
    return new_notebook(cells=cells, metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}})


def write(folder: Path) -> Path:
    """Write the notebook into `folder`."""
    path = folder / "00_gallery.ipynb"
    nbformat.write(notebook(), path)
    return path
