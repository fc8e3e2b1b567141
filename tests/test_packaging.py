"""The ways to install agree with each other, and the front door says what is true."""

import ast
import re
import subprocess
import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_conda_environment_lists_the_same_dependencies() -> None:
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    listed = [d for d in environment["dependencies"] if isinstance(d, str) and not re.match(r"(python=|pip$)", d)]
    pip = next(d["pip"] for d in environment["dependencies"] if isinstance(d, dict))
    assert sorted(listed) == sorted(PROJECT["dependencies"] + PROJECT["optional-dependencies"]["demo"])
    assert environment["channels"] == ["conda-forge", "nodefaults"]
    assert pip == ["-e ."]
    assert PROJECT["requires-python"] == ">=3.11"


def test_what_the_user_named_is_a_dependency() -> None:
    names = {re.split(r"[><=\[ ]", d)[0] for d in PROJECT["dependencies"]}
    assert {"jupyterlab", "polars", "altair", "ipywidgets", "papermill", "httpx", "msal"} <= names


def test_every_import_of_the_package_is_declared() -> None:
    declared = {re.split(r"[><=\[ ]", d)[0].lower().replace("-", "_") for d in PROJECT["dependencies"]}
    demo = {re.split(r"[><=\[ ]", d)[0].lower().replace("-", "_") for d in PROJECT["optional-dependencies"]["demo"]}
    come_along = {"ipython": "jupyterlab", "nbclient": "nbconvert", "nbformat": "nbconvert", "traitlets": "nbconvert",
                  "jinja2": "nbconvert", "markupsafe": "nbconvert", "rich": "typer", "click": "typer",
                  "cryptography": "msal", "jwt": "msal", "platformdirs": "jupyterlab", "packaging": "jupyterlab",
                  "jupyter_client": "jupyterlab", "anyio": "starlette", "vl_convert": "vl_convert_python"}  # fmt: skip
    standard = set(__import__("sys").stdlib_module_names)
    for path in (ROOT / "cio2d365").rglob("*.py"):
        allowed = declared | (demo if "sim" in path.parts else set())
        for name in imported(path) - standard - {"cio2d365", "__future__"}:
            assert come_along.get(name, name) in allowed, f"{path.name} imports {name}"


def imported(path: Path) -> set[str]:
    """Top-level names of the packages that a module imports, in lower case."""
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    plain = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    from_ = [node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module and node.level == 0]
    return {name.partition(".")[0].lower() for name in plain + from_}


def test_readme_names_the_commands_and_every_notebook() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "make demo" in readme
    assert "make test" in readme
    for notebook in (ROOT / "notebooks").glob("*.ipynb"):
        assert notebook.stem in readme


def test_make_help_lists_the_targets() -> None:
    listed = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for target in ("demo", "test", "test-deep", "lint", "lab"):
        assert re.search(rf"^{target}\s", listed, re.MULTILINE)
