"""Deleting many rows by a job of the server, and looking after it (`dataverse-api 16`).

Slow, but it costs one request. Only rows that are there when the job begins go; cascades apply; a job that failed is
not rolled back. Needs the privilege prvBulkDelete.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from cio2d365.dataverse import requests
from cio2d365.dataverse.addresses import guid
from cio2d365.dataverse.client import Dataverse, parsed
from cio2d365.dataverse.codes import LONGEST_OF_PLUGINS, number, safe_text
from cio2d365.dataverse.conditions import Condition, criteria
from cio2d365.errors import InputError, OutcomeUnknown, Refused, Terminal, Transient
from cio2d365.outcomes import Outcome, Refusal, RowOutcome
from cio2d365.tables import Table
from cio2d365.transport import Request

TYPE = requests.TYPE
COMPLETED, SUCCEEDED, FAILED = 3, 30, 31  # statecode and statuscodes of asyncoperation
WORDS = {0: "waiting for resources", 10: "waiting", 20: "in progress", 21: "pausing", 22: "canceling",
         30: "succeeded", 31: "failed", 32: "canceled"}  # fmt: skip
EVERY, LONGEST = 5.0, 4 * 3600.0  # seconds between two looks, and until looking ends


@dataclass(frozen=True)
class JobState:
    """How far a job is: rows deleted and rows that could not be, as the server counts them."""

    job_id: str
    status: int
    completed: bool
    deleted: int = 0
    failed: int = 0
    message: str = ""

    @property
    def words(self) -> str:
        """The status for people."""
        return WORDS.get(self.status, f"status {self.status}")


@dataclass(frozen=True)
class Deleted:
    """The end of a job: `left` are rows that could not be deleted, each with its refusal."""

    state: JobState
    left: tuple[RowOutcome, ...] = ()


def delete_request(name: str, table: Table, conditions: Sequence[Condition], start: datetime) -> Request:
    """A job that deletes the rows of a table that fulfil all conditions, from `start` on (now or later, with its zone).

    Raises Refused without conditions: that would be every row.
    """
    if not conditions:
        raise Refused(f"a job that deletes rows of {table.name} needs a condition; without one it deletes all")
    if start.tzinfo is None:
        raise InputError("the start of a job needs its time zone")
    query = {
        "@odata.type": f"{TYPE}QueryExpression",
        "EntityName": table.name,
        "ColumnSet": {"AllColumns": False, "Columns": [table.primary_id]},
        "Criteria": criteria(conditions),
    }
    body = {
        "QuerySet": [query], "JobName": name, "SendEmailNotification": False, "ToRecipients": [], "CCRecipients": [],
        "RecurrencePattern": "", "StartDateTime": start.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }  # fmt: skip
    return requests.post("BulkDelete", body)


def start(
    client: Dataverse, name: str, table: Table, conditions: Sequence[Condition], *, now: datetime | None = None
) -> str:
    """Start a job at once; its id. `name` must belong to this job alone: by it a lost answer is made up for."""
    request = delete_request(name, table, conditions, now or datetime.now(UTC))
    try:
        answer = parsed(request, client.send(request))
    except OutcomeUnknown:
        found = jobs_named(client, name)
        if len(found) != 1:
            raise
        return found[0]
    job = answer.get("JobId") if isinstance(answer, dict) else None
    if not isinstance(job, str):
        raise Terminal("BulkDelete: the answer names no job")
    return job


def jobs_named(client: Dataverse, name: str) -> list[str]:
    """Ids of the jobs with a name."""
    query = {"$select": "asyncoperationid", "$filter": f"name eq {requests.text(name)}"}
    return [str(row["asyncoperationid"]) for row in client.rows(requests.get("asyncoperations", query))]


def state(client: Dataverse, job_id: str) -> JobState:
    """How far a job is."""
    columns = {"$select": "statecode,statuscode,friendlymessage"}
    job = client.value(f"asyncoperations({guid(job_id)})", columns)
    counts = client.value("bulkdeleteoperations", _of_job("asyncoperationid", job_id, "successcount,failurecount"))
    rows = counts.get("value") or [{}]
    done, failed = (int(rows[0].get(name) or 0) for name in ("successcount", "failurecount"))
    status, completed = int(job["statuscode"]), job["statecode"] == COMPLETED
    return JobState(job_id, status, completed, done, failed, str(job.get("friendlymessage") or ""))


def wait(
    client: Dataverse,
    job_id: str,
    progress: Callable[[JobState], None],
    *,
    every: float = EVERY,
    longest: float = LONGEST,
    sleep: Callable[[float], None] = time.sleep,
) -> Deleted:
    """Look after a job until it ends, `every` so many seconds; `progress` gets each state.

    Raises Transient when it has not ended after `longest` seconds (it goes on at the server; wait again by its id),
    Terminal when it was canceled, or failed without saying which rows.
    """
    for look in range(math.ceil(longest / every) + 1):
        if look:
            sleep(every)
        found = state(client, job_id)
        progress(found)
        if found.completed:
            return _ended(client, found)
    raise Transient(
        f"job {job_id} is still {found.words} after {longest:.0f} s ({found.deleted} rows deleted); it goes on at the "
        "server"
    )


def failures(client: Dataverse, job_id: str) -> list[RowOutcome]:
    """Rows that a job could not delete."""
    operations = client.rows(
        requests.get("bulkdeleteoperations", _of_job("asyncoperationid", job_id, "bulkdeleteoperationid"))
    )
    names = "_regardingobjectid_value,errornumber,errordescription"
    left = []
    for operation in operations:
        query = _of_job("bulkdeleteoperationid", str(operation["bulkdeleteoperationid"]), names)
        for row in client.rows(requests.get("bulkdeletefailures", query, page=requests.PAGE_ROWS)):
            why = Refusal(
                number(row.get("errornumber")), safe_text(str(row.get("errordescription") or ""), LONGEST_OF_PLUGINS)
            )
            left.append(RowOutcome(str(row["_regardingobjectid_value"]).lower(), Outcome.UNCHANGED, why))
    return left


def _ended(client: Dataverse, found: JobState) -> Deleted:
    left = tuple(failures(client, found.job_id)) if found.failed else ()
    if found.status != SUCCEEDED and not (found.status == FAILED and left):
        raise Terminal(
            f"job {found.job_id} {found.words} after {found.deleted} rows ({found.failed} not deleted): "
            f"{found.message or 'the server gives no reason'}"
        )
    return Deleted(found, left)


def _of_job(lookup: str, row_id: str, names: str) -> dict[str, str]:
    return {"$select": names, "$filter": f"_{lookup}_value eq {guid(row_id)}"}
