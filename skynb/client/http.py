"""HTTP to the server: plain requests and server-sent events, with the standard library's client.

A well-known client would be nicer to read and costs a `skynb status` more than all else it does; see
docs/decisions/0003-client-http.md.
"""

from __future__ import annotations

import http.client
import json
import threading
import uuid
from collections.abc import Iterator
from typing import Any, NamedTuple, TypeVar
from urllib.parse import quote, urlencode, urlsplit

import msgspec

from skynb._version import __version__
from skynb.client import server
from skynb.errors import ServerError, error_from_dict
from skynb.wire import API_PREFIX, API_VERSION, KEY_HEADER, VERSION_HEADER

T = TypeVar("T")

TIMEOUT_SECONDS = 60.0
STREAM_TIMEOUT_SECONDS = 45.0  # the server says something every 15 s


class SseEvent(NamedTuple):
    """One server-sent event; `id` is what a reader resumes behind."""

    id: str | None
    name: str
    data: dict[str, Any]


class Connection:
    """Requests to the server of this home, which is started on first use. Safe to share between threads."""

    def __init__(self) -> None:
        self._local = threading.local()

    def call(
        self,
        method: str,
        path: str,
        answer: type[T],
        *,
        body: msgspec.Struct | None = None,
        query: dict[str, str | list[str]] | None = None,
    ) -> T:
        """The decoded answer; the server's SkynbError if it refuses, ServerError if it cannot be reached.

        A request that moves something carries an idempotency key, so sending it again after a lost answer
        does it once.
        """
        key = {KEY_HEADER: uuid.uuid4().hex} if method != "GET" else {}
        data = msgspec.json.encode(body) if body is not None else None
        for attempt in (1, 2, 3):
            try:
                status, payload = self._send(method, _target(path, query), data, key)
            except (OSError, http.client.HTTPException) as error:
                self._forget()
                if attempt == 3:
                    raise ServerError("the skynb server does not answer", why=str(error)) from None
            else:
                return _decoded(status, payload, answer)
        raise AssertionError

    def stream(
        self, path: str, query: dict[str, str | list[str]] | None = None, after: str | None = None
    ) -> Iterator[SseEvent]:
        """Events until the server ends the stream; a broken connection is resumed behind the last event."""
        while True:
            connection, card = self._open(STREAM_TIMEOUT_SECONDS)
            headers = _headers(card) | ({"Last-Event-ID": after} if after else {})
            try:
                connection.request("GET", _target(path, query), headers=headers)
                response = connection.getresponse()
                if response.status != 200:
                    _decoded(response.status, response.read(), dict)
                for event in _events(response):
                    after = event.id or after
                    yield event
                    if event.name == "end":
                        return
                if query and query.get("follow") == "0":
                    return
            except (OSError, http.client.HTTPException):
                continue  # resumed by the next round, on a server that is started again if need be
            finally:
                connection.close()

    def close(self) -> None:
        """Close what is idle; the next call opens another connection."""
        self._forget()

    def _send(self, method: str, target: str, data: bytes | None, extra: dict[str, str]) -> tuple[int, bytes]:
        held = getattr(self._local, "held", None)
        if held is None:
            held = self._local.held = self._open(TIMEOUT_SECONDS)
        connection, card = held
        headers = _headers(card) | extra
        if data is not None:
            headers["Content-Type"] = "application/json"
        connection.request(method, target, body=data, headers=headers)
        response = connection.getresponse()
        return response.status, response.read()

    def _open(self, timeout: float) -> tuple[http.client.HTTPConnection, dict[str, Any]]:
        card = server.ensure()
        address = urlsplit(str(card["url"]))
        if address.hostname is None:
            raise ServerError(f"{card['url']!r} is no address of a server")
        return http.client.HTTPConnection(address.hostname, address.port, timeout=timeout), card

    def _forget(self) -> None:
        held = getattr(self._local, "held", None)
        if held is not None:
            held[0].close()
            self._local.held = None


def segment(name: str) -> str:
    """A name as one piece of a path."""
    return quote(name, safe="")


def _target(path: str, query: dict[str, str | list[str]] | None) -> str:
    return f"{API_PREFIX}{path}" + (f"?{urlencode(query, doseq=True)}" if query else "")


def _headers(card: dict[str, Any]) -> dict[str, str]:
    return {
        "Authorization": f"token {card['token']}",
        VERSION_HEADER: str(API_VERSION),
        "User-Agent": f"skynb/{__version__}",
    }


def _decoded(status: int, payload: bytes, answer: type[T]) -> T:
    if status < 400:
        return msgspec.json.decode(payload, type=answer)
    try:
        details = json.loads(payload)["error"]
    except (ValueError, KeyError, TypeError):
        raise ServerError(
            f"the server answered {status}", why=payload[:200].decode(errors="replace")
        ) from None
    raise error_from_dict(details)


def _events(response: http.client.HTTPResponse) -> Iterator[SseEvent]:
    fields: dict[str, str] = {}
    for raw in response:
        line = raw.decode().rstrip("\r\n")
        if not line:
            if "data" in fields:
                name = fields.get("event", "message")
                yield SseEvent(fields.get("id"), name, json.loads(fields["data"]))
            fields = {}
        elif not line.startswith(":"):
            name, _, value = line.partition(": ")
            fields[name] = value
