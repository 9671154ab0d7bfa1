"""One framed connection, either way up: it answers requests and makes them. The same on sockets and TLS."""

from __future__ import annotations

import asyncio
import time
import traceback
from contextlib import suppress
from typing import Any, Awaitable, Callable, Dict, NamedTuple, Optional, Union

from skynb_agent.protocol import (
    Codes,
    Decoder,
    Frame,
    FrameError,
    RemoteError,
    answer,
    encode,
    failure,
    request,
)
from skynb_agent.wake import Tasks, note

READ_SIZE = 256 * 1024


class Call(NamedTuple):
    """A request as handlers see it. A stream's pushes carry `number` as their `sub`."""

    peer: Peer
    number: int
    method: str
    params: Dict[str, Any]


Handler = Callable[[Call], Union[Any, Awaitable[Any]]]


class Peer:
    """Reads frames until the other side leaves. `handler` answers its requests; RemoteError becomes an error.

    `keepalive_s` pings that often and gives up after `silence_s` without a byte.
    """

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        handler: Handler,
        *,
        keepalive_s: float | None = None,
        silence_s: float = 20.0,
    ) -> None:
        self.tasks = Tasks()
        self.streams: Dict[int, asyncio.Task[Any]] = {}
        self.facts: Dict[str, Any] = {}  # what the handler remembers of this connection
        self.on_ping: Callable[[], Dict[str, Any]] = dict
        self._reader, self._writer, self._handler = reader, writer, handler
        self._keepalive_s, self._silence_s = keepalive_s, silence_s
        self._heard = time.monotonic()
        self._waiting: Dict[int, asyncio.Future[Any]] = {}
        self._last = 0
        self._closed = False
        self._draining: Optional[asyncio.Lock] = None

    async def run(self) -> None:
        """Serve until the connection ends; then every call that waits gets RemoteError `disconnected`."""
        if self._keepalive_s:
            self.tasks.spawn(self._keep_alive(self._keepalive_s))
        decoder = Decoder()
        try:
            while True:
                chunk = await self._reader.read(READ_SIZE)
                if not chunk:
                    break
                self._heard = time.monotonic()
                for frame in decoder.feed(chunk):
                    self._take(frame)
        except FrameError as error:
            await self.send(failure(None, Codes.BAD_REQUEST, f"not this protocol: {error}"))
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            await self._finish()

    async def _finish(self) -> None:
        with suppress(OSError, asyncio.TimeoutError):
            await asyncio.wait_for(self._drain(), 1.0)
        self.close()
        self.tasks.cancel_all()

    def close(self) -> None:
        """End the connection now."""
        if not self._closed:
            self._closed = True
            self._writer.close()
            waiting, self._waiting = self._waiting, {}
            for future in waiting.values():
                if not future.done():
                    future.set_exception(RemoteError(Codes.DISCONNECTED, "the connection ended"))

    async def call(self, method: str, params: dict[str, Any] | None = None) -> Any:
        """Ask the other side; RemoteError with its code, or `disconnected`."""
        if self._closed:
            raise RemoteError(Codes.DISCONNECTED, "the connection ended")
        self._last += 1
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        number = self._last
        self._waiting[number] = future
        try:
            await self.send(request(number, method, params))
            return await future
        finally:
            self._waiting.pop(number, None)

    async def send(self, body: dict[str, Any], data: bytes | None = None) -> None:
        """Write one frame and wait until the other side keeps up. Writing to a closed peer does nothing."""
        if self._closed:
            return
        self._writer.write(encode(body, data))
        with suppress(OSError):
            await self._drain()

    async def _drain(self) -> None:
        # before Python 3.10 two coroutines may not drain one writer at once
        if self._draining is None:
            self._draining = asyncio.Lock()
        async with self._draining:
            await self._writer.drain()

    def _take(self, frame: Frame) -> None:
        body = frame.body
        number = body.get("id")
        if "method" in body:
            params = body.get("params")
            call = Call(self, number if isinstance(number, int) else 0, str(body["method"]), params or {})
            self.tasks.spawn(self._respond(call))
            return
        future = self._waiting.get(number) if isinstance(number, int) else None
        if future is None or future.done():
            return
        error = body.get("error")
        if isinstance(error, dict):
            future.set_exception(RemoteError(str(error.get("code")), str(error.get("message"))))
        else:
            future.set_result(body.get("result"))

    async def _respond(self, call: Call) -> None:
        try:
            result = self._handler(call)
            if asyncio.iscoroutine(result):
                result = await result
            body = answer(call.number, result)
        except RemoteError as error:
            body = failure(call.number, error.code, error.message)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            # the message may quote a value, and a value may be a secret
            note("bad request", call.method, type(error).__name__)
            body = failure(call.number, Codes.BAD_REQUEST, f"{call.method}: {_blame(error)}")
        except OSError as error:
            body = failure(
                call.number, Codes.INTERNAL, f"{call.method}: {error.strerror or type(error).__name__}"
            )
        except Exception as error:  # noqa: BLE001 - whoever asked must get an answer
            where = traceback.format_tb(error.__traceback__)  # without its message, for the reason above
            note("a bug:", call.method, type(error).__name__, *where)
            body = failure(call.number, Codes.INTERNAL, f"{call.method}: {type(error).__name__}")
        await self.send(body)

    async def _keep_alive(self, every_s: float) -> None:
        while not self._closed:
            await asyncio.sleep(every_s)
            if time.monotonic() - self._heard > self._silence_s:
                note("nothing heard for too long, closing the connection")
                self._writer.transport.abort()
                return
            self.tasks.spawn(self._ping())

    async def _ping(self) -> None:
        with suppress(RemoteError):
            await self.call("ping", self.on_ping())


def _blame(error: Exception) -> str:
    if isinstance(error, KeyError):
        return f"a parameter is missing: {error}"
    return f"a parameter has the wrong form ({type(error).__name__})"
