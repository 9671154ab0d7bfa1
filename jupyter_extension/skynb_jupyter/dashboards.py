"""Dask's dashboards below a person's own Jupyter server: /skynb/dask/CLUSTER/status.

A dashboard listens on its node's loopback alone. Each request of the browser gets a line to it over skynb's
server and the cluster's transport, and is spoken on it as it is, websockets too; what is Jupyter's own (its
token, its cookies) is left out.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING
from urllib.parse import quote

from jupyter_server.auth.decorator import authorized
from jupyter_server.base.handlers import JupyterHandler
from tornado import web
from tornado.httpclient import HTTPClientError, HTTPRequest
from tornado.iostream import IOStream, StreamClosedError
from tornado.websocket import WebSocketClosedError, websocket_connect

from skynb.errors import SkynbError
from skynb.wire import API_PREFIX
from skynb_jupyter.answers import RESOURCE, one_line

if TYPE_CHECKING:
    from tornado.httputil import HTTPServerRequest
    from tornado.websocket import WebSocketClientConnection

    from skynb_jupyter.door import Way

PATH = "/skynb/dask"
CONNECT_SECONDS = 20.0
_CHUNK = 1 << 18
_OWN = {"authorization", "connection", "cookie", "host", "referer", "x-xsrftoken"}


class DashboardHandler(JupyterHandler):
    """GET of any page of a dashboard, and its websockets."""

    auth_resource = RESOURCE

    def initialize(self, way: Way) -> None:
        self._way = way

    @web.authenticated
    @authorized
    async def get(self, cluster: str) -> None:
        live = self.request.headers.get("Upgrade", "").lower() == "websocket"
        if live and not self.check_origin():
            raise web.HTTPError(403)
        line = await self._line(cluster)
        try:
            await line.write_message(passed_on(self.request, live=live), binary=True)
            await _join(self.detach(), line)
        finally:
            line.close()

    async def _line(self, cluster: str) -> WebSocketClientConnection:
        try:
            url, own = await self._way.to()
        except SkynbError as error:
            raise web.HTTPError(error.http_status, reason=one_line(error)) from None
        where = (
            f"{url.replace('http', 'ws', 1)}{API_PREFIX}/clusters/{quote(cluster, safe='')}/dask/dashboard"
        )
        try:
            return await websocket_connect(HTTPRequest(where, headers=own, connect_timeout=CONNECT_SECONDS))
        except HTTPClientError as error:
            raise web.HTTPError(error.code, reason=error.message) from None
        except OSError as error:
            raise web.HTTPError(503, reason="the skynb server does not answer") from error


def passed_on(request: HTTPServerRequest, *, live: bool) -> bytes:
    """The request as the dashboard gets it; one a line."""
    path, _, query = str(request.uri).partition(f"{PATH}/")[2].partition("/")[2].partition("?")
    query = "&".join(one for one in query.split("&") if one and not one.startswith("token="))
    lines = [f"{request.method} /{path}{'?' if query else ''}{query} HTTP/1.1", "Host: localhost"]
    lines += [f"{name}: {value}" for name, value in request.headers.get_all() if name.lower() not in _OWN]
    lines.append(f"Connection: {'Upgrade' if live else 'close'}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


async def _join(browser: IOStream, line: WebSocketClientConnection) -> None:
    """Bytes both ways until either side ends."""

    async def up() -> None:
        while True:
            await line.write_message(await browser.read_bytes(_CHUNK, partial=True), binary=True)

    async def down() -> None:
        while isinstance(data := await line.read_message(), bytes):
            await browser.write(data)

    ways = [asyncio.ensure_future(up()), asyncio.ensure_future(down())]
    try:
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
    finally:
        browser.close()
        for one in ways:
            one.cancel()
            with suppress(asyncio.CancelledError, StreamClosedError, WebSocketClosedError):
                await one
