"""Who becomes a Contact, who a Lead, who needs a person to look, who stays out (SR-030 … SR-037, I-13).

Facts about each person are computed once; classes for any threshold follow from them without reading the data again.
Every profile gets exactly one class and one reason.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from datetime import date
from typing import Any, Literal, cast

import polars as pl

from cio2d365.decide import documents
from cio2d365.decide.emails import FREEMAIL, PLACEHOLDERS, examine
from cio2d365.decide.json_scan import scan
from cio2d365.decide.names import slug
from cio2d365.decide.system_traits import is_system
from cio2d365.errors import DecisionError

CLASSES = ("contact", "lead", "review", "excluded")
REASONS = {
    "contact-related-company": "Valid e-mail and related to a company.",
    "contact-company-trait": "Valid e-mail and a company or job title of its own.",
    "contact-business-domain": "Valid e-mail at a domain that is no private mailbox provider.",
    "contact-traits": "Valid e-mail and more traits than the threshold.",
    "lead-email-only": "Valid e-mail, no business identity, no more traits than the threshold.",
    "lead-no-email": "No usable e-mail; the rule makes such people Leads.",
    "review-no-email": "No e-mail: somebody has to decide.",
    "review-unusable-email": "The e-mail is not usable: somebody has to decide.",
    "review-several-emails": "Several addresses in one field; none is guessed.",
    "excluded-deleted": "Deleted in the source.",
    "excluded-suppressed": "Suppressed in the source: must not be created again.",
    "excluded-inactive": "No activity for longer than the rule allows.",
}
COMPANY_TRAITS = (
    "company", "company_name", "organization", "organisation", "organization_name", "employer", "business_name",
    "account_name", "job_title", "title", "position", "role",
)  # fmt: skip
"""Trait names (as words, whatever their case) that give a person a business identity."""

FACTS_SCHEMA = {
    "person_key": pl.String,
    "address": pl.String,
    "compare": pl.String,
    "email_valid": pl.Boolean,
    "email_reason": pl.String,
    "related_company": pl.Boolean,
    "company_trait": pl.Boolean,
    "business_domain": pl.Boolean,
    "trait_count": pl.Int64,
    "suppressed": pl.Boolean,
    "deleted": pl.Boolean,
    "idle_days": pl.Int64,
}
_DAY = 86_400
_THRESHOLDS = (0, 1_000)
_BATCH = 50_000


@dataclass(frozen=True)
class SplitRule:
    """Every parameter of the split, checked on creation (DecisionError with the allowed range).

    `trait_threshold` is exceeded strictly. The three signals of business identity can be switched off one by one.
    `inactive_days` excludes people whose last activity is longer ago than that, counted back from `as_of` (ISO day;
    empty: the day of the newest activity in the snapshot); people without any known activity are never excluded by
    it.
    """

    trait_threshold: int = 2
    related_company: bool = True
    company_trait: bool = True
    business_domain: bool = True
    no_email: Literal["review", "lead"] = "review"
    exclude_suppressed: bool = True
    inactive_days: int | None = None
    as_of: str = ""
    company_traits: tuple[str, ...] = COMPANY_TRAITS
    freemail_added: tuple[str, ...] = ()
    freemail_removed: tuple[str, ...] = ()
    placeholders_added: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        documents.within(self.trait_threshold, *_THRESHOLDS, "split rule: trait_threshold")
        documents.one_of(self.no_email, ("review", "lead"), "split rule: no_email")
        if self.inactive_days is not None:
            documents.within(self.inactive_days, 1, 36_500, "split rule: inactive_days")
        if self.as_of:
            _day(self.as_of)

    @property
    def freemail(self) -> frozenset[str]:
        """Domains of private mailboxes under this rule."""
        return (FREEMAIL | {d.lower() for d in self.freemail_added}) - {d.lower() for d in self.freemail_removed}

    @property
    def placeholders(self) -> frozenset[str]:
        """Words that stand for no address under this rule."""
        return PLACEHOLDERS | {w.lower() for w in self.placeholders_added}


def facts(
    people: pl.DataFrame, relationships: pl.DataFrame, rule: SplitRule, *, company_type: str | None
) -> pl.DataFrame:
    """What the rule looks at, one row per person, in the order of `people`; see `FACTS_SCHEMA`.

    `people` and `relationships` are raw tables; `people` may also have Boolean columns `suppressed` and `deleted`
    where the source knows them. `company_type` is the object type that holds companies (None: no relation counts).
    Depends on the rule's lists and `as_of` only, never on thresholds and switches. `trait_count` counts traits the
    customer set that are not blank.
    """
    emails = examine(people["email"], placeholders=rule.placeholders)
    found = people.select("person_key", *_flags(people)).hstack(
        emails.select("address", "compare", email_valid="valid", email_reason="reason")
    )
    return (
        found.hstack(_trait_facts(people["attributes"], rule))
        .with_columns(
            related_company=pl.col("person_key").is_in(_related(relationships, company_type).implode()),
            business_domain=_business_domain(rule),
            idle_days=_idle_days(people["timestamps"], rule.as_of),
        )
        .select(pl.col(name).cast(dtype) for name, dtype in FACTS_SCHEMA.items())
    )


def classify(facts: pl.DataFrame, rule: SplitRule) -> pl.DataFrame:
    """(person_key, cls, reason) for every person; `reason` is a key of `REASONS`, `cls` its first word."""
    return facts.select("person_key", reason=_reason(rule)).select(
        "person_key", cls=pl.col("reason").str.extract(r"^(\w+)-"), reason="reason"
    )


def histogram(facts: pl.DataFrame, rule: SplitRule) -> pl.DataFrame:
    """People by (trait_count, valid_email, business_identity, excluded): all a threshold slider needs."""
    return (
        facts.group_by(
            "trait_count",
            valid_email="email_valid",
            business_identity=_business_identity(rule),
            excluded=_excluded(rule).is_not_null(),
        )
        .agg(people=pl.len().cast(pl.Int64))
        .sort("trait_count", "valid_email", "business_identity", "excluded")
    )


def sensitivity(facts: pl.DataFrame, rule: SplitRule, thresholds: Iterable[int] = range(11)) -> pl.DataFrame:
    """People per class at each threshold: (threshold, contact, lead, review, excluded) (SR-034)."""
    counted = histogram(facts, rule)
    return pl.concat([_at_threshold(counted, rule, t) for t in thresholds])


def duplicates(facts: pl.DataFrame) -> pl.DataFrame:
    """People who share one address: (compare, people, person_key, address), sorted (B-002)."""
    return (
        facts.filter(pl.col("compare").is_not_null())
        .with_columns(people=pl.len().over("compare").cast(pl.Int64))
        .filter(pl.col("people") > 1)
        .select("compare", "people", "person_key", "address")
        .sort("compare", "person_key")
    )


def to_document(rule: SplitRule) -> dict[str, Any]:
    """The rule as plain values; parameters that are not set are left out."""
    plain = {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(rule).items()}
    return {k: v for k, v in plain.items() if v is not None}


def from_document(document: Mapping[str, Any]) -> SplitRule:
    """Inverse of `to_document`; absent parameters have their defaults. DecisionError on anything it does not know."""
    where = "split rule"
    documents.known(document, {f.name for f in fields(SplitRule)}, where)
    return SplitRule(**{key: _read(document, key, where) for key in document})


def _read(document: Mapping[str, Any], key: str, where: str) -> Any:
    default = getattr(SplitRule(), key)
    if isinstance(default, bool):
        return documents.truth(document, key, where)
    if isinstance(default, str):
        return documents.text(document, key, where)
    if isinstance(default, tuple):
        return documents.texts(document, key, where)
    return documents.whole(document, key, where, low=0, high=36_500)


def _flags(people: pl.DataFrame) -> list[pl.Expr]:
    def flag(name: str) -> pl.Expr:
        return pl.col(name).fill_null(value=False) if name in people.columns else pl.lit(value=False).alias(name)

    return [flag("suppressed"), flag("deleted")]


def _related(relationships: pl.DataFrame, company_type: str | None) -> pl.Series:
    companies = relationships.filter(pl.col("object_type_id") == pl.lit(company_type, pl.String))
    return companies["person_key"].drop_nulls().unique()


def _business_domain(rule: SplitRule) -> pl.Expr:
    domain = pl.col("compare").str.extract(r"@([^@]+)$")
    return (pl.col("email_valid") & ~domain.is_in(sorted(rule.freemail))).fill_null(value=False)


def _trait_facts(attributes: pl.Series, rule: SplitRule) -> pl.DataFrame:
    """trait_count and company_trait per person; read in slices, which bounds the memory."""
    wanted = frozenset(slug(t) for t in rule.company_traits)
    parts = [_slice_facts(attributes.slice(at, _BATCH), wanted) for at in range(0, len(attributes), _BATCH)]
    return pl.concat(parts) if parts else _slice_facts(attributes, wanted)


def _slice_facts(attributes: pl.Series, wanted: Collection[str]) -> pl.DataFrame:
    pairs = scan(attributes).pairs.filter(pl.col("text").str.strip_chars() != "")
    names = pairs["key"].unique()
    own = [k for k in names if not is_system(k)]
    company = [k for k in own if slug(k) in wanted]
    counted = (
        pairs.filter(pl.col("key").is_in(own))
        .group_by("row")
        .agg(trait_count=pl.len().cast(pl.Int64), company_trait=pl.col("key").is_in(company).any())
    )
    everyone = pl.DataFrame({"row": pl.int_range(len(attributes), dtype=pl.UInt32, eager=True)})
    joined = everyone.join(counted, on="row", how="left", maintain_order="left")
    return joined.select(pl.col("trait_count").fill_null(0), pl.col("company_trait").fill_null(value=False))


def _idle_days(timestamps: pl.Series, as_of: str) -> pl.Series:
    """Whole days from the last change of an own attribute to `as_of`; null where no change is known."""
    parts = [_last_change(timestamps.slice(at, _BATCH)) for at in range(0, len(timestamps), _BATCH)]
    last = pl.concat(parts) if parts else pl.Series("last", [], pl.Int64)
    newest = cast(int | None, last.max())
    until = _seconds(as_of) if as_of else newest
    return last.to_frame("last").select((pl.lit(until, pl.Int64) - pl.col("last")) // _DAY).to_series()


def _last_change(timestamps: pl.Series) -> pl.Series:
    pairs = scan(timestamps).pairs.filter((pl.col("json") == "int") & ~pl.col("key").str.starts_with("_"))
    last = pairs.group_by("row").agg(last=pl.col("text").cast(pl.Int64, strict=False).max())
    everyone = pl.DataFrame({"row": pl.int_range(len(timestamps), dtype=pl.UInt32, eager=True)})
    return everyone.join(last.filter(pl.col("last") > 0), on="row", how="left", maintain_order="left")["last"]


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise DecisionError(f"split rule: as_of is {text!r}, expected a day like 2026-01-31") from None


def _seconds(day: str) -> int:
    return (_day(day) - date(1970, 1, 1)).days * _DAY


def _business_identity(rule: SplitRule) -> pl.Expr:
    return pl.any_horizontal(pl.lit(value=False), *(pl.col(s) for s in _signals(rule)))


def _signals(rule: SplitRule) -> list[str]:
    return [s for s in ("related_company", "company_trait", "business_domain") if getattr(rule, s)]


def _excluded(rule: SplitRule) -> pl.Expr:
    """Reason of exclusion or null."""
    days = pl.lit(rule.inactive_days, pl.Int64)
    return (
        pl.when(pl.col("deleted"))
        .then(pl.lit("excluded-deleted"))
        .when(pl.col("suppressed") & rule.exclude_suppressed)
        .then(pl.lit("excluded-suppressed"))
        .when(pl.col("idle_days") > days)
        .then(pl.lit("excluded-inactive"))
    )


def _reason(rule: SplitRule) -> pl.Expr:
    valid = pl.col("email_valid")
    identity = [pl.when(pl.col(s)).then(pl.lit(f"contact-{s.replace('_', '-')}")) for s in _signals(rule)]
    enough = pl.when(pl.col("trait_count") > rule.trait_threshold).then(pl.lit("contact-traits"))
    usable = pl.coalesce(*identity, enough, pl.lit("lead-email-only"))
    return pl.coalesce(_excluded(rule), pl.when(valid).then(usable), _without_email(rule))


def _without_email(rule: SplitRule) -> pl.Expr:
    if rule.no_email == "lead":
        return pl.lit("lead-no-email")
    return (
        pl.when(pl.col("email_reason") == "missing")
        .then(pl.lit("review-no-email"))
        .when(pl.col("email_reason") == "several")
        .then(pl.lit("review-several-emails"))
        .otherwise(pl.lit("review-unusable-email"))
    )


def _at_threshold(counted: pl.DataFrame, rule: SplitRule, threshold: int) -> pl.DataFrame:
    contact = pl.col("valid_email") & (pl.col("business_identity") | (pl.col("trait_count") > threshold))
    cls = (
        pl.when(pl.col("excluded"))
        .then(pl.lit("excluded"))
        .when(contact)
        .then(pl.lit("contact"))
        .when(pl.col("valid_email"))
        .then(pl.lit("lead"))
        .otherwise(pl.lit(rule.no_email))
    )
    sums = [pl.col("people").filter(cls == c).sum().cast(pl.Int64).alias(c) for c in CLASSES]
    return counted.select(pl.lit(threshold, pl.Int64).alias("threshold"), *sums)
