"""Pages for a client: what is on them, what is not, and what they say about a run."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nbformat
import polars as pl
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from cio2d365 import artefacts, render, show
from cio2d365.show.blocks import FINDINGS_MIME, OUTCOME_MIME

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>"
CONTEXT = render.Context("acme", "sandbox", "20261101-100000-sandbox", "2026-11-01T10:00:59+00:00")
LOADS = re.compile(r"""(?:src|href|srcset|action|data)\s*=\s*["']?(?:https?:)?//""", re.IGNORECASE)


def shown(data: Mapping[str, object]) -> Any:
    return new_output("display_data", data=dict(data))


def notebook(folder: Path, *outputs: Any, prose: str = "# A title\n\nA question?\n\n## First part") -> Path:
    """An executed notebook: prose, and one code cell with these outputs."""
    cell = new_code_cell("SOURCE = 'code'", outputs=list(outputs), execution_count=7)
    path = folder / "03_split_rule.ipynb"
    nbformat.write(new_notebook(cells=[new_markdown_cell(prose), cell]), path)
    return path


def page(folder: Path, *outputs: Any, **more: str) -> str:
    return render.report(notebook(folder, *outputs, **more), CONTEXT).read_text(encoding="utf-8")


def body(html: str) -> str:
    return html.partition('<main id="content"')[2].partition("</main>")[0]


def test_a_report_lies_beside_its_notebook_and_leaves_nothing_else(tmp_path: Path) -> None:
    path = render.report(notebook(tmp_path), CONTEXT)
    assert path == tmp_path / "03_split_rule.html"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["03_split_rule.html", "03_split_rule.ipynb"]


def test_a_report_is_titled_by_its_first_heading_and_names_its_run(tmp_path: Path) -> None:
    html = page(tmp_path)
    assert "<title>A title – acme</title>" in html
    assert html.count("A title</h1>") == 1
    facts = re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", html)
    assert facts[:4] == [
        ("Migration", "acme"),
        ("Environment", "sandbox"),
        ("Run", "20261101-100000-sandbox"),
        ("Written", "2026-11-01 10:00 UTC"),
    ]


def test_the_contents_lead_to_the_parts(tmp_path: Path) -> None:
    html = page(tmp_path, prose="# T\n\n## What <i>will</i> be `read`?\n\n### Detail\n\n## Next")
    links = re.findall(r'<li><a href="#([\w-]+)">(.*?)</a>', html)
    assert [text for _, text in links] == ["What &lt;i&gt;will&lt;/i&gt; be read?", "Next"]
    assert all(f'<h2 id="{anchor}">' in html for anchor, _ in links)


def test_what_was_changed_stands_first_with_its_figures_and_what_is_open(tmp_path: Path) -> None:
    outcome = show.outcome("Created 12 rows.", {"Rows": 1200})._repr_mimebundle_()
    findings = show.findings({"rows in review": 1234, "rows rejected": 0})._repr_mimebundle_()
    summary = page(tmp_path, shown(findings), shown(outcome)).partition("</section>")[0]
    assert "Created 12 rows." in summary
    assert "<dt>Rows</dt><dd>1,200</dd>" in summary
    assert re.search(r"Open:</strong>\s*1,234 rows in review\s*<", summary)
    assert "rejected" not in summary


def test_the_outcome_is_said_once(tmp_path: Path) -> None:
    html = page(tmp_path, shown(show.outcome("Created 12 rows.")._repr_mimebundle_()))
    assert html.count("Created 12 rows.") == 1


def test_code_prompts_streams_and_tracebacks_stay_in_the_notebook(tmp_path: Path) -> None:
    outputs = [
        new_output("stream", name="stdout", text="to the log"),
        new_output("stream", name="stderr", text="a warning"),
        new_output("error", ename="KeyError", evalue="customer@example.com", traceback=["line 1"]),
    ]
    html = page(tmp_path, *outputs)
    for left in ("SOURCE", "to the log", "a warning", "KeyError", "customer@example.com", "[7]"):
        assert left not in html


def test_widgets_are_left_out_with_their_text(tmp_path: Path) -> None:
    view = {"application/vnd.jupyter.widget-view+json": {"model_id": "x"}, "text/plain": "IntSlider(value=3)"}
    assert "IntSlider" not in page(tmp_path, shown(view))


@pytest.mark.parametrize("mime", ["text/html", "text/plain", "text/markdown"])
def test_a_hostile_output_is_text(tmp_path: Path, mime: str) -> None:
    html = body(page(tmp_path, shown({mime: HOSTILE + "still here"})))
    assert "still here" in html
    assert not re.search(r"<script|<img", html)


def test_a_picture_is_embedded(tmp_path: Path) -> None:
    html = body(page(tmp_path, shown({"image/png": "iVBORw0KGgo=\n"})))
    assert 'src="data:image/png;base64,iVBORw0KGgo=' in html


def test_a_script_that_a_customers_value_would_end_is_not_ended(tmp_path: Path) -> None:
    frame = pl.DataFrame({"key": [HOSTILE], "people": [3]})
    chart = show.bars(frame, category="key", value="people", title=HOSTILE)
    assert isinstance(chart, show.Chart)
    data = body(page(tmp_path, shown(chart.static())))
    assert len(re.findall(r"<script", data)) == 1
    assert "\\u003c/script>" in data
    assert "alert(1)</script><" not in data


def test_the_same_chart_can_be_drawn_from_what_the_page_holds(tmp_path: Path) -> None:
    chart = show.bars(pl.DataFrame({"key": [HOSTILE], "people": [3]}), category="key", value="people", title="t")
    assert isinstance(chart, show.Chart)
    html = page(tmp_path, shown(chart.static()))
    found = re.search(r'<script type="application/json">(.*?)</script>', html, re.DOTALL)
    assert found
    (tmp_path / "spec.json").write_text(found[1], encoding="utf-8")
    assert artefacts.read_json(tmp_path / "spec.json") == chart.spec()


def test_the_chart_library_is_in_the_page_once_and_only_with_a_chart(tmp_path: Path) -> None:
    chart = show.bars(pl.DataFrame({"key": ["a"], "people": [3]}), category="key", value="people", title="t")
    assert isinstance(chart, show.Chart)
    with_charts = page(tmp_path, shown(chart.static()), shown(chart.static()))
    without = page(tmp_path)
    assert with_charts.count("window.vegaEmbed=") == 1
    assert "script-src 'none'" in without
    assert "<script" not in without
    assert len(without) < 40_000
    assert len(with_charts) < 1_200_000


def test_each_page_has_its_own_nonce_and_every_script_carries_it(tmp_path: Path) -> None:
    chart = show.bars(pl.DataFrame({"key": ["a"], "people": [3]}), category="key", value="people", title="t")
    assert isinstance(chart, show.Chart)
    pages = [page(tmp_path, shown(chart.static())) for _ in range(2)]
    allowed = [re.findall(r"script-src 'nonce-([\w-]+)'", html) for html in pages]
    assert allowed[0] != allowed[1]
    assert all(
        re.findall(r'<script nonce="([\w-]+)">', html) == 2 * own for html, own in zip(pages, allowed, strict=True)
    )


def test_a_page_names_no_other_host_in_anything_it_could_load(tmp_path: Path) -> None:
    html = page(tmp_path, shown({"text/html": '<img src="https://a.example/x.png"><a href="//b.example">b</a>'}))
    assert not LOADS.search(html)


def test_money_is_not_mathematics(tmp_path: Path) -> None:
    html = page(tmp_path, prose="# T\n\nBetween $5 and $6.")
    assert "Between $5 and $6." in html
    assert "mathjax" not in html.lower()


def test_a_comment_in_a_code_example_is_no_title(tmp_path: Path) -> None:
    assert "# a comment" in body(page(tmp_path, prose="# T\n\n```\n# a comment\n```"))


def test_html_in_prose_is_text(tmp_path: Path) -> None:
    assert "&lt;b&gt;" in body(page(tmp_path, prose="# T\n\n<b>bold</b>"))


def test_a_cell_can_be_kept_out_of_the_report(tmp_path: Path) -> None:
    cell = new_code_cell(
        "x", outputs=[shown({"text/plain": "for the analyst only"})], metadata={"tags": ["remove-cell"]}
    )
    path = tmp_path / "00_a.ipynb"
    nbformat.write(new_notebook(cells=[new_markdown_cell("# T"), cell]), path)
    assert "for the analyst only" not in render.report(path, CONTEXT).read_text(encoding="utf-8")


def test_a_name_that_looks_like_a_template_is_not_run(tmp_path: Path) -> None:
    html = page(tmp_path, shown({"text/plain": "{{ 7*7 }}{% include 'x' %}"}), prose="# {{ 7*7 }}\n\n## {{ 6*7 }}")
    assert html.count("{{ 7*7 }}") >= 2
    assert "49" not in body(html)


# --- failures ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        ("DecisionError", "Something has to be decided"),
        ("Transient", "The other system failed"),
        ("ConservationError", "a defect of the program"),
        ("KeyError", "a defect of the program"),
    ],
)
def test_a_failure_says_how_to_go_on(tmp_path: Path, error: str, advice: str) -> None:
    path = render.failure(tmp_path / "05_load.ipynb", CONTEXT, title="Load", message="It is so.", error=error)
    html = path.read_text(encoding="utf-8")
    assert path.name == "05_load.html"
    assert "It is so." in html
    assert advice in html
    assert "cio2d365 run acme --env sandbox --from 05" in html


def test_a_failed_rollback_is_not_answered_with_a_run(tmp_path: Path) -> None:
    path = render.failure(tmp_path / "90_rollback.ipynb", CONTEXT, title="Rollback", message="No.", error="GateError")
    assert "cio2d365 run" not in path.read_text(encoding="utf-8")


def test_a_failure_shows_its_message_as_text(tmp_path: Path) -> None:
    html = render.failure(tmp_path / "05_load.ipynb", CONTEXT, title=HOSTILE, message=HOSTILE, error=HOSTILE).read_text(
        encoding="utf-8"
    )
    assert not re.search(r"<script|<img", html)


# --- indexes ----------------------------------------------------------------------------------------------------------


def record(name: str, state: str = "done", **more: Any) -> dict[str, Any]:
    files = {"html": {"name": f"{name}.html", "sha256": "ab" * 32}} if state != "not run" else {}
    return {
        "name": name, "title": f"Title of {name}", "state": state, "seconds": 12.3, "exit_code": 0, "error": "",
        "message": "", "findings": {}, "changed": "Nothing was changed.", "figures": {"People": "40,000"},
        "files": files,
    } | more  # fmt: skip


def manifest(folder: Path, *notebooks: dict[str, Any], started: str = "2026-11-01T10:00:00+00:00") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    value = {
        "run_id": folder.name, "migration": "acme", "environment": "sandbox", "started": started,
        "ended": "2026-11-01T10:12:31+00:00", "exit_code": 0, "versions": {"cio2d365": "0.1.0", "polars": "9.9"},
        "notebooks": list(notebooks),
    }  # fmt: skip
    artefacts.write_json(folder / "manifest.json", value)
    return folder


def verdict(html: str) -> tuple[str, str]:
    found = re.search(r'<section class="verdict (\w+)">\s*<p class="word">(.*?)</p>', html)
    assert found
    return found[1], found[2]


@pytest.mark.parametrize(
    ("notebooks", "expected"),
    [
        ([record("00_audit"), record("01_event_schema")], ("good", "All accounted for")),
        ([record("00_audit", findings={"a": 0})], ("good", "All accounted for")),
        ([record("00_audit", findings={"a": 1})], ("warning", "1 finding is open")),
        (
            [record("00_audit", findings={"a": 1}), record("01_a", findings={"b": 7})],
            ("warning", "2 findings are open"),
        ),
        ([record("00_audit"), record("01_a", "failed"), record("02_b", "not run")], ("problem", "Stopped at 01_a")),
        ([record("00_audit"), record("01_a", "not run")], ("quiet", "Not finished")),
    ],
)
def test_the_index_gives_a_verdict_in_words(
    tmp_path: Path, notebooks: list[dict[str, Any]], expected: tuple[str, str]
) -> None:
    html = render.index(manifest(tmp_path / "run-1", *notebooks)).read_text(encoding="utf-8")
    assert verdict(html) == expected


def test_the_verdict_lists_what_is_open_over_all_steps(tmp_path: Path) -> None:
    steps = [
        record("03_split_rule", findings={"people to review": 96}),
        record("05_load", findings={"rows in review": 1338}),
    ]
    html = render.index(manifest(tmp_path / "run-1", *steps)).read_text(encoding="utf-8")
    assert "96 people to review, 1,338 rows in review. Every row is accounted for." in html


def test_the_index_has_each_step_with_its_sentence_figures_findings_and_time(tmp_path: Path) -> None:
    done = record("03_split_rule", findings={"people to review": 112, "none of these": 0})
    html = render.index(manifest(tmp_path / "run-1", done)).read_text(encoding="utf-8")
    for part in ('href="03_split_rule.html">Title of 03_split_rule', "Nothing was changed.", "40,000", "12.3 s"):
        assert part in html
    assert "112 people to review" in html
    assert "none of these" not in html


def test_a_step_that_has_not_run_has_no_link_and_no_time(tmp_path: Path) -> None:
    html = render.index(manifest(tmp_path / "run-1", record("05_load", "not run"))).read_text(encoding="utf-8")
    assert "<h3>Title of 05_load</h3>" in html
    assert "12.3 s" not in html


def test_a_failed_step_says_why_instead_of_what_it_changed(tmp_path: Path) -> None:
    failed = record("05_load", "failed", message="The gate is closed.")
    html = render.index(manifest(tmp_path / "run-1", failed)).read_text(encoding="utf-8")
    assert html.count("The gate is closed.") == 2
    assert "Nothing was changed." not in html


def test_the_index_lists_spreadsheets_and_says_how_to_verify(tmp_path: Path) -> None:
    folder = manifest(tmp_path / "run-1", record("06_reconcile"))
    (folder / "spot checks.xlsx").write_bytes(b"x" * 23_456)
    html = render.index(folder).read_text(encoding="utf-8")
    assert '<a href="spot%20checks.xlsx">spot checks.xlsx</a> <span class="quiet">23.5 kB' in html
    assert "cio2d365 verify reports/acme/run-1" in html
    assert "ab" * 32 in html


def test_every_link_of_the_index_stays_in_the_folder(tmp_path: Path) -> None:
    evil = record("00_audit", files={"html": {"name": "../../etc/passwd", "sha256": "00"}})
    remote = record("01_a", files={"html": {"name": "javascript:alert(1)", "sha256": "00"}})
    html = render.index(manifest(tmp_path / "run-1", evil, remote)).read_text(encoding="utf-8")
    links = re.findall(r'<h3><a href="(.*?)"', html)
    assert not any(":" in link or "/" in link for link in links)


def test_text_of_a_manifest_stays_text(tmp_path: Path) -> None:
    notebooks = [record("00_audit", changed=HOSTILE, title=HOSTILE, figures={HOSTILE: HOSTILE}, findings={HOSTILE: 1})]
    html = render.index(manifest(tmp_path / "run-1", *notebooks)).read_text(encoding="utf-8")
    assert not re.search(r"<script|<img", html)


def test_the_list_of_runs_has_the_newest_first(tmp_path: Path) -> None:
    manifest(tmp_path / "a-old", record("00_audit"), started="2026-10-01T10:00:00+00:00")
    manifest(tmp_path / "b-new", record("00_audit", "failed"), started="2026-11-01T10:00:00+00:00")
    manifest(tmp_path / "c-older", record("00_audit"), started="2026-09-01T10:00:00+00:00")
    (tmp_path / "no-run").mkdir()
    html = render.runs_index(tmp_path).read_text(encoding="utf-8")
    assert re.findall(r'<a href="([\w-]+)/index.html">', html) == ["b-new", "a-old", "c-older"]
    assert "Stopped at 00_audit" in html
    assert "12 min 31 s" in html


def test_a_run_whose_manifest_cannot_be_read_stays_in_the_list(tmp_path: Path) -> None:
    manifest(tmp_path / "a-good", record("00_audit"))
    for name, text in {"b-cut": "{", "c-other": '{"run_id": "x"}', "d-list": "[]"}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "manifest.json").write_text(text, encoding="utf-8")
    html = render.runs_index(tmp_path).read_text(encoding="utf-8")
    assert re.findall(r'<a href="([\w-]+)/index.html">', html) == ["a-good", "d-list", "c-other", "b-cut"]
    assert html.count("Its manifest cannot be read") == 3


def test_a_migration_without_runs_has_a_list_too(tmp_path: Path) -> None:
    assert "There is no run yet." in render.runs_index(tmp_path).read_text(encoding="utf-8")


def test_findings_and_outcome_are_known_by_the_names_that_blocks_give_them() -> None:
    assert FINDINGS_MIME in show.findings({}).data
    assert OUTCOME_MIME in show.outcome("x").data
