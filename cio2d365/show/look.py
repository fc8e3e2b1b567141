"""Colours, the chart theme, and the choice between a live kernel and a headless run."""

from __future__ import annotations

import os
from typing import Any

import altair as alt
import IPython

# Okabe and Ito's hues, darkened where needed so that each keeps a contrast of 3:1 against white (WCAG 2.2, 1.4.11).
BLUE, VERMILION, GREEN, PLUM, OCHRE, SKY, GREY = (
    "#0b64a0",
    "#c8500a",
    "#00805c",
    "#a0417c",
    "#9a6a00",
    "#2f86b8",
    "#66707a",
)
SERIES = (BLUE, VERMILION, GREEN, PLUM, OCHRE, SKY, GREY)
INK = "#1d2a35"
FAINT = "#5a6672"
RULE = "#d9dfe5"
FONT = "'Segoe UI', 'Helvetica Neue', Arial, 'Liberation Sans', sans-serif"

HEADLESS_VARIABLE = "CIO2D365_HEADLESS"
CHART_MIME = "application/vnd.vegalite.v6+json"


def headless() -> bool:
    """Whether a runner executes this notebook, so that nobody can move a slider in it now."""
    return os.environ.get(HEADLESS_VARIABLE) == "1"


def live() -> bool:
    """Whether there is a kernel with somebody in front of it."""
    return not headless() and getattr(IPython.get_ipython(), "kernel", None) is not None


def setup() -> None:
    """Prepare charts; called once in each notebook's first code cell.

    Live, charts are widgets that need no network. Headless, a chart is its specification as data plus a drawing.
    """
    theme()
    if live():
        alt.JupyterChart.enable_offline(True)
        alt.renderers.enable("jupyter", offline=True)
    else:
        alt.renderers.enable("cio2d365")


def theme() -> None:
    """Make ours the chart theme; idempotent."""
    alt.theme.register("cio2d365", enable=True)(_theme)


def _theme() -> Any:
    axis = {
        "labelFont": FONT,
        "titleFont": FONT,
        "labelColor": INK,
        "titleColor": FAINT,
        "titleFontWeight": "normal",
        "labelFontSize": 12,
        "titleFontSize": 12,
        "gridColor": "#e8ecf0",
        "domainColor": RULE,
        "tickColor": RULE,
    }
    legend = {"labelFont": FONT, "titleFont": FONT, "labelColor": INK, "titleColor": FAINT, "labelFontSize": 12}
    title = {
        "font": FONT,
        "fontSize": 15,
        "fontWeight": 600,
        "color": INK,
        "anchor": "start",
        "offset": 12,
        "subtitleFont": FONT,
        "subtitleColor": FAINT,
        "subtitleFontSize": 12,
    }
    return {
        "config": {
            "background": "white",
            "padding": {"left": 0, "top": 5, "right": 5, "bottom": 5},
            "view": {"stroke": None},
            "axis": axis,
            "legend": {**legend, "orient": "top", "title": None, "symbolType": "square"},
            "title": title,
            "text": {"font": FONT, "fontSize": 12, "color": INK},
            "range": {"category": list(SERIES)},
            "bar": {"color": BLUE},
        }
    }
