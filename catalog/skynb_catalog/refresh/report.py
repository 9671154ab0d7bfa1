"""What a refresh says: while it runs, and at the end."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

State = Literal["landed", "in part", "failed", "left out"]


@dataclass(frozen=True, slots=True)
class Progress:
    """How far one source is. units 0: not known yet. state None: it runs."""

    source: str
    done: int = 0
    units: int = 0
    size: int = 0
    rows: int = 0
    state: State | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class SourceResult:
    """What became of a source.

    rows: by cloud. asked, unchanged, resumed: units that were fetched, were still right, or had come before.
    failures: (unit, why). refused: rows that could not be used, by reason. note: why it was left out.
    """

    name: str
    clouds: tuple[str, ...]
    state: State
    rows: dict[str, int] = field(default_factory=dict)
    asked: int = 0
    unchanged: int = 0
    resumed: int = 0
    failures: tuple[tuple[str, str], ...] = ()
    refused: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    note: str = ""


@dataclass(frozen=True, slots=True)
class CloudResult:
    """What became of a cloud. moved: prices that changed by more than 10 %. kept_old: why, else None."""

    cloud: str
    sources: tuple[str, ...]
    rows: int
    added: int
    removed: int
    moved: int
    set_aside: int
    kept_old: str | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """The outcome of a refresh. published: a new edition is in force."""

    sources: tuple[SourceResult, ...]
    clouds: tuple[CloudResult, ...]
    published: bool
    dry_run: bool
    hash: str
    collected: str
    rows: int
    seconds: float

    @property
    def ok(self) -> bool:
        """Whether all that was asked for landed; what was left out for want of a key does not count."""
        failed = any(source.state in {"failed", "in part"} for source in self.sources)
        return not failed and all(cloud.kept_old is None for cloud in self.clouds)
