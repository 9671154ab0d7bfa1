"""Decides whether a node is idle, and whether its autostop is due. Pure; all times are monotonic seconds."""

from __future__ import annotations

from typing import List, NamedTuple, Optional, Sequence


class Signal(NamedTuple):
    """One named reason to stay up. busy None = unknown = busy; unsupported ones say nothing."""

    name: str
    busy: Optional[bool]
    supported: bool = True


class Terms(NamedTuple):
    """What autostop_set asked for. idle_minutes None = off; armed_at = when it was set."""

    idle_minutes: Optional[float] = None
    down: bool = False
    wait_for: str = "jobs_and_ssh"
    armed_at: float = 0.0


class Idleness(NamedTuple):
    """The verdict: for how long, what keeps it busy, whether autostop is due and what it would do."""

    idle_s: float
    busy: List[str]
    due: bool
    action: Optional[str]


WAIT_FOR = ("jobs_and_ssh", "jobs", "none")


def heeded(terms: Terms, signals: Sequence[Signal]) -> list[str]:
    """Names of the signals that count as busy under `terms`."""
    ignored = {"jobs_and_ssh": (), "jobs": ("ssh", "gpu", "kernels")}.get(terms.wait_for)
    if ignored is None:
        return []
    return [s.name for s in signals if s.supported and s.busy is not False and s.name not in ignored]


def decide(terms: Terms, signals: Sequence[Signal], last_busy: float, now: float) -> Idleness:
    """The verdict at `now`; `last_busy` is when any heeded signal was last busy or a job arrived.

    With wait_for `none` the clock runs from the moment autostop was set, whatever happens.
    """
    busy = heeded(terms, signals)
    since = terms.armed_at if terms.wait_for == "none" else max(last_busy, terms.armed_at)
    idle_s = 0.0 if busy else max(0.0, now - since)
    if terms.idle_minutes is None or terms.idle_minutes < 0:
        return Idleness(idle_s, busy, due=False, action=None)
    due = not busy and idle_s >= terms.idle_minutes * 60
    return Idleness(idle_s, busy, due=due, action="down" if terms.down else "stop")
