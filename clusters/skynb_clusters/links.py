"""Links to agents: one warm connection a node, many conversations on it."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

from skynb.errors import ProviderError
from skynb_agent.protocol import Decoder, Frame, FrameError, Methods, encode, request
from skynb_clusters.contract import Channel

CALL_SECONDS = 20.0


class AgentError(ProviderError):
    """The agent answered that it will not; `agent_code` is its own word for why."""

    code = "agent"
    retryable = "no"
    agent_code: str = ""


class Link:
    """A conversation with one agent. Used from one event loop; a thread reads the channel."""

    def __init__(self, channel: Channel, on_close: Callable[[], None] = lambda: None) -> None:
        self._channel = channel
        self._loop = asyncio.get_running_loop()
        self._on_close = on_close
        self._numbers = itertools.count(1)
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self._streams: dict[int, asyncio.Queue[Frame | None]] = {}
        self._sending = asyncio.Lock()
        self.closed = False
        threading.Thread(target=self._read, name="skynb-link", daemon=True).start()

    async def call(
        self, method: str, params: dict[str, Any] | None = None, timeout_s: float = CALL_SECONDS
    ) -> Any:
        """The result. AgentError if the agent refuses, ProviderError(retryable="unknown") if it is silent."""
        number = next(self._numbers)
        answer = self._answers[number] = self._loop.create_future()
        try:
            await self._send(request(number, method, params))
            return await asyncio.wait_for(answer, timeout_s)
        except (asyncio.TimeoutError, OSError, ValueError) as error:
            raise ProviderError(
                f"the agent did not answer {method}", why=str(error) or None, retryable="unknown"
            ) from None
        finally:
            self._answers.pop(number, None)

    async def stream(self, method: str, params: dict[str, Any]) -> AsyncIterator[list[Frame]]:
        """What the agent pushes for this subscription, in batches, until the link or the caller ends it."""
        frames: asyncio.Queue[Frame | None] = asyncio.Queue()
        number = next(self._numbers)
        self._streams[number] = frames
        answer = self._answers[number] = self._loop.create_future()
        try:
            await self._send(request(number, method, params))
            await asyncio.wait_for(answer, CALL_SECONDS)
            while batch := await _batch(frames):
                yield batch
        except (asyncio.TimeoutError, OSError) as error:
            raise ProviderError(f"the agent did not answer {method}", retryable="unknown") from error
        finally:
            self._answers.pop(number, None)
            self._streams.pop(number, None)
            if not self.closed:
                await self._send(request(next(self._numbers), Methods.UNSUBSCRIBE, {"sub": number}))

    def close(self) -> None:
        """End the conversation; whoever waits is told. Safe to call twice."""
        if self.closed:
            return
        self.closed = True
        self._channel.close()
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(ProviderError("the link to the agent closed", retryable="unknown"))
        for frames in self._streams.values():
            frames.put_nowait(None)
        self._on_close()

    async def _send(self, body: dict[str, Any]) -> None:
        if self.closed:
            raise ProviderError("the link to the agent is closed", retryable="unknown")
        async with self._sending:
            await self._loop.run_in_executor(None, self._channel.stdin.write, encode(body))

    def _read(self) -> None:
        """The reading thread: ends when the channel does."""
        decoder = Decoder()
        try:
            while data := self._channel.stdout.read(1 << 18):
                for frame in decoder.feed(data):
                    self._loop.call_soon_threadsafe(self._take, frame)
        except (OSError, ValueError, FrameError):
            pass  # a broken channel and a closed one end the same way
        try:
            self._loop.call_soon_threadsafe(self.close)
        except RuntimeError:
            self._channel.close()  # the loop is gone, and with it whoever waited

    def _take(self, frame: Frame) -> None:
        body = frame.body
        if "sub" in body:
            if frames := self._streams.get(body["sub"]):
                frames.put_nowait(frame)
            return
        answer = self._answers.get(body.get("id", 0))
        if answer is None or answer.done():
            return
        if error := body.get("error"):
            failure = AgentError(str(error.get("message")))
            failure.agent_code = str(error.get("code"))
            answer.set_exception(failure)
        else:
            answer.set_result(body.get("result"))


async def _batch(frames: asyncio.Queue[Frame | None]) -> list[Frame]:
    """All frames that wait, at least one; empty at the end of the stream."""
    batch = []
    frame = await frames.get()
    while frame is not None:
        batch.append(frame)
        if frames.empty():
            return batch
        frame = frames.get_nowait()
    if batch:
        frames.put_nowait(None)  # the end is for the next call
    return batch
