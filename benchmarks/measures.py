"""What the parts of the table share: a row, and the time to the first line of a log."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from scratch import Home

from skynb.wire import LaunchAnswer


@dataclass
class Row:
    """One line of the table. peer: the name of SkyPilot's figure, by which peer.py knows it."""

    what: str
    budget: str
    values: list[float] = field(default_factory=list)
    unit: str = "ms"
    peer: str = ""
    note: str = ""


def first_line(here: Home, ask: Callable[[], LaunchAnswer]) -> float:
    """Milliseconds until the first piece of the log is here; the log is then read to its end."""
    start = time.perf_counter()
    pieces = here.pieces(ask())
    when, _ = next(pieces)
    list(pieces)
    return (when - start) * 1e3
