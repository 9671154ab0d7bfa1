"""One supervised command that outlives the agent: started through a wrapper that records its own end.

Folder layout: <name>.pid is claimed once by the wrapper (so a command never runs twice, whatever crashes),
<name>.exit appears when the command ends. The wrapper sits out TERM so that it can record.
"""

from __future__ import annotations

import asyncio
import subprocess
import time
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple, Optional

from skynb_agent import processes
from skynb_agent.processes import Owner

if TYPE_CHECKING:
    from pathlib import Path

# $1 folder, $2 name, $3 log; the rest is the command. `trap :` is a handler, which children do not inherit.
_WRAPPER = """\
trap : TERM INT HUP
folder=$1 name=$2 log=$3
shift 3
set -C
{ echo $$ >"$folder/$name.pid"; } 2>/dev/null || exit 0
set +C
"$@" >>"$log" 2>&1 </dev/null
code=$?
echo $code >"$folder/$name.exit.tmp" && mv -f "$folder/$name.exit.tmp" "$folder/$name.exit"
exit $code
"""

UNKNOWN_EXIT = 137
_ADOPTED_POLL_S = 0.25


class Outcome(NamedTuple):
    """How a command ended; `known` is False when it vanished without a record."""

    code: int
    known: bool


class Launch:
    """A command in `folder` called `name`. `variables` mark its processes and everything they start."""

    def __init__(self, folder: Path, name: str, variables: dict[str, str]) -> None:
        self.folder = folder
        self.name = name
        self.variables = variables
        self.pid: Optional[int] = None
        self.started: Optional[str] = None
        self._child: Optional[subprocess.Popen[bytes]] = None

    def start(self, argv: list[str], *, env: dict[str, str], cwd: Path, log: Path) -> None:
        """Start `argv` in a session of its own; OSError if it cannot be. Markers are added to `env`."""
        log.touch(mode=0o600, exist_ok=True)
        self._child = subprocess.Popen(
            ["/bin/sh", "-c", _WRAPPER, "skynb", str(self.folder), self.name, str(log), *argv],
            cwd=cwd,
            env={**env, **self.variables},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self.pid = self._child.pid
        row = processes.look(self.pid)
        self.started = row.started if row else None

    def recover(self, pid: int | None, started: str | None) -> bool:
        """Take up a command that an earlier agent started; False if it never began."""
        self.pid, self.started = pid, started
        if pid is None:
            with suppress(FileNotFoundError, ValueError):
                self.pid = int((self.folder / f"{self.name}.pid").read_text())
        return self.pid is not None or (self.folder / f"{self.name}.pid").exists()

    def outcome(self) -> Outcome | None:
        """How it ended, or None while it runs."""
        status = self._child.poll() if self._child else None
        alive = status is None if self._child else self._adopted_is_alive()
        recorded = self._recorded()  # read after looking: a wrapper that just ended has written by then
        if recorded is not None:
            return Outcome(recorded, known=True)
        if alive:
            return None
        return Outcome(status if status and status > 0 else UNKNOWN_EXIT, known=bool(status and status > 0))

    def poll_s(self) -> float | None:
        """How often to look: never for children, whose end rings a bell."""
        return None if self._child else _ADOPTED_POLL_S

    def owner(self) -> Owner:
        """Whose processes these are."""
        return Owner(self.variables, self.pid, self.started)

    def _adopted_is_alive(self) -> bool:
        return self.pid is not None and processes.is_same(self.pid, self.started, self.variables)

    def _recorded(self) -> int | None:
        try:
            return int((self.folder / f"{self.name}.exit").read_text())
        except (FileNotFoundError, ValueError):
            return None

    def reap(self) -> None:
        """Collect the wrapper if it has ended."""
        if self._child:
            self._child.poll()


async def end(owners: list[Owner], grace_s: float) -> None:
    """TERM to every process of `owners`, up to `grace_s` of patience, then KILL until none is left."""
    left = _members(owners)
    if not left:
        return
    for owner in owners:
        processes.send_group(owner, processes.TERM)
    processes.send(_members(owners), processes.TERM)
    deadline, pause = time.monotonic() + grace_s, 0.01
    while left and time.monotonic() < deadline:
        await asyncio.sleep(min(pause, max(0.0, deadline - time.monotonic())))
        pause, left = min(pause * 1.5, 0.25), _members(owners)
    pause = 0.01
    while left:
        for owner in owners:
            processes.send_group(owner, processes.KILL)
        processes.send(left, processes.KILL)
        await asyncio.sleep(pause)
        pause, left = min(pause * 1.5, 1.0), _members(owners)


def _members(owners: list[Owner]) -> set[int]:
    found: set[int] = set()
    for owner in owners:
        found |= processes.members(owner)
    return found
