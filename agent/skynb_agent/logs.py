"""Logs of this node's ranks: streamed by byte offset, with acknowledgements that survive the agent."""

from __future__ import annotations

import asyncio
import os
import time
from typing import TYPE_CHECKING, Any, Dict, Optional

from skynb_agent import files, states
from skynb_agent.protocol import LOG_CHUNK, LOG_WINDOW
from skynb_agent.wake import Bell

if TYPE_CHECKING:
    from pathlib import Path

    from skynb_agent.peer import Peer
    from skynb_agent.ranks import Key, Rank, RankHost

_FASTEST_S, _SLOWEST_S = 0.004, 0.03
_ACK_PAUSE_S = 0.05
KEEP_S = 24 * 3600.0


class Follower:
    """One stream to one reader: how far it was sent and how far the reader has confirmed."""

    def __init__(self, key: Key, offset: int, window: int) -> None:
        self.key = key
        self.at = offset
        self.confirmed = offset
        self.window = window
        self.bell = Bell()


class LogShelf:
    """Serves and forgets logs. An unacknowledged byte is never deleted."""

    def __init__(self, host: RankHost) -> None:
        self._host = host
        self._acked: Dict[Key, int] = {}
        self._saved: Dict[Key, int] = {}
        self._flush: Optional[asyncio.Task[None]] = None

    async def follow(self, peer: Peer, sub: int, follower: Follower) -> None:
        """Push B frames until the rank has ended and its log is drained; then one with eof, and return."""
        peer.facts.setdefault("followers", {})[sub] = follower
        handle: int | None = None
        pause = _FASTEST_S
        try:
            while True:
                rank = self._host.get(*follower.key)
                ended = (
                    rank is not None and rank.stage == states.ENDED
                )  # asked before reading: nothing is missed
                if handle is None and rank is not None:
                    handle = _open(rank.log)
                room = follower.window - (follower.at - follower.confirmed)
                data = (
                    os.pread(handle, min(LOG_CHUNK, room), follower.at)
                    if handle is not None and room > 0
                    else b""
                )
                if data:
                    await self._push(peer, sub, follower, data, eof=False)
                    pause = _FASTEST_S
                elif room <= 0:
                    await follower.bell.wait()
                elif ended:
                    await self._push(peer, sub, follower, b"", eof=True)
                    return
                else:
                    await self._host.changed.wait(_poll_s(rank, pause))
                    pause = min(pause * 1.5, _SLOWEST_S)
        finally:
            peer.facts["followers"].pop(sub, None)
            if handle is not None:
                os.close(handle)

    @staticmethod
    async def _push(peer: Peer, sub: int, follower: Follower, data: bytes, *, eof: bool) -> None:
        job, rank = follower.key
        header = {"sub": sub, "job": job, "rank": rank, "offset": follower.at, "eof": eof}
        follower.at += len(data)
        await peer.send(header, data)

    async def ack(self, peer: Peer, key: Key, offset: int) -> int:
        """Remember that the server has everything before `offset`; answered when it is on disk."""
        for follower in peer.facts.get("followers", {}).values():
            if follower.key == key and offset > follower.confirmed:
                follower.confirmed = offset
                follower.bell.ring()
        if self._host.get(*key) is None:
            return 0
        if offset > self.acked(key):
            self._acked[key] = offset
            if self._flush is None or self._flush.done():
                self._flush = asyncio.get_running_loop().create_task(self._save_soon())
            await asyncio.shield(self._flush)
        return self.acked(key)

    def acked(self, key: Key) -> int:
        """How many bytes of this log the server has confirmed."""
        if key not in self._acked:
            rank = self._host.get(*key)
            stored = files.read_json(rank.folder / "ack.json") if rank else None
            self._acked[key] = self._saved[key] = int(stored["offset"]) if stored else 0
        return self._acked[key]

    async def _save_soon(self) -> None:
        await asyncio.sleep(_ACK_PAUSE_S)  # one write for a burst of acknowledgements
        self.save()

    def save(self) -> None:
        """Write every acknowledgement that is not on disk."""
        for key, offset in self._acked.items():
            rank = self._host.get(*key)
            if rank is not None and self._saved.get(key) != offset:
                files.write_json(rank.folder / "ack.json", {"offset": offset})
                self._saved[key] = offset

    def tidy(self, keep_s: float = KEEP_S) -> None:
        """Delete logs that are final, fully acknowledged and older than `keep_s`."""
        for key, rank in list(self._host.ranks.items()):
            if rank.stage == states.ENDED and _size(rank) <= self.acked(key) and _age_s(rank) > keep_s:
                self._host.drop_logs(key)

    def sizes(self, key: Key) -> dict[str, Any]:
        """Bytes written and bytes confirmed of one log."""
        rank = self._host.get(*key)
        return {"size": _size(rank) if rank else 0, "acked": self.acked(key)}


def _poll_s(rank: Rank | None, pause: float) -> float | None:
    return pause if rank is not None and rank.stage in {states.SETTING_UP, states.RUNNING} else None


def _open(path: Path) -> int | None:
    try:
        return os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return None


def _size(rank: Rank) -> int:
    try:
        return rank.log.stat().st_size
    except FileNotFoundError:
        return 0


def _age_s(rank: Rank) -> float:
    try:
        return time.time() - (rank.folder / "rank.json").stat().st_mtime
    except FileNotFoundError:
        return 0.0


def follower_from(params: dict[str, Any]) -> Follower:
    """The follower that a log_follow request asks for."""
    window = int(params.get("window") or LOG_WINDOW)
    return Follower((int(params["job"]), int(params["rank"])), int(params.get("offset") or 0), max(1, window))
