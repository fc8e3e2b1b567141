"""Switches of the simulator: where the vendor's behaviour is known to differ between workspaces."""

from dataclasses import dataclass, field, fields, replace
from typing import Any


@dataclass(frozen=True)
class Settings:
    """Changed by `POST /_control/settings`; the defaults are what live workspaces were seen to do.

    `requests_per_second` 0 switches the App API limit off. `denied` lists path prefixes that the key's scope does not
    cover (403). `email_identifies` False answers 400 to `id_type=email`. `exports_fail` makes exports that are started
    now end as failed; `export_polls` is how often an export is seen pending.
    """

    requests_per_second: int = 10
    retry_after: bool = True
    batch_wrapped: bool = False
    segments_with_conditions: bool = True
    empty_as_null: bool = True
    repeat_rows: bool = True
    email_identifies: bool = True
    denied: tuple[str, ...] = field(default=())
    archived_per_day: int = 100
    export_polls: int = 2
    exports_fail: bool = False

    def changed(self, values: dict[str, Any]) -> "Settings":
        """New settings; a ValueError names an unknown switch or a value of another type."""
        known = {f.name for f in fields(self)}
        unknown = sorted(set(values) - known)
        if unknown:
            raise ValueError(f"unknown setting: {', '.join(unknown)}; known are {', '.join(sorted(known))}")
        values = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
        wrong = [name for name, value in values.items() if type(value) is not type(getattr(self, name))]
        if wrong:
            raise ValueError(f"wrong type for setting: {', '.join(sorted(wrong))}")
        return replace(self, **values)
