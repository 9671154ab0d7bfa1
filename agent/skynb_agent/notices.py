"""Notices of the infra: runs the command that watches for them, and keeps what it said.

The command prints a JSON object a line, `{"kind": ..., "at": seconds since the epoch}`, and ends with its
standard input, so that none outlives a killed agent.
"""

from __future__ import annotations

import asyncio
import json
import math
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Callable, List

from skynb_agent.wake import Bell, note

if TYPE_CHECKING:
    from skynb_agent.peer import Call

KEPT = 16
KIND_CHARS = 40
FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 60.0


class NoticeWatch:
    """The last notices of this node, oldest first; at each new one `changed` rings and `heard` is called."""

    def __init__(self, argv: list[str], heard: Callable[[str, float], None]) -> None:
        self.kept: List[dict[str, Any]] = []
        self.changed = Bell()
        self._argv = argv
        self._heard = heard

    async def run(self) -> None:
        """Keep the command running until cancelled; whenever it ends, wait longer, at most a minute."""
        pause = FIRST_PAUSE_S
        while self._argv:
            begun = time.monotonic()
            with suppress(OSError, ValueError):  # not there, or a line without end
                await self._watch()
            pause = FIRST_PAUSE_S if time.monotonic() - begun > LONGEST_PAUSE_S else pause
            note("the command that watches for notices ended; again in", pause, "s")
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_S)

    async def push(self, call: Call) -> None:
        """Send each notice to a caller, those that are kept and those that come."""
        sent: List[dict[str, Any]] = []
        while True:
            for found in [found for found in self.kept if found not in sent]:
                await call.peer.send({"sub": call.number, "notice": found})
            sent = list(self.kept)
            await self.changed.wait()

    async def _watch(self) -> None:
        pipe, nothing = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
        child = await asyncio.create_subprocess_exec(
            *self._argv, stdin=pipe, stdout=pipe, stderr=nothing, start_new_session=True
        )
        try:
            assert child.stdout is not None  # noqa: S101 - it is a pipe, as asked
            while line := await child.stdout.readline():
                self._take(line)
        finally:
            with suppress(ProcessLookupError):
                child.kill()
            await child.wait()

    def _take(self, line: bytes) -> None:
        try:
            said = json.loads(line)
            at = float(said["at"])
            found = {"kind": str(said["kind"])[:KIND_CHARS], "at": at}
        except (ValueError, TypeError, KeyError):
            return
        if found not in self.kept and math.isfinite(at):
            note("notice:", found["kind"], at)
            self.kept = [*self.kept, found][-KEPT:]
            self.changed.ring()
            self._heard(str(found["kind"]), at)
