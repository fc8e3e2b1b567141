"""How a row is named in an address: by its GUID, or by the values of an alternate key (`dataverse-api 3, 10`).

Not every value can be addressed: some characters can be stored in a key column, but no read or write finds the row by
them. Such a row is refused here instead of being missed there (B-019).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from decimal import Decimal
from urllib.parse import quote
from uuid import UUID

from cio2d365.errors import InputError, SchemaConflict
from cio2d365.tables import Table

KeyValue = str | int | Decimal | UUID
KeyValues = Mapping[str, KeyValue]
# By a value that holds one of these, GET, PATCH and upsert do not find the row (dataverse-api 10).
UNADDRESSABLE = frozenset("/<>*%&:\\?+")
GUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
# What may stand unencoded between the parentheses of an address.
PLAIN_IN_KEY = "'=,()"


def text(value: str) -> str:
    """An OData string literal: quotes doubled (B-020, B-119)."""
    return "'" + value.replace("'", "''") + "'"


def path(table: Table, row: str | KeyValues) -> str:
    """Encoded path of one row below the API root: `contacts(<guid>)` or `contacts(cio_key='a%20b')`.

    Raises InputError for a GUID or key value that cannot be addressed, SchemaConflict when the columns are no key.
    """
    if isinstance(row, str):
        return f"{table.set_name}({guid(row)})"
    return quote(reference(table, row), safe=PLAIN_IN_KEY)


def reference(table: Table, key: KeyValues) -> str:
    """The same by key as it stands in a JSON body (`@odata.id`), where nothing is percent-encoded."""
    if not any(set(k.columns) == _plain_names(key) and k.status == "Active" for k in table.keys):
        raise SchemaConflict(f"{table.name} has no active alternate key of {', '.join(sorted(key)) or 'no columns'}")
    inside = ",".join(f"{name}={_literal(table, name, value)}" for name, value in key.items())
    return f"{table.set_name}({inside})"


def guid(row_id: str) -> str:
    """The id unchanged. InputError when it is none: it would change the meaning of the address (L11)."""
    if not GUID.fullmatch(row_id):
        raise InputError(f"{row_id[:60]!r} is not the id of a row")
    return row_id


def folded(value: KeyValue) -> str:
    """A key value as the unique index compares it: no case, no accents, no spaces at the end (`dataverse-api 10`)."""
    bare = unicodedata.normalize("NFKD", str(value).rstrip(" "))
    return "".join(c for c in bare if not unicodedata.combining(c)).casefold()


def _plain_names(key: KeyValues) -> set[str]:
    """A lookup in a key is addressed as `_<name>_value`."""
    return {n[1:].removesuffix("_value") if n.startswith("_") and n.endswith("_value") else n for n in key}


def _literal(table: Table, name: str, value: KeyValue) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | Decimal | UUID):
        raise InputError(f"{table.name}.{name}: a {type(value).__name__} cannot be part of an address")
    if not isinstance(value, str):
        return format(value, "f") if isinstance(value, Decimal) else str(value)
    if not value:
        raise InputError(f"{table.name}.{name}: the key value is empty, so it names no row")
    found = sorted(UNADDRESSABLE & set(value))
    if found:
        raise InputError(
            f"{table.name}.{name}: the key value holds {' '.join(found)}, which Dataverse stores but cannot address; "
            "name the row by its id"
        )
    return text(value)
