"""The near end of a remote kernel: sockets like a kernel's own, and a line to its keeper that may break.

Jupyter's clients connect to the sockets as to any kernel. What they send is kept until the keeper has it,
what the kernel says comes once and in order, and a line that breaks is made again while the kernel may live.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import threading
import uuid
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import zmq
import zmq.asyncio
from jupyter_client.session import DELIM, Session
from tornado.httpclient import HTTPClientError, HTTPRequest
from tornado.websocket import WebSocketClientConnection, WebSocketError, websocket_connect

from skynb.errors import SkynbError
from skynb.kernels.node.frames import MOST, Decoder, FrameError, encode

if TYPE_CHECKING:
    from skynb.kernels.node.frames import Frame

log = logging.getLogger("skynb.kernels")

SOONEST_S, LATEST_S = 0.05, 2.0  # between two attempts at the line
CONNECT_S = 20.0
LINGER_MS = 500
_MORE = int(zmq.SNDMORE)
_BREAKS = (OSError, SkynbError, WebSocketError, FrameError, LookupError, TypeError, ValueError)
PING_S = 10.0
GONE = {404, 409}  # statuses by which the server says that there is no such kernel any more
LOST_EXIT = 1
_BOUND = {
    "shell": zmq.ROUTER,
    "iopub": zmq.PUB,
    "stdin": zmq.ROUTER,
    "hb": zmq.ROUTER,
    "control": zmq.ROUTER,
}


class Way(NamedTuple):
    """Where the line begins: a websocket of the server, and what it wants to see."""

    url: str
    headers: Mapping[str, str]


class Relay:
    """One thread with a loop of its own, so that it lives whatever the loops of its users do.

    find: tells the way, anew before each attempt; it may block, and start a server. info: what a connection
    file says, whose `ip` and ports name the sockets. after: number of the last message that is not wanted
    again, -1 for only what is to come. holds_back: whether a request to end is kept from the kernel now.
    """

    def __init__(
        self,
        find: Callable[[], Way],
        info: Mapping[str, Any],
        *,
        after: int = 0,
        holds_back: Callable[[], bool] = lambda: False,
    ) -> None:
        self.attached = threading.Event()
        self.ended = threading.Event()
        self.exit_code: int | None = None
        self.why = ""
        self._find = find
        self._info = info
        self._key = info["key"]
        self._session = Session(key=self._key, signature_scheme="hmac-sha256")
        self._holds_back = holds_back
        self._client = uuid.uuid4().hex
        self._after = after
        self._number = 0
        self._unheard: deque[tuple[int, bytes]] = deque()
        self._line: WebSocketClientConnection | None = None
        self._sockets: dict[str, Any] = {}
        self._ends: asyncio.Event | None = None
        self._bound = threading.Event()
        self._thread = threading.Thread(target=self._run, name="skynb-relay", daemon=True)

    def start(self) -> None:
        """Bind the sockets and begin to connect; returns when clients may connect."""
        self._thread.start()
        self._bound.wait()

    def close(self) -> None:
        """Let go of the kernel, which lives on. Safe to call twice, from any thread."""
        if self._thread.is_alive() and self._ends is not None:
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._ends.set)
            self._thread.join()

    def _run(self) -> None:
        asyncio.run(self._work())

    async def _work(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._ends = asyncio.Event()
        context = zmq.asyncio.Context()
        try:
            self._bind(context)
            self._bound.set()
            tasks = [asyncio.ensure_future(self._outward(one)) for one in ("shell", "stdin", "control")]
            tasks += [asyncio.ensure_future(self._echo()), asyncio.ensure_future(self._keep_line())]
            await self._ends.wait()
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
        finally:
            self._bound.set()
            for made in self._sockets.values():
                made.close(linger=LINGER_MS)
            context.term()

    def _bind(self, context: zmq.asyncio.Context) -> None:
        for channel, kind in _BOUND.items():
            path = f"{self._info['ip']}-{self._info[f'{channel}_port']}"
            Path(path).unlink(missing_ok=True)
            makes = zmq.Context.shadow(context) if channel == "iopub" else context  # it is never awaited
            made = self._sockets[channel] = makes.socket(kind)
            made.setsockopt(zmq.SNDHWM, 0)
            made.setsockopt(zmq.RCVHWM, 0)
            made.bind(f"ipc://{path}")

    async def _echo(self) -> None:
        """The heartbeat is answered here: a kernel that cannot be reached is not dead."""
        while True:
            await self._sockets["hb"].send_multipart(await self._sockets["hb"].recv_multipart())

    async def _outward(self, channel: str) -> None:
        """What clients send is numbered, and kept until the keeper has it."""
        while True:
            message = await self._sockets[channel].recv_multipart()
            at = message.index(DELIM) if DELIM in message else len(message)
            idents, parts = message[:at], message[at + 1 :]
            if len(parts) < 5 or not hmac.compare_digest(parts[0], self._session.sign(parts[1:5])):
                log.warning("a message without the right signature is dropped")
                continue
            if channel == "control" and self._holds_back():
                continue
            self._number += 1
            head = {"n": self._number, "ch": channel, "ids": len(idents)}
            frame = encode(head, [*idents, *parts[1:]])
            self._unheard.append((self._number, frame))
            await self._send(frame)

    async def _send(self, frame: bytes) -> None:
        if self._line is not None:
            with suppress(*_BREAKS):  # a broken line is noticed where it is read
                await self._line.write_message(frame, binary=True)

    async def _keep_line(self) -> None:
        """Make the line, again and again, until the kernel has ended."""
        pause = SOONEST_S
        while self.exit_code is None:
            try:
                way = await self._loop.run_in_executor(None, self._find)
                request = HTTPRequest(way.url, headers=dict(way.headers), request_timeout=CONNECT_S)
                line = await websocket_connect(request, ping_interval=PING_S, max_message_size=MOST)
            except HTTPClientError as error:
                if error.code in GONE:
                    self._end(LOST_EXIT, error.message or "")
                    return
            except _BREAKS as error:
                log.info("no way to the kernel: %r", error)
            else:
                pause = SOONEST_S
                line.stream.set_nodelay(True)
                await self._use(line)
            await asyncio.sleep(pause)
            pause = min(2 * pause, LATEST_S)

    async def _use(self, line: WebSocketClientConnection) -> None:
        """Say who we are and what we have; take the rest. Returns when the line is of no more use."""
        decoder = Decoder()
        try:
            await line.write_message(encode({"hello": self._client, "after": self._after}), binary=True)
            while (data := await line.read_message()) is not None:
                for frame in decoder.feed(data if isinstance(data, bytes) else data.encode()):
                    await self._take(line, frame)
        except _BREAKS as error:
            log.info("the line to the kernel broke: %r", error)
        finally:
            self._line = None
            line.close()
            line.stream.close()

    async def _take(self, line: WebSocketClientConnection, frame: Frame) -> None:
        head, parts = frame
        if "welcome" in head:
            await self._welcomed(line, head)
        elif "got" in head:
            self._heard(head["got"])
        elif "taken" in head:
            self._end(LOST_EXIT, "another program has attached to it")
        elif head["n"] <= self._after:
            return
        elif "exit" in head:
            self._after = head["n"]
            self._end(head["exit"], head["why"])
            await line.write_message(encode({"read": self._after}), binary=True)
        else:
            if missed := head["n"] - self._after - 1:
                await self._say(f"{missed} messages of the kernel were more than is kept\n")
            self._after = head["n"]
            count = head["ids"]
            signature = hmac.digest(self._key, b"".join(parts[count : count + 4]), "sha256").hex().encode()
            await self._give(head["ch"], [*parts[:count], DELIM, signature, *parts[count:]])

    async def _welcomed(self, line: WebSocketClientConnection, head: Mapping[str, Any]) -> None:
        self._after = head["welcome"]
        self._heard(head["got"])
        sent = head["got"]
        while fresh := [one for one in self._unheard if one[0] > sent]:  # more may come meanwhile
            for _, frame in fresh:
                await line.write_message(frame, binary=True)
            sent = fresh[-1][0]
        self._line = line
        self.attached.set()

    def _heard(self, number: int) -> None:
        while self._unheard and self._unheard[0][0] <= number:
            self._unheard.popleft()

    def _end(self, code: int, why: str) -> None:
        self.why, self.exit_code = why, code
        self.ended.set()
        self.attached.set()

    async def _say(self, text: str) -> None:
        """A line of our own among what the kernel writes to standard error."""
        message = self._session.msg("stream", {"name": "stderr", "text": f"[skynb] {text}"})
        parts = self._session.serialize(message, ident=b"stream")
        await self._give("iopub", parts)

    async def _give(self, channel: str, parts: list[bytes]) -> None:
        socket = self._sockets[channel]
        if channel != "iopub":
            await socket.send_multipart(parts)
            return
        for part in parts[:-1]:  # as send_multipart does, in two thirds of its time
            socket.send(part, _MORE)
        socket.send(parts[-1])
