"""The split rule as something to play with: a slider that recounts Contacts, Leads and Review without a kernel."""

from __future__ import annotations

from typing import Any, Literal

import altair as alt
import polars as pl

from cio2d365.errors import InputError
from cio2d365.show.charts import MOST_ROWS, Chart
from cio2d365.show.look import BLUE, GREEN, GREY, OCHRE
from cio2d365.show.tables import table

CLASSES = {"Contact": BLUE, "Lead": GREEN, "Review": OCHRE, "Excluded": GREY}
COLUMNS = ("trait_count", "valid_email", "business_identity", "excluded", "people")
PREVIEW_WIDTH = 460

NoEmail = Literal["review", "lead"]

# The rule in Vega's expression language; `classes` is the same rule in polars.
_RULE = (
    "datum.excluded ? 'Excluded'"
    " : !datum.valid_email ? (no_email == 'lead' ? 'Lead' : 'Review')"
    " : (datum.business_identity || datum.trait_count > threshold) ? 'Contact' : 'Lead'"
)


def threshold_preview(
    histogram: pl.DataFrame,
    *,
    threshold: int = 2,
    no_email: NoEmail = "review",
    highest: int = 12,
    title: str = "Who becomes a Contact, who a Lead",
) -> Chart:
    """The split rule's result, recounted in the browser as the slider moves (from 0 to `highest`).

    `histogram` has one row per combination of trait_count (whole number), valid_email, business_identity and excluded
    (booleans) with the number of people. Rule: excluded, then no valid e-mail (Review, or Lead by choice), then
    business identity or more traits than the threshold (Contact), else Lead. Raises InputError for missing columns or
    more than 5,000 rows.
    """
    missing = [name for name in COLUMNS if name not in histogram.columns]
    if missing:
        raise InputError(f"the preview needs a column {missing[0]!r}")
    facts = histogram.group_by(COLUMNS[:-1], maintain_order=True).agg(pl.col("people").sum()).sort(COLUMNS[:-1])
    if facts.height > MOST_ROWS:
        raise InputError(
            f"the preview has {facts.height:,} combinations; group the trait counts (at most {MOST_ROWS:,})"
        )
    counts = thresholds(facts, highest=max(highest, threshold), no_email=no_email)
    described = _description(counts, threshold)
    drawing = _drawing(facts, threshold, no_email, max(highest, threshold), title, described)
    twin = table(counts, f"People by threshold (no e-mail: {no_email})", rows=MOST_ROWS)
    return Chart(drawing, title, described, twin)


def classes(threshold: int, no_email: NoEmail) -> pl.Expr:
    """The class of each row of the histogram under this threshold."""
    certain = pl.col("business_identity") | (pl.col("trait_count") > threshold)
    return (
        pl.when(pl.col("excluded"))
        .then(pl.lit("Excluded"))
        .when(~pl.col("valid_email"))
        .then(pl.lit("Lead" if no_email == "lead" else "Review"))
        .when(certain)
        .then(pl.lit("Contact"))
        .otherwise(pl.lit("Lead"))
    )


def thresholds(histogram: pl.DataFrame, *, highest: int, no_email: NoEmail) -> pl.DataFrame:
    """People per class for each threshold from 0 to `highest`: threshold, contact, lead, review, excluded."""
    return pl.DataFrame([_counts(histogram, threshold, no_email) for threshold in range(highest + 1)])


def _counts(histogram: pl.DataFrame, threshold: int, no_email: NoEmail) -> dict[str, int]:
    found = histogram.group_by(classes(threshold, no_email).alias("class")).agg(pl.col("people").sum())
    people = dict(found.iter_rows())
    return {"threshold": threshold} | {name.lower(): int(people.get(name, 0)) for name in CLASSES}


def _description(counts: pl.DataFrame, threshold: int) -> str:
    row = counts.row(threshold, named=True)
    parts = ", ".join(f"{row[name.lower()]:,} {name}" for name in CLASSES)
    return f"Split preview. With threshold {threshold}: {parts}. Move the slider to recount."


def _drawing(facts: pl.DataFrame, threshold: int, no_email: NoEmail, highest: int, title: str, described: str) -> Any:
    slider = alt.binding_range(min=0, max=highest, step=1, name="Contact needs more traits than ")
    choice = alt.binding_radio(options=["review", "lead"], name="Without a valid e-mail: ")
    parameters = [
        alt.param(name="threshold", value=threshold, bind=slider),
        alt.param(name="no_email", value=no_email, bind=choice),
    ]
    people = alt.Chart(alt.Data(values=facts.to_dicts())).transform_calculate("outcome", _RULE)
    return (
        alt.vconcat(_totals(people), _by_traits(people, highest), spacing=22)
        .add_params(*parameters)
        .properties(title=alt.TitleParams(text=title), description=described)
    )


def _totals(people: Any) -> Any:
    """One bar per class, those without people included."""
    summed = people.transform_aggregate(people="sum(people)", groupby=["outcome"]).transform_impute(
        impute="people", key="outcome", keyvals=list(CLASSES), value=0
    )
    y = alt.Y(field="outcome", type="nominal", sort=list(CLASSES), title=None, axis=alt.Axis(ticks=False))
    x = alt.X(field="people", type="quantitative", title="People", axis=alt.Axis(format=",~f", tickCount=5))
    base = summed.encode(y=y, x=x, tooltip=_tooltips())
    written = base.mark_text(align="left", dx=4).encode(text=alt.Text(field="people", type="quantitative", format=","))
    return alt.layer(base.mark_bar().encode(color=_colour()), written).properties(width=PREVIEW_WIDTH, height=120)


def _by_traits(people: Any, highest: int) -> Any:
    """People by number of traits, coloured by what they become; the tail is one column."""
    tail = highest + 1
    binned = people.transform_calculate("traits", f"min(datum.trait_count, {tail})")
    summed = binned.transform_aggregate(people="sum(people)", groupby=["outcome", "traits"])
    named = f"datum.value == {tail} ? '{tail}+' : datum.value"
    axis, scale = alt.Axis(labelAngle=0, labelExpr=named), alt.Scale(domain=list(range(tail + 1)))
    x = alt.X(field="traits", type="ordinal", title="Traits a person has", axis=axis, scale=scale)
    y = alt.Y(field="people", type="quantitative", title="People", axis=alt.Axis(format=",~f", tickCount=4))
    tips = [*_tooltips(), alt.Tooltip(field="traits", type="ordinal", title="Traits")]
    drawn = summed.mark_bar().encode(x=x, y=y, color=_colour(), tooltip=tips)
    return drawn.properties(width=PREVIEW_WIDTH, height=150)


def _colour() -> Any:
    scale = alt.Scale(domain=list(CLASSES), range=list(CLASSES.values()))
    return alt.Color(field="outcome", type="nominal", title=None, scale=scale)


def _tooltips() -> list[Any]:
    return [
        alt.Tooltip(field="outcome", type="nominal", title="Becomes"),
        alt.Tooltip(field="people", type="quantitative", title="People", format=","),
    ]
