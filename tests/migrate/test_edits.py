"""Three values of a column, compared without a server: what counts as an edit, and what would be sent for nothing."""

from __future__ import annotations

import polars as pl

from cio2d365.migrate import edits
from cio2d365.tables import Column, Table

LEAD = Table(
    "lead", "leads", "leadid", "fullname",
    (
        Column("leadid", "uniqueidentifier"), Column("cio_source_key", "string"), Column("subject", "string"),
        Column("createdon", "datetime", updatable=True), Column("overriddencreatedon", "datetime", updatable=False),
        Column("donotemail", "boolean"), Column("revenue", "decimal"),
    ),
)  # fmt: skip


def staged(**values: object) -> pl.DataFrame:
    return pl.DataFrame({"leadid": ["a"], "cio_source_key": ["id:1"], **{k: [v] for k, v in values.items()}})


def found(**values: object) -> pl.DataFrame:
    return staged(**values)


def judged(
    wanted: pl.DataFrame, target: pl.DataFrame, loaded: pl.DataFrame, rule: edits.Rule = "keep"
) -> tuple[list[tuple[str, ...]], list[str]]:
    edited, idle = edits.compare(wanted, target, loaded, LEAD, rule)
    return edited.select("column", "kind", "decision").rows(), idle


def test_the_moment_of_creation_is_nobodys_edit_whatever_the_metadata_say() -> None:
    moment = "2020-01-01T00:00:00Z"
    wanted = staged(subject="new", overriddencreatedon=moment)
    loaded = staged(subject="old", overriddencreatedon=moment)
    assert judged(wanted, found(subject="old", overriddencreatedon=None), loaded) == ([], [])


def test_numbers_are_compared_as_numbers() -> None:
    assert judged(staged(revenue=5), found(revenue=5.0), staged(revenue=4)) == ([], ["a"])


def test_a_row_whose_only_change_is_kept_is_not_sent() -> None:
    result = judged(staged(subject="new"), found(subject="theirs"), staged(subject="old"))
    assert result == ([("subject", "edited in both", "kept")], ["a"])


def test_overwriting_by_rule_sends_the_row() -> None:
    result = judged(staged(subject="new"), found(subject="theirs"), staged(subject="old"), "overwrite")
    assert result == ([("subject", "edited in both", "overwritten")], [])


def test_rows_without_earlier_content_are_not_judged() -> None:
    nothing = staged(subject="old").clear()
    assert judged(staged(subject="new"), found(subject="theirs"), nothing) == ([], [])


def test_kept_values_are_left_out_of_what_is_sent() -> None:
    wanted = staged(subject="new", donotemail=True)
    target, loaded = found(subject="theirs", donotemail=False), staged(subject="old", donotemail=False)
    edited, _ = edits.compare(wanted, target, loaded, LEAD, "keep")
    assert edits.without_kept(wanted, edited, LEAD).row(0, named=True) == {
        "leadid": "a", "cio_source_key": "id:1", "subject": None, "donotemail": True,
    }  # fmt: skip
