"""What a node costs: reserved before it is rented, settled as it runs, released when it is gone. Pure.

Where a budget caps the cluster, a node is rented only with money for its whole work envelope, or for what of
it is left, and is told for how long that lasts; without a cap an hour is held at a time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from skynb.control.records import SpendEntry
from skynb_clusters.contract import Machine
from skynb_clusters.records import NodeState, Offer

if TYPE_CHECKING:
    from skynb_clusters.deciders.node import NodeView

HELD_S = 3600  # of a node that nothing caps
LEAST_S = 900  # less than this is not worth renting a machine for
END_S = 180  # a machine is ended so long before its money is
SPENT = "the budget is used up"  # why a cluster was moved


def cost(offer: Offer | None, seconds: float) -> int:
    """Micro-dollars for so many seconds, rounded up to a whole one."""
    return -int(-(offer.hourly_micro * seconds) // 3600) if offer else 0


def granted(view: NodeView, offer: Offer) -> int | None:
    """Micro-dollars to reserve for a machine about to be billed; None if the budget has too little."""
    if view.free_micro is None or not offer.hourly_micro:
        return cost(offer, HELD_S)
    share = max(0, view.free_micro) // max(1, view.sharers)
    grant = min(cost(offer, view.envelope_s), share)
    return grant if grant >= cost(offer, LEAST_S) else None


def too_dear(view: NodeView, offer: Offer) -> dict[str, Any]:
    """Why a machine is not rented."""
    free = max(0, view.free_micro or 0) / 1e6
    return {
        "code": "budget",
        "what": f"the budget leaves ${free:.2f}, and a node costs ${offer.hourly_micro / 1e6:.2f} an hour",
        "why": f"A machine is rented only with money for at least {LEAST_S // 60} minutes of every node",
        "mend": "`skynb budget` shows what is used; raise the cap, or end what runs",
        "retryable": "no",
    }


def reserved(offer: Offer, micro: int) -> tuple[SpendEntry, ...]:
    """The entry that holds so much."""
    return (SpendEntry(entry="reserve", micro_usd=micro, rehearsed=offer.rehearsed),) if micro else ()


def paid_until(state: NodeState) -> float | None:
    """Until when what is settled and reserved pays the machine; None for one that costs nothing."""
    if state.billed_from is None or state.offer is None or not state.offer.hourly_micro:
        return None
    micro = state.settled_micro + state.reserved_micro
    return state.billed_from + micro * 3600 / state.offer.hourly_micro


def topped_up(view: NodeView, state: NodeState, now: float) -> tuple[NodeState, tuple[SpendEntry, ...]]:
    """More is reserved once half of the envelope is used, as far as the budget goes."""
    until = paid_until(state)
    if view.free_micro is None or until is None or state.offer is None:
        return state, ()
    wanted = cost(state.offer, view.envelope_s - (until - now))
    more = min(wanted, max(0, view.free_micro) // max(1, view.sharers))
    if until - now > view.envelope_s / 2 or more < cost(state.offer, 60):
        return state, ()
    held = msgspec.structs.replace(state, reserved_micro=state.reserved_micro + more)
    return held, reserved(state.offer, more)


def charged(state: NodeState, machine: Machine | None) -> NodeState:
    """When the infra began, and ended, to charge for this machine counts more than our own clock."""
    if machine is None or machine.token != state.token or state.billed_from is None:
        return state
    begin = machine.billed_from
    if machine.billed_to is not None:
        if begin is None:
            return state
        # One that is seen only when it has ended was made some time after that was decided.
        later = state.settled_to is None and begin > state.billed_from
        began = begin if later else state.billed_from
        return msgspec.structs.replace(state, billed_from=began, billed_to=machine.billed_to)
    if begin is None or machine.state not in {"pending", "running"} or state.settled_to is not None:
        return state
    return msgspec.structs.replace(state, billed_from=begin, billed_to=None)


def settle(
    state: NodeState, now: float, *, at_least_s: float = 0.0, release: bool = False
) -> tuple[NodeState, tuple[SpendEntry, ...]]:
    """Move the seconds since the last settlement from reserved to settled, and reserve further if need be."""
    if state.billed_from is None or state.offer is None:
        return state, ()
    begin = state.settled_to if state.settled_to is not None else state.billed_from
    if not release and now - begin < at_least_s:
        return state, ()
    end = max(begin, _billed_until(state, now))
    offer, total = state.offer, max(state.settled_micro, cost(state.offer, end - state.billed_from))
    amount = total - state.settled_micro
    held, entries = state.reserved_micro, []
    if amount > held:  # a fact, whatever the budgets say
        owed = SpendEntry(entry="reserve", micro_usd=amount - held, owed=True, rehearsed=offer.rehearsed)
        entries.append(owed)
        held = amount
    settled = SpendEntry(
        entry="settle",
        micro_usd=amount,
        begin=begin,
        end=end,
        price=price_row(offer),
        rehearsed=offer.rehearsed,
    )
    entries.append(settled)
    held -= amount
    if release and held:
        entries.append(SpendEntry(entry="release", micro_usd=held, rehearsed=offer.rehearsed))
        held = 0
    after = msgspec.structs.replace(
        state,
        settled_to=None if release else end,
        billed_from=None if release else state.billed_from,
        billed_to=None if release else state.billed_to,
        settled_micro=0 if release else total,
        reserved_micro=held,
        told_until=None if release else state.told_until,
    )
    return after, tuple(entries)


def _billed_until(state: NodeState, now: float) -> float:
    """Until when to settle: the infra's word, else the first sight of its absence; refused costs nothing."""
    if not state.machine and state.billed_from is not None:
        return state.billed_from
    known = (state.billed_to, state.absent_at, now)
    return next(at for at in known if at is not None)


def price_row(offer: Offer) -> dict[str, Any]:
    """The price row of an offer, as the ledger keeps it with what it cost."""
    return {
        "cloud": offer.cloud,
        "region": offer.region,
        "zone": offer.zone,
        "instance_type": offer.instance_type,
        "spot": offer.spot,
        "hourly_micro": offer.hourly_micro,
        "as_of": offer.as_of,
        "source": offer.source,
    }
