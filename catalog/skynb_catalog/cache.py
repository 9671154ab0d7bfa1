"""The user's cached database: where it lies, how it comes to be, and when it is thrown away.

Several processes may start at once and each may build it: every one writes its own temporary file and renames
it into place, so that a reader sees a whole file or none.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import suppress
from functools import cache
from os import path as paths
from typing import TYPE_CHECKING

from skynb_catalog import seals
from skynb_catalog.errors import CatalogError
from skynb_catalog.offers import Stamp

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SHIPPED = paths.join(paths.dirname(__file__), "snapshot", "offers.xz")
SCHEMA = 3  # part of the file's name: raise it with every change of the tables in `schema.py`
_OLDEST_SQLITE = (3, 35)
_KEEP_SECONDS = 30 * 24 * 3600


def shipped_stamp() -> Stamp:
    """What the snapshot inside this package is. Raises CatalogError if the package is damaged."""
    try:
        with open(paths.join(paths.dirname(SHIPPED), "stamp.txt"), encoding="ascii") as file:
            digest, collected, rows = file.read().split()
        return Stamp(digest, collected, int(rows))
    except (OSError, ValueError) as error:
        raise CatalogError(
            "the catalog's snapshot is missing", why=str(error), mend="Reinstall skynb"
        ) from error


def shipped_packed() -> bytes:
    """The bytes of the snapshot inside this package. Raises OSError."""
    with open(SHIPPED, "rb") as file:
        return file.read()


def cache_dir() -> Path:
    """`$SKYNB_CACHE_DIR`, else `$XDG_CACHE_HOME/skynb`, else `~/.cache/skynb`."""
    from pathlib import Path

    return Path(cached())


def cached(*names: str) -> str:
    """The path of something in `cache_dir()`."""
    own = os.environ.get("SKYNB_CACHE_DIR")
    base = os.environ.get("XDG_CACHE_HOME") or paths.expanduser(paths.join("~", ".cache"))
    return paths.join(own or paths.join(base, "skynb"), *names)


def connect(stamp: Stamp, packed: Callable[[], bytes]) -> sqlite3.Connection:
    """A read-only connection to the database of this snapshot, built if it is missing or corrupt.

    packed: gives the snapshot's bytes, and is asked only when the database is built. A cache directory that
    cannot be written falls back to a folder of this process; raises CatalogError when that fails too.
    """
    if sqlite3.sqlite_version_info < _OLDEST_SQLITE:
        needed = ".".join(map(str, _OLDEST_SQLITE))
        raise CatalogError(
            f"this Python has SQLite {sqlite3.sqlite_version}, the catalog needs {needed}",
            mend="Take a newer Python, or one that brings its own SQLite",
        )
    path = cached(_file_name(stamp))
    found = _open(path, stamp)
    if found is not None:
        return found
    try:
        return _build_and_open(path, stamp, packed)
    except (OSError, sqlite3.Error) as first:
        try:
            return _build_and_open(paths.join(_own_folder(), _file_name(stamp)), stamp, packed)
        except (OSError, sqlite3.Error) as second:
            raise CatalogError(
                f"the catalog cannot be unpacked into {paths.dirname(path)}",
                why=f"{first}; a temporary folder did not do either ({second})",
                mend="Free some disk space, or set SKYNB_CACHE_DIR to a folder that can be written",
            ) from second


def discard(stamp: Stamp) -> None:
    """Forget a database that turned out to be corrupt, so that the next `connect` builds it anew."""
    with suppress(OSError):
        os.unlink(cached(_file_name(stamp)))
    seals.unseal(cached(_file_name(stamp)))
    _own_folder.cache_clear()


def _file_name(stamp: Stamp) -> str:
    return f"catalog-{SCHEMA}-{stamp.hash[:16]}.sqlite"


@cache
def _own_folder() -> str:
    # Not a fixed name: in a shared /tmp somebody else could have put a file there before us.
    import atexit
    import shutil
    import tempfile

    folder = tempfile.mkdtemp(prefix="skynb-catalog-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _open(path: str | Path, stamp: Stamp) -> sqlite3.Connection | None:
    """A connection, or None if the file is missing, damaged, or of something else."""
    name = paths.abspath(path).replace("%", "%25").replace("?", "%3f").replace("#", "%23")
    try:
        if not seals.is_sound(os.fspath(path)):
            return None
        size = os.stat(path).st_size
        db = sqlite3.connect(f"file:{name}?mode=ro&immutable=1", uri=True, check_same_thread=False)
    except (OSError, sqlite3.Error):
        return None
    try:
        marked = db.execute("SELECT value FROM meta WHERE key = 'hash'").fetchone()
        pages = db.execute("PRAGMA page_count").fetchone()[0] * db.execute("PRAGMA page_size").fetchone()[0]
    except (sqlite3.Error, TypeError, ValueError):  # a damaged schema need not even be text
        db.close()
        return None
    if marked != (stamp.hash,) or pages != size:
        db.close()
        return None
    return db


def _build_and_open(path: str, stamp: Stamp, packed: Callable[[], bytes]) -> sqlite3.Connection:
    build(path, stamp, packed())
    db = _open(path, stamp)
    if db is None:
        raise OSError(f"{path} is not what was written to it")
    return db


def build(path: str | Path, stamp: Stamp, packed: bytes) -> None:
    """Write the database of a snapshot to `path`, whole or not at all. Raises OSError, sqlite3.Error."""
    import tempfile  # these are heavy, and only the first use of a snapshot needs them
    from pathlib import Path

    from skynb_catalog import schema
    from skynb_catalog.snapshots import unpack

    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f"{path.stem}-", suffix=".part")
    os.close(handle)
    try:
        schema.write(unpack(packed), stamp, Path(name))
        with Path(name).open("rb") as written:
            os.fsync(written.fileno())  # a crash after the rename must not leave holes behind it
        Path(name).replace(path)
        seals.seal(str(path))
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    _sweep(path)


def _sweep(current: Path) -> None:
    """Remove what older versions and interrupted builds left; a version still in use builds itself anew."""
    import time

    oldest = time.time() - _KEEP_SECONDS
    for other in current.parent.glob("catalog-*"):
        with suppress(OSError):
            if other != current and other.stat().st_mtime < oldest:
                other.unlink()
