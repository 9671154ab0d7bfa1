"""Bytes between this process's standard streams and a socket, and safe writing of what arrives on them."""

from __future__ import annotations

import os
import socket
import threading
from pathlib import Path
from typing import BinaryIO

_CHUNK = 256 * 1024


class UnsafeError(ValueError):
    """A path that would reach outside the folder it is meant for."""


def connect(target: str) -> socket.socket:
    """A socket to `unix:PATH` or `tcp:HOST:PORT`; OSError or ValueError."""
    kind, _, rest = target.partition(":")
    if kind == "unix":
        path = Path(rest)
        if path.parent != Path():  # the length of a socket's path is bounded, a folder's is not
            os.chdir(path.parent)
        line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        line.connect(path.name)
        return line
    if kind == "tcp":
        host, _, port = rest.rpartition(":")
        return socket.create_connection((host.strip("[]"), int(port)), timeout=30)
    raise ValueError(f"a target is unix:PATH or tcp:HOST:PORT, not {target!r}")


def bridge(line: socket.socket) -> None:
    """Copy standard input to `line` and `line` to standard output until `line` ends."""
    line.settimeout(None)
    threading.Thread(target=_send_all, args=(line,), daemon=True).start()
    while True:
        chunk = line.recv(_CHUNK)
        if not chunk:
            return
        view = memoryview(chunk)
        while view:
            view = view[os.write(1, view) :]


def _send_all(line: socket.socket) -> None:
    try:
        while True:
            chunk = os.read(0, _CHUNK)
            if not chunk:
                break
            line.sendall(chunk)
        line.shutdown(socket.SHUT_WR)
    except OSError:
        line.close()


def receive(source: BinaryIO, path: Path, mode: int, roots: list[Path]) -> int:
    """Write `source` to `path` in one step, under one of `roots`; the byte count. UnsafeError, OSError."""
    path = _inside(path, roots)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, mode)
    total = 0
    try:
        with os.fdopen(handle, "wb") as sink:
            os.fchmod(sink.fileno(), mode)
            while chunk := source.read(_CHUNK):
                total += sink.write(chunk)
            sink.flush()
            os.fsync(sink.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink()
        raise
    return total


def resolves_inside(path: Path, folder: Path) -> bool:
    """Whether a path, through all links that are there, ends in a folder."""
    resolved, root = path.resolve(), folder.resolve()
    return resolved == root or root in resolved.parents


def _inside(path: Path, roots: list[Path]) -> Path:
    if ".." in path.parts:
        raise UnsafeError(f"{path} goes up")
    full = path if path.is_absolute() else roots[-1] / path
    if not any(resolves_inside(full, root) for root in roots):
        raise UnsafeError(f"{path} is outside {' and '.join(map(str, roots))}")
    return full
