"""The log of a managed job: across attempts and tasks, as one stream that can be resumed."""

from __future__ import annotations

import asyncio
from typing import NamedTuple

from jupyter_server.auth.decorator import authorized
from tornado import web

from skynb.control.records import Record
from skynb.errors import SpecError
from skynb.wire import EventInfo
from skynb_clusters.logs import TextReader
from skynb_clusters.naming import job_id
from skynb_jobs.records import FINAL
from skynb_jupyter.managed import Piece
from skynb_jupyter.routes import whole
from skynb_jupyter.streams import EventsHandler, StreamHandler


class Place(NamedTuple):
    """Where a reader is in the log of a task: how many pieces lie behind it, and where in the next."""

    piece: int = 0
    position: int = 0


class Track:
    """The log of one task as far as it was read."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self._reader: TextReader | None = None

    @property
    def between(self) -> bool:
        """Whether no piece is being read."""
        return self._reader is None

    def begin(self, reader: TextReader) -> None:
        """Read the piece that is next."""
        self._reader = reader

    def read(self) -> list[tuple[int, int, str]]:
        """(position, rank, text) of what is new in this piece."""
        return self._reader.next() if self._reader else []

    def over(self) -> None:
        """This piece is read to its end."""
        self.place, self._reader = Place(self.place.piece + 1), None


class ManagedLogsHandler(StreamHandler):
    """The log as it arrives; `?follow=0` ends with what is here, `?task=` picks a task, `?rank=` a rank.

    Events: `attempt` where another one begins to speak, `log`, and at last `end` with the job.
    """

    @web.authenticated
    @authorized
    async def get(self, job: str) -> None:
        await self.guarded(self._stream(whole(job, "job")))

    async def _stream(self, number: int) -> None:
        record = await self.service.managed.record(number)
        only = self.get_query_argument("task", "")
        self._task = whole(only, "task") if only else None
        rank = self.get_query_argument("rank", "")
        self._rank = whole(rank, "rank") if rank else None
        follow = self.get_query_argument("follow", "1") not in {"0", "false"}
        self._tracks = {index: Track(place) for index, place in self._places().items()}
        self.start()
        while True:
            changed = self.service.core.reconciler.changed
            record = await self.service.core.get(record.id) or record
            caught_up = await self._read_on(record)
            if not follow or (record.status in FINAL and caught_up):
                self.event("end", await self.service.managed.job(number))
                return
            await self.pause(changed)

    async def _read_on(self, record: Record) -> bool:
        """Send what is new of every task; True if nothing more can come."""
        caught_up = True
        for index, pieces in (await self.service.managed.pieces(record)).items():
            if self._task in {None, index}:
                track = self._tracks.setdefault(index, Track(Place()))
                caught_up &= await self._read_task(index, track, pieces)
        return caught_up

    async def _read_task(self, index: int, track: Track, pieces: list[Piece]) -> bool:
        while track.place.piece < len(pieces):
            piece = pieces[track.place.piece]
            if track.between:
                logs = self.service.core.logs
                track.begin(
                    TextReader(logs.reader(piece.cluster, piece.job, track.place.position, self._rank))
                )
                if not track.place.position:
                    told = {"task": index, "attempt": piece.attempt, "job": piece.job, "again": piece.again}
                    self.event("attempt", told)
            work = await self.service.core.get(job_id(piece.cluster, piece.job))
            while found := await asyncio.to_thread(track.read):
                for position, rank, text in found:
                    track.place = track.place._replace(position=position)
                    self.event("log", {"rank": rank, "text": text}, self._where())
                await self.flush()
            if work is not None and not work.final:
                return False
            track.over()
        return True

    def _places(self) -> dict[int, Place]:
        """Where the reader was, from `task.piece.position` joined by `-`."""
        text = self.request.headers.get("Last-Event-ID") or self.get_query_argument("after", "")
        places = {}
        for part in text.split("-") if text and text != "0" else ():
            numbers = part.split(".")
            if len(numbers) != 3:
                raise SpecError(f"{text[:40]!r} is no place in this log", where="Last-Event-ID")
            index, piece, position = (whole(number, "Last-Event-ID") for number in numbers)
            places[index] = Place(piece, position)
        return places

    def _where(self) -> str:
        return "-".join(
            f"{index}.{track.place.piece}.{track.place.position}"
            for index, track in sorted(self._tracks.items())
        )


class ManagedEventsHandler(EventsHandler):
    """The history of a managed job and of its clusters, and then each event as it happens."""

    @web.authenticated
    @authorized
    async def get(self, job: str) -> None:
        await self.guarded(self._stream(job))

    async def found(self, after: int, name: str | None) -> list[EventInfo]:
        return await self.service.managed.events(after, whole(name or "", "job"))
