"""HTTP for the routes of the table. No decision is made here."""

from __future__ import annotations

from typing import Any

import msgspec
from jupyter_server.auth.decorator import authorized
from tornado import web

from skynb.errors import SkynbError, SpecError
from skynb.wire import API_PREFIX
from skynb_jupyter.base import Base
from skynb_jupyter.channels import DashboardChannel, KernelChannel
from skynb_jupyter.managed_streams import ManagedEventsHandler, ManagedLogsHandler
from skynb_jupyter.openapi import document
from skynb_jupyter.routes import ROUTES, Call, Route
from skynb_jupyter.streams import EventsHandler, LogsHandler

MAX_BODY = 4 * 1024 * 1024


class RouteHandler(Base):
    """All verbs of one path of the table."""

    def initialize(self, name: str, routes: dict[str, Route], parameters: tuple[str, ...]) -> None:
        super().initialize(name)
        self._routes = routes
        self._parameters = parameters

    @web.authenticated
    @authorized
    async def get(self, *values: str) -> None:
        await self._answer("GET", values)

    @web.authenticated
    @authorized
    async def post(self, *values: str) -> None:
        await self._answer("POST", values)

    @web.authenticated
    @authorized
    async def delete(self, *values: str) -> None:
        await self._answer("DELETE", values)

    async def _answer(self, method: str, values: tuple[str, ...]) -> None:
        route = self._routes.get(method)
        if route is None:
            raise web.HTTPError(405)
        try:
            call = Call(
                caller=self.caller(),
                path=dict(zip(self._parameters, values, strict=True)),
                query={name: self.get_query_argument(name) for name in self.request.query_arguments},
                names=self.get_query_arguments("name"),
                body=_decode(self.request.body, route.body),
            )
            answer = await route.call(self.service, call)
        except SkynbError as error:
            self.fail(error)
        else:
            self.send(answer, route.status)


class OpenApiHandler(Base):
    """The OpenAPI document of this API."""

    @web.authenticated
    @authorized
    async def get(self) -> None:
        self.send(document())


class NotFoundHandler(Base):
    """Everything else below the prefix, in the API's own form."""

    @web.authenticated
    @authorized
    async def get(self) -> None:
        raise web.HTTPError(404, reason="the API has no such path")

    post = get
    delete = get
    put = get
    patch = get


def handlers() -> list[tuple[Any, ...]]:
    """Tornado's handler table."""
    paths: dict[str, dict[str, Route]] = {}
    for route in ROUTES:
        paths.setdefault(route.path, {})[route.method] = route
    table: list[tuple[Any, ...]] = [
        (f"{API_PREFIX}/openapi.json", OpenApiHandler),
        (f"{API_PREFIX}/events", EventsHandler),
        (f"{API_PREFIX}/clusters/([^/]+)/events", EventsHandler),
        (f"{API_PREFIX}/clusters/([^/]+)/jobs/([^/]+)/logs", LogsHandler),
        (f"{API_PREFIX}/clusters/([^/]+)/kernels/([^/]+)/channel", KernelChannel),
        (f"{API_PREFIX}/clusters/([^/]+)/dask/dashboard", DashboardChannel),
        (f"{API_PREFIX}/jobs/([^/]+)/events", ManagedEventsHandler),
        (f"{API_PREFIX}/jobs/([^/]+)/logs", ManagedLogsHandler),
    ]
    for path, routes in paths.items():
        pieces = path.split("/")
        parameters = tuple(piece[1:-1] for piece in pieces if piece.startswith("{"))
        pattern = "/".join("([^/]+)" if piece.startswith("{") else piece for piece in pieces)
        table.append((API_PREFIX + pattern, RouteHandler, {"routes": routes, "parameters": parameters}))
    table.append((f"{API_PREFIX}/.*", NotFoundHandler))
    return table


def _decode(body: bytes, kind: Any) -> Any:
    if kind is None:
        return None
    if len(body) > MAX_BODY:
        raise SpecError(f"the request is larger than {MAX_BODY} bytes")
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        what, _, where = str(error).partition(" - at `$")
        raise SpecError(what, where=where.rstrip("`").lstrip(".") or None) from None
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise SpecError("the body is not JSON", why=str(error)) from None
