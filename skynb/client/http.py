"""HTTP to the server: plain requests and server-sent events, with the standard library's client.

A well-known client would be nicer to read and costs a `skynb status` more than all else it does; see
docs/decisions/0003-client-http.md.
"""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
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
RESUME_SECONDS = 0.1
PATIENCE_SECONDS = 10.0  # a server that dies takes a moment to be seen as dead


class SseEvent(NamedTuple):
    """One server-sent event; `id` is what a reader resumes behind."""

    id: str | None
    name: str
    data: dict[str, Any]


class Connection:
    """Requests to the server of this home, which is started on first use. Safe to share between threads."""

    def __init__(self) -> None:
        self._idle: list[tuple[http.client.HTTPConnection, dict[str, Any]]] = []

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
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                status, payload = self._send(method, _target(path, query), data, key)
            except (OSError, http.client.HTTPException) as error:
                self._forget()
                if time.monotonic() > deadline:
                    raise ServerError("the skynb server does not answer", why=str(error)) from None
                time.sleep(RESUME_SECONDS)
            else:
                return _decoded(status, payload, answer)

    def stream(
        self, path: str, query: dict[str, str | list[str]] | None = None, after: str | None = None
    ) -> Stream:
        """Events behind `after` until the server ends the stream, resumed whenever the connection breaks."""
        once = bool(query) and (query or {}).get("follow") == "0"
        return Stream(self._open, _target(path, query), after, once=once)

    def close(self) -> None:
        """Close what is idle; the next call opens another connection."""
        self._forget()

    def _send(self, method: str, target: str, data: bytes | None, extra: dict[str, str]) -> tuple[int, bytes]:
        try:
            connection, card = self._idle.pop()
        except IndexError:
            connection, card = self._open(TIMEOUT_SECONDS)
        headers = _headers(card) | extra
        if data is not None:
            headers["Content-Type"] = "application/json"
        try:
            connection.request(method, target, body=data, headers=headers)
            response = connection.getresponse()
            answer = response.status, response.read()
        except BaseException:
            connection.close()
            raise
        self._idle.append((connection, card))
        return answer

    def _open(self, timeout: float) -> tuple[http.client.HTTPConnection, dict[str, Any]]:
        card = server.ensure()
        address = urlsplit(str(card["url"]))
        if address.hostname is None:
            raise ServerError(f"{card['url']!r} is no address of a server")
        return http.client.HTTPConnection(address.hostname, address.port, timeout=timeout), card

    def _forget(self) -> None:
        """Idle connections lead to a server that is gone."""
        while self._idle:
            self._idle.pop()[0].close()


class Stream:
    """Server-sent events, one reader; `close()` from another thread ends it at once.

    A broken connection is resumed behind the last event, on a server that is started again if need be.
    """

    def __init__(
        self,
        open_connection: Callable[[float], tuple[http.client.HTTPConnection, dict[str, Any]]],
        target: str,
        after: str | None,
        *,
        once: bool,
    ) -> None:
        self._open = open_connection
        self._target = target
        self._once = once
        self._socket: socket.socket | None = None
        self._closed = threading.Event()
        self.after = after

    def __iter__(self) -> Iterator[SseEvent]:
        while not self._closed.is_set():
            connection, card = self._open(STREAM_TIMEOUT_SECONDS)
            try:
                for event in self._read(connection, card):
                    self.after = event.id or self.after
                    yield event
                    if event.name == "end":
                        return
                if self._once:
                    return
            except (OSError, http.client.HTTPException):
                self._closed.wait(RESUME_SECONDS)
            finally:
                self._socket = None
                connection.close()

    def close(self) -> None:
        """No more events; a reader that waits for one wakes up."""
        self._closed.set()
        held = self._socket
        if held is not None:
            with suppress(OSError):
                held.shutdown(socket.SHUT_RDWR)

    def _read(self, connection: http.client.HTTPConnection, card: dict[str, Any]) -> Iterator[SseEvent]:
        connection.connect()
        self._socket = connection.sock
        if self._closed.is_set():
            return
        extra = {"Last-Event-ID": self.after} if self.after else {}
        connection.request("GET", self._target, headers=_headers(card) | extra)
        response = connection.getresponse()
        if response.status != 200:
            _decoded(response.status, response.read(), dict)
        yield from _events(response)


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
