"""An HTTP server that imitates the Dataverse Web API v9.2 and is not kinder than the real service.

`create_app` gives an ASGI application: the API under `/api/data/v9.2/`, a token endpoint, and a control API under
`/_control/` by which tests look behind the scenes and inject faults (see `docs/simulators-dataverse.md`).
Written from public contracts only; it shares no code with the client it is used to test.
"""

from typing import Any

from .app import create_app

# The application sends its own Date header, because its clock can be shifted; two of them would be wrong. The real
# service keeps idle connections for minutes, uvicorn would close them after five seconds.
UVICORN_OPTIONS: dict[str, Any] = {"date_header": False, "server_header": False, "timeout_keep_alive": 120}

__all__ = ["UVICORN_OPTIONS", "create_app"]
