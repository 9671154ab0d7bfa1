"""The machines of a simulated cloud as plain data, and what time does to them."""

from __future__ import annotations

from typing import Literal

import msgspec

from skynb_clusters.contract import Machine, MachineState
from skynb_clusters.providers.sim.bill import Charge, Span
from skynb_clusters.providers.sim.faults import Fault, Spot

OFF: frozenset[MachineState] = frozenset({"stopped", "terminated"})
What = Literal["run", "off", "end", "forget", "preempt", "reclaim", "crash", "vanish", "rise", "notice"]


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """How a simulated cloud usually behaves; all in seconds, each machine differs by up to a quarter.

    consistency_s: how late a list may be, which the provider says of itself. forget_s: how long an ended
    machine is still listed. bills_boot: a machine is charged from the order, not from when it runs.
    """

    boot_s: float = 20.0
    stop_s: float = 8.0
    end_s: float = 12.0
    consistency_s: float = 5.0
    forget_s: float = 3600.0
    bills_boot: bool = True
    guest_shutdown_stops_billing: bool = True


class Due(msgspec.Struct, frozen=True):
    """What happens to a machine at a time."""

    at: float
    what: What


class Unit(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One machine.

    marks: what faults made of it. hidden_until: not listed before. shown_until: listed as running until then.
    disk: another number is another, empty disk. played: the boot and disk that real processes stand for.
    """

    id: str
    token: str
    tags: dict[str, str]
    type: str
    region: str
    created_at: float
    zone: str = ""
    spot: bool = False
    labels: dict[str, str] = {}
    hourly_micro: int = 0
    on_shutdown: str = "terminate"
    state: MachineState = "pending"
    address: str = ""
    ended_by: str = ""
    spans: list[Span] = []
    due: list[Due] = []
    marks: dict[str, float] = {}
    notices: list[float] = []
    ports: list[str] = []
    hidden_until: float = 0.0
    shown_until: float = 0.0
    boots: int = 1
    played: str = ""
    disk: int = 1

    @property
    def spot_of(self) -> Spot:
        """Where faults look for it."""
        place = f"{self.region}/{self.zone}" if self.zone else self.region
        return Spot(place, self.type, self.id)

    @property
    def billed(self) -> bool:
        """Whether it is charged now."""
        return bool(self.spans) and self.spans[-1].end is None

    def machine(self, skew: float = 0.0) -> Machine:
        """As the infra reports it."""
        span = self.spans[-1] if self.spans else None
        shown: MachineState = self.state
        if self.shown_until and shown in {"terminating", "terminated", "stopping", "stopped"}:
            shown = "running"
        return Machine(
            id=self.id,
            token=self.token,
            state=shown,
            tags=dict(self.tags),
            address=self.address,
            place=self.region,
            zone=self.zone,
            instance_type=self.type,
            spot=self.spot,
            created_at=self.created_at + skew,
            ended_by=self.ended_by if shown == self.state else "",
            billed_from=None if span is None else span.begin + skew,
            billed_to=None if span is None or span.end is None or shown != self.state else span.end + skew,
        )

    def plan(self, at: float, what: What) -> None:
        """Have something happen to it."""
        self.due = sorted([*self.due, Due(at, what)], key=lambda due: due.at)

    def forget(self, *whats: What) -> None:
        """What will not happen now."""
        self.due = [due for due in self.due if due.what not in whats]

    def bill_from(self, now: float) -> None:
        """Charged from now on, at its price."""
        if not self.billed:
            hourly = round(self.hourly_micro * self.marks.get("price", 1.0))
            self.spans = [*self.spans, Span(now, hourly)]

    def bill_to(self, now: float) -> None:
        """Charged no more, but for what faults add."""
        if self.billed:
            last = msgspec.structs.replace(self.spans[-1], end=now + self.marks.get("billed-on", 0.0))
            self.spans = [*self.spans[:-1], last]


class Memory(msgspec.Struct, kw_only=True, omit_defaults=True):
    """All that a simulated cloud remembers.

    tokens: the machine of each, for ever. past: the bill of machines that nothing lists any more. struck: how
    often each fault has struck, by its number. before: older lists, for stale looks.
    """

    seed: str
    began_at: float
    units: dict[str, Unit] = {}
    tokens: dict[str, str] = {}
    past: list[Charge] = []
    faults: tuple[Fault, ...] = ()
    struck: dict[int, int] = {}
    draws: int = 0
    looks: int = 0
    before: list[tuple[float, tuple[Machine, ...]]] = []


def passed(unit: Unit, now: float, terms: Terms) -> bool:
    """Let what is due happen, in order; False once nothing lists the machine any more."""
    while unit.due and unit.due[0].at <= now:
        due, unit.due = unit.due[0], unit.due[1:]
        if due.what in {"forget", "vanish"}:
            unit.bill_to(due.at)
            return False
        _happen(unit, due, terms)
    if unit.shown_until and unit.shown_until <= now:
        unit.shown_until = 0.0
    return True


def end(unit: Unit, now: float, seconds: float, by: str) -> None:
    """It is ending, and gone after `seconds`."""
    unit.forget("run", "off", "preempt", "reclaim", "crash", "vanish", "notice")
    unit.state, unit.ended_by = "terminating", by
    unit.bill_to(now)
    unit.plan(now + seconds, "end")


def halt(unit: Unit, now: float, seconds: float, by: str) -> None:
    """It is stopping, and off after `seconds`."""
    unit.forget("run", "preempt", "reclaim", "crash", "notice")
    unit.state, unit.ended_by = "stopping", by
    if "still-billed" not in unit.marks:
        unit.bill_to(now)
    unit.plan(now + seconds, "off")


def _happen(unit: Unit, due: Due, terms: Terms) -> None:
    at = due.at
    if due.what == "run":
        unit.state = "running"
        unit.bill_from(at)
    elif due.what == "off":
        unit.state = "stopped"
    elif due.what == "end":
        unit.state = "terminated"
        unit.plan(at + terms.forget_s, "forget")
    elif due.what == "rise":
        unit.forget("end", "forget")
        unit.state, unit.ended_by = "running", ""
        unit.bill_from(at)
    elif due.what == "notice":
        unit.notices = [*unit.notices, at]
    elif unit.state in {"pending", "running"}:
        _take(unit, due, terms)


def _take(unit: Unit, due: Due, terms: Terms) -> None:
    if due.what == "preempt":
        end(unit, due.at, terms.end_s, "preemption")
    elif due.what == "reclaim":
        halt(unit, due.at, terms.stop_s, "request")
    else:
        halt(unit, due.at, 0.0, "")
        unit.state = "stopped"
        unit.forget("off")
