"""Whether a file still has the bytes that were written.

A checksum lies beside it, with the file's stamp of when it was last checked. As long as that stamp and the
day are the same, nobody wrote to the file; otherwise it is read once. SQLite notices only some damage by
itself, and a price with a flipped bit would be a wrong answer.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from typing import NamedTuple

_MAGIC = "skynb-seal-1"
_CHUNK = 1 << 20


class _Seal(NamedTuple):
    checksum: int
    size: int
    written_ns: int
    changed_ns: int
    day: int


def seal(path: str) -> None:
    """Vouch for a file as it is now. Raises OSError."""
    _write(path, _now(path, _checksum(path)))


def is_sound(path: str) -> bool:
    """Whether the file is as it was sealed; False too if nobody sealed it.

    Raises OSError if it is not there.
    """
    known = _read(path)
    if known is None:
        return False
    now = _now(path, known.checksum)
    if now == known:
        return True
    if now.size != known.size or _checksum(path) != known.checksum:
        return False
    with suppress(OSError):  # a cache that cannot be written is read anew each time
        _write(path, now)
    return True


def unseal(path: str) -> None:
    """Forget the seal of a file, if it has one."""
    with suppress(OSError):
        os.unlink(_beside(path))


def _now(path: str, checksum: int) -> _Seal:
    state = os.stat(path)
    return _Seal(checksum, state.st_size, state.st_mtime_ns, state.st_ctime_ns, int(time.time() // 86_400))


def _checksum(path: str) -> int:
    from zlib import crc32

    found = 0
    with open(path, "rb") as file:
        while chunk := file.read(_CHUNK):
            found = crc32(chunk, found)
    return found


def _beside(path: str) -> str:
    return f"{path}.seal"


def _read(path: str) -> _Seal | None:
    try:
        with open(_beside(path), encoding="ascii") as file:
            magic, *words = file.read(200).split()
        return _Seal(*map(int, words)) if magic == _MAGIC else None
    except (OSError, ValueError, TypeError):
        return None


def _write(path: str, one: _Seal) -> None:
    part = f"{_beside(path)}.{os.getpid()}.part"
    try:
        with open(part, "w", encoding="ascii") as file:
            file.write(" ".join([_MAGIC, *map(str, one)]))
        os.replace(part, _beside(path))
    except BaseException:
        with suppress(OSError):
            os.unlink(part)
        raise
