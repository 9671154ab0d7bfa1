"""What runs on this machine, from /proc where there is one, else from `ps`."""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Dict, NamedTuple, Optional

PROC = Path("/proc")


class Process(NamedTuple):
    """One row of the process table; `started` is opaque and only compared for equality."""

    pid: int
    parent: int
    group: int
    session: int
    started: str
    zombie: bool


class Owner(NamedTuple):
    """Whose processes to find: everything with these variables, and the session that `pid` led."""

    variables: Dict[str, str]
    pid: Optional[int] = None
    started: Optional[str] = None


def table() -> dict[int, Process]:
    """Every process that can be seen now."""
    if not (PROC / "self" / "stat").exists():
        return _table_from_ps()
    rows = (look(int(name)) for name in os.listdir(PROC) if name.isdigit())  # noqa: PTH208 - half the cost of Path
    return {row.pid: row for row in rows if row is not None}


def look(pid: int) -> Process | None:
    """One process, or None if it is gone."""
    if not (PROC / "self" / "stat").exists():
        return _table_from_ps(["-p", str(pid)]).get(pid)
    text = _read(f"{PROC}/{pid}/stat").decode(errors="replace")
    if not text:
        return None
    # The name in parentheses may hold anything, so the fields are counted from the last one.
    fields = text[text.rindex(")") + 2 :].split()
    return Process(pid, int(fields[1]), int(fields[2]), int(fields[3]), fields[19], fields[0] in {"Z", "X"})


def carrying(variables: dict[str, str], pids: list[int]) -> set[int]:
    """Those of `pids` whose environment holds all of `variables`."""
    wanted = [f"{key}={value}" for key, value in variables.items()]
    if not (PROC / "self" / "stat").exists():
        lines = _environments_from_ps()
        return {pid for pid in pids if all(f" {item} " in f" {lines.get(pid, '')} " for item in wanted)}
    encoded = {item.encode() for item in wanted}
    return {pid for pid in pids if encoded <= set(_read(f"{PROC}/{pid}/environ").split(b"\0"))}


def is_same(pid: int, started: str | None, variables: dict[str, str]) -> bool:
    """Is `pid` alive and still the process we mean? A reused number is not."""
    row = look(pid)
    if row is None or row.zombie:
        return False
    return row.started == started if started is not None else pid in carrying(variables, [pid])


def members(owner: Owner) -> set[int]:
    """Every live process of `owner`: by variables, by session or group, and all their descendants."""
    rows = table()
    live = {pid: row for pid, row in rows.items() if not row.zombie and pid != os.getpid()}
    found = carrying(owner.variables, list(live))
    if owner.pid is not None and _session_is_ours(owner, rows, found):
        found |= {pid for pid, row in live.items() if owner.pid in {row.session, row.group}}
    grown = True
    while grown:
        children = {pid for pid, row in live.items() if row.parent in found} - found
        found |= children
        grown = bool(children)
    return found


def _session_is_ours(owner: Owner, rows: dict[int, Process], found: set[int]) -> bool:
    leader = rows.get(owner.pid or 0)
    if leader is None:  # its number cannot be reused while its group has members
        return True
    return leader.pid in found or leader.started == owner.started


def send(pids: set[int], number: int) -> None:
    """Signal each of `pids`; those that are gone or foreign are passed over."""
    for pid in pids:
        _send_one(pid, number)


def _send_one(pid: int, number: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


def send_group(owner: Owner, number: int) -> None:
    """Signal the whole group of `owner` at once, if its leader is still the one we started."""
    if owner.pid is not None and is_same(owner.pid, owner.started, owner.variables):
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(owner.pid, number)


def boot_marker() -> str | None:
    """Something that differs after each boot of this machine, or None where nothing tells."""
    text = _read(f"{PROC}/sys/kernel/random/boot_id").decode().strip()
    return text or _output(["sysctl", "-n", "kern.boottime"]).strip() or None


def ssh_sessions() -> int | None:
    """How many people are logged in from elsewhere; None where `who` cannot tell."""
    try:
        done = subprocess.run(
            ["who"],
            capture_output=True,
            text=True,
            timeout=5,
            check=True,
            env={"PATH": os.defpath, "LC_ALL": "C"},
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return sum(1 for line in done.stdout.splitlines() if line.rstrip().endswith(")") and "(:" not in line)


def _read(path: str) -> bytes:
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:
        return b""
    parts = []
    try:
        while part := os.read(handle, 65536):
            parts.append(part)
    except OSError:
        return b""
    finally:
        os.close(handle)
    return b"".join(parts)


def _output(argv: list[str]) -> str:
    # ps exits 1 when no process matches; what it printed is the answer either way
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=10, check=False, errors="replace")
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout


def _table_from_ps(which: list[str] | None = None) -> dict[int, Process]:
    text = _output(["ps", *(which or ["-ax"]), "-o", "pid=,ppid=,pgid=,state=,lstart="])
    rows: dict[int, Process] = {}
    for line in text.splitlines():
        fields = line.split(None, 4)
        if len(fields) == 5:
            pid, parent, group = (int(field) for field in fields[:3])
            # ps on macOS has no usable session column; each of ours leads its own group as well
            rows[pid] = Process(pid, parent, group, group, fields[4].strip(), fields[3][0] in {"Z", "X"})
    return rows


def _environments_from_ps() -> dict[int, str]:
    options = ["-axEww"] if os.uname().sysname == "Darwin" else ["axeww"]
    lines: dict[int, str] = {}
    for line in _output(["ps", *options, "-o", "pid=,command="]).splitlines():
        pid, _, rest = line.strip().partition(" ")
        if pid.isdigit():
            lines[int(pid)] = rest
    return lines


TERM, KILL = int(signal.SIGTERM), int(signal.SIGKILL)
