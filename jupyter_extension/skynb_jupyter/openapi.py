"""The OpenAPI document, made from the table of routes and the wire types."""

from __future__ import annotations

from functools import cache
from typing import Any

import msgspec

from skynb import __version__
from skynb.wire import API_PREFIX, KEY_HEADER, VERSION_HEADER
from skynb_jupyter.routes import ROUTES, Route

_STREAMS = {
    "/events": "The history and then each event as it happens, as server-sent events",
    "/clusters/{cluster}/events": "The same for one cluster",
    "/clusters/{cluster}/jobs/{job}/logs": "A job's log as it arrives, as server-sent events",
    "/clusters/{cluster}/kernels/{kernel}/channel": "A websocket to the keeper of a kernel",
    "/clusters/{cluster}/dask/dashboard": "A websocket that carries a line to Dask's dashboard, as HTTP/1.1",
    "/jobs/{job}/events": "The history of a managed job and of its clusters, as server-sent events",
    "/jobs/{job}/logs": "A managed job's log over all its attempts, as server-sent events",
}


@cache
def document() -> dict[str, Any]:
    """The whole API in OpenAPI 3.1."""
    kinds = [kind for route in ROUTES for kind in (route.body, route.answer) if kind is not None]
    schemas, components = msgspec.json.schema_components(kinds, ref_template="#/components/schemas/{name}")
    named = dict(zip(map(repr, kinds), schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for route in ROUTES:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, named)
    for path, summary in _STREAMS.items():
        paths.setdefault(path, {})["get"] = _stream(path, summary)
    components["Error"] = {
        "type": "object",
        "properties": {
            "error": {
                "type": "object",
                "required": ["code", "what"],
                "properties": {name: {"type": ["string", "null"]} for name in _ERROR_FIELDS},
            }
        },
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": "skynb", "version": __version__},
        "servers": [{"url": API_PREFIX}],
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"token": {"type": "apiKey", "in": "header", "name": "Authorization"}},
        },
    }


_ERROR_FIELDS = ("code", "what", "why", "mend", "where", "retryable")
_ERROR = {
    "description": "What, why and the mend",
    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
}


def _operation(route: Route, named: dict[str, Any]) -> dict[str, Any]:
    parameters = _parameters(route.path)
    if route.method != "GET":
        parameters.append(_header(KEY_HEADER, "The same key does the request once"))
    operation: dict[str, Any] = {
        "summary": route.summary,
        "parameters": parameters,
        "responses": {
            str(route.status): {
                "description": "Done" if route.status == 200 else "Durable; the server carries it out",
                "content": {"application/json": {"schema": named[repr(route.answer)]}},
            },
            "4XX": _ERROR,
        },
    }
    if route.body is not None:
        content = {"application/json": {"schema": named[repr(route.body)]}}
        operation["requestBody"] = {"required": True, "content": content}
    return operation


def _stream(path: str, summary: str) -> dict[str, Any]:
    return {
        "summary": summary,
        "parameters": [*_parameters(path), _header("Last-Event-ID", "Resume behind this event")],
        "responses": {
            "200": {
                "description": "A stream",
                "content": {"text/event-stream": {"schema": {"type": "string"}}},
            },
            "4XX": _ERROR,
        },
    }


def _parameters(path: str) -> list[dict[str, Any]]:
    names = [piece[1:-1] for piece in path.split("/") if piece.startswith("{")]
    found: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names
    ]
    return [*found, _header(VERSION_HEADER, "The API version the client speaks")]


def _header(name: str, description: str) -> dict[str, Any]:
    return {"name": name, "in": "header", "description": description, "schema": {"type": "string"}}
