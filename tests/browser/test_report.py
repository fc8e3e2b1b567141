"""A report as a client opens it: alone, without a network, with hostile text in every place that text can reach."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

import polars as pl
import pytest
from playwright.sync_api import Page

from cio2d365 import render
from cio2d365.show import preview
from tests.browser import gallery
from tests.browser.conftest import CONTEXT, Visit

pytestmark = pytest.mark.browser

CHARTS = 5
LABELS = "marks => marks.map(mark => mark.getAttribute('aria-label'))"


def test_one_file_asks_for_nothing_and_complains_about_nothing(opened: Visit, report: Path) -> None:
    assert [url for url in opened.requests if not url.startswith("data:")] == [report.as_uri()]
    assert opened.complaints == []


def test_every_chart_is_drawn_and_takes_the_place_of_its_picture(opened: Visit) -> None:
    page = opened.page
    assert page.locator("[data-chart][data-ready=true]").count() == CHARTS
    assert page.locator(".drawn svg").count() >= CHARTS
    assert page.locator("[data-chart] .cio-chart img").count() == 0
    assert page.locator("[data-chart] details table").count() == CHARTS


def test_the_drawn_charts_say_what_they_show(opened: Visit) -> None:
    page = opened.page
    labels = page.locator(".drawn svg[aria-label], .drawn [role=graphics-document]").evaluate_all(
        "found => found.map(e => e.getAttribute('aria-label'))"
    )
    assert len(labels) == CHARTS
    assert all(label and len(label) > 20 for label in labels)


@pytest.mark.parametrize("no_email", ["review", "lead"])
def test_the_slider_recounts_as_the_rule_does(visit: Visit, report: Path, no_email: preview.NoEmail) -> None:
    page = visit.open(report).page
    expected = preview.thresholds(pl.DataFrame(gallery.PEOPLE), highest=5, no_email=no_email)
    page.locator(f"input[type=radio][value={no_email}]").check()
    slider = page.locator("input[type=range]")
    for row in expected.iter_rows(named=True):
        slider.fill(str(row["threshold"]))
        assert drawn_counts(page) == {name: f"{row[name.lower()]:,}" for name in preview.CLASSES}


def drawn_counts(page: Page, within: str = ".drawn") -> dict[str, str]:
    """What the last chart writes at its bars, by class; Vega redraws within the next frames."""
    page.evaluate("new Promise(done => requestAnimationFrame(() => setTimeout(done, 50)))")
    marks = page.locator(within).last.locator("[aria-roledescription='text mark']")
    named = [str(label).partition("outcome: ")[2].partition(";")[0] for label in marks.evaluate_all(LABELS)]
    return dict(zip(named, marks.all_text_contents(), strict=True))


def test_the_menu_saves_a_picture_and_sends_nothing_away(opened: Visit) -> None:
    actions = opened.page.locator(".vega-actions a").all_text_contents()
    assert set(actions) == {"Save as SVG", "Save as PNG"}


def test_hostile_text_is_read_not_run(opened: Visit) -> None:
    page = opened.page
    assert page.title() == "Everything there is – acme"
    assert page.locator("main img, main iframe, main form, main meta, main [onerror], main [onclick]").count() == 0
    assert page.locator("main script:not([type='application/json'])").count() == 0
    text = page.locator("main").inner_text()
    assert all(hostile in text for hostile in gallery.HOSTILE)
    assert page.locator("main").evaluate("main => main.parentElement.classList.contains('columns')")


def test_no_code_no_prompt_no_stream_is_left(opened: Visit) -> None:
    text = opened.page.locator("body").inner_text()
    for left in ("import polars", "show.table(", "In [", "Out[", "a line that belongs in the log"):
        assert left not in text


@pytest.mark.parametrize("width", [1280, 800, 400])
def test_the_page_never_scrolls_sideways(visit: Visit, report: Path, width: int) -> None:
    visit.page.set_viewport_size({"width": width, "height": 900})
    assert visit.open(report).page.evaluate("document.documentElement.scrollWidth") <= width


def test_a_wide_table_scrolls_in_its_own_box(opened: Visit) -> None:
    box = opened.page.get_by_role("region", name="Thirty columns")
    assert box.evaluate("box => box.scrollWidth > box.clientWidth")


def test_headings_are_in_order_and_the_contents_lead_to_them(opened: Visit) -> None:
    page = opened.page
    levels = page.locator("h1, h2, h3, h4").evaluate_all("all => all.map(h => +h.tagName[1])")
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    links = page.locator("nav a").evaluate_all("all => all.map(a => a.getAttribute('href'))")
    assert len(links) == len(gallery.CELLS)
    assert all(page.locator(f"h2{link}").count() == 1 for link in links)


def test_without_script_the_drawings_stay(visit: Visit, report: Path, tmp_path: Path) -> None:
    silent = tmp_path / "silent.html"
    silent.write_text(report.read_text(encoding="utf-8").replace("vegaEmbed(box", "missing(box"), encoding="utf-8")
    visit.page.goto(silent.as_uri())
    assert visit.page.locator("[data-chart] .cio-chart img").count() == CHARTS
    sizes = visit.page.locator("[data-chart] .cio-chart img").evaluate_all("all => all.map(i => i.naturalWidth)")
    assert all(size > 300 for size in sizes)


def test_print_shows_no_controls_and_cuts_no_table(visit: Visit, report: Path) -> None:
    page = visit.open(report).page
    page.emulate_media(media="print")
    assert not page.locator(".controls").first.is_visible()
    assert not page.locator("nav.contents").is_visible()
    assert page.locator(".cio-tall").first.evaluate("box => box.scrollHeight <= box.clientHeight + 1")


def test_a_failure_page_holds_its_message_as_text(visit: Visit, tmp_path: Path) -> None:
    message = "".join(gallery.HOSTILE)
    path = render.failure(tmp_path / "05_load.ipynb", CONTEXT, title=message, message=message, error="GateError")
    page = visit.open(path).page
    assert visit.complaints == []
    assert page.locator(".verdict .message").inner_text() == re.sub(r"\s+", " ", message)
    assert page.locator("img, script").count() == 0
