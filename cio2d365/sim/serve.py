"""Both simulators in one process on loopback, until SIGTERM (SIGINT, CTRL_BREAK on Windows).

Each application has a thread with an event loop of its own, so that a long bulk request of one does not hold up the
other. `python -m cio2d365.sim.serve --help` starts them by hand.
"""

import argparse
import asyncio
import json
import os
import secrets
import signal
import socket
import threading
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

import uvicorn
from starlette.applications import Starlette

from cio2d365.sim.certificates import Certificates, loopback_certificates

HOST = "127.0.0.1"
KEEP_ALIVE_SECONDS = 75
START_SECONDS = 60
STOP_SECONDS = 10

WorkspaceName = Literal["sample", "empty"]


@dataclass(frozen=True)
class Secrets:
    """What clients must present. Each can be set by an environment variable, `SIM_` and the name in capitals."""

    tenant_id: str
    client_id: str
    client_secret: str
    app_api_key: str
    site_id: str
    track_api_key: str

    @classmethod
    def drawn(cls) -> "Secrets":
        """Fresh ones."""
        return cls(
            tenant_id=str(uuid.uuid4()),
            client_id=str(uuid.uuid4()),
            client_secret=secrets.token_urlsafe(30),
            app_api_key=secrets.token_hex(16),
            site_id=secrets.token_hex(10),
            track_api_key=secrets.token_hex(10),
        )


@dataclass(frozen=True)
class Listener:
    """A bound socket that an application is to be served on; `options` go to uvicorn."""

    app: Starlette
    bound: socket.socket
    certificates: Certificates | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """The origin; with TLS under the name that is in the certificate."""
        host = "localhost" if self.certificates else HOST
        return f"{'https' if self.certificates else 'http'}://{host}:{self.bound.getsockname()[1]}"


def simulate(
    *,
    customerio_port: int = 0,
    dataverse_port: int = 0,
    workspace: WorkspaceName = "sample",
    tls_dir: Path | None = None,
    state_dir: Path | None = None,
    files_dir: Path | None = None,
    ready_file: Path,
) -> None:
    """Serve until a signal; write the ready JSON when all listen and remove it at the end.

    Port 0 takes any free one. `tls_dir` also serves both over TLS, because the
    vendors' own clients insist on it. `state_dir` keeps secrets and what was written.
    `files_dir` receives the sample as export files. Nothing else is written. OSError when a port is taken.
    """
    keys = _secrets(state_dir)
    customerio = _customerio(workspace, keys, state_dir, files_dir)
    dataverse, options = _dataverse(keys, state_dir)
    groups = [
        [Listener(customerio, bind(customerio_port))],
        [Listener(dataverse, bind(dataverse_port), options=options)],
    ]
    if tls_dir is not None:
        certificates = loopback_certificates(tls_dir)
        groups[0].append(Listener(customerio, bind(0), certificates))
        groups[1].append(Listener(dataverse, bind(0), certificates, options))
    stop = threading.Event()
    with _signals(stop), running(groups, stop):
        write_ready(ready_file, _ready(groups, keys, files_dir))
        try:
            stop.wait()
        finally:
            ready_file.unlink(missing_ok=True)


def _customerio(name: WorkspaceName, keys: Secrets, state_dir: Path | None, files_dir: Path | None) -> Starlette:
    from cio2d365.sim.customerio import create_app
    from cio2d365.sim.sample import empty_workspace, sample_workspace, write_files

    workspace = sample_workspace() if name == "sample" else empty_workspace()
    if files_dir is not None:
        write_files(workspace, files_dir)
    return create_app(
        workspace=workspace,
        app_api_key=keys.app_api_key,
        site_id=keys.site_id,
        track_api_key=keys.track_api_key,
        state_dir=state_dir,
    )


def _dataverse(keys: Secrets, state_dir: Path | None) -> tuple[Starlette, Mapping[str, Any]]:
    from cio2d365.sim.dataverse import UVICORN_OPTIONS, create_app

    app = create_app(
        state_dir=state_dir,
        tenant_id=keys.tenant_id,
        client_id=keys.client_id,
        client_secret=keys.client_secret,
    )
    return app, UVICORN_OPTIONS


def _secrets(state_dir: Path | None) -> Secrets:
    """From the environment, else as kept, else drawn."""
    drawn = asdict(Secrets.drawn())
    kept_in = state_dir / "secrets.json" if state_dir else None
    if kept_in is not None and kept_in.exists():
        drawn.update(json.loads(kept_in.read_text(encoding="utf-8")))
    chosen = {f.name: os.environ.get(f"SIM_{f.name.upper()}") or drawn[f.name] for f in fields(Secrets)}
    if kept_in is not None:
        kept_in.parent.mkdir(parents=True, exist_ok=True)
        kept_in.touch(mode=0o600)
        kept_in.write_text(json.dumps(chosen, indent=1), encoding="utf-8")
    return Secrets(**chosen)


def bind(port: int) -> socket.socket:
    """A socket on the loopback address; port 0 takes a free one, OSError when it is taken."""
    # asyncio switches the 40 ms of Nagle's algorithm off only where the protocol is named.
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    if os.name == "posix":
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.bind((HOST, port))
    return bound


def _server(listener: Listener, *, lifespan: Literal["auto", "off"]) -> uvicorn.Server:
    """What the application asks for wins over what is set here."""
    certificates = listener.certificates
    options: dict[str, Any] = {
        "log_level": "warning",
        "access_log": False,
        "server_header": False,
        "http": "h11",
        "ws": "none",
        "timeout_keep_alive": KEEP_ALIVE_SECONDS,
        "timeout_graceful_shutdown": STOP_SECONDS // 2,
        **listener.options,
        "lifespan": lifespan,
    }
    if certificates is not None:
        options |= {"ssl_certfile": str(certificates.chain), "ssl_keyfile": str(certificates.key)}
    return uvicorn.Server(uvicorn.Config(listener.app, **options))


@contextmanager
def running(groups: Sequence[Sequence[Listener]], stop: threading.Event) -> Iterator[None]:
    """One thread and one loop for each group; a server that dies ends the others too."""
    servers = [
        [_server(listener, lifespan="off" if rank else "auto") for rank, listener in enumerate(group)]
        for group in groups
    ]
    threads = [
        threading.Thread(target=_serve_group, args=(group, own, stop), daemon=True)
        for group, own in zip(groups, servers, strict=True)
    ]
    for thread in threads:
        thread.start()
    everyone = [server for own in servers for server in own]
    try:
        _await_start(everyone, stop)
        yield
    finally:
        for server in everyone:
            server.should_exit = True
        for thread in threads:
            thread.join(STOP_SECONDS)


def _serve_group(group: Sequence[Listener], servers: Sequence[uvicorn.Server], stop: threading.Event) -> None:
    async def together() -> None:
        pairs = zip(group, servers, strict=True)
        await asyncio.gather(*(server.serve(sockets=[listener.bound]) for listener, server in pairs))

    try:
        asyncio.run(together())
    finally:
        stop.set()


def _await_start(servers: Sequence[uvicorn.Server], stop: threading.Event) -> None:
    polls = 0
    while not all(server.started for server in servers):
        polls += 1
        if stop.wait(0.02) or polls > START_SECONDS / 0.02:
            raise RuntimeError("the simulators did not start")


@contextmanager
def _signals(stop: threading.Event) -> Iterator[None]:
    """Ask for the end on a signal. Outside of the main thread there are no signals: the caller's thread just waits."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    wanted = [getattr(signal, name, None) for name in ("SIGTERM", "SIGINT", "SIGBREAK")]
    before = {number: signal.signal(number, lambda *_: stop.set()) for number in wanted if number is not None}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _ready(groups: Sequence[Sequence[Listener]], keys: Secrets, files_dir: Path | None) -> dict[str, Any]:
    customerio, dataverse = groups[0][0].url, groups[1][0].url
    ready: dict[str, Any] = {
        "dataverse": {
            "url": dataverse,
            "tls_url": groups[1][1].url if len(groups[1]) > 1 else None,
            "token_url": f"{dataverse}/{keys.tenant_id}/oauth2/v2.0/token",
            "tenant_id": keys.tenant_id,
            "client_id": keys.client_id,
            "client_secret": keys.client_secret,
            "control_url": f"{dataverse}/_control",
        },
        "customerio": {
            "app_url": customerio,
            "track_url": customerio,
            "app_api_key": keys.app_api_key,
            "site_id": keys.site_id,
            "track_api_key": keys.track_api_key,
            "control_url": f"{customerio}/_control",
        },
    }
    if len(groups[0]) > 1:
        ready["customerio"]["tls_url"] = groups[0][1].url
    if files_dir is not None:
        ready["files"] = str(files_dir.resolve())
    return ready


def write_ready(path: Path, ready: dict[str, Any]) -> None:
    """Write under a temporary name and rename, so that a reader never sees half of it; readable by the owner only."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    temporary.touch(mode=0o600)
    temporary.write_text(json.dumps(ready, indent=1), encoding="utf-8")
    temporary.replace(path)


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line for trying the simulators."""
    parser = argparse.ArgumentParser(prog="python -m cio2d365.sim.serve", description=__doc__)
    parser.add_argument("--customerio-port", type=int, default=0)
    parser.add_argument("--dataverse-port", type=int, default=0)
    parser.add_argument("--workspace", choices=("sample", "empty"), default="sample")
    for name in ("--tls-dir", "--state-dir", "--files-dir"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--ready-file", type=Path, required=True)
    simulate(**vars(parser.parse_args(arguments)))


if __name__ == "__main__":
    main()
