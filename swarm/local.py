"""Pages and figures over HTTP, for this machine alone; standard library only.

A page of somewhere else may send a browser here, under a name that leads to this machine: so what
asks by another name than this machine's own, or for a page of another origin, is refused.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

from ..core.errors import ScenarioError

#: Path -> (media type, content) when it is asked for.
Answers = Mapping[str, tuple[str, Callable[[], bytes]]]
_NAMES = ("localhost", "127.0.0.1", "::1")
#: A connection that says nothing for so long is closed.
SILENCE_S = 10.0
_GUARDED = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


def serve_local(answers: Answers, port: int, option: str) -> ThreadingHTTPServer:
    """Answer ``GET`` and ``HEAD`` in a thread; ``shutdown()`` ends it. Port 0 takes a free one.

    Parameters
    ----------
    option : of the command line, for the message.

    Raises
    ------
    ScenarioError
        If the port cannot be used.
    """

    class Handler(BaseHTTPRequestHandler):
        timeout = SILENCE_S
        server_version, sys_version = "swarmplan", ""

        def do_GET(self) -> None:
            self._answer(body=True)

        def do_HEAD(self) -> None:
            self._answer(body=False)

        def _answer(self, *, body: bool) -> None:
            code, kind, content = self._found()
            self.send_response(code)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            for name, value in _GUARDED.items():
                self.send_header(name, value)
            self.end_headers()
            if body:
                self.wfile.write(content)

        def _found(self) -> tuple[int, str, bytes]:
            plain = "text/plain; charset=utf-8"
            if not is_local(self.headers.get_all("Host", []), self.headers.get_all("Origin", [])):
                return 403, plain, b"for this machine alone\n"
            answer = answers.get(self.path.partition("?")[0])
            if answer is None:
                return 404, plain, f"see {' '.join(answers)}\n".encode()
            return 200, answer[0], answer[1]()

        def log_message(self, format: str, *args: object) -> None:
            return None

    try:
        server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    except OSError as error:
        message = f"port {port} cannot be used: {error.strerror}"
        raise ScenarioError.single(option, message) from error
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True, name=option.strip("-")).start()
    return server


def is_local(hosts: list[str], origins: list[str]) -> bool:
    """Whether a request names this machine, once, and comes from no page of elsewhere.

    Any port goes: it may be another one at the near end of a tunnel.
    """
    if len(hosts) != 1 or len(origins) > 1:
        return False
    return all(_name(f"//{h}") in _NAMES for h in hosts) and all(
        _name(o) in _NAMES for o in origins
    )


def _name(address: str) -> str | None:
    try:
        parts = urlsplit(address)
        return None if parts.username is not None or parts.path not in ("", "/") else parts.hostname
    except ValueError:
        return None
