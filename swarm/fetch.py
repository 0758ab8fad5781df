"""A document from a web address: one limit of time for all of it, one host, no other protocol."""

from __future__ import annotations

import http.client
import queue
import threading
import urllib.error
import urllib.parse
import urllib.request
from typing import IO, Any

from ..core.errors import ScenarioError, SwarmUnreachableError

LIMIT_BYTES = 32 * 2**20
LIMIT_S = 20.0
_PART_BYTES = 1 << 16


class _SameHost(urllib.request.HTTPRedirectHandler):
    """Follows redirections within the host that was asked for: others were not named by anybody."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        asked, told = urllib.parse.urlsplit(req.full_url), urllib.parse.urlsplit(newurl)
        # The step from http to https and its port is the usual one; back would be a loss.
        secured = (asked.scheme, told.scheme) == ("http", "https")
        same_port = _port(asked) == _port(told) or (
            secured and (_port(asked), _port(told)) == (80, 443)
        )
        kept = told.scheme == asked.scheme or secured
        if told.hostname != asked.hostname or not same_port or not kept:
            fp.close()
            raise ValueError(f"it sends us elsewhere, to {newurl[:200]!r}")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def fetched(address: str, limit_s: float | None = None) -> bytes:
    """What an address answers, within limits of size and of time in all.

    Raises
    ------
    SwarmUnreachableError
        If nothing whole arrives in time, or the address sends us to another host.
    ScenarioError
        If it is too large.
    """
    within_s = LIMIT_S if limit_s is None else limit_s
    found: queue.Queue[bytes | Exception] = queue.Queue()

    def fetch() -> None:
        try:
            found.put(_read(address, within_s))
        except (OSError, ValueError, http.client.HTTPException) as error:
            found.put(error)

    # Names are looked up, headers and bodies drip: each step has its own limit, so only a look at
    # the clock from outside bounds their sum. The thread ends with its last step.
    threading.Thread(target=fetch, daemon=True, name="fetch").start()
    try:
        answer = found.get(timeout=within_s)
    except queue.Empty:
        message = f"{address} does not answer: took more than {within_s:g} s"
        raise SwarmUnreachableError(message) from None
    if isinstance(answer, Exception):
        reason = answer.reason if isinstance(answer, urllib.error.URLError) else answer
        raise SwarmUnreachableError(f"{address} does not answer: {_short(reason)}") from answer
    if len(answer) > LIMIT_BYTES:
        raise ScenarioError.single("", f"is larger than {LIMIT_BYTES >> 20} MiB", source=address)
    return answer


def _read(address: str, limit_s: float) -> bytes:
    content = bytearray()
    request = urllib.request.Request(address, headers={"Accept": "application/json"})
    opener = urllib.request.build_opener(_SameHost())
    try:
        with opener.open(request, timeout=limit_s) as answer:
            while len(content) <= LIMIT_BYTES and (part := answer.read(_PART_BYTES)):
                content += part
    except urllib.error.HTTPError as error:
        error.close()
        raise
    return bytes(content)


def _port(parts: urllib.parse.SplitResult) -> int | None:
    return parts.port or {"http": 80, "https": 443}.get(parts.scheme)


def _short(reason: Any) -> str:
    """A stranger's words, cut; the terminal's part is done where they are printed."""
    return str(reason)[:300]
