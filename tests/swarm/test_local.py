"""Pages for this machine alone."""

from __future__ import annotations

import http.client
from collections.abc import Iterator

import pytest

from swarmplan.core.errors import ScenarioError
from swarmplan.swarm.local import is_local, serve_local

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")


@pytest.fixture
def port() -> Iterator[int]:
    server = serve_local({"/": ("text/html; charset=utf-8", lambda: b"<p>here")}, 0, "--page")
    yield int(server.server_address[1])
    server.shutdown()
    server.server_close()


def ask(
    port: int, method: str = "GET", path: str = "/", **headers: str
) -> tuple[int, dict[str, str], bytes]:
    link = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        link.request(method, path, headers=headers)
        answer = link.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()
    finally:
        link.close()


def test_the_page_is_answered_and_nothing_may_be_loaded_with_it(port: int) -> None:
    code, headers, body = ask(port, path="/?again")
    assert (code, body) == (200, b"<p>here")
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert "script" not in headers["Content-Security-Policy"]
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Cache-Control"] == "no-store"
    assert ask(port, "HEAD")[::2] == (200, b"")
    assert ask(port, path="/etc/passwd")[0] == 404
    assert ask(port, "POST")[0] == 501


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "attacker.example"},
        {"Host": "attacker.example:80"},
        {"Host": "localhost.attacker.example"},
        {"Host": "localhost@attacker.example"},
        {"Host": "localhost/attacker.example"},
        {"Host": ""},
        {"Host": "[::bad"},
        {"Origin": "https://attacker.example"},
        {"Origin": "null"},
    ],
)
def test_another_host_or_origin_is_refused(port: int, headers: dict[str, str]) -> None:
    code, _, body = ask(port, **headers)
    assert (code, body) == (403, b"for this machine alone\n")


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "localhost"},
        {"Host": "localhost:8080"},
        {"Host": "[::1]:8080"},
        {"Origin": "http://127.0.0.1:8080"},
    ],
)
def test_this_machines_own_names_are_served_at_any_port(port: int, headers: dict[str, str]) -> None:
    assert ask(port, **headers)[0] == 200


def test_a_request_has_one_host() -> None:
    assert is_local(["localhost"], [])
    assert not is_local(["localhost", "attacker.example"], [])
    assert not is_local([], [])


def test_a_port_in_use_is_told_with_its_option(port: int) -> None:
    with pytest.raises(ScenarioError, match=f"--page: port {port} cannot be used"):
        serve_local({}, port, "--page")
