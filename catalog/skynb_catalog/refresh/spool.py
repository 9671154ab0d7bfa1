"""What has come of a source, kept on disk: a finished unit is a file of rows with its validators.

An interrupted or failed refresh leaves a *round* open; the next one within the hour goes on with it and asks
only for what is missing. Later, or when the round was closed, every unit is asked for again, with the
validators of the last answer. File names are made from digests: nothing a server says becomes a path.
"""

from __future__ import annotations

import gzip
import json
import os
import time
from contextlib import suppress
from hashlib import sha256
from typing import TYPE_CHECKING, Any, NamedTuple

from skynb_catalog.offers import Fact

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from skynb_catalog.refresh.source import Fetched

ROUND_SECONDS = 3600.0


class Kept(NamedTuple):
    """A unit's rows as of an answer. at: when it was last known to be right, in seconds since 1970."""

    facts: list[Fact]
    marks: dict[str, str]
    refused: dict[str, int]
    at: float


class Spool:
    """The folder of one source. parser: rows that another parser made do not count. mirror: nor another's."""

    def __init__(self, folder: Path, *, parser: int, mirror: str | None) -> None:
        self._folder = folder
        self._made_by = f"{parser}/{len(Fact._fields)}/{mirror or ''}"

    def begin(self) -> float:
        """Open a round, or go on with the last one; since when it is open. Raises OSError."""
        self._folder.mkdir(parents=True, exist_ok=True)
        for part in self._folder.glob("*.part"):
            part.unlink(missing_ok=True)  # of a refresh that was killed
        now = time.time()
        with suppress(OSError, ValueError):
            since = float((self._folder / "round").read_text(encoding="ascii"))
            if now - ROUND_SECONDS < since <= now:
                return since
        (self._folder / "round").write_text(str(now), encoding="ascii")
        return now

    def end(self) -> None:
        """Close the round: everything has come."""
        (self._folder / "round").unlink(missing_ok=True)

    def read(self, unit: str) -> Kept | None:
        """What is kept of a unit; None if that is nothing, or damaged."""
        try:
            with gzip.open(self._path(unit), "rt", encoding="utf-8") as lines:
                head = json.loads(next(lines))
                facts = [Fact(*json.loads(line)) for line in lines]
                at = self._path(unit).stat().st_mtime
            if head["unit"] != unit or head["made_by"] != self._made_by or head["rows"] != len(facts):
                return None
            return Kept(facts, head["marks"], head["refused"], at)
        except (OSError, EOFError, ValueError, KeyError, TypeError, StopIteration):
            return None

    def keep(self, unit: str, facts: Iterable[Fact], fetched: Fetched) -> Kept:
        """Write a unit down, whole or not at all. Raises OSError."""
        rows = list(facts)
        head: dict[str, Any] = {
            "unit": unit,
            "made_by": self._made_by,
            "rows": len(rows),
            "marks": fetched.marks,
            "refused": fetched.refused,
        }
        path = self._path(unit)
        part = path.with_suffix(".part")
        try:
            with part.open("wb") as file, gzip.open(file, "wt", compresslevel=1, encoding="utf-8") as text:
                text.writelines(json.dumps(line) + "\n" for line in (head, *rows))
            part.replace(path)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
        return Kept(rows, dict(fetched.marks), dict(fetched.refused), time.time())

    def touch(self, unit: str) -> None:
        """Note that a unit is still right."""
        with suppress(OSError):
            os.utime(self._path(unit))

    def _path(self, unit: str) -> Path:
        return self._folder / f"{sha256(unit.encode()).hexdigest()[:24]}.rows"
