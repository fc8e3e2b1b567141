"""Executed notebooks as pages for a client: one HTML file each, complete without a network, and the indexes over them.

Prose is ours; outputs hold a customer's data and are hostile (L11). They are rebuilt from an allow-list (`safe_html`),
charts travel as JSON data, and the page's policy admits no script but ours. Code, streams, tracebacks and widgets stay
in the notebook.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from importlib.resources import files
from operator import itemgetter
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jinja2
import nbformat
import vl_convert
from markupsafe import Markup
from nbconvert.exporters import HTMLExporter
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from traitlets.config import Config

from cio2d365 import artefacts
from cio2d365.errors import exit_code_of
from cio2d365.safe_html import safe
from cio2d365.show.blocks import FINDINGS_MIME, OUTCOME_MIME
from cio2d365.show.charts import VEGALITE
from cio2d365.show.display import stylesheet
from cio2d365.show.look import CHART_MIME
from cio2d365.show.values import as_text, heading_of

TEMPLATES = Path(str(files("cio2d365"))) / "templates"
WIDGET_MIME = "application/vnd.jupyter.widget-view+json"
TITLE = re.compile(r"\A# (.*)")
PACKAGES = ("cio2d365", "polars", "altair", "nbconvert")
STATES = {"done": "Done", "failed": "Stopped", "not run": "Not run"}


@dataclass(frozen=True)
class Context:
    """What a page says about its run; `at` is an ISO time in UTC."""

    migration: str
    environment: str
    run_id: str
    at: str


@dataclass(frozen=True)
class Verdict:
    """How a run ended: `kind` is good, warning, problem or quiet; `word` is the headline, `detail` a sentence."""

    kind: str
    word: str
    detail: str


# --- pages of one notebook --------------------------------------------------------------------------------------------


def report(notebook: Path, context: Context) -> Path:
    """Render an executed notebook to `<its stem>.html` beside it: prose and results, no code."""
    nb = nbformat.read(notebook, as_version=4)
    title, body = _title(nb, notebook.stem), _body(nb)
    outcome, findings = _reported(nb, OUTCOME_MIME), _reported(nb, FINDINGS_MIME)
    return _write(
        notebook.with_suffix(".html"),
        "notebook.html.j2",
        title=title,
        context=context,
        body=body,
        contents=_contents(body),
        changed=(outcome or {}).get("changed", ""),
        figures=(outcome or {}).get("figures", {}),
        findings=None if findings is None else _open_ones(findings),
        scripted="data-chart" in body,
    )


def failure(notebook: Path, context: Context, *, title: str, message: str, error: str) -> Path:
    """Render the page of a notebook that stopped: what it says, how to go on; never code, never a traceback.

    `message` is the public text of the error and `error` the name of its class.
    """
    step = notebook.stem
    return _write(
        notebook.with_suffix(".html"),
        "failure.html.j2",
        title=title,
        context=context,
        message=message or "No message was given.",
        error=error,
        advice=_advice(exit_code_of(error)),
        command=_command(step, context),
        step=step,
        run_id=context.run_id,
    )


def _command(step: str, context: Context) -> str:
    """What starts a step of a full run again; a rollback has other arguments, which only its caller knows."""
    part_of_run = step[:2].isdigit() and int(step[:2]) < 90
    return f"cio2d365 run {context.migration} --env {context.environment} --from {step[:2]}" if part_of_run else ""


def _advice(code: int) -> tuple[str, ...]:
    if code == 2:
        return (
            "Something has to be decided or corrected first. This step wrote nothing outside.",
            "Do what the message asks for, then start this step again.",
        )
    if code == 3:
        return (
            "The other system failed or refused. What was sent is in the ledger and is not sent twice.",
            "When the cause is gone, start this step again; it goes on where it stopped.",
        )
    return (
        "This is a defect of the program or of its installation, not of the data. Report it with the facts below.",
        "What was sent is in the ledger and is not sent twice when this step is started again.",
    )


def _title(nb: Any, fallback: str) -> str:
    found = (TITLE.match(cell.source) for cell in nb.cells if cell.cell_type == "markdown")
    return next((title[1].strip() for title in found if title), fallback)


def _reported(nb: Any, mime: str) -> dict[str, Any] | None:
    outputs = [output for cell in nb.cells if cell.cell_type == "code" for output in cell.outputs]
    return next((dict(o.data[mime]) for o in reversed(outputs) if mime in o.get("data", {})), None)


# --- the body ---------------------------------------------------------------------------------------------------------


def _body(nb: Any) -> Markup:
    text, _ = _exporter().from_notebook_node(nb)
    return _anchored(Markup(text))


@cache
def _exporter() -> Any:
    tags = {"enabled": True, "remove_cell_tags": ["remove-cell"], "remove_all_outputs_tags": ["remove-output"]}
    exporter = HTMLExporter(
        config=Config({"TagRemovePreprocessor": tags}),
        template_name="report",
        extra_template_basedirs=[str(TEMPLATES)],
    )
    exporter.register_filter("prose", _prose)
    exporter.register_filter("shown", _shown)
    return exporter


def _prose(source: str) -> str:
    """Markdown without the heading that is the page's title. Mathematics stays text: `$5` is money."""
    renderer = IPythonRenderer(escape=True, exclude_anchor_links=True)
    return str(MarkdownWithMath(renderer=renderer).render(TITLE.sub("", source)))


def _shown(output: Any) -> Markup:
    """What a report shows of one output; nothing of streams, tracebacks and widgets."""
    data = output.get("data", {})
    if OUTCOME_MIME in data or WIDGET_MIME in data:
        return Markup("")
    inner = _chart(data) if CHART_MIME in data else _picture_or_text(data)
    return Markup('<div class="output">{}</div>').format(inner) if inner else Markup("")


def _chart(data: Mapping[str, Any]) -> Markup:
    html = Markup('<div class="chart" data-chart><script type="application/json">{}</script>{}</div>')
    return html.format(_as_script_data(data[CHART_MIME]), safe(_text(data.get("text/html", ""))))


def _as_script_data(value: object) -> Markup:
    """JSON that can stand in a script element: without `<` no text in it can end the element (B-104)."""
    return Markup(json.dumps(value, ensure_ascii=False).replace("<", "\\u003c"))


def _picture_or_text(data: Mapping[str, Any]) -> Markup:
    if "text/html" in data:
        return safe(_text(data["text/html"]))
    if "image/png" in data:
        return safe(Markup('<img alt="Picture" src="data:image/png;base64,{}">').format(_text(data["image/png"])))
    plain = data.get("text/markdown", data.get("text/plain"))
    return Markup("<pre>{}</pre>").format(_text(plain)) if plain else Markup("")


def _text(value: str | list[str]) -> str:
    return value if isinstance(value, str) else "".join(value)


def _anchored(body: Markup) -> Markup:
    """The body with an id at each second-level heading of the prose."""
    numbers = iter(range(1, 1_000))
    return Markup(re.sub(r"<h2>", lambda _: f'<h2 id="part-{next(numbers)}">', body))


def _contents(body: Markup) -> list[tuple[str, str]]:
    found = re.findall(r'<h2 id="(part-\d+)">(.*?)</h2>', body, re.DOTALL)
    return [(anchor, Markup(text).striptags()) for anchor, text in found]


# --- indexes ----------------------------------------------------------------------------------------------------------


def index(folder: Path) -> Path:
    """Render `index.html` of a run's folder from its `manifest.json`: the verdict, the steps, how to verify."""
    manifest = artefacts.read_json(folder / "manifest.json")
    context = _context_of(manifest)
    notebooks = manifest["notebooks"]
    return _write(
        folder / "index.html",
        "run.html.j2",
        title=f"Migration of {context.migration}: {context.environment}",
        context=context,
        verdict=_verdict(manifest),
        steps=[_step(notebook) for notebook in notebooks],
        sheets=[_sheet(path) for path in sorted(folder.glob("*.xlsx"))],
        files=[file for notebook in notebooks for file in notebook["files"].values()],
        folder=f"reports/{context.migration}/{folder.name}",
        facts=_facts(context) | {"Took": _duration(manifest)},
        versions=manifest["versions"],
    )


def runs_index(folder: Path) -> Path:
    """Render `index.html` over all runs of a migration from `*/manifest.json`, newest first."""
    runs = sorted(
        (_run(path) for path in folder.glob("*/manifest.json")), key=itemgetter("started", "name"), reverse=True
    )
    context = Context(folder.name, "", "", datetime.now(UTC).isoformat())
    return _write(
        folder / "index.html",
        "runs.html.j2",
        title=f"Migration of {folder.name}: all runs",
        context=context,
        runs=runs,
    )


def _context_of(manifest: Mapping[str, Any]) -> Context:
    return Context(manifest["migration"], manifest["environment"], manifest["run_id"], manifest["ended"])


def _verdict(manifest: Mapping[str, Any]) -> Verdict:
    notebooks = manifest["notebooks"]
    failed = next((n for n in notebooks if n["state"] == "failed"), None)
    if failed:
        return Verdict("problem", f"Stopped at {failed['name']}", failed["message"])
    waiting = [n["name"] for n in notebooks if n["state"] == "not run"]
    if waiting:
        return Verdict("quiet", "Not finished", f"Still to run: {', '.join(waiting)}.")
    return _finished_verdict([f for n in notebooks for f in _open_ones(n["findings"]).items()])


def _finished_verdict(findings: Sequence[tuple[str, int]]) -> Verdict:
    """Kinds of findings are counted, not their rows: one person may stand behind several of them."""
    if not findings:
        return Verdict("good", "All accounted for", "Every row ended in exactly one place, and nothing is open.")
    word = "1 finding is open" if len(findings) == 1 else f"{len(findings)} findings are open"
    listed = ", ".join(f"{count:,} {text}" for text, count in findings)
    return Verdict("warning", word, f"{listed}. Every row is accounted for.")


def _open_ones(findings: Mapping[str, int]) -> dict[str, int]:
    return {text: count for text, count in findings.items() if count}


def _step(notebook: Mapping[str, Any]) -> dict[str, Any]:
    name, state = notebook["name"], notebook["state"]
    findings = _open_ones(notebook["findings"])
    page = notebook["files"].get("html")
    return {
        "number": name[:2],
        "title": notebook["title"],
        "link": quote(page["name"], safe="") if page else "",
        "kind": {"failed": "problem", "not run": "quiet"}.get(state, "warning" if findings else "good"),
        "state": "Open findings" if findings and state == "done" else STATES[state],
        "sentence": notebook["message"] if state == "failed" else notebook["changed"],
        "figures": notebook["figures"],
        "findings": findings,
        "duration": as_text(notebook["seconds"], "seconds") if state != "not run" else "",
    }


def _sheet(path: Path) -> dict[str, str]:
    return {"name": path.name, "link": quote(path.name, safe=""), "size": as_text(path.stat().st_size, "bytes")}


def _run(path: Path) -> dict[str, Any]:
    """A line of the list; a run whose manifest another version wrote stays in it."""
    folder = path.parent.name
    line = {"name": folder, "link": f"{quote(folder, safe='')}/index.html"}
    try:
        manifest = artefacts.read_json(path)
        known = {
            "environment": manifest["environment"],
            "started": _moment(manifest["started"]),
            "took": _duration(manifest),
            "verdict": _verdict(manifest),
        }
    except (KeyError, TypeError, ValueError):
        unknown = Verdict("quiet", "Its manifest cannot be read", "")
        known = {"environment": "", "started": "", "took": "", "verdict": unknown}
    return line | known


def _duration(manifest: Mapping[str, Any]) -> str:
    started, ended = (datetime.fromisoformat(manifest[name]) for name in ("started", "ended"))
    return as_text(ended - started)


# --- the shell of all pages -------------------------------------------------------------------------------------------


@cache
def _templates() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES / "report"),
        autoescape=True,
        trim_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {"number": as_text, "heading": heading_of}
    return environment


@cache
def _bundle() -> Markup:
    """Vega, Vega-Lite and their embedding as one script of about 0.9 MB; made once, as it takes seconds."""
    return _script(vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", vl_version=VEGALITE))


def _script(source: str) -> Markup:
    """A script element's content; inside strings and expressions `<\\/` means the same and ends nothing."""
    return Markup(source.replace("</script", "<\\/script").replace("<!--", "<\\!--"))


def _asset(name: str) -> Markup:
    return Markup((TEMPLATES / "report" / name).read_text(encoding="utf-8"))


def _write(path: Path, template: str, *, title: str, context: Context, scripted: bool = False, **values: Any) -> Path:
    shell = {
        "title": title,
        "migration": context.migration,
        "facts": _facts(context),
        "styles": Markup(stylesheet()) + _asset("report.css"),
        "versions": _versions(PACKAGES),
        "program": version("cio2d365"),
        "nonce": secrets.token_urlsafe(18),
        "scripted": scripted,
        "bundle": _bundle() if scripted else "",
        "draw": _asset("draw.js"),
    }
    return artefacts.write_text(path, _templates().get_template(template).render(shell | values))


def _facts(context: Context) -> dict[str, str]:
    named = {
        "Migration": context.migration,
        "Environment": context.environment,
        "Run": context.run_id,
        "Written": _moment(context.at),
    }
    return {name: value for name, value in named.items() if value}


def _moment(iso: str) -> str:
    """`2026-11-01 10:00 UTC`."""
    return datetime.fromisoformat(iso).astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")


def _versions(packages: Iterable[str]) -> dict[str, str]:
    return {name: version(name) for name in packages}


__all__ = ["Context", "failure", "index", "report", "runs_index"]
