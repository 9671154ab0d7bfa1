"""A real server in a scratch home: `server` starts with its first use and leaves nothing behind."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from skynb import jobs
from skynb.client import sdk
from skynb.client import server as daemon
from skynb.client.waiting import until

DOWN_SECONDS = 40.0


class LiveServer:
    """The server of this test session."""

    home = Path(os.environ.get("SKYNB_HOME", ""))

    def names(self) -> list[str]:
        """Live clusters."""
        return [item.name for item in sdk.status()]


@pytest.fixture(scope="session")
def server() -> Iterator[LiveServer]:
    """At the end every cluster goes, the daemon stops, and no process of a machine of this home is left."""
    found = LiveServer()
    found.home = Path(os.environ["SKYNB_HOME"])
    yield found
    try:
        if jobs.queue(skip_finished=True, limit=1000):
            jobs.cancel(all=True)
            until(lambda: not jobs.queue(skip_finished=True) or None, DOWN_SECONDS, "managed jobs")
        for asked in [sdk.down(name, wait=False) for name in found.names()]:
            sdk.settled(asked, timeout=DOWN_SECONDS)
    finally:
        daemon.stop()
    assert machine_processes(found.home) == []


def machine_processes(home: Path) -> list[str]:
    """Command lines of processes that belong to machines of this home."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            environment = (folder / "environ").read_bytes()
            if b"SKYNB_LOCAL_MACHINE=local-" in environment and os.fsencode(home) in environment:
                found.append((folder / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except (OSError, PermissionError):
            continue
    return found
