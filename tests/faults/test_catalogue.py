"""Every row of the fault catalogue is claimed by a test: its docstring begins with the ids that it is about."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).parent.parent
IDS = {f"F-{n:02}" for n in range(1, 52)}


def claims(path: Path) -> Iterator[tuple[str, str]]:
    """(id, test) of every test whose docstring begins with ids."""
    text = path.read_text(encoding="utf-8")
    for node in ast.walk(ast.parse(text)) if "F-" in text else ():
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            head = re.match(r"(F-\d\d(?:, F-\d\d)*)(?:,[^:]*)?: ", ast.get_docstring(node) or "")
            for found in head[1].split(", ") if head else ():
                yield found, f"{path.name}::{node.name}"


def test_every_row_of_the_catalogue_is_claimed_by_a_test() -> None:
    claimed = {found for path in TESTS.rglob("test_*.py") for found, _ in claims(path)}
    assert IDS - claimed == set()
