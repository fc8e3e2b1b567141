"""A web server for one answer: what the sign-in page posts back to this machine (RFC 8252 7.3)."""

from __future__ import annotations

import queue
import secrets
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl

LONGEST_BODY = 65_536
PAGE = b"<!doctype html><title>cio2d365</title><p>The answer has arrived. You can close this page and go back."


class Receiver:
    """Listens on loopback only; answers without the expected state are turned away and do not end the waiting."""

    def __init__(self) -> None:
        self._answers: queue.Queue[dict[str, str]] = queue.Queue()
        self._state = ""
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self) -> Receiver:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def address(self) -> str:
        """Where the page has to post to; any port of this name is allowed to a public client."""
        return f"http://localhost:{self._server.server_address[1]}"

    def expect(self, state: str) -> None:
        """Accept answers with this state from now on."""
        self._state = state

    def wait(self, seconds: float) -> dict[str, str] | None:
        """The first answer, None when there is none in time."""
        try:
            return self._answers.get(timeout=seconds)
        except queue.Empty:
            return None

    def _take(self, form: dict[str, str]) -> bool:
        known = bool(self._state) and secrets.compare_digest(form.get("state", "").encode(), self._state.encode())
        if known:
            self._answers.put(form)
        return known

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        take = self._take

        class Handler(BaseHTTPRequestHandler):
            timeout = 10

            def do_POST(self) -> None:
                length = self.headers.get("Content-Length", "")
                size = int(length) if length.isdecimal() else 0
                body = self.rfile.read(size) if size <= LONGEST_BODY else b""
                known = take(dict(parse_qsl(body.decode("utf-8", "replace"))))
                self.send_response(200 if known else 400)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                self.end_headers()
                self.wfile.write(PAGE if known else b"")

            def log_message(self, format: str, *args: object) -> None:
                """Nothing: a log is no place for what arrives here (L10)."""

        return Handler
