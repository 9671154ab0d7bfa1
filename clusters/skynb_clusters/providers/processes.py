"""Finding and ending every process that carries a mark in its environment, on Linux and macOS."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

_PROC = Path("/proc")


def marked(mark: str) -> set[int]:
    """Pids whose environment holds `mark` ("NAME=value"), and all their descendants, without ourselves."""
    found = _marked_in_proc(mark) if (_PROC / "self" / "environ").exists() else _marked_by_ps(mark)
    ourselves = os.getpid()
    found.discard(ourselves)
    parents = _parents() if found else {}
    while below := {
        pid for pid, parent in parents.items() if parent in found and pid not in found and pid != ourselves
    }:
        found |= below
    return found


def end_marked(mark: str, grace_s: float = 2.0) -> None:
    """TERM, wait, KILL, until no marked process is left. Processes born meanwhile are found too."""
    deadline = time.monotonic() + grace_s
    sent: set[int] = set()
    while pids := marked(mark):
        late = time.monotonic() > deadline
        for pid in pids if late else pids - sent:
            _send(pid, signal.SIGKILL if late else signal.SIGTERM)
        sent |= pids
        time.sleep(0.02)


def start_time(pid: int) -> str | None:
    """Something that tells this process from a later one with the same pid; None if there is none alive."""
    try:
        fields = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None if (_PROC / "self").exists() else _ps_start_time(pid)
    return None if fields[0] in {"Z", "X"} else fields[19]


def _ps_start_time(pid: int) -> str | None:
    output = _ps("-p", str(pid), "-o", "state=,lstart=").strip()
    return None if not output or output.startswith("Z") else output.split(None, 1)[1]


def _marked_in_proc(mark: str) -> set[int]:
    needle = mark.encode() + b"\0"
    found = set()
    for entry in _PROC.iterdir():
        if entry.name.isdigit():
            try:
                environment = (entry / "environ").read_bytes()
            except OSError:
                continue  # ended meanwhile, or another user's
            if environment.startswith(needle) or b"\0" + needle in environment:
                found.add(int(entry.name))
    return found


def _marked_by_ps(mark: str) -> set[int]:
    found = set()
    shown = "-axEww" if sys.platform == "darwin" else "axeww"  # each its own word for "with environment"
    for line in _ps(shown, "-o", "pid=,command=").splitlines():
        pid, _, command = line.strip().partition(" ")
        if f" {mark} " in f"{command} ":
            found.add(int(pid))
    return found


def _parents() -> dict[int, int]:
    if (_PROC / "self" / "stat").exists():
        return _parents_in_proc()
    rows = (line.split() for line in _ps("-ax", "-o", "pid=,ppid=,state=").splitlines())
    return {int(row[0]): int(row[1]) for row in rows if len(row) == 3 and not row[2].startswith("Z")}


def _parents_in_proc() -> dict[int, int]:
    parents = {}
    for entry in _PROC.iterdir():
        if entry.name.isdigit():
            try:
                state, parent = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
            except OSError:
                continue  # ended meanwhile
            if state not in {"Z", "X"}:
                parents[int(entry.name)] = int(parent)
    return parents


def _ps(*options: str) -> str:
    return subprocess.run(["ps", *options], capture_output=True, text=True, check=False, timeout=10).stdout


def _send(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)
