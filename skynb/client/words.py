"""Times, durations and money as people read them."""

from __future__ import annotations

import time

MOST_DOLLARS = 1e9


def ago(at: float | None, now: float) -> str:
    """`2 min ago`; `-` for never."""
    if at is None:
        return "-"
    seconds = max(0.0, now - at)
    return "just now" if seconds < 1 else f"{span(seconds)} ago"


def span(seconds: float) -> str:
    """A duration in its largest unit: `45 s`, `2 min`, `3 h`, `5 days`."""
    for size, unit in ((86400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size or (size < 86400 and seconds >= size):
            return f"{seconds // size:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"


def clock(seconds: float) -> str:
    """A running time: `0:07`, `12:30`, `1:02:03`."""
    minutes, rest = divmod(int(max(0.0, seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def moment(at: float) -> str:
    """A point in time, in the reader's zone."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))


def dollars(micro: int) -> str:
    """Micro-dollars with four decimals, so that cents of an hour show."""
    return f"${micro / 1e6:,.4f}"


def micro(dollars: float, where: str) -> int:
    """US dollars as micro-dollars; SpecError naming the option if that is no amount."""
    from skynb.errors import SpecError

    if not 0 <= dollars < MOST_DOLLARS:  # also refuses what is not a number
        raise SpecError(f"{dollars} is no amount of dollars", where=where, mend="Write it like 20 or 7.50")
    return round(dollars * 1_000_000)


def megabytes(sent: float, of: float) -> str:
    """How far something has come, of so many bytes: `12.0 of 80.5 MB`."""
    return f"{sent / 1e6:,.1f} of {of / 1e6:,.1f} MB"


def hourly(micro: int) -> str:
    """A price per hour."""
    return f"{dollars(micro)}/h"
