"""Everything people look at, in one look: tables, charts, big numbers, notices, progress.

Functions take polars frames or plain values and give back something that shows itself as the last line of a cell;
nothing is printed. In a live kernel charts are widgets; in a headless run (`CIO2D365_HEADLESS=1`) they are data and
drawings from which `render` makes a report that works offline.
"""

from cio2d365.show import target
from cio2d365.show.blocks import callout, cards, findings, outcome
from cio2d365.show.charts import Chart, bars, columns_over_time, histogram, stacked
from cio2d365.show.display import Display
from cio2d365.show.look import setup
from cio2d365.show.preview import threshold_preview
from cio2d365.show.progress import Progress, progress
from cio2d365.show.tables import balance, diff, facts, table

__all__ = [
    "Chart",
    "Display",
    "Progress",
    "balance",
    "bars",
    "callout",
    "cards",
    "columns_over_time",
    "diff",
    "facts",
    "findings",
    "histogram",
    "outcome",
    "progress",
    "setup",
    "stacked",
    "table",
    "target",
    "threshold_preview",
]
