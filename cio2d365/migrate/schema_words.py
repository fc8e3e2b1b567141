"""Components of a schema in words that a consultant can show to a client."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from cio2d365.tables import Choice, Column, Kind, Lookup, Option

_WORDS: Mapping[Kind, str] = {
    "string": "text", "memo": "long text", "integer": "whole number", "bigint": "big whole number",
    "decimal": "decimal number", "double": "floating-point number", "money": "amount of money",
    "boolean": "yes or no", "datetime": "date and time", "date": "date", "choice": "choice",
    "multichoice": "several choices", "uniqueidentifier": "id", "other": "special type",
}  # fmt: skip


def describe(column: Column) -> str:
    """`text, 200 characters`; `decimal number, 2 places`; `choice of 4`."""
    options = f" of {len(column.options)}" if column.options else ""
    shared = f" (global choice {column.choice})" if column.choice else ""
    size = f", {column.length:,} characters" if column.length else ""
    places = f", {column.precision} places" if column.precision is not None else ""
    zone = ", the same in every time zone" if column.behavior == "TimeZoneIndependent" else ""
    return f"{_WORDS[column.kind]}{options}{shared}{size}{places}{zone}"


def in_full(column: Column) -> str:
    """As `describe`, with range and options, so that a conflict can be seen."""
    bounds = [f"{b:,.15g}" for b in (column.minimum, column.maximum) if b is not None]
    extra = (" to ".join(bounds), _listed(column.options))
    return describe(column) + "".join(f" ({text})" for text in extra if text)


def describe_choice(choice: Choice) -> str:
    """`global choice: 727000000 Sent, 727000001 Delivered`."""
    return f"global choice: {_listed(choice.options)}"


def _listed(options: Iterable[Option]) -> str:
    return ", ".join(f"{o.value} {o.label.strip()}" for o in sorted(options, key=lambda o: o.value))


def describe_lookup(lookup: Lookup) -> str:
    """`lookup to contact or lead`."""
    kind = "customer lookup" if lookup.customer else "lookup"
    return f"{kind} to {' or '.join(target for target, _ in lookup.targets)}"
