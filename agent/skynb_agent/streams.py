"""Bytes between this process's standard streams and a socket, and safe writing of what arrives on them."""

from __future__ import annotations

import os
import socket
import threading
from pathlib import Path, PurePosixPath
from typing import BinaryIO

_CHUNK = 256 * 1024


class UnsafeError(ValueError):
    """A path or archive member that would reach outside the folder it is meant for."""


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


def unpack(source: BinaryIO, folder: Path, roots: list[Path]) -> int:
    """Extract a tar stream into `folder`, under one of `roots`; the number of members.

    UnsafeError for absolute names, `..`, devices, and links that leave the folder; what came before stays.
    """
    import tarfile

    folder = _inside(folder, roots)
    folder.mkdir(parents=True, exist_ok=True)
    count = 0
    with tarfile.open(fileobj=source, mode="r|*") as archive:
        for member in archive:
            _check_member(member, folder)
            member.uid, member.gid = os.getuid(), os.getgid()
            member.mode &= 0o777
            if hasattr(tarfile, "fully_trusted_filter"):  # checked above, more strictly than "data" does
                archive.extract(member, folder, filter="fully_trusted")
            else:
                archive.extract(member, folder)
            count += 1
    return count


def _check_member(member: object, folder: Path) -> None:
    import tarfile

    assert isinstance(member, tarfile.TarInfo)  # noqa: S101 - the late import hides the type
    name = PurePosixPath(member.name)
    if name.is_absolute() or ".." in name.parts:
        raise UnsafeError(f"the archive names a path outside the folder: {member.name!r}")
    if not (member.isfile() or member.isdir() or member.issym() or member.islnk()):
        raise UnsafeError(f"the archive holds a device or pipe: {member.name!r}")
    if not _resolves_inside(folder / name.parent, folder):
        raise UnsafeError(f"the archive writes through a link: {member.name!r}")
    if member.issym() and not _resolves_inside(folder / name.parent / member.linkname, folder):
        raise UnsafeError(f"the archive holds a link to the outside: {member.name!r}")
    if member.islnk() and not _resolves_inside(folder / member.linkname, folder):
        raise UnsafeError(f"the archive holds a link to the outside: {member.name!r}")
    target = folder / name
    if not member.isdir() and target.is_symlink():
        target.unlink()  # never write through a link that was there before


def _resolves_inside(path: Path, folder: Path) -> bool:
    resolved, root = path.resolve(), folder.resolve()
    return resolved == root or root in resolved.parents


def _inside(path: Path, roots: list[Path]) -> Path:
    if ".." in path.parts:
        raise UnsafeError(f"{path} goes up")
    full = path if path.is_absolute() else roots[-1] / path
    if not any(_resolves_inside(full, root) for root in roots):
        raise UnsafeError(f"{path} is outside {' and '.join(map(str, roots))}")
    return full
