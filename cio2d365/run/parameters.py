"""The parameters of a notebook, read from its cell tagged `parameters` without running it.

papermill guesses: it takes unknown names with a warning, ignores types, and does not see `str | None` or `Literal`
(nteract/papermill#55). Names reach code as they are (B-111) and values stay in the output (B-112), so all of it is
checked here before anything runs.
"""

from __future__ import annotations

import ast
import difflib
import io
import re
import tokenize
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import reduce
from operator import or_
from pathlib import Path
from typing import Any, Literal

import nbformat
import pydantic

from cio2d365 import artefacts
from cio2d365.errors import SettingsError
from cio2d365.run.scrub import leaked

_PLAIN = {"str": str, "int": int, "float": float, "bool": bool}
_SECRET = re.compile(r"secret|passw|token|credential|api_?key|private_?key|client_?key|bearer", re.IGNORECASE)


@dataclass(frozen=True)
class Parameter:
    """One line of the parameters cell: its type as written there, its default, and its comment."""

    name: str
    type: str
    default: object
    comment: str
    kind: Any


def describe(notebook: Path) -> list[tuple[str, str, object, str]]:
    """Name, type, default and comment of each parameter, in the notebook's order. Raises as `parameters`."""
    return [(p.name, p.type, p.default, p.comment) for p in parameters(notebook)]


def parameters(notebook: Path) -> list[Parameter]:
    """The parameters that the notebook declares; none if it has no such cell.

    Raises SettingsError for a line that is not `name: type = literal`, a type that is not supported, a default that
    does not fit its type, or a name that looks like a secret.
    """
    source = _parameters_cell(notebook)
    comments = _comments(source)
    declared = [_parameter(line, comments, notebook.name) for line in _declarations(source, notebook.name)]
    _model(declared)()
    return declared


def parameters_of(notebook: Path) -> type[pydantic.BaseModel]:
    """The parameters as a pydantic model that forbids other names and converts nothing."""
    return _model(parameters(notebook))


def checked(notebook: Path, values: Mapping[str, object]) -> dict[str, object]:
    """`values` if the notebook declares each name and each value is of its type.

    Raises SettingsError naming the nearest known name, or the allowed type. The value is not repeated (L10).
    """
    declared = {p.name: p for p in parameters(notebook)}
    for name, value in values.items():
        _refuse_secret(name, notebook.name)
        if leaked(str(value)):
            raise SettingsError(f"{notebook.name}: the value of {name} holds a secret; those come from the environment")
        if name not in declared:
            raise unknown(name, declared, notebook.name)
    try:
        _model(list(declared.values()))(**values)
    except pydantic.ValidationError as problem:
        name = str(problem.errors(include_input=False)[0]["loc"][0])
        raise SettingsError(f"{notebook.name}: parameter {name} must be {declared[name].type}") from None
    return dict(values)


def unknown(name: str, known: Collection[str], where: str) -> SettingsError:
    """The error for a name that nobody declares, with the nearest one that somebody does (B-096)."""
    near = difflib.get_close_matches(name, list(known), n=1)
    hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(sorted(known)) or 'none'}"
    return SettingsError(f"{where} has no parameter {name!r}; {hint}")


def read(notebook: Path) -> Any:
    """The notebook as nbformat 4. Raises SettingsError when there is none or it cannot be read."""
    try:
        return nbformat.read(str(notebook), as_version=4)
    except FileNotFoundError:
        raise SettingsError(f"there is no notebook {notebook.name}") from None
    except (nbformat.reader.NotJSONError, nbformat.ValidationError, UnicodeDecodeError) as problem:
        raise SettingsError(f"{notebook.name} is not a notebook: {type(problem).__name__}") from None


def title_of(notebook: Any) -> str:
    """The text of the first heading of level 1, or ""."""
    lines = (line for c in notebook.cells if c.cell_type == "markdown" for line in c.source.splitlines())
    return next((str(line[2:]).strip() for line in lines if line.startswith("# ")), "")


def with_defaults(notebook: Path, values: Mapping[str, object], target: Path) -> Path:
    """Write a copy of the notebook whose parameters have other defaults, for an analyst's own folder.

    Parameters that the notebook does not declare are left out. Raises SettingsError for a value of the wrong type.
    """
    declared = {p.name for p in parameters(notebook)}
    chosen = checked(notebook, {name: value for name, value in values.items() if name in declared})
    copy = read(notebook)
    for cell in _tagged(copy, notebook.name):
        cell.source = _replaced(cell.source, chosen)
    return artefacts.write_text(target, nbformat.writes(copy))


def _replaced(source: str, values: Mapping[str, object]) -> str:
    """The cell with other literals; columns of the syntax tree count bytes, hence the encoding."""
    lines = source.encode("utf-8").splitlines()
    for line in reversed(ast.parse(source).body):
        if isinstance(line, ast.AnnAssign) and line.value is not None and ast.unparse(line.target) in values:
            begin, end = line.value.lineno - 1, line.value.end_lineno or line.value.lineno
            literal = repr(values[ast.unparse(line.target)]).encode("utf-8")
            before, after = lines[begin][: line.value.col_offset], lines[end - 1][line.value.end_col_offset :]
            lines[begin:end] = [before + literal + after]
    return b"\n".join(lines).decode("utf-8")


def _parameters_cell(notebook: Path) -> str:
    return "".join(str(cell.source) for cell in _tagged(read(notebook), notebook.name))


def _tagged(notebook: Any, name: str) -> list[Any]:
    """The parameters cell, if there is one."""
    tagged = [c for c in notebook.cells if "parameters" in c.metadata.get("tags", [])]
    if len(tagged) > 1:
        raise SettingsError(f"{name} has {len(tagged)} cells tagged parameters; one is allowed")
    return tagged


def _declarations(source: str, where: str) -> Iterator[ast.AnnAssign]:
    try:
        lines = ast.parse(source).body
    except SyntaxError as problem:
        raise SettingsError(f"{where}: the parameters cell is not Python (line {problem.lineno})") from None
    for line in lines:
        if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name) and line.value is not None:
            yield line
        elif not _is_text(line):
            raise SettingsError(f"{where}: line {line.lineno} of the parameters cell is not `name: type = literal`")


def _is_text(line: ast.stmt) -> bool:
    return isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant) and isinstance(line.value.value, str)


def _parameter(line: ast.AnnAssign, comments: Mapping[int, str], where: str) -> Parameter:
    assert isinstance(line.target, ast.Name)
    name = line.target.id
    _refuse_secret(name, where)
    if name.startswith("_"):
        raise SettingsError(f"{where}: a parameter's name does not begin with an underscore, as {name} does")
    kind = _kind(line.annotation, name, where)
    try:
        default = ast.literal_eval(line.value) if line.value else None
    except ValueError:
        raise SettingsError(f"{where}: the default of {name} is not a literal") from None
    _require_fit(kind, default, name, ast.unparse(line.annotation), where)
    return Parameter(name, ast.unparse(line.annotation), default, comments.get(line.end_lineno or 0, ""), kind)


def _refuse_secret(name: str, where: str) -> None:
    if _SECRET.search(name):
        raise SettingsError(
            f"{where}: {name!r} looks like a secret; parameters are stored in the executed notebook, so secrets come "
            "from the environment only"
        )


def _kind(annotation: ast.expr, name: str, where: str) -> Any:
    """The type an annotation stands for, built from the few forms that are supported; nothing is evaluated."""
    match annotation:
        case ast.Name(id=plain) if plain in _PLAIN:
            return _PLAIN[plain]
        case ast.Constant(value=None):
            return type(None)
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return reduce(or_, (_kind(left, name, where), _kind(right, name, where)))
        case ast.Subscript(value=ast.Name(id="list"), slice=inner):
            return list[_kind(inner, name, where)]  # type: ignore[misc]
        case ast.Subscript(value=ast.Name(id="Literal"), slice=inner):
            return Literal[tuple(ast.literal_eval(c) for c in getattr(inner, "elts", [inner]))]
    raise SettingsError(
        f"{where}: {name} has the type {ast.unparse(annotation)}; supported are str, int, float, bool, list[...], "
        "Literal[...] and unions with None"
    )


def _require_fit(kind: Any, default: object, name: str, written: str, where: str) -> None:
    try:
        pydantic.TypeAdapter(kind).validate_python(default, strict=True)
    except pydantic.ValidationError:
        raise SettingsError(f"{where}: the default of {name} is not {written}") from None


def _comments(source: str) -> dict[int, str]:
    """Comment by line number; the tokenizer knows a `#` inside a string from a comment."""
    try:
        tokens = list(tokenize.generate_tokens(io.StringIO(source).readline))
    except (tokenize.TokenError, SyntaxError):
        return {}
    return {t.start[0]: t.string.lstrip("# ").rstrip() for t in tokens if t.type == tokenize.COMMENT}


def _model(declared: list[Parameter]) -> type[pydantic.BaseModel]:
    fields: dict[str, Any] = {p.name: (p.kind, pydantic.Field(p.default, description=p.comment)) for p in declared}
    settings = pydantic.ConfigDict(extra="forbid", strict=True)
    return pydantic.create_model("Parameters", __config__=settings, **fields)
