"""The order of the tests: whole commands go first, so that no worker is left alone with them at the end.

Generated examples are new ones in every run of a developer and the same ones in CI: a change is judged by itself there.
"""

from __future__ import annotations

import os

import hypothesis
import pytest

hypothesis.settings.register_profile("ci", derandomize=True, database=None)
if os.environ.get("CI"):
    hypothesis.settings.load_profile("ci")

LONG = (
    "tests/end_to_end", "tests/browser", "tests/test_cli", "tests/test_run", "tests/sim/test_serve",
    "tests/sim/clients", "tests/migrate/test_killed", "tests/migrate/test_mixed", "tests/migrate/test_provision",
    "tests/migrate/test_removal",
)  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files first; the order inside each stays."""
    items.sort(key=lambda item: not item.nodeid.startswith(LONG))
