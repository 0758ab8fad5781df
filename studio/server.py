"""The server of the page: the loopback interface only, a token, a few addresses."""

from __future__ import annotations

import asyncio
import json
import secrets
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from importlib.resources import files
from types import FrameType
from typing import TYPE_CHECKING, Any

from ..core.errors import MissingExtraError, ScenarioError, SwarmplanError
from ..core.plan import Plan
from ..reports.page import COLOURED, PALETTE
from .desk import STAGES_S, Desk
from .guard import MOST_BYTES, App, Guard, table_of
from .saving import launch_archive, plan_text, scenario_text
from .session import Change, Session
from .view import View, land_document, name_of

try:
    import uvicorn
    from starlette.applications import Starlette
    from starlette.responses import JSONResponse, Response
    from starlette.routing import Route
except ImportError as error:
    raise MissingExtraError("studio", what="the studio") from error

if TYPE_CHECKING:
    from starlette.requests import Request

HOST = "127.0.0.1"
#: Seconds that a page waits for news in one request.
PATIENCE_S = 20.0
#: Files of the page and what they are.
PAGE = {
    "index.html": "text/html; charset=utf-8",
    "studio.css": "text/css",
    "main.js": "text/javascript",
    "api.js": "text/javascript",
    "elements.js": "text/javascript",
    "map.js": "text/javascript",
    "panels.js": "text/javascript",
    "forms.js": "text/javascript",
    "swarm.js": "text/javascript",
    "replay.js": "text/javascript",
}
#: Most edits of one request.
MOST_CHANGES = 100


class Pages:
    """The answers; a desk is there while the server runs."""

    def __init__(self, session: Session, plan: Plan | None, stages_s: Sequence[float]) -> None:
        self._given = session, plan, stages_s
        self._desk: Desk | None = None
        self._view: View | None = None

    @asynccontextmanager
    async def lifespan(self, _app: Any) -> AsyncIterator[None]:
        """The planners come and go with the server."""
        self._desk = Desk(*self._given)
        self._view = View(self._desk)
        try:
            yield
        finally:
            self._desk.close()

    def leave(self) -> None:
        """The server is about to end: nobody waits for news any longer."""
        if self._desk is not None:
            self._desk.leave()

    @property
    def desk(self) -> Desk:
        """What is on the desk."""
        assert self._desk is not None
        return self._desk

    def routes(self) -> list[Route]:
        """All addresses."""
        return [
            Route("/", partial(_file, "index.html")),
            *(Route(f"/{name}", partial(_file, name)) for name in PAGE if name != "index.html"),
            Route("/palette.css", _palette),
            Route("/land.json", _land),
            Route("/api/state", self.state),
            Route("/api/act", self.act, methods=["POST"]),
            Route("/api/replay", self.replay, methods=["POST"]),
            Route("/api/save/{what}", self.save),
        ]

    async def state(self, request: Request) -> Response:
        """What there is, at once or as soon as something has changed."""
        since = request.query_params.get("since", "")
        if since.isascii() and since.isdecimal() and len(since) < 16:
            await self.desk.news(int(since), PATIENCE_S)
        return self._told()

    async def act(self, request: Request) -> Response:
        """Change something; the answer is what there is then."""
        try:
            await self._act(table_of(await _body(request)))
        except SwarmplanError as error:
            return _refused(error)
        return self._told()

    async def replay(self, request: Request) -> Response:
        """A run with further failures."""
        try:
            given = table_of(await _body(request)).get("failures", [])
            return JSONResponse(await self.desk.replay(_failures(given)))
        except SwarmplanError as error:
            return _refused(error)

    async def save(self, request: Request) -> Response:
        """A file to keep."""
        desk, what = self.desk, request.path_params["what"]
        scenario, found = desk.session.scenario, desk.after.found
        name = name_of(scenario)
        try:
            if what == "scenario":
                text = scenario_text(desk.session.document)
                return _download(text, f"{name}.toml", "application/toml")
            if what == "plan":
                return _download(plan_text(scenario, found), f"{name}.plan.json")
            if what == "report":
                return _download(await desk.report(), f"{name}.html", "text/html; charset=utf-8")
            if what == "launch":
                model = request.query_params.get("model", "")[:200] or scenario.problem.model.name
                packed = await asyncio.to_thread(launch_archive, scenario, found, model)
                return _download(packed, f"{name}-launch.zip", "application/zip")
        except SwarmplanError as error:
            return _refused(error)
        return JSONResponse({"error": f"nothing to save called {what!r}"}, status_code=404)

    def _told(self) -> Response:
        assert self._view is not None
        return JSONResponse(self._view.document())

    async def _act(self, given: dict[str, Any]) -> None:
        desk, name, value = self.desk, given.get("do"), given.get("value")
        actions: dict[str, Callable[[Session], None]] = {
            "undo": lambda s: s.undo(),
            "redo": lambda s: s.redo(),
            "change": lambda s: s.change(_changes(value)),
            "switch_on": lambda s: s.switch_on(str(value)),
            "take_back": lambda s: s.take_back(value if type(value) is int else -1),
        }
        if name in actions:
            await desk.act(actions[name])
        elif name == "stay":
            desk.set_stay(value is True)
        elif name == "pause":
            desk.pause(value is True)
        elif name == "before":
            desk.set_before()
        else:
            raise ScenarioError.single("do", f"nothing called {name!r}")


def app_of(pages: Pages, *, token: str, port: int) -> App:
    """The application, guarded."""
    app = Starlette(routes=pages.routes(), lifespan=pages.lifespan)
    hosts = frozenset(f"{name}:{port}" for name in (HOST, "localhost"))
    return Guard(app, hosts=hosts, token=token)


class _Server(uvicorn.Server):
    """Ctrl-C lets those go who wait for news."""

    def __init__(self, config: uvicorn.Config, leave: Callable[[], None]) -> None:
        super().__init__(config)
        self._leave = leave

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """A signal to end."""
        self._leave()
        super().handle_exit(sig, frame)


def serve(
    session: Session,
    plan: Plan | None,
    *,
    port: int,
    on_ready: Callable[[str], None],
    stages_s: Sequence[float] = STAGES_S,
) -> None:
    """Serve the page until Ctrl-C.

    Parameters
    ----------
    port : 0 = any that is free.
    on_ready : is told the address, token included, as soon as it can be opened.

    Raises
    ------
    OSError
        If the port is taken.
    """
    token = secrets.token_urlsafe(24)
    with socket.socket() as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((HOST, port))
        listening.listen(64)
        port = listening.getsockname()[1]
        pages = Pages(session, plan, stages_s)
        config = uvicorn.Config(
            app_of(pages, token=token, port=port),
            log_level="error",
            server_header=False,
            ws="none",
            timeout_graceful_shutdown=1,
            h11_max_incomplete_event_size=16 * 2**10,
        )
        on_ready(f"http://{HOST}:{port}/#{token}")
        _Server(config, pages.leave).run(sockets=[listening])


async def _file(name: str, _request: Request) -> Response:
    content = files(__package__).joinpath("page", name).read_bytes()
    return Response(content, media_type=PAGE[name])


async def _palette(_request: Request) -> Response:
    return Response(PALETTE + COLOURED, media_type="text/css")


async def _land(_request: Request) -> Response:
    return JSONResponse(land_document())


async def _body(request: Request) -> bytes:
    """The body of a request.

    Raises
    ------
    ScenarioError
        If it is larger than any that the page sends, or no JSON.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        raise ScenarioError.single("request", "is not of type application/json")
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > MOST_BYTES:
            raise ScenarioError.single("request", f"is larger than {MOST_BYTES // 1024} KiB")
    return body


def _changes(value: Any) -> tuple[Change, ...]:
    if not isinstance(value, list) or not 0 < len(value) <= MOST_CHANGES:
        raise ScenarioError.single("change", f"takes a list of 1 to {MOST_CHANGES} edits")
    if not all(isinstance(v, dict) and isinstance(v.get("kind"), str) for v in value):
        raise ScenarioError.single("change", "an edit is an object of kind and value")
    return tuple(Change(kind=v["kind"], value=v.get("value")) for v in value)


def _failures(value: Any) -> list[tuple[float, str]]:
    if not isinstance(value, list):
        raise ScenarioError.single("failures", "takes a list of [seconds, server]")
    found = []
    for item in value:
        at, name = item if isinstance(item, list) and len(item) == 2 else (-1.0, "")
        number = isinstance(at, int | float) and not isinstance(at, bool)
        if not number or not 0 <= at < 1e9 or not isinstance(name, str):
            raise ScenarioError.single("failures", f"{item!r} is not [seconds, server]")
        found.append((float(at), name))
    return found


def _refused(error: SwarmplanError) -> Response:
    return JSONResponse({"error": str(error)}, status_code=422)


def _download(content: str | bytes, name: str, kind: str = "application/json") -> Response:
    plain = json.dumps(name.encode("ascii", "replace").decode().replace("?", "-"))
    return Response(
        content, media_type=kind, headers={"content-disposition": f"attachment; filename={plain}"}
    )
