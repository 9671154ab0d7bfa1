"""The door of a Jupyter server: what JupyterLab asks under /skynb/api/v1 is passed on to skynb's server.

It runs inside people's own Jupyter servers, under their authentication and authorization. So it imports
nothing heavy, decides nothing, and keeps nothing: clusters live in skynb's server, which outlives Jupyter's
and is started when it is first asked. Its token stays on this side.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec
from jupyter_server.auth.decorator import authorized
from jupyter_server.utils import url_path_join
from tornado import web
from tornado.iostream import StreamClosedError

from skynb import __version__
from skynb.client import server
from skynb.errors import ServerError, SkynbError
from skynb.wire import API_PREFIX, KEY_HEADER, VERSION_HEADER
from skynb_jupyter.answers import Answers
from skynb_jupyter.dashboards import PATH, DashboardHandler

if TYPE_CHECKING:
    import httpx
    from jupyter_server.serverapp import ServerApp

PASSED_IN = ("Content-Type", "Last-Event-ID", KEY_HEADER, VERSION_HEADER)
PASSED_OUT = ("Content-Type", "Cache-Control", "X-Accel-Buffering", VERSION_HEADER)
SILENCE_SECONDS = 60.0  # a stream says something every 15 s, no request takes longer
PATIENCE_SECONDS = 10.0
AGAIN_SECONDS = 0.1


def _load_jupyter_server_extension(app: ServerApp) -> None:
    """Jupyter Server calls this when it starts."""
    base, way = app.web_app.settings["base_url"], Way()
    app.web_app.add_handlers(
        ".*$",
        [
            (url_path_join(base, "/skynb/door"), DoorHandler),
            (url_path_join(base, API_PREFIX, "/.*"), PassHandler, {"way": way, "base": base}),
            (url_path_join(base, PATH, "/([^/]+)/.*"), DashboardHandler, {"way": way}),
        ],
    )


class DoorInfo(msgspec.Struct, kw_only=True):
    """Who stands in the door. server: the version of the one behind it, None while none runs."""

    version: str
    server: str | None


class Way:
    """The way to skynb's server of this home."""

    _client: httpx.AsyncClient | None = None

    def __init__(self) -> None:
        self._finding = asyncio.Lock()  # one start is enough for all who ask at once

    async def to(self) -> tuple[str, dict[str, str]]:
        """Where the server is, and what it must be told. It is started if none runs; ServerError."""
        async with self._finding:
            card = await asyncio.to_thread(server.ensure)
        own = {"Authorization": f"token {card['token']}", "User-Agent": f"skynb-door/{__version__}"}
        return str(card["url"]), own

    async def open(
        self, method: str, target: str, headers: dict[str, str], body: bytes | None
    ) -> httpx.Response:
        """The answer, a stream unread. The server is started if none runs; ServerError if it cannot be.

        What is asked carries an idempotency key, so asking again after a lost answer does it once.
        """
        import httpx

        if self._client is None:
            quiet = httpx.Timeout(SILENCE_SECONDS, pool=None)
            boundless = httpx.Limits(max_connections=None)
            self._client = httpx.AsyncClient(timeout=quiet, limits=boundless, trust_env=False)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            url, own = await self.to()
            request = self._client.build_request(method, url + target, headers=headers | own, content=body)
            try:
                answer = await self._client.send(request, stream=True)
                if not is_stream(answer):
                    await answer.aread()
            except httpx.TransportError as error:
                if time.monotonic() > deadline:
                    raise ServerError("the skynb server does not answer", why=str(error) or None) from None
            else:
                return answer
            await asyncio.sleep(AGAIN_SECONDS)


def is_stream(answer: httpx.Response) -> bool:
    """Whether it goes on as things happen."""
    return str(answer.headers.get("Content-Type", "")).startswith("text/event-stream")


async def pieces(answer: httpx.Response) -> AsyncIterator[bytes]:
    """What a stream says; a server that dies ends its streams early, and readers come back."""
    import httpx

    try:
        async for piece in answer.aiter_raw():
            yield piece
    except httpx.TransportError:
        return


class DoorHandler(Answers):
    """Which version stands in the door, for the panel to compare with its own."""

    @web.authenticated
    @authorized
    async def get(self) -> None:
        card = await asyncio.to_thread(server.card)
        self.send(DoorInfo(version=__version__, server=str(card["version"]) if card else None))


class PassHandler(Answers):
    """Every verb of every path, as it is."""

    _passing: asyncio.Task[None] | None = None

    def initialize(self, way: Way, base: str) -> None:
        self._way = way
        self._cut = len(base.rstrip("/"))

    @web.authenticated
    @authorized
    async def get(self) -> None:
        await self._pass()

    @web.authenticated
    @authorized
    async def post(self) -> None:
        await self._pass()

    @web.authenticated
    @authorized
    async def delete(self) -> None:
        await self._pass()

    def on_connection_close(self) -> None:
        """The browser left a stream."""
        super().on_connection_close()
        if self._passing is not None:
            self._passing.cancel()

    async def _pass(self) -> None:
        self._passing = asyncio.ensure_future(self._pass_on())
        with suppress(asyncio.CancelledError, StreamClosedError):
            await self._passing

    async def _pass_on(self) -> None:
        asked = self.request
        headers = {name: asked.headers[name] for name in PASSED_IN if name in asked.headers}
        if asked.method != "GET":
            headers.setdefault(KEY_HEADER, uuid.uuid4().hex)
        try:
            answer = await self._way.open(
                str(asked.method), str(asked.uri)[self._cut :], headers, asked.body or None
            )
        except ModuleNotFoundError:
            mend = "pip install 'skynb[lab]', and restart JupyterLab"
            self.fail(ServerError("httpx is missing in Jupyter's environment", mend=mend))
            return
        except SkynbError as error:
            self.fail(error)
            return
        try:
            self.set_status(answer.status_code)
            for name in PASSED_OUT:
                if name in answer.headers:
                    self.set_header(name, answer.headers[name])
            if not is_stream(answer):
                self.finish(answer.content)
                return
            await self.flush()  # it has begun, though it has nothing to say yet
            async for piece in pieces(answer):
                self.write(piece)
                await self.flush()
            self.finish()
        finally:
            await answer.aclose()


__all__ = ["DoorHandler", "PassHandler", "Way"]
