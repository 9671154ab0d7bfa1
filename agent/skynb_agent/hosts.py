"""Machines that this node is to know by name: in a file of its own, and in the system's where it may be."""

from __future__ import annotations

import os
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any

from skynb_agent import files

FILE = "hosts"  # below R; jobs find it by SKYNB_HOSTS
_SYSTEM = Path("/etc/hosts")
_BEGIN, _END = "# skynb begins\n", "# skynb ends\n"
_MOST_S = 10.0


def tell(root: Path, lines: list[str], *, system: bool) -> None:
    """Know these lines (`ADDRESS NAME`) and no others. system: this machine's resolver may, too.

    Where the system's file cannot be written, as without root or sudo, jobs have the other one.
    """
    text = "".join(f"{line}\n" for line in lines)
    if system:
        _tell_system(text)
    files.write_bytes(root / FILE, text.encode(), 0o644)


def _tell_system(text: str) -> None:
    before = _SYSTEM.read_text(encoding="utf-8", errors="surrogateescape") if _SYSTEM.is_file() else ""
    head, found, rest = before.partition(_BEGIN)
    kept = head + rest.partition(_END)[2] if found else before
    after = f"{kept}{_BEGIN}{text}{_END}" if text else kept
    if after == before:
        return
    argv = ["sh", "-c", "cat > /etc/hosts"]
    if os.geteuid() != 0:
        argv = ["sudo", "-n", *argv]
    told: Any = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "timeout": _MOST_S}
    with suppress(OSError, subprocess.TimeoutExpired):
        subprocess.run(argv, input=after.encode(errors="surrogateescape"), check=False, **told)
