"""Which machines nobody claims, and when one of them may be ended. Pure.

A machine is claimed by a live slot in the ledger whose token it bears; a slot that is being ended claims
whatever bears its name. The token is written before the machine is asked for, so a ledger read after the
look that showed a machine knows every claim on it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

from skynb.control.records import Record
from skynb_clusters.contract import Machine
from skynb_clusters.records import NodeState

Claim = Literal["claimed", "unclaimed", "unknown", "lapsed", "others", "foreign"]
GONE = frozenset({"terminated", "terminating"})


class Verdict(msgspec.Struct, frozen=True):
    """Whose a machine is, and by what sign.

    claim: `claimed` by a live record; ours, and the ledger has let go of it (`unclaimed`) or never heard of
    it (`unknown`, as after the loss of a ledger); another owner's, its lease `lapsed` or not; or
    none of skynb's (`foreign`). A lapsed lease
    is no proof: its time is of the creation, and a living server has renewed it since.
    """

    claim: Claim
    why: str


class Reaping(msgspec.Struct, frozen=True):
    """end: machines that may be ended now. waiting: the others that were seen unclaimed, and since when."""

    end: tuple[str, ...]
    waiting: dict[str, float]


def judge(machine: Machine, record: Record | None, owner: str, now: float) -> Verdict:
    """Whose is a machine. record: what the ledger has under its name."""
    name = machine.tags.get("skynb-record", "")
    if not any(tag.startswith("skynb") for tag in machine.tags):
        return Verdict("foreign", "skynb did not rent it")
    if record is not None and not record.final:
        if record.status == "ENDING":
            return Verdict("claimed", f"{name} is being ended")
        if machine.token == record.state_as(NodeState).token:
            return Verdict("claimed", f"{name} is {record.status}")
    if not name or machine.tags.get("skynb-owner") != owner:
        return _of_others(machine, now)
    if record is None:
        return Verdict("unknown", f"the ledger has no {name}")
    if _generation(machine) > record.generation:
        return Verdict("unknown", f"it is of a later life of {name} than the ledger knows")
    if record.final:
        return Verdict("unclaimed", f"{name} has ended")
    return Verdict("unclaimed", f"{name} has another machine, or none")


def _generation(machine: Machine) -> float:
    try:
        return int(machine.tags.get("skynb-generation", ""))
    except ValueError:
        return float("inf")


def _of_others(machine: Machine, now: float) -> Verdict:
    who = machine.tags.get("skynb-owner") or "nobody known"
    try:
        until = float(machine.tags.get("skynb-lease-until", ""))
    except ValueError:
        return Verdict("others", f"it belongs to {who}")
    if now <= until:
        return Verdict("others", f"it belongs to {who}, and its lease lives")
    return Verdict("lapsed", f"it belongs to {who}; its first lease is over, a later one is not known here")


def decide_reaping(
    unclaimed: Mapping[str, float], seen: Mapping[str, float], windows: Mapping[str, float]
) -> Reaping:
    """Which machines to end: those seen unclaimed before and again now, a consistency window apart.

    unclaimed: when each was first seen so by an earlier look. seen: those that this look shows so, with the
    time when it began. windows: seconds, by machine. What this look does not show is forgotten.
    """
    first = {name: unclaimed.get(name, began) for name, began in seen.items()}
    due = [name for name, at in first.items() if name in unclaimed and seen[name] - at >= windows[name]]
    return Reaping(tuple(sorted(due)), {name: at for name, at in first.items() if name not in due})
