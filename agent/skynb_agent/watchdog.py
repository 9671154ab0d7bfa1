"""Keeps the node's clocks: how long idle, how long without the server, and what follows from it.

The deciders are idle.py and lease.py; this gathers their facts once a second.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Optional, Tuple

from skynb_agent import files, idle, lease, processes
from skynb_agent.idle import Idleness, Signal

if TYPE_CHECKING:
    from pathlib import Path

_WHO_EVERY_S = 30.0


class Watchdog:
    """The clocks of one node.

    busy: names of what runs. working: whether the lease must let it run on. sensed: other signs of use.
    """

    def __init__(
        self,
        root: Path,
        granted: Dict[str, Any],
        busy: Callable[[], List[str]],
        working: Callable[[], bool],
        sensed: Callable[[], List[Signal]] = list,
    ) -> None:
        now = time.monotonic()
        self._path = root / "clocks.json"
        stored = files.read_json(self._path) or {}
        self.lease_terms = lease.Terms(
            *stored.get("lease", (granted.get("presence_s"), granted.get("envelope_s")))
        )
        self.paid = _paid(stored.get("paid"), now)
        self.idle_terms = idle.Terms(*stored.get("autostop", ()))._replace(armed_at=now)
        self._busy, self._working, self._sensed = busy, working, sensed
        self._heard = self._last_busy = self._ticked = now
        self._away_work = 0.0
        self._who: Tuple[float, Optional[int]] = (float("-inf"), None)

    def heard(self, ago_s: float = 0.0) -> None:
        """The server was in touch `ago_s` ago, here or at the head."""
        self._heard = max(self._heard, time.monotonic() - ago_s)

    def new_job(self) -> None:
        """A job arrived: the idle clock starts again."""
        self._last_busy = time.monotonic()

    def renew(self, presence_s: float | None, envelope_s: float | None) -> None:
        """The server grants new terms."""
        terms = lease.Terms(presence_s, envelope_s)
        if terms != self.lease_terms:
            self.lease_terms = terms
            self._save()

    def pay(self, paid_s: float | None, end: str) -> None:
        """The server grants money for so many seconds from now; None takes the limit away."""
        self.paid = None if paid_s is None else lease.Paid(time.monotonic() + paid_s, end)
        self._save()

    def arm(self, idle_minutes: float | None, *, down: bool, wait_for: str) -> None:
        """Set autostop; None or a negative number takes it back."""
        off = idle_minutes is None or idle_minutes < 0
        self.idle_terms = idle.Terms(None if off else idle_minutes, down, wait_for, time.monotonic())
        self._save()

    def tick(self) -> tuple[str, str] | None:
        """Look at the clocks; what the node must do by itself, as (mode, reason). Once a second."""
        now = time.monotonic()
        silent, working = now - self._heard, self._working()
        elapsed, self._ticked = now - self._ticked, now
        self._away_work = lease.away_work(self._away_work, elapsed, working=working, silent_s=silent)
        if mode := lease.unpaid(self.paid, now):
            return mode, "the money granted to this node is used up"
        verdict = lease.decide(self.lease_terms, lease.Facts(silent, working, self._away_work))
        if verdict.expired:
            return "down", verdict.expired
        idleness = self.idleness(now)
        if verdict.away and idleness.due and idleness.action:
            return idleness.action, "autostop is due and the server is away"
        return None

    def idleness(self, now: float) -> Idleness:
        """The idle verdict, with the clock moved on if something is busy."""
        signals = self._signals(now)
        if idle.heeded(self.idle_terms, signals):
            self._last_busy = now
        return idle.decide(self.idle_terms, signals, self._last_busy, now)

    def contact(self) -> dict[str, Any]:
        """What the head tells its workers with each ping."""
        return {"contact_s": time.monotonic() - self._heard, "lease": list(self.lease_terms)}

    def take_contact(self, facts: dict[str, Any]) -> None:
        """What a worker learns from its head's ping."""
        if "contact_s" in facts:
            self.heard(float(facts["contact_s"]))
        if "lease" in facts:
            self.renew(*facts["lease"][:2])

    def status(self) -> dict[str, Any]:
        """Both clocks, for `status`."""
        now = time.monotonic()
        silent = now - self._heard
        verdict = lease.decide(self.lease_terms, lease.Facts(silent, self._working(), self._away_work))
        terms = self.idle_terms
        autostop = {"idle_minutes": terms.idle_minutes, "down": terms.down, "wait_for": terms.wait_for}
        kept = {
            **self.lease_terms._asdict(),
            **verdict._asdict(),
            "silent_s": silent,
            "away_work_s": self._away_work,
            "paid_s": self.paid.until - now if self.paid else None,
        }
        return {"idle": {**self.idleness(now)._asdict(), "autostop": autostop}, "lease": kept}

    def _signals(self, now: float) -> list[Signal]:
        found = [Signal(name, busy=True) for name in self._busy()]
        if self.idle_terms.idle_minutes is not None and self.idle_terms.wait_for == "jobs_and_ssh":
            if now - self._who[0] > _WHO_EVERY_S:
                self._who = (now, processes.ssh_sessions())
            found.append(Signal("ssh", busy=bool(self._who[1]), supported=self._who[1] is not None))
            found += self._sensed()
        return found

    def _save(self) -> None:
        terms = self.idle_terms
        autostop = [terms.idle_minutes, terms.down, terms.wait_for]
        paid = self.paid and [time.time() + self.paid.until - time.monotonic(), self.paid.end]
        kept = {"lease": list(self.lease_terms), "autostop": autostop, "paid": paid}
        files.write_json(self._path, kept)


def _paid(stored: Any, now: float) -> Optional[lease.Paid]:
    """What was granted before this agent started: in wall time, as a boot resets the other clock."""
    return lease.Paid(now + float(stored[0]) - time.time(), str(stored[1])) if stored else None
