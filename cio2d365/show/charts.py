"""Charts of figures that were summed up before: bars, columns over time, stacked bars, histogram.

Each is at most 600 px wide, describes itself in words, and carries the figures behind it as a table. No name from the
customer's data becomes a field name or an expression: columns are renamed, values stay data.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Literal

import altair as alt
import polars as pl
import vl_convert
from markupsafe import Markup

from cio2d365.errors import InputError
from cio2d365.show.display import Display, style_tag
from cio2d365.show.look import CHART_MIME, SERIES, VERMILION, live
from cio2d365.show.tables import table
from cio2d365.show.values import as_text, heading_of

MOST_ROWS = 5_000
MOST_BARS = 40
WIDTH = 600
VEGALITE = ".".join(alt.VEGALITE_VERSION.lstrip("v").split(".")[:2])

ValueForm = Literal["count", "percent"]
# Coarsest first: what polars truncates to, Vega-Lite's unit for it, and how a moment on the axis is written.
GRAINS = (
    ("1mo", "utcyearmonth", "%b %Y"),
    ("1d", "utcyearmonthdate", "%d %b %Y"),
    ("1us", "utcyearmonthdatehours", "%d %b %H:%M"),
)
_AXIS_FORMAT = {"count": ",~f", "percent": "~%"}
_TEXT_FORMAT = {"count": ",~f", "percent": ".1%"}


@dataclass(frozen=True)
class Chart:
    """A drawing with its title, a description in words, and the table of its figures."""

    drawing: Any
    title: str
    description: str
    twin: Display

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, object]:
        return self._widget() if live() else self.static()

    def spec(self) -> dict[str, Any]:
        """The Vega-Lite specification, data inside."""
        return dict(self.drawing.to_dict())

    def static(self) -> dict[str, object]:
        """For a headless run: the specification as data, a drawing of it and the figures as HTML, the title as text."""
        spec = self.spec()
        figure = Markup('<figure class="cio-block cio-chart"><img alt="{}" src="{}"></figure>')
        html = figure.format(self.description, svg_address(spec)) + self._figures()
        return {CHART_MIME: spec, "text/html": style_tag() + html, "text/plain": self.title}

    def _figures(self) -> Markup:
        html = '<details class="cio-block cio-twin"><summary>The figures behind this chart</summary>{}</details>'
        return Markup(html).format(self.twin.html)

    def _widget(self) -> dict[str, object]:
        import ipywidgets

        figures = ipywidgets.HTML(style_tag() + self._figures())
        box = ipywidgets.VBox([alt.JupyterChart(self.drawing), figures])
        return dict(box._repr_mimebundle_())


def svg_address(spec: dict[str, Any]) -> str:
    """The chart drawn now, as a `data:` address; inside an `<img>` a drawing can run nothing."""
    svg = vl_convert.vegalite_to_svg(spec, vl_version=VEGALITE)
    return "data:image/svg+xml;base64," + base64.b64encode(svg.encode("utf-8")).decode("ascii")


def bare_chart(spec: dict[str, Any], **_options: object) -> dict[str, object]:
    """Altair renderer for a chart that was not made here: the specification as data, and a drawing of it."""
    html = Markup('<figure class="cio-block cio-chart"><img alt="{}" src="{}"></figure>')
    described = str(spec.get("description") or "Chart")
    return {CHART_MIME: spec, "text/html": html.format(described, svg_address(spec)), "text/plain": described}


alt.renderers.register("cio2d365", bare_chart)


def bars(
    frame: pl.DataFrame,
    *,
    category: str,
    value: str,
    title: str,
    unit: str = "",
    form: ValueForm = "count",
    labels: Mapping[str, str] | None = None,
    threshold: float | None = None,
    threshold_label: str = "threshold",
) -> Chart | Display:
    """Horizontal bars in the frame's order, the value written at each; `threshold` draws a line.

    `form` "percent" takes fractions. More than 40 rows: the first 40 are drawn, the subtitle says so, the table has
    all. Raises InputError above 5,000 rows.
    """
    data = _chart_data(frame, {"category": category, "value": value}, title)
    if data.is_empty():
        return _empty(title)
    shown = data.head(MOST_BARS)
    y = alt.Y(field="category", type="nominal", sort=None, title=None, axis=alt.Axis(labelLimit=200, ticks=False))
    x = alt.X(field="value", type="quantitative", title=_axis_title(value, unit, labels), axis=_axis(form))
    base = alt.Chart(alt.Data(values=_records(shown))).encode(
        y=y, x=x, tooltip=_tooltips({"category": category, "value": value}, labels, form)
    )
    text = base.encode(text=alt.Text(field="value", type="quantitative", format=_TEXT_FORMAT[form]))
    # The first is a white rim, so that the threshold's line does not strike figures through.
    written = [
        text.mark_text(align="left", dx=4, stroke="white", strokeWidth=3, aria=False),
        text.mark_text(align="left", dx=4),
    ]
    layers = [base.mark_bar(), *_threshold(threshold, threshold_label, form), *written]
    described = f"Bar chart: {title}. {shown.height} bars; longest {_longest(shown, form)}."
    drawing = _finish(alt.layer(*layers), title, described, _shown_note(shown, data), height=max(90, 26 * shown.height))
    return Chart(drawing, title, described, _twin(frame, [category, value], title, labels, {value: form}))


def columns_over_time(
    frame: pl.DataFrame,
    *,
    time: str,
    value: str,
    title: str,
    unit: str = "",
    series: str | None = None,
    labels: Mapping[str, str] | None = None,
) -> Chart | Display:
    """Columns along a UTC time axis, one per row of the frame (a day, a month), stacked by `series` if given.

    `time` is a Date or Datetime column. Raises InputError above 5,000 rows.
    """
    names = {"time": time, "value": value} | ({"series": series} if series else {})
    data = _chart_data(frame, names, title)
    if data.is_empty():
        return _empty(title)
    x = _time(data["time"], (labels or {}).get(time) or heading_of(time))
    y = alt.Y(field="value", type="quantitative", title=_axis_title(value, unit, labels), axis=_axis("count"))
    colour = {"color": _colour(data)} if series else {}
    drawn = alt.Chart(alt.Data(values=_records(data))).mark_bar(minBandSize=2)
    drawn = drawn.encode(x=x, y=y, tooltip=_tooltips(names, labels, "count"), **colour)
    span = " to ".join(as_text(end) for end in (data["time"].min(), data["time"].max()))
    described = f"Columns over time: {title}. {span}, {data.height} columns, sum {data['value'].sum():,}."
    drawing = _finish(drawn, title, described, None, height=220)
    return Chart(drawing, title, described, _twin(frame, list(names.values()), title, labels, {}))


def stacked(
    frame: pl.DataFrame,
    *,
    category: str,
    series: str,
    value: str,
    title: str,
    unit: str = "",
    labels: Mapping[str, str] | None = None,
) -> Chart | Display:
    """Horizontal bars, each divided by `series`; bars and parts in the frame's order.

    More than 40 categories: the first 40 are drawn, the subtitle says so, the table has all. Raises InputError above
    5,000 rows.
    """
    names = {"category": category, "series": series, "value": value}
    data = _chart_data(frame, names, title)
    if data.is_empty():
        return _empty(title)
    drawn_categories = data["category"].unique(maintain_order=True).head(MOST_BARS)
    shown = data.filter(pl.col("category").is_in(drawn_categories.implode()))
    y = alt.Y(field="category", type="nominal", sort=None, title=None, axis=alt.Axis(labelLimit=200, ticks=False))
    x = alt.X(field="value", type="quantitative", title=_axis_title(value, unit, labels), axis=_axis("count"))
    drawn = alt.Chart(alt.Data(values=_records(shown))).mark_bar()
    drawn = drawn.encode(y=y, x=x, color=_colour(data), tooltip=_tooltips(names, labels, "count"))
    described = f"Stacked bars: {title}. {len(drawn_categories)} bars, sum {shown['value'].sum():,}."
    note = _shown_note(drawn_categories, data["category"].unique())
    drawing = _finish(drawn, title, described, note, height=max(90, 26 * len(drawn_categories)))
    return Chart(drawing, title, described, _twin(frame, list(names.values()), title, labels, {}))


def histogram(
    frame: pl.DataFrame,
    *,
    bin: str,
    count: str,
    title: str,
    unit: str = "",
    labels: Mapping[str, str] | None = None,
) -> Chart | Display:
    """One column per row of the frame, which holds the bins in order and the count of each.

    Raises InputError above 5,000 rows.
    """
    data = _chart_data(frame, {"category": bin, "value": count}, title)
    if data.is_empty():
        return _empty(title)
    label = (labels or {}).get(bin) or heading_of(bin)
    x = alt.X(field="category", type="ordinal", sort=None, title=label, axis=alt.Axis(labelAngle=0, labelOverlap=True))
    y = alt.Y(field="value", type="quantitative", title=_axis_title(count, unit, labels), axis=_axis("count"))
    drawn = alt.Chart(alt.Data(values=_records(data))).mark_bar()
    drawn = drawn.encode(x=x, y=y, tooltip=_tooltips({"category": bin, "value": count}, labels, "count"))
    described = f"Histogram: {title}. {data.height} bins, sum {data['value'].sum():,}."
    drawing = _finish(drawn, title, described, None, height=220)
    return Chart(drawing, title, described, _twin(frame, [bin, count], title, labels, {}))


def _chart_data(frame: pl.DataFrame, names: Mapping[str, str], title: str) -> pl.DataFrame:
    """The columns a chart needs, under our own names."""
    if frame.height > MOST_ROWS:
        raise InputError(f"chart {title!r}: {frame.height:,} rows; sum them up first (at most {MOST_ROWS:,})")
    return frame.select(pl.col(column).alias(name) for name, column in names.items())


def _records(frame: pl.DataFrame) -> list[dict[str, Any]]:
    return [{name: _plain(value) for name, value in row.items()} for row in frame.to_dicts()]


def _plain(value: object) -> object:
    """As JSON has it: times as ISO text, numbers that JSON lacks as null."""
    if isinstance(value, datetime):
        return value.isoformat() if value.tzinfo else f"{value.isoformat()}Z"
    if isinstance(value, date):
        return f"{value.isoformat()}T00:00:00Z"
    if isinstance(value, Decimal):
        value = float(value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _axis(form: ValueForm) -> Any:
    return alt.Axis(format=_AXIS_FORMAT[form], tickCount=5)


def _axis_title(column: str, unit: str, labels: Mapping[str, str] | None) -> str:
    label = (labels or {}).get(column) or heading_of(column)
    return f"{label} ({unit})" if unit and unit.lower() != label.lower() else label


def _colour(data: pl.DataFrame) -> Any:
    order = [str(name) for name in data["series"].unique(maintain_order=True)]
    colours = [SERIES[index % len(SERIES)] for index in range(len(order))]
    return alt.Color(field="series", type="nominal", title=None, scale=alt.Scale(domain=order, range=colours))


def _tooltips(names: Mapping[str, str], labels: Mapping[str, str] | None, form: ValueForm) -> list[Any]:
    return [_tooltip(name, (labels or {}).get(column) or heading_of(column), form) for name, column in names.items()]


def _tooltip(name: str, label: str, form: ValueForm) -> Any:
    if name == "value":
        return alt.Tooltip(field=name, type="quantitative", title=label, format=_TEXT_FORMAT[form])
    if name == "time":
        return alt.Tooltip(field=name, type="temporal", title=label, format="%Y-%m-%d %H:%M", formatType="utc")
    return alt.Tooltip(field=name, type="nominal", title=label)


def _threshold(at: float | None, label: str, form: ValueForm) -> list[Any]:
    if at is None:
        return []
    line = alt.Chart(alt.Data(values=[{"value": at, "label": label}])).encode(
        x=alt.X(field="value", type="quantitative"),
        tooltip=[alt.Tooltip(field="label", type="nominal", title="Line"), _tooltip("value", "At", form)],
    )
    written = line.mark_text(color=VERMILION, align="left", baseline="bottom", dx=-2, dy=-3)
    return [
        line.mark_rule(color=VERMILION, strokeDash=[5, 4], strokeWidth=1.5),
        written.encode(y=alt.value(0), text=alt.Text(field="label", type="nominal")),
    ]


def _time(moments: pl.Series, label: str) -> Any:
    """The time axis: each column as wide as the month, day or hour that it stands for."""
    unit, shown = next(grain for grain in GRAINS if (moments.dt.truncate(grain[0]) == moments).all())[1:]
    axis = alt.Axis(format=shown, labelOverlap=True, tickCount=8, grid=False)
    return alt.X(field="time", type="temporal", timeUnit=unit, title=f"{label} (UTC)", axis=axis)


def _longest(data: pl.DataFrame, form: ValueForm) -> str:
    top = data.drop_nulls("value").sort("value", descending=True).head(1)
    if top.is_empty():
        return "none"
    value = top["value"][0]
    return f"{top['category'][0]} with {f'{value:.1%}' if form == 'percent' else f'{value:,}'}"


def _shown_note(shown: pl.DataFrame | pl.Series, data: pl.DataFrame | pl.Series) -> str | None:
    if len(shown) == len(data):
        return None
    return f"The first {len(shown):,} of {len(data):,}; the figures below have all."


def _finish(drawing: Any, title: str, description: str, note: str | None, *, height: int) -> Any:
    heading = alt.TitleParams(text=title, subtitle=[note] if note else [])
    fit = alt.AutoSizeParams(type="fit-x", contains="padding")
    return drawing.properties(title=heading, description=description, width=WIDTH, height=height, autosize=fit)


def _twin(
    frame: pl.DataFrame,
    columns: list[str],
    title: str,
    labels: Mapping[str, str] | None,
    forms: Mapping[str, str],
) -> Display:
    units = {column: form for column, form in forms.items() if form == "percent"}
    return table(frame.select(columns), title, labels=labels, units=units, rows=MOST_ROWS)


def _empty(title: str) -> Display:
    html = Markup(
        '<figure class="cio-block cio-table"><figcaption>{}</figcaption><p class="cio-note">No rows.</p></figure>'
    )
    return Display(html.format(title), f"{title}: no rows")
