"""Server-sent events: logs and history. `Last-Event-ID` (or `?after=`) resumes exactly where a reader was."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
from jupyter_server.auth.decorator import authorized
from tornado import web
from tornado.iostream import StreamClosedError

from skynb.errors import SkynbError, SpecError
from skynb.wire import EventInfo
from skynb_clusters import views
from skynb_clusters.logs import TextReader
from skynb_jupyter.base import Base
from skynb_jupyter.routes import whole

KEEP_ALIVE_SECONDS = 15.0


class StreamHandler(Base):
    """A stream of events; subclasses write what is new and say when it is over."""

    def start(self) -> None:
        self.set_header("Content-Type", "text/event-stream")
        self.set_header("Cache-Control", "no-cache")
        self.set_header("X-Accel-Buffering", "no")  # nginx would hold the stream back

    def position(self) -> int:
        """Where the reader was; 0 at the beginning."""
        text = self.request.headers.get("Last-Event-ID") or self.get_query_argument("after", "0")
        number = whole(text, "Last-Event-ID")
        if number < 0:
            raise SpecError("a position is not negative", where="Last-Event-ID")
        return number

    def event(self, name: str, data: Any, number: int | str | None = None) -> None:
        prefix = f"id: {number}\n" if number is not None else ""
        text = data if isinstance(data, str) else msgspec.json.encode(data).decode()
        self.write(f"{prefix}event: {name}\ndata: {text}\n\n")

    async def pause(self, changed: asyncio.Event) -> None:
        """Wait until there may be more; a comment now and then keeps proxies from hanging up."""
        await self.flush()
        try:
            await asyncio.wait_for(changed.wait(), KEEP_ALIVE_SECONDS)
        except asyncio.TimeoutError:
            self.write(": keep-alive\n\n")

    async def guarded(self, work: Any) -> None:
        try:
            await work
        except SkynbError as error:
            self.fail(error)
        except StreamClosedError:
            return  # the reader left


class LogsHandler(StreamHandler):
    """A job's log as it arrives; `?follow=0` ends with what is here, `?rank=` picks one rank."""

    @web.authenticated
    @authorized
    async def get(self, cluster: str, job: str) -> None:
        await self.guarded(self._stream(cluster, job))

    async def _stream(self, name: str, job: str) -> None:
        number = whole(job, "job")
        after = self.position()
        rank_text = self.get_query_argument("rank", "")
        rank = whole(rank_text, "rank") if rank_text else None
        follow = self.get_query_argument("follow", "1") not in {"0", "false"}
        cluster, record = await self.service.job_record(name, number)
        reader = TextReader(self.service.core.logs.reader(cluster.id, number, after, rank))
        self.start()
        reconciler = self.service.core.reconciler
        while True:
            changed = reconciler.changed
            record = await self.service.core.get(record.id) or record
            while pieces := await asyncio.to_thread(reader.next):
                for position, source, text in pieces:
                    self.event("log", {"rank": source, "text": text}, position)
                await self.flush()
            if record.final or not follow:
                self.event("end", views.job_info(record, cluster.name))
                return
            await self.pause(changed)


class EventsHandler(StreamHandler):
    """The history, of everything or of one cluster, and then each event as it happens.

    `?after=last` leaves out what has happened already.
    """

    @web.authenticated
    @authorized
    async def get(self, cluster: str | None = None) -> None:
        await self.guarded(self._stream(cluster))

    async def _stream(self, name: str | None) -> None:
        from_now = (
            self.get_query_argument("after", "") == "last" and "Last-Event-ID" not in self.request.headers
        )
        after = await self.service.last_event() if from_now else self.position()
        follow = self.get_query_argument("follow", "1") not in {"0", "false"}
        found = await self.found(after, name)
        self.start()
        while True:
            changed = self.service.core.reconciler.changed
            while found := await self.found(after, name):
                for item in found:
                    after = item.seq
                    self.event(item.name, item, item.seq)
            if not follow:
                return
            await self.pause(changed)

    async def found(self, after: int, name: str | None) -> list[EventInfo]:
        """What has happened since."""
        return await self.service.events(after, name)
