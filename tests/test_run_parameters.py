from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from cio2d365 import run
from cio2d365.errors import SettingsError
from cio2d365.run.parameters import checked

CELL = '''"""What can be set."""
name: str = "a#b"  # who; "quoted" # twice
share: float = 0.1  # 0 to 1
limit: int | None = None  # rows; None is all
mode: Literal["plan", "apply"] = "plan"
kinds: list[str] = [
    "x",
    "y",
]  # several lines
dry: bool = True
'''


def notebook(folder: Path, cell: str | None = CELL) -> Path:
    made = new_notebook(cells=[new_markdown_cell("# Title")])
    if cell is not None:
        made.cells.append(new_code_cell(cell, metadata={"tags": ["parameters"]}))
    nbformat.write(made, str(folder / "10_x.ipynb"))
    return folder / "10_x.ipynb"


def test_parameters_are_read_with_type_default_and_comment(tmp_path: Path) -> None:
    assert run.describe(notebook(tmp_path)) == [
        ("name", "str", "a#b", 'who; "quoted" # twice'),
        ("share", "float", 0.1, "0 to 1"),
        ("limit", "int | None", None, "rows; None is all"),
        ("mode", "Literal['plan', 'apply']", "plan", ""),
        ("kinds", "list[str]", ["x", "y"], "several lines"),
        ("dry", "bool", True, ""),
    ]


def test_the_model_forbids_other_names_and_keeps_comments(tmp_path: Path) -> None:
    model = run.parameters_of(notebook(tmp_path))
    assert model().model_dump()["mode"] == "plan"
    assert model.model_json_schema()["additionalProperties"] is False
    assert model.model_fields["share"].description == "0 to 1"


def test_a_notebook_without_a_parameters_cell_takes_none(tmp_path: Path) -> None:
    assert run.describe(notebook(tmp_path, None)) == []


@pytest.mark.parametrize(
    "values",
    [
        {"name": "x", "share": 1, "limit": 5},
        {"limit": None, "mode": "apply", "kinds": [], "dry": False},
        {"name": "00123"},
    ],
)
def test_values_of_the_declared_type_pass_unchanged(tmp_path: Path, values: dict[str, object]) -> None:
    assert checked(notebook(tmp_path), values) == values


@pytest.mark.parametrize(
    ("values", "allowed"),
    [
        ({"share": "0.5"}, "share must be float"),
        ({"limit": 1.5}, r"limit must be int \| None"),
        ({"limit": True}, r"limit must be int \| None"),
        ({"mode": "delete"}, "mode must be Literal"),
        ({"kinds": ["x", 1]}, r"kinds must be list\[str\]"),
        ({"name": None}, "name must be str"),
    ],
)
def test_a_value_of_another_type_is_refused_with_the_allowed_one(
    tmp_path: Path, values: dict[str, object], allowed: str
) -> None:
    with pytest.raises(SettingsError, match=allowed):
        checked(notebook(tmp_path), values)


def test_a_refused_value_is_not_repeated(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as refused:
        checked(notebook(tmp_path), {"limit": "anna@example.com"})
    assert "anna" not in str(refused.value)


def test_an_unknown_name_is_refused_with_the_nearest_one(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="did you mean share"):
        checked(notebook(tmp_path), {"shaer": 0.5})


def test_a_name_that_is_code_is_an_unknown_name(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="has no parameter"):
        checked(notebook(tmp_path), {"x=1;import os;os.abort()": 1})


@pytest.mark.parametrize("name", ["api_key", "client_secret", "PASSWORD", "access_token"])
def test_a_name_that_looks_like_a_secret_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(SettingsError, match="looks like a secret"):
        checked(notebook(tmp_path), {name: "x"})
    with pytest.raises(SettingsError, match="looks like a secret"):
        run.describe(notebook(tmp_path, f'{name}: str = ""'))


def test_the_value_of_a_secret_is_refused_under_any_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CIO_APP_API_KEY", "canary-4711")
    with pytest.raises(SettingsError, match="holds a secret") as refused:
        checked(notebook(tmp_path), {"name": "x canary-4711"})
    assert "canary" not in str(refused.value)


@pytest.mark.parametrize(
    ("cell", "problem"),
    [
        ("x = 1", "is not `name: type = literal`"),
        ("import os", "is not `name: type = literal`"),
        ("x: int", "is not `name: type = literal`"),
        ("x: int = 1 +", "is not Python"),
        ("x: int = open('/etc/passwd')", "is not a literal"),
        ("x: dict = {}", "supported are str"),
        ("x: __import__('os').abort() = 1", "supported are str"),
        ("x: int = 'a'", "the default of x is not int"),
        ("_x: int = 1", "underscore"),
    ],
)
def test_a_parameters_cell_holds_typed_literals_only(tmp_path: Path, cell: str, problem: str) -> None:
    with pytest.raises(SettingsError, match=problem):
        run.describe(notebook(tmp_path, cell))


def test_two_parameters_cells_are_refused(tmp_path: Path) -> None:
    path = notebook(tmp_path)
    made = nbformat.read(str(path), as_version=4)
    made.cells.append(new_code_cell("y: int = 1", metadata={"tags": ["parameters"]}))
    nbformat.write(made, str(path))
    with pytest.raises(SettingsError, match="2 cells"):
        run.describe(path)


def test_a_missing_notebook_and_a_file_that_is_none_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no notebook"):
        run.describe(tmp_path / "absent.ipynb")
    (tmp_path / "bad.ipynb").write_text("not json")
    with pytest.raises(SettingsError, match="is not a notebook"):
        run.describe(tmp_path / "bad.ipynb")


def test_a_copy_with_other_defaults_keeps_types_comments_and_the_rest(tmp_path: Path) -> None:
    source = notebook(tmp_path)
    values = {"name": "Zoë \"x\" 'y'", "kinds": ["z"], "dry": False, "not_declared": 1}
    copy = run.with_defaults(source, values, tmp_path / "copy.ipynb")
    before, after = run.describe(source), run.describe(copy)
    changed = {name: default for name, _, default, _ in after}
    assert changed == {name: default for name, _, default, _ in before} | {
        "name": "Zoë \"x\" 'y'", "kinds": ["z"], "dry": False
    }  # fmt: skip
    assert [(n, t, c) for n, t, _, c in before] == [(n, t, c) for n, t, _, c in after]


def test_a_default_of_the_wrong_type_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(SettingsError):
        run.with_defaults(notebook(tmp_path), {"share": "much"}, tmp_path / "copy.ipynb")
    assert not (tmp_path / "copy.ipynb").exists()
