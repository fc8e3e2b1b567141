"""One Chromium for all browser tests, and one report that they look at."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from playwright.sync_api import Browser, Dialog, Page, sync_playwright
from traitlets.config import Config

from cio2d365 import render
from tests.browser import gallery

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge")
SWITCHES = (
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
CONTEXT = render.Context("acme", "sandbox", "20261101-100000-sandbox", "2026-11-01T10:00:00+00:00")


@dataclass
class Visit:
    """A page and what happened on it."""

    page: Page
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def refuse(self, dialog: Dialog) -> None:
        """Write a dialog down and close it."""
        self.complaints.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def open(self, path: Path) -> Visit:
        """Show a file and wait until its charts are drawn."""
        self.page.goto(path.as_uri())
        self.page.wait_for_function(
            "document.querySelectorAll('[data-chart]').length === document.querySelectorAll('[data-ready]').length"
        )
        return self


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    path = next((found for name in NAMES if (found := shutil.which(name))), None)
    if path is None:
        missing = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        missing(f"no browser found; looked for {', '.join(NAMES)}")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=list(SWITCHES))
        yield started
        started.close()


@contextmanager
def _visiting(browser: Browser) -> Iterator[Visit]:
    """A page of 1280 x 900 that has no network; requests, console messages, errors and dialogs are written down."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, offline=True)
    visit = Visit(context.new_page())
    visit.page.on("request", lambda request: visit.requests.append(request.url))
    visit.page.on("console", lambda message: visit.complaints.append(f"{message.type}: {message.text}"))
    visit.page.on("pageerror", lambda error: visit.complaints.append(f"error: {error}"))
    visit.page.on("dialog", visit.refuse)
    yield visit
    context.close()


@pytest.fixture
def visit(browser: Browser) -> Iterator[Visit]:
    """A page for one test."""
    with _visiting(browser) as page:
        yield page


@pytest.fixture(scope="session")
def opened(browser: Browser, report: Path) -> Iterator[Visit]:
    """The report, open; for tests that only look."""
    with _visiting(browser) as page:
        yield page.open(report)


@pytest.fixture(scope="session")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The gallery, executed headless and rendered."""
    path = gallery.write(tmp_path_factory.mktemp("gallery"))
    notebook = nbformat.read(path, as_version=4)
    encrypted = Config({"KernelManager": {"transport_encryption": "required"}})
    client = NotebookClient(notebook, kernel_name="python3", timeout=120, config=encrypted)
    client.execute(env={**os.environ, "CIO2D365_HEADLESS": "1"})
    nbformat.write(notebook, path)
    return render.report(path, CONTEXT)
