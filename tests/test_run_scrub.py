import json
from pathlib import Path

import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

import cio2d365
from cio2d365.run.scrub import leaked, redacted, scrubbed, shortened


@pytest.mark.parametrize("text", ["key k<3&y/+ end", "k%3C3%26y%2F%2B", "k&lt;3&amp;y/+", json.dumps({"a": "k<3&y/+"})])
def test_a_secret_is_found_as_it_is_and_encoded(text: str) -> None:
    environment = {"CIO_APP_API_KEY": "k<3&y/+"}
    assert leaked(text, environment) == "CIO_APP_API_KEY"
    assert "3" not in redacted(text, environment).replace("[CIO_APP_API_KEY]", "")


@pytest.mark.parametrize("value", ["", "abc", "12345"])
def test_a_value_too_short_to_be_told_from_text_is_not_looked_for(value: str) -> None:
    assert leaked(f"x {value} y", {"DATAVERSE_CLIENT_SECRET": value}) is None


def test_text_without_a_secret_stays() -> None:
    environment = {"DATAVERSE_CLIENT_SECRET": "hunter2hunter2"}
    assert leaked("nothing", environment) is None
    assert redacted("nothing", environment) == "nothing"


def test_metadata_and_folders_of_this_machine_go_and_results_stay(tmp_path: Path) -> None:
    folder = tmp_path / "acme"
    cell = new_code_cell(f"root = {str(folder)!r}")
    cell.metadata["papermill"] = {"status": "completed"}
    cell.outputs = [
        new_output("stream", name="stdout", text=f"wrote {folder}/x\n"),
        new_output("error", ename="E", evalue=f"{folder}", traceback=[f"File {folder}/y.py"]),
        new_output("display_data", data={"text/plain": f"a customer's path {folder}"}),
    ]
    notebook = new_notebook(cells=[cell], metadata={"papermill": {"parameters": {"x": 1}}, "widgets": {}})
    clean = scrubbed(notebook, [folder])
    assert clean.metadata == {}
    assert clean.cells[0].metadata == {}
    assert clean.cells[0].source == "root = '…'"
    assert clean.cells[0].outputs[0].text == "wrote …/x\n"
    assert (clean.cells[0].outputs[1].evalue, clean.cells[0].outputs[1].traceback) == ("…", ["File …/y.py"])
    assert str(folder) in clean.cells[0].outputs[2].data["text/plain"]
    assert "papermill" in notebook.metadata


def test_the_program_s_own_folder_goes_from_a_traceback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = Path(cio2d365.__file__).parents[1]
    monkeypatch.chdir(tmp_path)
    assert shortened(f"File {program}/cio2d365/errors.py:3") == "File …/cio2d365/errors.py:3"


def test_a_folder_inside_another_is_not_cut_in_two(tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    clean = scrubbed(new_notebook(cells=[new_code_cell(f"{inner}/x {tmp_path}/y")]), [tmp_path, inner])
    assert clean.cells[0].source == "…/x …/y"


@pytest.mark.parametrize("name", ["ACME_SECRET", "LOADER_KEY", "SECOND_CLIENT_SECRET_2", "App_Token"])
def test_a_variable_whose_name_says_so_is_a_secret_too(name: str) -> None:
    assert leaked("x s3cret-of-acme y", {name: "s3cret-of-acme"}) == name
    assert redacted("x s3cret-of-acme y", {name: "s3cret-of-acme"}) == f"x [{name}] y"


@pytest.mark.parametrize(("name", "value"), [("ACME_SECRET", "disabled"), ("KEYBOARD_LAYOUT", "en-us-international")])
def test_short_values_and_other_names_are_ordinary_text(name: str, value: str) -> None:
    assert leaked(f"x {value} y", {name: value}) is None
