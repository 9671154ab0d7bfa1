"""The name of a home's server, which its machines bear: the same after a restart, another elsewhere."""

from __future__ import annotations

from pathlib import Path

from skynb.control.clock import new_id
from skynb.control.secrets import write_private


def server_id(home: Path) -> str:
    """The name, made at the first call."""
    path = home / "server-id"
    if not path.exists():
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(path, new_id("server").encode())
    return path.read_text()


def become(home: Path, owner: str) -> None:
    """Bear another name from now on."""
    write_private(home / "server-id", owner.encode())
