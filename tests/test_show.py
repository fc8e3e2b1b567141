"""What people see: escaped, complete or saying how much is missing, and counted as the rule counts."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import altair as alt
import polars as pl
import pytest
import vl_convert
from hypothesis import given, settings
from hypothesis import strategies as st

from cio2d365 import show
from cio2d365.decide import split
from cio2d365.errors import ConservationError, InputError
from cio2d365.show import preview
from cio2d365.show.blocks import FINDINGS_MIME, OUTCOME_MIME
from cio2d365.show.look import CHART_MIME
from cio2d365.show.values import NOTHING, as_html, as_text, heading_of

HOSTILE = "</script><script>alert(1)</script><img src=x onerror='alert(2)'>\"&"
ELEMENT = re.compile(r"<(script|img)", re.IGNORECASE)

BLOCKS: dict[str, Callable[[str], show.Display | show.Chart]] = {
    "table": lambda text: show.table(pl.DataFrame({text: [text]}), text, note=text),
    "table with labels": lambda text: show.table(
        pl.DataFrame({"a": [text]}), text, labels={"a": text}, units={"a": text}
    ),
    "table of lists": lambda text: show.table(pl.DataFrame({"a": [[text]]}), text),
    "facts": lambda text: show.facts({text: text}, text, units={text: text}),
    "diff": lambda text: show.diff(pl.DataFrame({"state": ["create"], text: [text]}), text),
    "balance": lambda text: show.balance(text, read=1, parts={text: 1}),
    "cards": lambda text: show.cards({text: text}),
    "callout": lambda text: show.callout("problem", text),
    "findings": lambda text: show.findings({text: 2}),
    "outcome": lambda text: show.outcome(text, {text: text}),
}


# --- values -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "form", "text"),
    [
        (None, "", NOTHING),
        (None, "percent", NOTHING),
        (True, "", "yes"),
        (1234567, "", "1,234,567"),
        (1234567, "id", "1234567"),
        (-0.0, "", "0"),
        (1234.5, "", "1,234.5"),
        (0.00001234, "", "1.23e-05"),
        (Decimal("12.50"), "", "12.5"),
        (float("nan"), "", "nan"),
        (0.8312, "percent", "83.1%"),
        (1.0, "percent", "100.0%"),
        (999, "bytes", "999 B"),
        (1_234_567, "bytes", "1.2 MB"),
        (12.34, "seconds", "12.3 s"),
        (3725, "seconds", "1 h 02 min"),
        (timedelta(minutes=12, seconds=31), "", "12 min 31 s"),
        (date(2026, 11, 1), "", "2026-11-01"),
        (datetime(2026, 11, 1, 10, 0, tzinfo=UTC), "", "2026-11-01 10:00 UTC"),
        (datetime(2026, 11, 1, 10, 0, 7, tzinfo=UTC), "", "2026-11-01 10:00:07 UTC"),
        (datetime(2026, 11, 1, 10, 0, tzinfo=timezone(timedelta(hours=2))), "", "2026-11-01 08:00 UTC"),
        (datetime(2026, 11, 1, 10, 0), "", "2026-11-01 10:00"),
        (1_731_371_458_000, "time", "2024-11-12 00:30:58 UTC"),
        ("2026-11-24T17:17:00+00:00", "time", "2026-11-24 17:17 UTC"),
        ("yesterday", "time", "yesterday"),
        (10**30, "time", f"{10**30:,}"),
        (["a", None, 1200], "", f"a, {NOTHING}, 1,200"),
        ("007", "", "007"),
        ("a\x00b\x1b", "", "a\u2400b\u241b"),
    ],
)
def test_a_value_is_written_for_people(value: object, form: str, text: str) -> None:
    assert as_text(value, form) == text


@given(st.integers())
def test_a_whole_number_is_written_to_its_last_digit(number: int) -> None:
    assert int(as_text(number).replace(",", "")) == number


@given(st.text())
def test_no_text_makes_an_element(text: str) -> None:
    assert not ELEMENT.search(str(as_html(text)))


def test_long_text_is_shortened_for_the_eye_and_says_so() -> None:
    shown = as_html("x" * 500)
    assert ">" + "x" * 239 + "…<" in shown
    assert f'title="{"x" * 500}"' in shown


def test_only_our_own_column_names_become_headings() -> None:
    assert heading_of("trait_count") == "Trait count"
    assert heading_of("Plan Name") == "Plan Name"
    assert heading_of("cio_user_id__c") == "cio_user_id__c"


# --- blocks -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("block", BLOCKS.values(), ids=BLOCKS)
def test_hostile_text_stays_text(block: Callable[[str], show.Display]) -> None:
    html = str(block(HOSTILE).html)
    assert not ELEMENT.search(html)
    assert "&lt;/script&gt;" in html


def test_a_cut_table_says_how_much_it_shows() -> None:
    html = str(show.table(pl.DataFrame({"a": range(60)}), "Sixty").html)
    assert html.count("<tr>") == 51
    assert "Showing 50 of 60 rows." in html


def test_a_whole_table_does_not_speak_of_rows_left_out() -> None:
    assert "Showing" not in show.table(pl.DataFrame({"a": range(50)}), "Fifty").html


def test_an_empty_table_says_so_and_keeps_its_head() -> None:
    html = show.table(pl.DataFrame({"trait_count": []}, schema={"trait_count": pl.Int64}), "None").html
    assert "No rows." in html
    assert "Trait count" in html


def test_numbers_stand_right_and_the_unit_in_the_heading() -> None:
    html = show.table(pl.DataFrame({"size": [1234]}), "Sizes", units={"size": "kg"}).html
    assert '<th scope="col" class="cio-number">Size (kg)</th>' in html
    assert '<td class="cio-number">1,234</td>' in html


def test_a_table_scrolls_in_its_own_box_and_can_be_reached_by_keyboard() -> None:
    html = show.table(pl.DataFrame({"a": range(26)}), "Tall").html
    assert '<div class="cio-scroll cio-tall" tabindex="0" role="region" aria-label="Tall">' in html


def test_long_text_may_wrap_and_short_text_stays_on_its_line() -> None:
    html = show.table(pl.DataFrame({"a": ["short", "a text of more than twenty-four characters"]}), "Two").html
    assert "<td>short</td>" in html
    assert '<td class="cio-wide">a text of' in html


def test_a_tall_table_says_how_long_it_is() -> None:
    assert "26 rows." in show.table(pl.DataFrame({"a": range(26)}), "Tall").html


def test_a_plan_puts_conflicts_first_and_counts_every_row() -> None:
    plan = pl.DataFrame({"state": ["equal", "create", "conflict", "create"], "name": ["d", "b", "a", "c"]})
    shown = show.diff(plan, rows=2)
    assert re.findall(r"<td>(\w)</td>", str(shown.html)) == ["a", "b"]
    assert "1 conflict, 2 to create, 1 equal" in shown.html
    assert "Showing 2 of 4 rows." in shown.html


def test_a_plan_with_an_unknown_state_is_refused() -> None:
    with pytest.raises(InputError, match="no state 'delete'"):
        show.diff([{"state": "delete", "name": "a"}])


def test_a_balance_that_does_not_add_up_is_an_error_with_the_account() -> None:
    with pytest.raises(ConservationError, match=r"read 10, but 7 staged \+ 2 review = 9 \(off by -1\)"):
        show.balance("People", read=10, parts={"staged": 7, "review": 2})


def test_a_balance_shows_both_sums() -> None:
    shown = show.balance("People", read=9, parts={"staged": 7, "review": 2})
    assert re.findall(r'cio-number">(\d)<', str(shown.html)) == ["7", "2", "9", "9"]


def test_findings_reach_the_runner_with_zeroes_and_people_without() -> None:
    shown = show.findings({"rows rejected": 3, "rows in review": 0})
    assert shown.data == {FINDINGS_MIME: {"rows rejected": 3, "rows in review": 0}}
    assert "rows in review" not in shown.html
    bundle = shown._repr_mimebundle_()
    assert json.loads(json.dumps(bundle)) == bundle


@pytest.mark.parametrize("count", [-1, 1.0, True, None])
def test_a_finding_that_is_no_count_is_refused(count: Any) -> None:
    with pytest.raises(InputError, match="is no count"):
        show.findings({"rows": count})


def test_an_outcome_hands_its_figures_over_as_text() -> None:
    assert show.outcome("Created 1,200 rows.", {"Rows": 1200}).data == {
        OUTCOME_MIME: {"changed": "Created 1,200 rows.", "figures": {"Rows": "1,200"}}
    }


def test_a_callout_of_another_kind_is_refused() -> None:
    with pytest.raises(InputError, match="not 'danger'"):
        show.callout("danger", "text")  # type: ignore[arg-type]


# --- charts -----------------------------------------------------------------------------------------------------------

NAMES = pl.DataFrame({"key": [HOSTILE, "b"], "share": [0.5, 0.25], "part": ["x", HOSTILE]})


def chart(shown: show.Chart | show.Display) -> show.Chart:
    assert isinstance(shown, show.Chart)
    return shown


def values_of(spec: dict[str, Any]) -> list[dict[str, Any]]:
    return next(iter(spec["datasets"].values())) if "datasets" in spec else list(spec["data"]["values"])


def test_a_chart_is_data_a_drawing_and_a_table_of_its_figures() -> None:
    bundle = chart(show.bars(NAMES, category="key", value="share", title="Shares", form="percent")).static()
    assert set(bundle) == {CHART_MIME, "text/html", "text/plain"}
    html = str(bundle["text/html"])
    assert 'src="data:image/svg+xml;base64,' in html
    assert "50.0%" in html
    assert not re.search("<script", html)


def test_a_customers_text_is_data_in_a_chart_and_never_a_field_name() -> None:
    drawn = chart(
        show.stacked(NAMES.rename({"key": HOSTILE}), category=HOSTILE, series="part", value="share", title="t")
    )
    encoding = drawn.spec()["encoding"]
    assert {channel["field"] for name, channel in encoding.items() if name != "tooltip"} == {
        "category",
        "series",
        "value",
    }


def test_a_chart_describes_itself_in_words() -> None:
    drawn = chart(show.bars(NAMES.tail(1), category="key", value="share", title="Shares", form="percent"))
    assert drawn.spec()["description"] == "Bar chart: Shares. 1 bars; longest b with 25.0%."


def test_a_histogram_keeps_the_order_of_its_bins() -> None:
    frame = pl.DataFrame({"bin": ["0", "1 to 9", "10+"], "people": [5, 3, 1200]})
    drawn = chart(show.histogram(frame, bin="bin", count="people", title="Traits", labels={"bin": "traits"}))
    assert drawn.description == "Histogram: Traits. 3 bins, sum 1,208."
    x = drawn.spec()["encoding"]["x"]
    assert (x["sort"], x["title"]) == (None, "traits")


def test_more_bars_than_fit_are_cut_and_the_chart_says_so_and_the_table_has_all() -> None:
    many = pl.DataFrame({"key": [f"k{n}" for n in range(50)], "people": range(50)})
    drawn = chart(show.bars(many, category="key", value="people", title="Many"))
    assert drawn.spec()["title"]["subtitle"] == ["The first 40 of 50; the figures below have all."]
    assert str(drawn.twin.html).count("<tr>") == 51


def test_a_chart_of_too_many_rows_is_refused() -> None:
    with pytest.raises(InputError, match="5,001 rows; sum them up first"):
        show.histogram(pl.DataFrame({"b": range(5001), "n": range(5001)}), bin="b", count="n", title="t")


def test_a_chart_without_rows_says_so() -> None:
    shown = show.histogram(pl.DataFrame({"b": [], "n": []}), bin="b", count="n", title="Nothing")
    assert isinstance(shown, show.Display)
    assert "No rows." in shown.html


@pytest.mark.parametrize(
    ("times", "unit", "shown"),
    [
        ([datetime(2024, 11, 1, tzinfo=UTC), datetime(2024, 12, 1, tzinfo=UTC)], "utcyearmonth", "%b %Y"),
        ([date(2024, 11, 1), date(2024, 11, 2)], "utcyearmonthdate", "%d %b %Y"),
        ([datetime(2024, 11, 1, 5, tzinfo=UTC)], "utcyearmonthdatehours", "%d %b %H:%M"),
    ],
)
def test_the_time_axis_is_as_fine_as_the_data(times: list[Any], unit: str, shown: str) -> None:
    frame = pl.DataFrame({"month": times, "events": [1] * len(times)})
    x = chart(show.columns_over_time(frame, time="month", value="events", title="t")).spec()["encoding"]["x"]
    assert (x["timeUnit"], x["axis"]["format"]) == (unit, shown)


def test_a_months_label_is_drawn_as_month_and_year() -> None:
    frame = pl.DataFrame({"month": [date(2024, 11, 1), date(2024, 12, 1)], "events": [1, 2]})
    spec = chart(show.columns_over_time(frame, time="month", value="events", title="t", unit="events")).spec()
    svg = vl_convert.vegalite_to_svg(spec, vl_version=show.charts.VEGALITE)
    assert ">Nov 2024<" in svg
    assert ">Events<" in svg


def test_a_threshold_line_carries_its_name() -> None:
    drawn = chart(
        show.bars(NAMES, category="key", value="share", title="t", form="percent", threshold=0.1, threshold_label="cut")
    )
    assert ">cut<" in vl_convert.vegalite_to_svg(drawn.spec(), vl_version=show.charts.VEGALITE)


def test_numbers_that_json_lacks_are_drawn_as_nothing() -> None:
    frame = pl.DataFrame({"key": ["a", "b"], "share": [float("nan"), 0.5]})
    drawn = chart(show.bars(frame, category="key", value="share", title="t"))
    assert '"value": null' in json.dumps(drawn.spec(), allow_nan=False)


def test_a_live_chart_is_a_widget_and_needs_no_network() -> None:
    show.setup()
    bundle = chart(show.bars(NAMES, category="key", value="share", title="t"))._widget()
    assert "application/vnd.jupyter.widget-view+json" in bundle


def test_the_drawing_library_knows_the_chart_grammar() -> None:
    assert show.charts.VEGALITE in vl_convert.get_vegalite_versions()


def test_a_chart_made_elsewhere_is_shown_without_altairs_own_page() -> None:
    show.setup()
    drawn = alt.Chart(alt.Data(values=[{"a": HOSTILE}])).mark_bar().encode(x="a:N")
    bundle = drawn._repr_mimebundle_(None, None)
    bundle = bundle[0] if isinstance(bundle, tuple) else bundle
    assert CHART_MIME in bundle
    assert "<script" not in bundle["text/html"]


# --- the split preview ------------------------------------------------------------------------------------------------

PEOPLE = st.lists(
    st.fixed_dictionaries(
        {
            "email_valid": st.booleans(),
            "related_company": st.booleans(),
            "company_trait": st.booleans(),
            "business_domain": st.booleans(),
            "trait_count": st.integers(0, 20),
            "suppressed": st.booleans(),
            "deleted": st.booleans(),
        }
    ),
    min_size=1,
    max_size=30,
)


def facts_of(people: list[dict[str, Any]]) -> pl.DataFrame:
    blank: dict[str, Any] = dict.fromkeys(split.FACTS_SCHEMA)
    rows = [
        blank | person | {"person_key": str(n), "email_reason": "ok" if person["email_valid"] else "missing"}
        for n, person in enumerate(people)
    ]
    return pl.DataFrame(rows, schema=split.FACTS_SCHEMA)


@settings(max_examples=40, deadline=None)
@given(PEOPLE, st.sampled_from(["review", "lead"]))
def test_the_preview_counts_as_the_split_rule_does(people: list[dict[str, Any]], no_email: preview.NoEmail) -> None:
    facts = facts_of(people)
    counted = preview.thresholds(split.histogram(facts, split.SplitRule()), highest=12, no_email=no_email)
    for row in counted.iter_rows(named=True):
        rule = split.SplitRule(trait_threshold=row["threshold"], no_email=no_email)
        found = split.classify(facts, rule)["cls"].value_counts()
        expected = dict.fromkeys(split.CLASSES, 0) | dict(found.iter_rows())
        assert {name: row[name] for name in split.CLASSES} == expected


def test_the_preview_starts_at_the_rules_own_threshold() -> None:
    facts = facts_of([{"email_valid": True, "trait_count": 3, "suppressed": False, "deleted": False}])
    drawn = show.threshold_preview(split.histogram(facts, split.SplitRule()), threshold=3, no_email="lead")
    assert {p["name"]: p["value"] for p in drawn.spec()["params"]} == {"threshold": 3, "no_email": "lead"}
    assert "With threshold 3: 0 Contact, 1 Lead, 0 Review, 0 Excluded." in drawn.description


def test_the_preview_draws_the_counts_that_its_table_has() -> None:
    people = pl.DataFrame({"trait_count": [1, 3, 4], "people": [4711, 1000, 237]}).with_columns(
        valid_email=True, business_identity=False, excluded=False
    )
    drawn = show.threshold_preview(people)
    svg = vl_convert.vegalite_to_svg(drawn.spec(), vl_version=show.charts.VEGALITE)
    assert ">4,711<" in svg
    assert ">1,237<" in svg


def test_a_histogram_without_a_needed_column_is_refused() -> None:
    with pytest.raises(InputError, match="needs a column 'excluded'"):
        show.threshold_preview(pl.DataFrame({"trait_count": [1], "valid_email": [True], "business_identity": [True]}))
