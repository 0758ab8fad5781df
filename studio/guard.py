"""Who may ask: this machine's own browser, from the page itself, with the token of its address."""

from __future__ import annotations

import hmac
import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from ..core.errors import ScenarioError

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]
#: A request is a few edits.
MOST_BYTES = 64 * 2**10
#: Nothing is loaded from elsewhere, nothing runs that is not a file of the page, nobody frames it.
HEADERS = (
    (
        b"content-security-policy",
        b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        b"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
)


class Guard:
    """Around an application: refuses what does not come from the page that it serves.

    Parameters
    ----------
    hosts : the names, with port, under which the server may be addressed: a name of somebody
        else's that leads here is refused.
    token : of everything under ``/api/``, in the header ``Authorization``.
    """

    def __init__(self, app: App, *, hosts: frozenset[str], token: str) -> None:
        self._app, self._hosts, self._token = app, hosts, token

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return

        async def sealed(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), *HEADERS]
            await send(message)

        if scope["type"] != "http":
            return
        refused = self._refused(scope)
        if refused is not None:
            await _answer(sealed, *refused)
            return
        await self._app(scope, receive, sealed)

    def _refused(self, scope: Message) -> tuple[int, str] | None:
        given = {k.decode("latin-1").lower(): v.decode("latin-1") for k, v in scope["headers"]}
        if given.get("host", "") not in self._hosts:
            return 421, "this server answers to its own address only"
        origin = given.get("origin")
        if origin is not None and origin not in {f"http://{host}" for host in self._hosts}:
            return 403, "another origin may not ask"
        if given.get("sec-fetch-site", "none") not in ("none", "same-origin"):
            return 403, "another site may not ask"
        if not scope["path"].startswith("/api/"):
            return None
        wanted = f"Bearer {self._token}".encode()
        if not hmac.compare_digest(given.get("authorization", "").encode("latin-1"), wanted):
            return 401, "the token is missing or another one: open the address that was printed"
        return None


async def _answer(send: Send, status: int, message: str) -> None:
    body = json.dumps({"error": message}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def table_of(body: bytes) -> dict[str, Any]:
    """The JSON object of a request.

    Raises
    ------
    ScenarioError
        For anything else, numbers that are not finite included.
    """
    try:
        given = json.loads(body, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise ScenarioError.single("request", f"is not valid JSON: {error}") from error
    if not isinstance(given, dict):
        raise ScenarioError.single("request", "is no JSON object")
    return given


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is no number of JSON")
