"""Which catalog is in force: the shipped snapshot, or the one that a refresh put in its place.

A refresh writes its packed snapshot beside the others, builds its database, and at last renames one small
file, `current`, whose first line names the snapshot. Readers see the old or the new, never a mix; whatever is
damaged or older than the shipped snapshot does not count. The rest of that file, JSON, says which cloud was
refreshed when and from what; who only opens the catalog does not read it.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from skynb_catalog import cache
from skynb_catalog.errors import CatalogError
from skynb_catalog.offers import Stamp

if TYPE_CHECKING:
    import sqlite3
    from pathlib import Path

_MAGIC = "skynb-edition-1"
_LINE_BYTES = 256
_KEPT = 2  # the edition in force, and the one before for who has just read the old pointer


class CloudRecord(NamedTuple):
    """When a cloud was refreshed (ISO date), how many rows it has, and how many each source gave."""

    refreshed: str
    rows: int
    sources: dict[str, int]


class Mark(NamedTuple):
    """What changes when another edition is put in force: where its pointer lies, and which file it is."""

    pointer: str
    inode: int
    written_ns: int


def mark() -> Mark:
    """The mark of now; costs no more than asking for a file's stamp."""
    pointer = os.path.join(folder(), "current")  # noqa: PTH118 - asked before each plan
    try:
        found = os.stat(pointer)  # noqa: PTH116
    except OSError:
        return Mark(pointer, 0, 0)
    return Mark(pointer, found.st_ino, found.st_mtime_ns)


def connect() -> tuple[sqlite3.Connection, Stamp]:
    """The database in force, and what it is. Raises CatalogError if not even the shipped one opens."""
    shipped = cache.shipped_stamp()
    stamp = in_force()
    if stamp != shipped:
        with suppress(CatalogError):  # damaged or gone: the shipped one is always whole
            return cache.connect(stamp, lambda: _packed(stamp)), stamp
    return cache.connect(shipped, cache.shipped_packed), shipped


def in_force() -> Stamp:
    """What is in force, by its pointer alone. Raises CatalogError if the package is damaged."""
    shipped = cache.shipped_stamp()
    refreshed = _pointed()
    return refreshed if refreshed and refreshed.collected >= shipped.collected else shipped


def packed_in_force() -> tuple[bytes, Stamp]:
    """The packed bytes that a refresh starts from, verified, and what they are."""
    stamp = in_force()
    shipped = cache.shipped_stamp()
    if stamp != shipped:
        with suppress(CatalogError):
            return _packed(stamp), stamp
    return cache.shipped_packed(), shipped


def records(stamp: Stamp) -> dict[str, CloudRecord]:
    """By cloud, what is known of its refresh in this edition; nothing for the shipped one."""
    import json

    try:
        first, _, rest = (folder() / "current").read_text(encoding="utf-8").partition("\n")
        if _parsed(first) != stamp:
            return {}
        return {cloud: _record(item) for cloud, item in json.loads(rest)["clouds"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}


def fault() -> str | None:
    """Why a refreshed edition that is there does not count, with the mend; None if all is well."""
    if not (folder() / "current").exists():
        return None
    pointed, again = _pointed(), "`skynb catalog refresh` makes it anew"
    if pointed is None:
        return f"the refreshed catalog's pointer is damaged, the shipped one is in force: {again}"
    shipped = cache.shipped_stamp()
    if pointed.collected < shipped.collected:
        return f"the refreshed catalog is older than the shipped one of {shipped.collected}: {again}"
    try:
        _packed(pointed)
    except CatalogError as error:
        return f"{error.what}: {again}"
    return None


def publish(packed: bytes, stamp: Stamp, clouds: dict[str, CloudRecord]) -> None:
    """Put a snapshot in force, whole or not at all. Raises OSError, sqlite3.Error: the old one stays."""
    import json

    path = _file(stamp)
    _write(path, packed)
    cache.connect(stamp, lambda: _packed(stamp)).close()
    page = json.dumps({"clouds": {name: record._asdict() for name, record in sorted(clouds.items())}})
    line = f"{_MAGIC} {stamp.hash} {stamp.collected} {stamp.rows}"
    _write(folder() / "current", f"{line}\n{page}\n".encode())
    _sweep(path)


def folder() -> Path:
    """Where refreshed editions lie."""
    return cache.cache_dir() / "editions"


def _pointed() -> Stamp | None:
    try:
        # pathlib, on this way only, would cost every first plan some milliseconds
        with open(cache.cached("editions", "current"), "rb") as file:  # noqa: PTH123 - as above
            return _parsed(file.readline(_LINE_BYTES).decode("ascii"))
    except (OSError, ValueError):
        return None


def _parsed(line: str) -> Stamp | None:
    magic, digest, collected, rows = (line.split() + [""] * 4)[:4]
    known = magic == _MAGIC and len(digest) == 64 and digest.isalnum() and len(collected) == 10
    return Stamp(digest, collected, int(rows)) if known else None


def _record(item: dict[str, Any]) -> CloudRecord:
    sources = {str(name): int(rows) for name, rows in item["sources"].items()}
    return CloudRecord(str(item["refreshed"]), int(item["rows"]), sources)


def _file(stamp: Stamp) -> Path:
    return folder() / f"{stamp.hash[:16]}.xz"


def _packed(stamp: Stamp) -> bytes:
    from hashlib import sha256

    try:
        packed = _file(stamp).read_bytes()
    except OSError as error:
        raise CatalogError("the refreshed catalog is gone", why=str(error)) from error
    if sha256(packed).hexdigest() != stamp.hash:
        raise CatalogError("the refreshed catalog is damaged", mend="`skynb catalog refresh` makes it anew")
    return packed


def _write(path: Path, data: bytes) -> None:
    import tempfile

    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f"{path.stem}-", suffix=".part")
    part = path.parent / name
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def _sweep(current: Path) -> None:
    """Remove what killed refreshes left, and editions that nobody reads any more."""
    with suppress(OSError):
        old = sorted(folder().glob("*.xz"), key=lambda path: path.stat().st_mtime, reverse=True)
        spare = [path for path in old if path != current][_KEPT - 1 :]
        for path in [*spare, *folder().glob("*.part")]:
            path.unlink(missing_ok=True)
