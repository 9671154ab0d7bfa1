"""Decides whether a node may live on. Pure; both clocks are monotonic seconds measured by the caller.

Presence: without a word from the server for `presence_s` and with nothing running, the node ends itself.
Paid: past the moment until which the server granted money the node ends itself, whatever runs.
Envelope: while the server is away, running work may last `envelope_s` in all (None = as long as it runs).
"""

from __future__ import annotations

from typing import NamedTuple, Optional

AWAY_AFTER_S = 60.0


class Terms(NamedTuple):
    """What the server granted. presence_s None or <= 0 = no presence lease."""

    presence_s: Optional[float] = None
    envelope_s: Optional[float] = None


class Paid(NamedTuple):
    """Money was granted until `until`, a monotonic second; what to do then is `stop` or `down`."""

    until: float
    end: str


class Facts(NamedTuple):
    """What the node knows now. away_work_s = seconds of running work since the server was last in touch."""

    silent_s: float
    working: bool
    away_work_s: float


class Verdict(NamedTuple):
    """remaining_s None = no end in sight; expired says why, or None to live on."""

    remaining_s: Optional[float]
    away: bool
    expired: Optional[str]


def decide(terms: Terms, facts: Facts) -> Verdict:
    """What the lease says. An expired lease calls for `end down`."""
    away = facts.silent_s > AWAY_AFTER_S
    if facts.working:
        if terms.envelope_s is None:
            return Verdict(None, away, None)
        left = terms.envelope_s - facts.away_work_s
        return Verdict(max(0.0, left), away, "the work envelope is spent" if left <= 0 else None)
    if not terms.presence_s or terms.presence_s <= 0:
        return Verdict(None, away, None)
    left = terms.presence_s - facts.silent_s
    return Verdict(max(0.0, left), away, "the presence lease has run out" if left <= 0 else None)


def unpaid(paid: Optional[Paid], now: float) -> Optional[str]:
    """What a node must do whose money is used up: `stop`, `down`, or None to live on."""
    return paid.end if paid is not None and now >= paid.until else None


def away_work(previous_s: float, elapsed_s: float, *, working: bool, silent_s: float) -> float:
    """The envelope's clock after `elapsed_s` more; the server's word sets it back to zero."""
    if silent_s < elapsed_s:
        return silent_s if working else 0.0
    return previous_s + elapsed_s if working else previous_s
