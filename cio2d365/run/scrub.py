"""What must not stay in an executed notebook: parameters and paths in metadata, widget state, secrets."""

from __future__ import annotations

import copy
import html
import json
import os
import re
import sys
import tempfile
import urllib.parse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

SECRETS = ("CIO_APP_API_KEY", "DATAVERSE_CLIENT_SECRET", "DATAVERSE_CERTIFICATE_PASSWORD")
SHORTEST_SECRET = 6
# Settings may name other variables; their names say what they hold more often than not.
SECRET_NAME = re.compile(r"(SECRET|KEY|PASSWORD|PASSWD|TOKEN|CREDENTIALS?)(_\d+)?$", re.IGNORECASE)
SHORTEST_GUESSED = 12


def scrubbed(notebook: Any, folders: Sequence[Path] = ()) -> Any:
    """A copy without papermill's and the widgets' metadata, and with this machine's folders shortened to `…`.

    Folders are replaced in sources, logs and tracebacks; shown results are data and stay as they are.
    """
    clean = copy.deepcopy(notebook)
    for key in ("papermill", "widgets"):
        clean.metadata.pop(key, None)
    known = _spellings([*folders, *_machine_folders()])
    for cell in clean.cells:
        cell.metadata.pop("papermill", None)
        cell.source = _without(cell.source, known)
        for output in cell.get("outputs", []):
            _shorten(output, known)
    return clean


def shortened(text: str, folders: Sequence[Path] = ()) -> str:
    """`text` with these and this machine's folders shortened to `…`."""
    return _without(text, _spellings([*folders, *_machine_folders()]))


def _machine_folders() -> list[Path]:
    program = Path(__file__).resolve().parents[2]
    return [program, Path.cwd(), Path(sys.prefix), Path(sys.base_prefix), Path.home(), Path(tempfile.gettempdir())]


def _spellings(folders: Sequence[Path]) -> list[str]:
    """Longest first, so that a folder inside another is not cut in two; as written in text and in string literals."""
    plain = {str(folder.absolute()) for folder in folders if len(folder.absolute().parts) > 1}
    return sorted(plain | {path.replace("\\", "\\\\") for path in plain}, key=len, reverse=True)


def _without(text: str, known: Sequence[str]) -> str:
    for path in known:
        text = text.replace(path, "…")
    return text


def _shorten(output: Any, known: Sequence[str]) -> None:
    if output.output_type == "stream":
        output.text = _without(output.text, known)
    if output.output_type == "error":
        output.evalue = _without(output.evalue, known)
        output.traceback = [_without(line, known) for line in output.traceback]


def leaked(text: str, environment: Mapping[str, str] = os.environ) -> str | None:
    """The name of a secret whose value is in `text`, also when encoded for JSON, HTML or an address; else None (L10).

    Secrets are the variables of the default settings and those whose name says so (`…_SECRET`, `…_KEY`, `…_TOKEN`). A
    value under six characters, twelve for the latter, cannot be told from ordinary text and is not looked for.
    """
    found = (n for n, value in _secrets(environment).items() if any(form in text for form in _forms(value)))
    return next(found, None)


def redacted(text: str, environment: Mapping[str, str] = os.environ) -> str:
    """`text` with the values of the secrets replaced by their names."""
    for name, value in _secrets(environment).items():
        for form in _forms(value):
            text = text.replace(form, f"[{name}]")
    return text


def _secrets(environment: Mapping[str, str]) -> dict[str, str]:
    known = {name: environment.get(name, "") for name in SECRETS}
    guessed = {n: v for n, v in environment.items() if SECRET_NAME.search(n) and len(v) >= SHORTEST_GUESSED}
    return {name: value for name, value in (guessed | known).items() if len(value) >= SHORTEST_SECRET}


def _forms(value: str) -> set[str]:
    return {value, json.dumps(value)[1:-1], html.escape(value), urllib.parse.quote(value, safe="")}
