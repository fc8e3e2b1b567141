"""Column names from whatever the source calls a field: legal, unique, the same on every run (B-057 … B-064)."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable
from hashlib import sha256

LONGEST = 50
"""Characters of a schema name with its prefix; longer ones are refused by the metadata service (0x80044367)."""

LEGAL = re.compile(r"[a-z][a-z0-9]{1,7}_[a-z0-9_]*[a-z0-9]\Z")

_WORDS = re.compile(r"[^a-z0-9]+")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_CODE = re.compile(
    r"(?:\A|_)(?:id|ids|uid|uuid|guid|key|code|sku|zip|zipcode|postcode|postal|phone|mobile|cell|fax|tel|telephone|whatsapp"
    r"|iban|vat|ssn|token|hash|reference|ref|zip_code|serial)(?:_(?:number|no|code))?\Z"
)
_TIME = re.compile(
    r"(?:\A|_)(?:at|on|time|timestamp|ts|date|datetime|since|until|seen|login|day|birthday|birthdate|dob|anniversary|expires|expiry|expiration"
    r"|start|starts|end|ends|created|updated|signup|renewal|deadline)\Z|\A(?:date|time|last)_"
)
_DAY = re.compile(r"(?:\A|_)(?:birthday|birthdate|birth_date|dob|date_of_birth|anniversary)\Z")


def slug(name: str) -> str:
    """Lower-case ASCII words of a name joined by `_`; empty when the name has none.

    >>> slug("First Name"), slug("planTier"), slug("Größe"), slug("!!!")
    ('first_name', 'plan_tier', 'grosse', '')
    """
    plain = unicodedata.normalize("NFKD", name.replace("ß", "ss"))
    ascii_only = plain.encode("ascii", "ignore").decode()
    return _WORDS.sub("_", _CAMEL.sub("_", ascii_only).lower()).strip("_")


def column_names(sources: Iterable[str], *, prefix: str, taken: Collection[str] = ()) -> dict[str, str]:
    """A logical name for every source name: `<prefix>_<slug>`, at most 50 characters, unique, none of `taken`.

    Independent of the order of `sources`. Of several sources with one slug the one that is spelled like it keeps the
    plain name (else the first in sorted order); the others, shortened names and names without letters get a suffix
    that is a hash of the source name and stays the same when other fields come and go.
    """
    wanted = sorted(set(sources), key=lambda s: (slug(s) != s, s))
    used = set(taken)
    names: dict[str, str] = {}
    for source in wanted:
        names[source] = _free_name(source, prefix, used)
        used.add(names[source])
    return names


def _free_name(source: str, prefix: str, used: Collection[str]) -> str:
    words = slug(source)
    plain = f"{prefix}_{words}"
    if words and len(plain) <= LONGEST and plain not in used:
        return plain
    digest = sha256(source.encode()).hexdigest()
    lengths = range(6, LONGEST - len(prefix))
    return next(n for n in (_hashed(prefix, words, digest[:k]) for k in lengths) if n not in used)


def _hashed(prefix: str, words: str, mark: str) -> str:
    room = LONGEST - len(prefix) - len(mark) - 2
    kept = words[: max(room, 0)].strip("_") or "field"
    return f"{prefix}_{kept[: max(room, 0)]}_{mark}" if room > 0 else f"{prefix}_{mark}"


def is_legal(name: str) -> bool:
    """Whether a custom column may have this logical name: prefix, letters, digits and underscores, 50 in all."""
    return len(name) <= LONGEST and LEGAL.match(name) is not None


def reads_as_code(name: str) -> bool:
    """Whether digits under this name are an identifier, not an amount (`zip`, `phone`, `order_id`)."""
    return _CODE.search(slug(name)) is not None


def reads_as_time(name: str) -> bool:
    """Whether the name promises a point in time (`created_at`, `trial end`, `lastLogin`)."""
    return _TIME.search(slug(name)) is not None


def reads_as_day(name: str) -> bool:
    """Whether the name promises a calendar day without a time (`birthday`, `dob`)."""
    return _DAY.search(slug(name)) is not None
