"""E-mail addresses: which ones reach a person, and when two of them are the same (SR-032, B-001 … B-010).

Nothing is guessed: a field with two addresses is not an address, and plus tags and dots are part of the name.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable
from typing import NamedTuple, cast

import idna
import polars as pl

REASONS = {
    "ok": "A usable address.",
    "missing": "No address: absent, null, empty or blank.",
    "placeholder": "A word or address that stands for none, such as n/a or test@test.",
    "role": "An address nobody reads, such as noreply@.",
    "disposable": "A throw-away mailbox.",
    "several": "More than one address in one field; none is guessed.",
    "syntax": "Not the form of an address; `detail` says what is wrong.",
}
SCHEMA = {
    "address": pl.String,
    "compare": pl.String,
    "valid": pl.Boolean,
    "reason": pl.String,
    "changed": pl.Boolean,
    "detail": pl.String,
}
_PLACEHOLDERS = """
none null nil nan na n/a n.a. n.a nope no unknown undefined undef missing empty blank test tbd tba
xxx x - -- . ? noemail no-email no_email keine kein anonymous
"""
PLACEHOLDERS = frozenset(_PLACEHOLDERS.split())
_PLACEHOLDER_DOMAINS = """
test test.com test.test none none.com noemail.com no-email.com nomail.com invalid localhost
email.com.invalid example
"""
PLACEHOLDER_DOMAINS = frozenset(_PLACEHOLDER_DOMAINS.split())
_ROLES = """
noreply no-reply no.reply no_reply donotreply do-not-reply do_not_reply dontreply mailer-daemon
mailerdaemon postmaster bounce bounces nobody
"""
ROLES = frozenset(_ROLES.split())
_DISPOSABLE = """
mailinator.com guerrillamail.com 10minutemail.com yopmail.com trashmail.com temp-mail.org
tempmail.com sharklasers.com getnada.com maildrop.cc dispostable.com fakeinbox.com throwawaymail.com
mintemail.com mailnesia.com
"""
DISPOSABLE = frozenset(_DISPOSABLE.split())
_FREEMAIL = """
gmail.com googlemail.com yahoo.com yahoo.co.uk yahoo.fr yahoo.de yahoo.es yahoo.it yahoo.in
yahoo.co.in yahoo.co.jp yahoo.ca yahoo.com.br yahoo.com.au ymail.com rocketmail.com hotmail.com
hotmail.co.uk hotmail.fr hotmail.de hotmail.it hotmail.es outlook.com outlook.de outlook.fr
outlook.es live.com live.co.uk live.fr live.nl msn.com passport.com icloud.com me.com mac.com
aol.com aim.com gmx.com gmx.de gmx.net gmx.at gmx.ch web.de t-online.de freenet.de arcor.de mail.com
email.com usa.com proton.me protonmail.com protonmail.ch pm.me tutanota.com tuta.io tutanota.de
posteo.de mailbox.org fastmail.com fastmail.fm hushmail.com zoho.com zohomail.com yandex.com
yandex.ru ya.ru mail.ru bk.ru list.ru inbox.ru rambler.ru qq.com 163.com 126.com sina.com sohu.com
foxmail.com naver.com daum.net hanmail.net orange.fr wanadoo.fr free.fr laposte.net sfr.fr libero.it
virgilio.it tiscali.it alice.it tin.it comcast.net verizon.net att.net sbcglobal.net bellsouth.net
cox.net charter.net earthlink.net juno.com btinternet.com btopenworld.com sky.com virginmedia.com
ntlworld.com talktalk.net blueyonder.co.uk bigpond.com optusnet.com.au rogers.com shaw.ca
sympatico.ca uol.com.br bol.com.br terra.com.br ig.com.br seznam.cz centrum.cz wp.pl o2.pl onet.pl
interia.pl abv.bg ukr.net rediffmail.com telenet.be skynet.be ziggo.nl kpnmail.nl planet.nl
bluewin.ch hey.com duck.com
"""
FREEMAIL: frozenset[str] = frozenset(_FREEMAIL.split())
"""Mailbox providers for private persons: an address there says nothing about an employer."""

_BLANKS = " \t\r\n\f\v\u00a0\u1680\u2000-\u200f\u2028\u2029\u202f\u205f\u2060\u3000\ufeff"
_OUTER = re.compile(f"^[{_BLANKS}]+|[{_BLANKS}]+$")
_ANGLE = re.compile(r"^[^<>]*<([^<>]*)>$")
_MAILTO = re.compile(r"^mailto:", re.IGNORECASE)
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')
_LOCAL = re.compile(r"""(?:[^\s"(),:;<>@\[\]\\\x00-\x1f\x7f]+|"(?:[^"\\\x00-\x1f]|\\[^\x00-\x1f])*")\Z""")
_LABEL = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)\Z")


class _Verdict(NamedTuple):
    address: str | None
    compare: str | None
    valid: bool
    reason: str
    changed: bool
    detail: str | None


def examine(
    emails: pl.Series, *, placeholders: Collection[str] = PLACEHOLDERS, roles: Collection[str] = ROLES
) -> pl.DataFrame:
    """What each address is worth, one row per value.

    `address` is the cleaned text with its own case (null where no single address was found); `compare` the form for
    telling whether two people share an address: lower case, domain in IDNA ASCII; `valid` whether it counts for the
    split rule; `reason` a key of `REASONS`; `changed` whether `address` differs from the text given (L4); `detail`
    names what is wrong.
    """
    distinct = emails.cast(pl.String).unique()
    verdicts = [_judge(text, placeholders, roles) for text in cast(Iterable[str | None], distinct)]
    table = pl.DataFrame(verdicts, schema=SCHEMA, orient="row").with_columns(given=distinct)
    asked = pl.DataFrame({"given": emails.cast(pl.String)})
    return asked.join(table, on="given", how="left", nulls_equal=True, maintain_order="left").drop("given")


def _judge(text: str | None, placeholders: Collection[str], roles: Collection[str]) -> _Verdict:
    if text is None or not _OUTER.sub("", text):
        return _unusable("missing")
    address = _bare(text)
    if address.lower() in placeholders:
        return _unusable("placeholder")
    if _count_at_signs(address) > 1:
        return _unusable("several")
    fault, ascii_domain = _syntax(address)
    local, _, domain = address.rpartition("@")
    if local and domain.lower() in PLACEHOLDER_DOMAINS:
        return _unusable("placeholder")
    if fault:
        return _unusable("syntax", fault)
    compare = f"{unicodedata.normalize('NFC', local).lower()}@{ascii_domain}"
    reason = _standing(local.lower(), ascii_domain, roles)
    return _Verdict(address, compare, reason == "ok", reason, address != text, None)


def _unusable(reason: str, detail: str | None = None) -> _Verdict:
    return _Verdict(None, None, False, reason, False, detail)


def _bare(text: str) -> str:
    """The address without outer blanks, display name, angle brackets and `mailto:` (B-001, B-010)."""
    trimmed = _OUTER.sub("", text)
    named = _ANGLE.match(trimmed)
    inner = _OUTER.sub("", named[1]) if named else trimmed
    return _OUTER.sub("", _MAILTO.sub("", inner))


def _count_at_signs(address: str) -> int:
    return _QUOTED.sub("", address).count("@")


def _standing(local: str, domain: str, roles: Collection[str]) -> str:
    if local.split("+")[0] in roles:
        return "role"
    return "disposable" if domain in DISPOSABLE else "ok"


def _syntax(address: str) -> tuple[str | None, str]:
    """What is wrong with the form of an address (None when nothing is), and its domain in ASCII."""
    local, at, domain = address.rpartition("@")
    if not at:
        return "no @", ""
    fault = _local_fault(local)
    if fault:
        return fault, ""
    ascii_domain = _ascii(domain)
    fault = "not a domain name" if ascii_domain is None else _domain_fault(ascii_domain)
    too_long = len(local.encode()) + 1 + len(ascii_domain or "") > 254
    return fault or ("longer than 254 characters" if too_long else None), ascii_domain or ""


def _local_fault(local: str) -> str | None:
    if not local:
        return "nothing before the @"
    if len(local.encode()) > 64:
        return "more than 64 characters before the @"
    if local[0] != '"' and (local[0] == "." or local[-1] == "." or ".." in local):
        return "misplaced dot before the @"
    return None if _LOCAL.match(local) else "character that is not allowed before the @"


def _ascii(domain: str) -> str | None:
    if domain.isascii():
        return domain.lower()
    try:
        return idna.encode(domain, uts46=True).decode()
    except idna.IDNAError:
        return None


def _domain_fault(domain: str) -> str | None:
    if not domain:
        return "nothing after the @"
    labels = domain.split(".")
    if len(labels) < 2:
        return "domain without a dot"
    if not all(_LABEL.match(label) for label in labels):
        return "not a domain name"
    return "top-level domain is a number" if labels[-1].isdigit() else None
