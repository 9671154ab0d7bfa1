"""Durable small files: a reader sees the old content or the new, never half."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path


def write_bytes(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Replace `path` by `data`; on disk when this returns. OSError as the system gives it."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    try:
        os.fchmod(handle, mode)
        view = memoryview(data)
        while view:
            view = view[os.write(handle, view) :]
        os.fsync(handle)
    finally:
        os.close(handle)
    temporary.replace(path)
    sync_folder(path.parent)


def write_json(path: Path, value: Any) -> None:
    """Replace `path` by `value` as JSON, readable by the owner only."""
    write_bytes(path, json.dumps(value, separators=(",", ":")).encode())


def read_json(path: Path) -> Any:
    """The value in `path`, or None if there is no such file."""
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError:
        return None


def sync_folder(folder: Path) -> None:
    """Make renames in `folder` durable, where the file system can."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def private_folder(folder: Path) -> Path:
    """Make `folder` (and its parents) with mode 0700, and return it."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def remove(path: Path) -> None:
    """Delete a file that may be gone already."""
    with suppress(FileNotFoundError):
        path.unlink()
