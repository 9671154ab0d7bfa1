"""Websockets that lead to something on a node: its bytes, both ways, and nothing of what they mean."""

from __future__ import annotations

import asyncio
import threading
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from jupyter_server.auth.decorator import ws_authenticated
from jupyter_server.base.handlers import JupyterHandler
from jupyter_server.utils import ensure_async
from tornado import web
from tornado.websocket import WebSocketClosedError, WebSocketHandler

from skynb.errors import SkynbError
from skynb_clusters.contract import Channel
from skynb_jupyter.answers import RESOURCE, one_line
from skynb_jupyter.routes import whole
from skynb_jupyter.service import Service

CHUNK = 1 << 18


class NodeChannel(WebSocketHandler, JupyterHandler):
    """Open for as long as both sides are. Refused with the error's own status while there is no way."""

    auth_resource = RESOURCE

    def prepare(self) -> Any:
        return JupyterHandler.prepare(self, _redirect_to_login=False)

    @ws_authenticated
    async def get(self, *path: str) -> None:
        if not await ensure_async(
            self.authorizer.is_authorized(self, self.current_user, "execute", RESOURCE)
        ):
            raise web.HTTPError(403)
        try:
            self._channel = await self.reach(*path)
        except SkynbError as error:
            raise web.HTTPError(error.http_status, reason=one_line(error)) from None
        with self.attached(*path):
            try:
                await super().get(*path)
            finally:
                self._channel.close()

    async def reach(self, *path: str) -> Channel:
        """The way to what this path names. Raises SkynbError."""
        raise NotImplementedError

    def attached(self, *path: str) -> AbstractContextManager[None]:
        """Lasts as long as somebody is connected."""
        return nullcontext()

    async def open(self, *_: Any) -> None:
        self.set_nodelay(True)
        self._loop = asyncio.get_running_loop()
        threading.Thread(target=self._read, name="skynb-channel", daemon=True).start()

    async def on_message(self, message: str | bytes) -> None:
        if isinstance(message, bytes):
            try:
                await self._loop.run_in_executor(None, self._write, message)
            except (OSError, ValueError):
                self.close()

    def on_close(self) -> None:
        self._channel.close()

    @property
    def service(self) -> Service:
        found: Service = self.settings["skynb_service"]
        return found

    def _write(self, message: bytes) -> None:
        view = memoryview(message)
        while view:
            view = view[self._channel.stdin.write(view) :]

    def _read(self) -> None:
        """The reading thread; it goes no faster than the other side takes."""
        try:
            while data := self._channel.stdout.read(CHUNK):
                asyncio.run_coroutine_threadsafe(self._hand_on(data), self._loop).result()
        except (OSError, ValueError, WebSocketClosedError, RuntimeError):
            pass  # both sides end the same way
        try:
            self._loop.call_soon_threadsafe(self.close)
        except RuntimeError:
            self._channel.close()  # the loop is gone

    async def _hand_on(self, data: bytes) -> None:
        await self.write_message(data, binary=True)


class KernelChannel(NodeChannel):
    """To the keeper of a kernel."""

    async def reach(self, *path: str) -> Channel:
        cluster, kernel = path
        return await self.service.kernels.connect(cluster, whole(kernel, "kernel"))

    def attached(self, *path: str) -> AbstractContextManager[None]:
        cluster, kernel = path
        return self.service.kernels.attached(cluster, int(kernel))


class DashboardChannel(NodeChannel):
    """To the dashboard of a Dask, which listens on its head's loopback alone: HTTP as it is spoken there."""

    async def reach(self, *path: str) -> Channel:
        (cluster,) = path
        return await self.service.dashboard(cluster)
