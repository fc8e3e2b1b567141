"""The layers of the package: imports only go down, pure code stays pure, and nobody shares code with the simulators."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import nbformat
import pytest

PACKAGE = Path(__file__).parent.parent / "cio2d365"
NOTEBOOKS = PACKAGE.parent / "notebooks"

# Module (or folder) → layer. A module may import its own layer and those below; what a name begins with decides.
LAYERS = {
    "errors": 0, "tables": 0, "outcomes": 0, "identity": 0, "migration": 0, "raw": 0, "settings": 0, "artefacts": 0,
    "decisions": 0,
    "pace": 1, "transport": 1, "customerio": 1, "dataverse": 1, "migrate.ledger": 1,
    "decide": 2, "handoff": 2, "migrate.stage": 2, "migrate.fields": 2, "migrate.schema": 2, "migrate.reconcile": 2,
    "migrate.edits": 2, "migrate.ownership": 2,
    "migrate.schema_plan": 2, "migrate.schema_checks": 2, "migrate.schema_words": 2, "migrate.schema_members": 2,
    "migrate.schema_removal": 2, "migrate.removal": 3,
    "migrate.signoff": 2, "migrate.extract": 3, "migrate.provision": 3, "migrate.load": 3, "migrate.rollback": 3,
    "migrate.cascades": 3,
    "connect": 4, "workbench": 4, "preflight": 4, "doctor": 4,
    "show": 5, "safe_html": 5, "render": 5, "run": 5, "cli": 5, "demo": 5,
}  # fmt: skip
PURE = (
    "decide", "handoff", "migrate.stage", "migrate.fields", "migrate.ownership", "migrate.schema", "migrate.reconcile",
)  # fmt: skip
NOT_PURE = {"httpx", "sqlite3", "time", "random", "os", "secrets", "requests", "urllib.request", "subprocess"}
NOT_SURFACE = {"httpx", "sqlite3"}
EDGES = ("customerio", "dataverse", "migrate.ledger")


@cache
def modules() -> list[tuple[str, Path]]:
    found = sorted(p for p in PACKAGE.rglob("*.py") if "templates" not in p.parts)
    return [(".".join(p.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__"), p) for p in found]


def own(name: str) -> bool:
    return not name.startswith("sim") and name not in ("__init__", "migrate")


def layer(name: str) -> int:
    parts = name.split(".")
    keys = [".".join(parts[:n]) for n in range(len(parts), 0, -1)]
    return next(LAYERS[key] for key in keys if key in LAYERS)


def imports(tree: ast.AST) -> Iterator[str]:
    """Every imported module, absolute; names imported from a package count as modules when they are some of ours."""
    known = {name for name, _ in modules()}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            deeper = [f"{node.module}.{alias.name}" for alias in node.names]
            ours = [d for d in deeper if d.removeprefix("cio2d365.") in known]
            yield from ours or [node.module]


def violations(name: str, tree: ast.AST) -> list[str]:
    found = []
    for target in imports(tree):
        inner = target.removeprefix("cio2d365.") if target.startswith("cio2d365") else ""
        if inner.startswith("sim") and name not in ("cli", "connect"):
            found.append(f"{name} imports the simulators ({target})")
        elif inner and own(inner) and inner != "cio2d365" and layer(inner) > layer(name):
            found.append(f"{name} (layer {layer(name)}) imports {inner} (layer {layer(inner)})")
        elif inner and edge_of(name) and edge_of(inner) and edge_of(name) != edge_of(inner):
            found.append(f"{name} imports another edge ({inner})")
        elif name.startswith(PURE) and target.split(".")[0] in NOT_PURE:
            found.append(f"{name} is pure and imports {target}")
        elif layer(name) == 5 and target.split(".")[0] in NOT_SURFACE:
            found.append(f"{name} is on the surface and imports {target}")
    return found


def edge_of(name: str) -> str:
    return next((edge for edge in EDGES if name == edge or name.startswith(f"{edge}.")), "")


OURS = [module for module in modules() if own(module[0])]


@pytest.mark.parametrize(("name", "path"), OURS, ids=[name for name, _ in OURS])
def test_imports_go_down(name: str, path: Path) -> None:
    assert violations(name, ast.parse(path.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("decide.split", "import httpx"),
        ("decide.split", "from cio2d365.migrate import load"),
        ("migrate.stage", "import time"),
        ("errors", "from cio2d365.transport import Transport"),
        ("customerio.app_api", "from cio2d365.dataverse.client import Dataverse"),
        ("migrate.load", "from cio2d365 import connect"),
        ("migrate.load", "from cio2d365.sim.dataverse import create_app"),
        ("show.tables", "import sqlite3"),
        ("workbench", "from cio2d365 import cli"),
    ],
)
def test_an_illegal_import_is_found(name: str, source: str) -> None:
    assert violations(name, ast.parse(source))


def test_the_simulators_share_no_code_with_the_package() -> None:
    paths = [(name, path) for name, path in modules() if name.startswith("sim")]
    shared = [
        (name, target)
        for name, path in paths
        for target in imports(ast.parse(path.read_text(encoding="utf-8")))
        if target.startswith("cio2d365") and not target.startswith("cio2d365.sim")
    ]
    assert paths
    assert shared == []


def test_environment_variables_are_read_in_few_places() -> None:
    readers = {
        name
        for name, path in modules()
        if own(name) and ("os.environ" in (text := path.read_text(encoding="utf-8")) or "os.getenv" in text)
    }
    # connect reads secrets; the others hand the environment to a child process or read the runner's switch.
    assert readers <= {
        "connect",
        "cli",
        "demo",
        "show.look",
        "show.progress",
        "run.process",
        "run.scrub",
        "run.parameters",
    }


@pytest.mark.parametrize("path", sorted(NOTEBOOKS.glob("*.ipynb")), ids=lambda p: p.stem)
class TestNotebooks:
    def test_cells_hold_no_logic(self, path: Path) -> None:
        code = [c.source for c in nbformat.read(path, as_version=4).cells if c.cell_type == "code"]
        banned = (ast.FunctionDef, ast.ClassDef, ast.For, ast.While, ast.If, ast.Try, ast.Lambda)
        found = [type(n).__name__ for source in code for n in ast.walk(ast.parse(source)) if isinstance(n, banned)]
        assert found == []
        assert not any("print(" in source for source in code)

    def test_it_is_committed_without_outputs(self, path: Path) -> None:
        cells = [c for c in nbformat.read(path, as_version=4).cells if c.cell_type == "code"]
        assert not any(c.outputs or c.execution_count for c in cells)

    def test_one_cell_declares_typed_commented_parameters(self, path: Path) -> None:
        cells = nbformat.read(path, as_version=4).cells
        tagged = [c for c in cells if "parameters" in c.metadata.get("tags", [])]
        assert len(tagged) == 1
        assert all(isinstance(n, ast.AnnAssign) for n in ast.parse(tagged[0].source).body)
        assert all("  # " in line for line in tagged[0].source.splitlines())

    def test_it_begins_with_its_question_and_says_what_it_changes(self, path: Path) -> None:
        first = nbformat.read(path, as_version=4).cells[0].source
        assert first.startswith("# ")
        assert "?" in first or path.stem == "90_rollback"
        assert "**" in first

    def test_it_closes_with_a_balance(self, path: Path) -> None:
        code = [c.source for c in nbformat.read(path, as_version=4).cells if c.cell_type == "code"]
        assert any("show.balance(" in source for source in code[-4:])
        assert code[-1].startswith("show.outcome(")

    def test_it_imports_no_edge_of_the_network(self, path: Path) -> None:
        code = [c.source for c in nbformat.read(path, as_version=4).cells if c.cell_type == "code"]
        names = {t.split(".")[0] for source in code for t in imports(ast.parse(source))}
        assert not names & NOT_SURFACE
