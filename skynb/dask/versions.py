"""May this process work with that scheduler? Asked before any work starts."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from importlib import metadata
from typing import Any

from skynb.errors import ConflictError

_SAME = ("dask", "distributed", "msgpack", "cloudpickle")


def ours() -> dict[str, str]:
    """The versions of this process that matter to Dask; Python's under `python`."""
    return {"python": platform.python_version(), **{name: _installed(name) for name in _SAME}}


def of_scheduler(answer: Mapping[str, Any]) -> dict[str, str]:
    """The same, from what a scheduler answers to `versions`."""
    found = {name: str(answer.get("packages", {}).get(name) or "") for name in _SAME}
    python = str(dict(answer.get("host", {})).get("python", ""))
    return {"python": python.removesuffix(".final.0"), **found}


def compare(mine: Mapping[str, str], theirs: Mapping[str, str]) -> str | None:
    """A warning worth showing, or None; ConflictError where functions sent there would not run."""
    here, there = _minor(mine["python"]), _minor(theirs["python"])
    if here != there:
        raise ConflictError(
            f"this process runs Python {mine['python']} and the nodes run {theirs['python'] or 'another'}",
            why="Dask sends functions as bytecode, which one minor version of Python cannot read of another",
            mend=f"Use a kernel with Python {there}, or nodes with Python {here}",
        )
    unlike = [
        f"{name} {mine[name]} here, {theirs[name]} there"
        for name in _SAME
        if mine.get(name) and theirs.get(name) and mine[name] != theirs[name]
    ]
    return f"Versions differ from the nodes': {'; '.join(unlike)}" if unlike else None


def _minor(version: str) -> str:
    return ".".join(version.split(".")[:2])


def _installed(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""
