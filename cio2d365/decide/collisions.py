"""Source keys that are different in the source and one key in Dataverse (B-014 … B-017)."""

from __future__ import annotations

import polars as pl


def folded(keys: pl.Expr) -> pl.Expr:
    """Text as Dataverse compares it: without case, accents and trailing blanks, composed and decomposed form alike.

    The collation differs per language; this folds at least as much as any accent-insensitive one for Latin, Greek and
    Cyrillic letters, so that a pair may be reported too much, never too little.
    """
    bare = keys.str.normalize("NFKD").str.replace_all(r"\p{M}", "")
    return bare.str.to_lowercase().str.replace_many(["ß", "ı", "ς"], ["ss", "i", "σ"]).str.strip_chars_end(" \t\u00a0")


def colliding(keys: pl.Series) -> pl.DataFrame:
    """Distinct keys that share a folded form with another one: (key, folded), sorted by both.

    Two equal keys are not a collision. Null keys are left out.
    """
    distinct = pl.DataFrame({"key": keys.cast(pl.String)}).drop_nulls().unique()
    return distinct.with_columns(folded=folded(pl.col("key"))).filter(pl.len().over("folded") > 1).sort("folded", "key")
