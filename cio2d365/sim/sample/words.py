"""Invented vocabulary: names of people, companies, jobs and products; the long lists are in data/words.toml."""

import tomllib
from pathlib import Path

_WORDS = tomllib.loads((Path(__file__).parent / "data" / "words.toml").read_text(encoding="utf-8"))
FIRST = {tongue: tuple(names.split()) for tongue, names in _WORDS["first_names"].items()}
LAST = {tongue: tuple(names.split()) for tongue, names in _WORDS["last_names"].items()}
STEM_A, STEM_B = (tuple(_WORDS["company_names"][part].split()) for part in ("first", "second"))
FEATURES, SOURCES = (tuple(_WORDS["product"][part].split()) for part in ("features", "signup_sources"))

TONGUE = {
    **dict.fromkeys(["DE", "AT", "CH"], "de"),
    **dict.fromkeys(["FR", "BE"], "fr"),
    **dict.fromkeys(["ES", "MX"], "es"),
    **dict.fromkeys(["PT", "BR"], "pt"),
    **dict.fromkeys(["AE", "EG", "SA"], "ar"),
    **dict.fromkeys(["SE", "NO", "DK", "FI"], "sv"),
    "PL": "pl",
    "CZ": "pl",
    "IT": "it",
    "JP": "ja",
    "TR": "tr",
    "UA": "uk",
}
LEGAL = {
    **dict.fromkeys(["DE", "AT", "CH"], "GmbH"),
    **dict.fromkeys(["FR", "BE"], "SARL"),
    **dict.fromkeys(["ES", "MX", "PT", "BR"], "S.A."),
    **dict.fromkeys(["SE", "NO", "DK", "FI"], "AB"),
    "PL": "Sp. z o.o.",
    "CZ": "s.r.o.",
    "IT": "S.r.l.",
    "JP": "株式会社",
    "TR": "A.Ş.",
    "US": "Inc.",
    "NL": "B.V.",
}
INDUSTRIES = (
    "Software",
    "Retail",
    "Manufacturing",
    "Healthcare",
    "Finance",
    "Education",
    "Logistics",
    "Energy",
    "Media",
    "Hospitality",
    "Construction",
    "Public sector",
    "Telecom",
    "Agriculture",
)
JOBS = (
    "Head of Sales",
    "Sales Manager",
    "Account Executive",
    "Marketing Manager",
    "CTO",
    "CEO",
    "CFO",
    "Operations Lead",
    "Software Engineer",
    "Product Manager",
    "Data Analyst",
    "Office Manager",
    "Procurement",
    "IT Administrator",
    "Consultant",
    "Founder",
    "Student",
)
STAGES = ("subscriber", "lead", "mql", "sql", "opportunity", "customer", "churned")
PLANS = ("free", "starter", "team", "business", "enterprise")
FREEMAIL = ("gmail.com", "outlook.com", "yahoo.com", "gmx.de", "web.de", "icloud.com", "wp.pl", "qq.com")
OWNERS = (
    "dana.owner@contoso.example",
    "erik.owner@contoso.example",
    "fatima.owner@contoso.example",
    "disabled.owner@contoso.example",
)
TAGS = ("vip", "beta", "partner", "newsletter", "event-2025", "at risk", "reference", "ünïcode")
