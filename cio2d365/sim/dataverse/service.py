"""The life of one API request: identify, execute under the lock, answer, write the journal."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import orjson

from .auth import Authority
from .context import Answer, Context
from .errors import ServiceError
from .journal import Entry, Journal
from .keys import resume_keys
from .organization import Organization
from .routes import handle

_ERROR_TYPE = {"Content-Type": "application/json; odata.metadata=minimal"}


class Service:
    """An organisation together with its doorkeepers."""

    def __init__(self, state_dir: Path | None, tenant_id: str, client_id: str, client_secret: str, seed: int) -> None:
        self.org = Organization(state_dir, tenant_id, client_id, seed)
        self.authority = Authority(self.org, tenant_id, client_id, client_secret)
        self.journal = Journal()
        resume_keys(self.org)

    def arrive(self, method: str, path: str) -> Entry:
        """Open the journal entry of a request."""
        self.org.requests_seen += 1
        return self.journal.open(time.time(), self.org.clock.now_text(), method, path)

    def context(
        self, method: str, path: str, query: str, headers: Mapping[str, str], body: bytes, origin: str
    ) -> Context:
        """The request as handlers see it. Raises 401 or 403 for callers who may not enter."""
        with self.org.store.lock:
            caller, real = self.authority.identify(headers)
        return Context(self.org, method, path, query, headers, body, origin, caller, real)

    def execute(self, context: Context, entry: Entry) -> Answer:
        """Run a request to its answer; errors become answers too."""
        with self.org.store.lock:
            try:
                answer = handle(context)
            except ServiceError as error:
                answer = error_answer(error, context.annotations)
                entry.code = error.code
            entry.committed = self.org.store.take_committed()
        return decorate(answer)


def error_answer(error: ServiceError, annotations: bool = False) -> Answer:
    """The JSON form of an error; details only when annotations are wanted."""
    body: dict[str, object] = {"code": error.code, "message": error.message}
    if annotations:
        body["@Microsoft.PowerApps.CDS.ErrorDetails.ApiExceptionSourceKey"] = "Simulator"
        body["@Microsoft.PowerApps.CDS.HelpLink"] = "http://go.microsoft.com/fwlink/?LinkID=398563"
        body["@Microsoft.PowerApps.CDS.TraceText"] = ""
    return Answer(error.status, orjson.dumps({"error": body}), {**_ERROR_TYPE, **error.headers})


def decorate(answer: Answer) -> Answer:
    """The headers that every answer of the service carries."""
    common = {
        "OData-Version": "4.0",
        "x-ms-service-request-id": str(uuid.uuid4()),
        "Cache-Control": "no-cache",
    }
    return replace(answer, headers={**common, **answer.headers})
