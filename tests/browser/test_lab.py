"""The split preview where analysts work: live in JupyterLab, with every host but this machine cut off."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import nbformat
import orjson
import polars as pl
import pytest
from nbformat.v4 import new_code_cell, new_notebook
from playwright.sync_api import Browser, Page, Request, Route

from cio2d365.show import preview
from tests.browser import gallery
from tests.browser.test_report import drawn_counts

pytestmark = [pytest.mark.browser, pytest.mark.deep]

TOKEN = "only-for-this-test"
PATIENCE = 90.0


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A JupyterLab on this machine with a folder of its own: address and folder."""
    work = tmp_path / "work"
    work.mkdir()
    own = {f"JUPYTER_{kind}_DIR": str(tmp_path / kind.lower()) for kind in ("CONFIG", "RUNTIME")}
    environment = {name: value for name, value in os.environ.items() if name != "CIO2D365_HEADLESS"} | own
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--ip=127.0.0.1", "--port=0", "--allow-root"]
    options = [f"--IdentityProvider.token={TOKEN}", f"--ServerApp.root_dir={work}"]
    with (tmp_path / "lab.log").open("wb") as log:
        server = subprocess.Popen([*command, *options], env=environment, stdout=log, stderr=log)
        try:
            yield _address(tmp_path / "runtime", server), work
        finally:
            server.terminate()
            server.wait(timeout=30)


def _address(runtime: Path, server: subprocess.Popen[bytes]) -> str:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end and server.poll() is None:
        for path in runtime.glob("jpserver-*.json"):
            return str(orjson.loads(path.read_bytes())["url"])
        time.sleep(0.2)
    raise AssertionError("JupyterLab did not start")


def _notebook(folder: Path) -> str:
    source = "\n".join(
        (
            "import polars as pl",
            "from cio2d365 import show",
            "show.setup()",
            f"show.threshold_preview(pl.DataFrame({gallery.PEOPLE!r}))",
        )
    )
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
    nbformat.write(new_notebook(cells=[new_code_cell(source)], metadata=kernel), folder / "preview.ipynb")
    return "preview.ipynb"


def _run_all(page: Page, address: str) -> None:
    """Run the notebook once its kernel listens: a click before that clears the outputs and runs nothing."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end and not _is_listening(address):
        page.wait_for_timeout(300)
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()


def _is_listening(address: str) -> bool:
    kernels: list[dict[str, Any]] = httpx.get(f"{address}api/kernels", params={"token": TOKEN}).json()
    return any(kernel["execution_state"] == "idle" and kernel["connections"] for kernel in kernels)


def test_the_preview_is_live_in_jupyterlab_and_needs_no_other_host(browser: Browser, lab: tuple[str, Path]) -> None:
    address, folder = lab
    name = _notebook(folder)
    context = browser.new_context(viewport={"width": 1400, "height": 1200})
    elsewhere: list[str] = []

    def only_here(route: Route, request: Request) -> None:
        if request.url.startswith((address, "data:", "blob:")):
            route.continue_()
        else:
            elsewhere.append(request.url)
            route.abort()

    context.route("**/*", only_here)
    page = context.new_page()
    page.goto(f"{address}lab/tree/{name}?token={TOKEN}", timeout=PATIENCE * 1000)
    _run_all(page, address)
    slider = page.locator(".jp-OutputArea input[type=range]")
    slider.wait_for(timeout=PATIENCE * 1000)
    for row in preview.thresholds(pl.DataFrame(gallery.PEOPLE), highest=5, no_email="review").iter_rows(named=True):
        slider.fill(str(row["threshold"]))
        counts = drawn_counts(page, ".jp-OutputArea")
        assert counts == {name: f"{row[name.lower()]:,}" for name in preview.CLASSES}
    assert elsewhere == []
    context.close()
