"""Executed notebooks as pages to hand over: one file each, complete without a network, nothing in them runs but ours.

A page allows only scripts that carry its own random number (Content-Security-Policy) and no connections at all. The
chart library is in the page once, and only when there is a chart. Each chart is first a drawing and becomes
interactive when the script runs; where it cannot, the drawing stays.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2
import nbconvert
import nbformat
import traitlets.config
import vl_convert
from markupsafe import Markup

from cio2d365 import artefacts
from cio2d365.show.charts import VEGALITE
from cio2d365.show.display import style_tag, stylesheet
from cio2d365.show.look import CHART_MIME
from cio2d365.show.values import as_text

if TYPE_CHECKING:
    from cio2d365.run.record import NotebookRun

TEMPLATES = files("cio2d365") / "templates"
# A chart's specification before its drawing; widgets need a kernel and are not in the list, so they fall back to text.
SHOWN_FIRST = (CHART_MIME, "text/html", "image/svg+xml", "image/png", "text/markdown", "text/plain")
_HEADING = re.compile(r"^(#{1,3})\s+(.+?)\s*#*\s*$", re.MULTILINE)
_FENCED = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)

# How to go on, by exit code (design 7).
NEXT_STEPS = {
    2: "Nothing was written. Change what the message names, then run the same command again.",
    3: "What was finished is recorded. Run the same command again when the cause is gone: it goes on where it stopped.",
    4: "This is a defect of the program, not of the data. Keep this folder and report the run id with the log.",
}


@dataclass(frozen=True)
class About:
    """What a page says about the run it belongs to."""

    migration: str
    environment: str
    run_id: str
    versions: Mapping[str, str] = field(default_factory=dict)


def report(executed: Any, run: NotebookRun, about: About) -> str:
    """The page of a notebook that ran to its end. `executed` is the notebook as nbformat 4."""
    body, chart_count = _body(executed)
    return _page("report.html.j2", about, run=run, body=body, contents=_contents(body), charts=chart_count > 0)


def failure(run: NotebookRun, about: About) -> str:
    """The page of a notebook that stopped: where, why in our own words, and how to go on. No code, no traceback."""
    return _page(
        "failure.html.j2", about, run=run, next_step=NEXT_STEPS.get(run.exit_code, NEXT_STEPS[4]), charts=False
    )


def index(folder: Path) -> Path:
    """Write `index.html` for the run in `folder` from its manifest: states, durations, findings, links."""
    record = artefacts.read_json(folder / "manifest.json")
    about = About(record["migration"], record["environment"], record["run_id"], record["versions"])
    page = _page("run.html.j2", about, record=record, state=_state_of(record), charts=False)
    return artefacts.write_text(folder / "index.html", page)


def history(folder: Path) -> Path:
    """Write `index.html` for a migration: the runs in `folder`, the newest first."""
    records = [_run_of(path) for path in folder.glob("*/manifest.json")]
    runs = sorted((run for run in records if run), key=lambda run: str(run["started"]), reverse=True)
    migration = str(runs[0]["migration"]) if runs else folder.name
    page = _page("migration.html.j2", About(migration, "", ""), runs=runs, charts=False)
    return artefacts.write_text(folder / "index.html", page)


def title_of(notebook: Any) -> str:
    """The text of the first heading of level 1, or ""."""
    titles = [text for cell in notebook.cells for level, text in _headings(cell) if level == 1]
    return titles[0] if titles else ""


def heading_above(notebook: Any, index: int) -> str:
    """The text of the last heading before cell `index`, or ""."""
    above = [text for cell in notebook.cells[:index] for _, text in _headings(cell)]
    return above[-1] if above else ""


def _headings(cell: Any) -> list[tuple[int, str]]:
    """Level and text of each heading of a cell of prose; papermill's own error notes are not prose."""
    if cell.cell_type != "markdown" or "papermill-error-cell-tag" in cell.metadata.get("tags", []):
        return []
    return [(len(marks), text) for marks, text in _HEADING.findall(_FENCED.sub("", cell.source))]


def _run_of(manifest: Path) -> dict[str, Any] | None:
    """A run for the list, or None when its manifest cannot be read."""
    try:
        record = artefacts.read_json(manifest)
        return record | {"folder": manifest.parent.name, "state": _state_of(record), "findings": _open(record)}
    except (ValueError, KeyError, OSError):
        return None


def _open(record: Mapping[str, Any]) -> int:
    return sum(sum(n["findings"].values()) for n in record["notebooks"])


def _state_of(record: Mapping[str, Any]) -> str:
    states = {n["state"] for n in record["notebooks"]}
    if "failed" in states:
        return "stopped"
    return "not complete" if "not run" in states else "done"


def _body(executed: Any) -> tuple[Markup, int]:
    """The cells as HTML without code, and the number of charts."""
    notebook = _without_title(executed)
    html, _ = _exporter().from_notebook_node(notebook)
    clean = html.replace(style_tag(), "")
    return Markup(clean), clean.count('class="cio-spec"')


def _without_title(executed: Any) -> Any:
    """A copy without its first heading, which is in the title bar."""
    notebook = nbformat.from_dict(executed)
    for cell in notebook.cells:
        if any(level == 1 for level, _ in _headings(cell)):
            cell.source = re.sub(r"^#\s+.+?$", "", cell.source, count=1, flags=re.MULTILINE)
            break
    return notebook


@cache
def _exporter() -> Any:
    priority = traitlets.config.Config({"NbConvertBase": {"display_data_priority": list(SHOWN_FIRST)}})
    exporter = nbconvert.HTMLExporter(
        config=priority,
        template_name="cells",
        extra_template_basedirs=[str(TEMPLATES)],
        exclude_input=True,
        exclude_input_prompt=True,
        exclude_output_prompt=True,
        exclude_anchor_links=True,
    )
    exporter.environment.filters["script_json"] = script_json
    return exporter


def script_json(value: object) -> Markup:
    """JSON for a script element: without `<`, nothing in it can end the element (B-104)."""
    return Markup(json.dumps(value, ensure_ascii=True).replace("<", "\\u003c"))


class _HeadingParser(HTMLParser):
    """Collects id and text of the headings that nbconvert made from prose."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, str]] = []
        self._inside = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "h2":
            self._inside = True
            self.found.append((dict(attrs).get("id") or "", ""))

    def handle_endtag(self, tag: str) -> None:
        if tag == "h2":
            self._inside = False

    def handle_data(self, data: str) -> None:
        if self._inside:
            anchor, text = self.found[-1]
            self.found[-1] = (anchor, text + data)


def _contents(body: Markup) -> list[tuple[str, str]]:
    """Anchor and text of each section."""
    parser = _HeadingParser()
    parser.feed(str(body))
    return [(anchor, text) for anchor, text in parser.found if anchor]


def _page(template: str, about: About, **values: object) -> str:
    return (
        _templates()
        .get_template(template)
        .render(
            about=about,
            nonce=secrets.token_urlsafe(16),
            now=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
            style=Markup(stylesheet() + _text("report.css")),
            **values,
        )
    )


@cache
def _templates() -> jinja2.Environment:
    """Everything is escaped unless it is Markup, whatever a template's name."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(str(TEMPLATES)), autoescape=True, undefined=jinja2.StrictUndefined
    )
    environment.filters["shown"] = as_text
    environment.filters["moment"] = lambda iso: as_text(datetime.fromisoformat(iso)) if iso else "–"
    environment.globals["chart_library"] = chart_library
    environment.globals["chart_script"] = lambda: Markup(_text("charts.js"))
    return environment


@cache
def _text(name: str) -> str:
    return TEMPLATES.joinpath(name).read_text(encoding="utf-8")


@cache
def chart_library() -> Markup:
    """Vega, Vega-Lite and Vega-Embed as one script; making it takes seconds, so once per process."""
    bundle: str = vl_convert.javascript_bundle(None, vl_version=VEGALITE)  # type: ignore[arg-type]
    return Markup(bundle.replace("</script", "<\\/script"))
