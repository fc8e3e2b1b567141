"""The control API under `/_control`: what really happened, and the switches of a test."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from .service import Service
from .store import quoted


def control_routes(service: Service) -> list[BaseRoute]:
    """All control endpoints."""

    async def journal(request: Request) -> Response:
        return JSONResponse(service.journal.since(int(request.query_params.get("since", "0"))))

    async def rows(request: Request) -> Response:
        return JSONResponse(stored_rows(service, request.path_params["table"]))

    async def counts(request: Request) -> Response:
        return JSONResponse(row_counts(service))

    async def reset(request: Request) -> Response:
        with service.org.store.lock:
            service.org.reset()
            service.journal.clear()
            service.authority.grants.clear()
        return JSONResponse({"organization_id": service.org.id})

    return [
        Route("/_control/journal", journal),
        Route("/_control/rows/{table}", rows),
        Route("/_control/counts", counts),
        Route("/_control/reset", reset, methods=["POST"]),
    ]


def stored_rows(service: Service, table: str) -> list[dict[str, object]]:
    """All rows of a table as they are stored (empty columns left out)."""
    with service.org.store.lock:
        if table not in service.org.schema.tables:
            return []
        cursor = service.org.store.connection.execute(f"SELECT * FROM {quoted(table)}")
        names = [item[0] for item in cursor.description]
        return [{name: value for name, value in zip(names, row, strict=True) if value is not None} for row in cursor]


def row_counts(service: Service) -> dict[str, int]:
    """Rows per table, empty tables left out."""
    with service.org.store.lock:
        names = list(service.org.schema.tables)
        found = {name: service.org.store.query(f"SELECT count(*) FROM {quoted(name)}")[0][0] for name in names}
    return {name: number for name, number in found.items() if number}
