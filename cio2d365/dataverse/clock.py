"""How far this machine's clock is from the server's (F-28)."""

from __future__ import annotations

import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime

from cio2d365.dataverse import requests
from cio2d365.dataverse.client import Dataverse


def skew(client: Dataverse, *, clock: Callable[[], float] = time.time) -> float | None:
    """Seconds by which this machine is ahead of the server, negative when behind; None when the server tells no time.

    Exact to about a second: the Date header has whole seconds, and the answer may have travelled either way.
    """
    before = clock()
    answer = client.send(requests.get("WhoAmI"))
    after = clock()
    try:
        theirs = parsedate_to_datetime(answer.headers["Date"]).timestamp()
    except (KeyError, TypeError, ValueError):
        return None
    return (before + after) / 2 - (theirs + 0.5)
