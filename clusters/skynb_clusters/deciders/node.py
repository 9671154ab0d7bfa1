"""The life of a node slot: from no machine to a machine with an answering agent, and back to nothing.

    PENDING -> CREATING -> BOOTING -> UP -> STOPPING -> STOPPED -> BOOTING ...
    any -> ENDING -> PENDING (target RELEASED, the next generation may come) or ENDED (target ENDED, final)
    CREATING -> FAILED (the infra refused; the cluster decides what next)

Targets: UP, STOPPED (machine off, disk kept), RELEASED (no machine, slot kept), ENDED (no machine, final).
An absent machine is believed only when it was seen absent twice, a consistency window apart; one that the
infra lists as terminated, or never had room for, at the second look. A machine that cannot be seen is
unknown, and unknown changes nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any, Literal

import msgspec

from skynb.control.records import Decision, Event, Move, Record, SpendEntry
from skynb_clusters.contract import Machine
from skynb_clusters.deciders.money import (
    END_S,
    SPENT,
    charged,
    granted,
    paid_until,
    reserved,
    settle,
    too_dear,
    topped_up,
)
from skynb_clusters.records import (
    Adjustable,
    AdjustMachine,
    CreateMachine,
    NodeState,
    Offer,
    RenewLease,
    StartAgent,
    StartMachine,
    StopMachine,
    TerminateMachine,
    agent_name,
    machine_of,
)

HEARTBEAT_S = 5.0
POLL_S = 0.3
SETTLE_S = 60.0
CONFIRM_S = 1.0  # between two looks at a machine that the infra lists as terminated
CREATE_ATTEMPTS = 5
BOOT_ATTEMPTS = 12
NO_ROOM = frozenset({"capacity", "quota"})  # codes of refusals that leave nothing behind
BOOT_LIMIT_S = 900.0
REFUSED_S = 60.0  # the longest pause between starts that the infra refuses
NOTICES_KEPT = 32


class MachineSeen(msgspec.Struct, frozen=True):
    """What the infra says of the machine with this slot's token."""

    presence: Literal["present", "absent", "unknown"]
    machine: Machine | None = None


class AgentSeen(msgspec.Struct, frozen=True):
    """What the agent on the machine says. notices: what the infra announced, as (kind, at)."""

    presence: Literal["answering", "silent", "untried"]
    head_port: int = 0
    version: str = ""
    notices: tuple[tuple[str, float], ...] = ()


class NodeView(msgspec.Struct, frozen=True, kw_only=True):
    """All that a decision about a node may rest on.

    offer: the cluster's present choice. free_micro: what the budgets leave, None where nothing is capped.
    sharers: slots of the cluster that want a part of it. can_stop: the server can stop the machine. wanted:
    how the machine should be set, None if that does not matter. heartbeat_s: seconds between two words to an
    agent that is well; its lease lasts several. held_by: whom the cluster works for.
    """

    state: NodeState
    offer: Offer
    machine: MachineSeen
    agent: AgentSeen
    consistency_s: float = 0.0
    head_known: bool = True
    free_micro: int | None = None
    sharers: int = 1
    envelope_s: float = 72 * 3600.0
    can_stop: bool = True
    wanted: Adjustable | None = None
    heartbeat_s: float = HEARTBEAT_S
    held_by: str = ""


def decide_node(record: Record, view: NodeView, now: float) -> Decision:
    """The next step of a node slot. Pure."""
    view, returned = _seen_again(view)
    if record.target in {"RELEASED", "ENDED"} and record.status not in {"ENDING", "PENDING"}:
        decision = _to_ending(record, view, now)
    else:
        decision = _STEPS[record.status](record, view, now)
    if returned and decision.state is None:
        return msgspec.structs.replace(decision, state=view.state)
    return decision


def _seen_again(view: NodeView) -> tuple[NodeView, bool]:
    """A machine that is there was never gone: a later absence is counted from its own first sight."""
    machine = view.machine.machine
    if view.state.absent_at is None or machine is None or machine.state == "terminated":
        return view, False
    return msgspec.structs.replace(view, state=msgspec.structs.replace(view.state, absent_at=None)), True


def token_of(record: Record, offer: Offer, attempt: int) -> str:
    """hash(record, generation, attempt, parameters): the same intent, the same machine."""
    parameters = msgspec.json.encode([record.id, record.generation, attempt, offer])
    return f"skynb-{hashlib.sha256(parameters).hexdigest()[:32]}"


def _pending(record: Record, view: NodeView, now: float) -> Decision:
    if record.target == "ENDED":
        return Decision(status="ENDED", final=True, events=(Event("node.ended"),))
    if record.target != "UP":
        return Decision(state=NodeState() if view.state.token else None)
    reserve = granted(view, view.offer)
    if reserve is None:
        return _failed(msgspec.structs.replace(view.state, offer=view.offer), too_dear(view, view.offer))
    token = token_of(record, view.offer, 1)
    return Decision(
        status="CREATING",
        reason="",
        state=NodeState(
            offer=view.offer,
            token=token,
            attempts=1,
            reserved_micro=reserve,
            billed_from=now,
            lost_agent=view.state.lost_agent,
        ),
        effects=(CreateMachine(token),),
        events=(Event("node.create", {"token": token, "offer": msgspec.to_builtins(view.offer)}),),
        spend=reserved(view.offer, reserve),
        wake_in=POLL_S,
    )


def _creating(record: Record, view: NodeView, now: float) -> Decision:
    state, outcome = view.state, record.outcome
    if view.machine.machine is not None:
        return _created(view.machine.machine, _as_made(record, state))
    if outcome and outcome.effect == "CreateMachine" and outcome.error:
        if outcome.error.get("retryable") == "no" or outcome.error.get("code") in NO_ROOM:
            return _failed(state, outcome.error)
        if state.attempts >= CREATE_ATTEMPTS:
            return _failed(state, outcome.error)
        wait = 2.0 ** (state.attempts - 1)
        again = msgspec.structs.replace(state, attempts=state.attempts + 1)
        return Decision(state=again, reason=str(outcome.error.get("what")), wake_in=wait)
    if outcome and outcome.effect == "CreateMachine":  # it was created, and is not listed yet
        return Decision(state=_as_made(record, state), wake_in=POLL_S)
    if view.machine.presence == "unknown":
        return Decision(wake_in=HEARTBEAT_S)
    # Nothing is known of the last call: it was never made, or its answer was lost. The token makes it safe.
    return Decision(
        state=None if state.unanswered else msgspec.structs.replace(state, unanswered=True),
        effects=(CreateMachine(state.token),),
        wake_in=max(POLL_S, view.consistency_s),
    )


def _as_made(record: Record, state: NodeState) -> NodeState:
    """What the create call said of the machine, if its answer came."""
    outcome = record.outcome
    if outcome is None or outcome.effect != "CreateMachine" or outcome.error or not outcome.value:
        return state
    adjusted = outcome.value.get("adjusted")
    return msgspec.structs.replace(
        state,
        machine=str(outcome.value["machine"]),
        adjusted=None if adjusted is None else msgspec.convert(adjusted, Adjustable),
    )


def _created(machine: Machine, state: NodeState) -> Decision:
    born = msgspec.structs.replace(
        charged(state, machine),
        machine=machine.id,
        place=machine.place,
        address=machine.address,
        reach=machine.reach,
        attempts=0,
        absent_at=None,
        error=None,
    )
    event = Event("node.created", {"machine": machine.id, "address": machine.address})
    return Decision(status="BOOTING", state=born, events=(event,), seen=True, wake_in=0.001)


def _failed(state: NodeState, error: dict[str, Any]) -> Decision:
    return Decision(
        status="FAILED",
        reason=str(error.get("what")),
        state=msgspec.structs.replace(state, error=error),
        events=(Event("node.failed", {"error": error}),),
    )


def _booting(record: Record, view: NodeView, now: float) -> Decision:
    if gone := _if_gone(record, view, now):
        return gone
    if record.target == "STOPPED":
        return _to_stopping(record, view, now)
    machine, state, outcome = view.machine.machine, view.state, record.outcome
    if machine is None:
        return Decision(wake_in=HEARTBEAT_S)
    if view.agent.presence == "answering":
        return _to_up(record, view, now)
    if machine.state == "stopped":
        return _start_again(record, view, now, machine)
    if machine.state != "running" and _overdue(state, now):
        minutes = f"{BOOT_LIMIT_S / 60:.0f} min"
        return _failed(state, {"code": "boot", "what": f"it did not boot in {minutes}", "retryable": "yes"})
    if machine.state != "running" or not view.head_known:
        return Decision(wake_in=POLL_S)
    if outcome and outcome.effect == "StartAgent" and outcome.error:
        if state.attempts >= BOOT_ATTEMPTS:
            return _failed(state, outcome.error)
        return Decision(reason=str(outcome.error.get("what")), wake_in=min(0.25 * 1.6**state.attempts, 30.0))
    tried = msgspec.structs.replace(  # a machine that was off may have come back at another address
        state, attempts=state.attempts + 1, address=machine.address or state.address, reach=machine.reach
    )
    return Decision(state=tried, effects=(StartAgent(machine.id),), wake_in=HEARTBEAT_S)


def _start_again(record: Record, view: NodeView, now: float, machine: Machine) -> Decision:
    """A machine that went off while it booted; what it had cost until then is settled, and more reserved."""
    outcome, state = record.outcome, view.state
    spend: tuple[SpendEntry, ...] = ()
    refused = outcome.error if outcome and outcome.effect == "StartMachine" else None
    if refused:  # its disk is the user's: it goes on for as long as somebody wants it, ever more slowly
        state = msgspec.structs.replace(state, refusals=state.refusals + 1)
    if (machine.billed_to or 0.0) > (state.billed_from or now):
        offer = state.offer or view.offer
        state, spend = settle(charged(state, machine), now, release=True)
        reserve = granted(view, offer)
        if reserve is None:
            return msgspec.structs.replace(_to_stopping(record, view, now), state=state, spend=spend)
        state = msgspec.structs.replace(state, billed_from=now, reserved_micro=reserve)
        spend = (*spend, *reserved(offer, reserve))
    return Decision(
        reason=str(refused.get("what")) if refused else None,
        state=state,
        spend=spend,
        effects=(StartMachine(machine),),
        wake_in=min(HEARTBEAT_S * 2.0 ** (state.refusals - 1), REFUSED_S) if refused else POLL_S,
    )


def _overdue(state: NodeState, now: float) -> bool:
    """A first boot that takes too long is given up; a later one has the user's disk, and is waited for."""
    began = state.billed_from
    return state.booted_at is None and began is not None and now - began > BOOT_LIMIT_S


def _to_up(record: Record, view: NodeView, now: float) -> Decision:
    state = charged(view.state, view.machine.machine)
    ready = msgspec.structs.replace(
        state,
        head_port=view.agent.head_port,
        agent_version=view.agent.version,
        attempts=0,
        refusals=0,
        absent_at=None,
        silent_since=None,
        error=None,
        booted_at=now,
        address=(view.machine.machine or machine_of(view.state)).address,
        reach=(view.machine.machine or machine_of(view.state)).reach,
    )
    event = Event("node.up", {"machine": ready.machine, "address": ready.address})
    ready, notices = _noticed(ready, view)
    return Decision(
        status="UP", reason="", state=ready, events=(event, *notices), seen=True, wake_in=view.heartbeat_s
    )


def _up(record: Record, view: NodeView, now: float) -> Decision:
    if gone := _if_gone(record, view, now):
        return gone
    if record.target == "STOPPED":
        return _to_stopping(record, view, now)
    machine, state = view.machine.machine, view.state
    if machine is not None and machine.state in {"stopping", "stopped"}:
        return _stopped_by_itself(record, view, now, machine)
    if view.agent.presence == "answering":
        heard = msgspec.structs.replace(state, silent_since=None, head_port=view.agent.head_port, attempts=0)
        heard, events = _noticed(heard, view)
        heard, spend = settle(heard, now, at_least_s=SETTLE_S)
        heard, more = topped_up(view, heard, now)
        if view.free_micro is not None and (over := _spent(record, view, heard, now)):
            over = msgspec.structs.replace(over, events=(*events, *over.events))
            return msgspec.structs.replace(over, state=heard, spend=(*spend, *more))
        renewing, heard = _renewing(record, view, heard, now)
        adjusting, heard = _adjusting(record, view, heard)
        changed = heard != state or bool(record.reason)
        return Decision(
            state=heard if changed else None,
            reason="",
            events=events,
            spend=(*spend, *more),
            effects=renewing or adjusting,
            seen=True,
            wake_in=view.heartbeat_s,
        )
    return _silent(record, view, now)


def _spent(record: Record, view: NodeView, state: NodeState, now: float) -> Decision | None:
    """The money granted is nearly used up and there is no more: the cluster ends while it can be paid."""
    until = paid_until(state)
    if until is None or now < until - END_S:
        return None
    target = "STOPPED" if view.can_stop else "TERMINATED"
    event = Event("budget.spent", {"free_micro": view.free_micro, "paid_until": until, "target": target})
    move = Move(str(record.parent), target, SPENT, unless="TERMINATED")  # somebody wants no disk either
    return Decision(reason=SPENT, moves=(move,), events=(event,), wake_in=HEARTBEAT_S)


def _renewing(
    record: Record, view: NodeView, state: NodeState, now: float
) -> tuple[tuple[RenewLease, ...], NodeState]:
    """Tell the node for how long it is paid for, so that it ends in time without a server too."""
    until = paid_until(state) if view.free_micro is not None else None
    outcome = record.outcome
    if outcome and outcome.effect == "RenewLease" and not outcome.error and outcome.value:
        state = msgspec.structs.replace(state, told_until=outcome.value["until"])
    if until == state.told_until:
        return (), state
    stop = view.wanted is not None and view.wanted.on_shutdown == "stop"
    return (RenewLease(until=until, stop=stop),), state


def _adjusting(
    record: Record, view: NodeView, state: NodeState
) -> tuple[tuple[AdjustMachine, ...], NodeState]:
    """Set the machine as is wanted now; what the infra refuses for good is not asked twice."""
    outcome = record.outcome
    if outcome and outcome.effect == "AdjustMachine":
        if not outcome.error and outcome.value:
            state = msgspec.structs.replace(state, adjusted=msgspec.convert(outcome.value, Adjustable))
        elif outcome.error and outcome.error.get("retryable") == "no":
            state = msgspec.structs.replace(state, adjusted=view.wanted)
    if view.wanted is None or view.wanted == state.adjusted:
        return (), state
    return (AdjustMachine(machine=machine_of(state), to=view.wanted),), state


def _noticed(state: NodeState, view: NodeView) -> tuple[NodeState, tuple[Event, ...]]:
    """What the infra announced goes into the history, each notice once."""
    new = tuple(notice for notice in view.agent.notices if notice not in state.told_notices)
    if not new:
        return state, ()
    events = (Event("node.notice", {"machine": state.machine, "kind": kind, "at": at}) for kind, at in new)
    told = (*state.told_notices, *new)[-NOTICES_KEPT:]
    return msgspec.structs.replace(state, told_notices=told), tuple(events)


def _silent(record: Record, view: NodeView, now: float) -> Decision:
    """The agent does not answer. If the machine runs, starting the agent again is safe; nothing is lost."""
    state, machine = view.state, view.machine.machine
    quiet = msgspec.structs.replace(state, silent_since=state.silent_since or now)
    if machine is None or machine.state != "running":
        return Decision(state=quiet, reason="the machine cannot be seen now", wake_in=1.0)
    if record.outcome and record.outcome.effect == "StartAgent" and record.outcome.error:
        why = str(record.outcome.error.get("what"))
        return Decision(state=quiet, reason=why, wake_in=min(2.0**state.attempts, 30.0))
    quiet = msgspec.structs.replace(quiet, attempts=state.attempts + 1)
    event = Event("agent.silent", {"machine": machine.id})
    return Decision(
        state=quiet,
        reason="the agent does not answer",
        effects=(StartAgent(machine.id),),
        events=(event,) if state.silent_since is None else (),
        wake_in=1.0,
    )


def _stopped_by_itself(record: Record, view: NodeView, now: float, machine: Machine) -> Decision:
    """It was stopped outside this server, by its lease or by a person: that is respected, and said."""
    state, spend = settle(charged(view.state, machine), now, release=True)
    state = msgspec.structs.replace(state, lost_agent=agent_name(record, state))
    why = {"node": "the node stopped itself: nobody used it"}.get(machine.ended_by, "stopped outside skynb")
    event = Event("node.stopped", {"machine": machine.id, "by": machine.ended_by or "outside"})
    return Decision(
        status="STOPPED", target="STOPPED", reason=why, state=state, spend=spend, events=(event,), seen=True
    )


def _if_gone(record: Record, view: NodeView, now: float) -> Decision | None:
    """A machine that should be there and is not: believed when confirmed, and never replaced unasked."""
    state = view.state
    present = view.machine.machine is not None and view.machine.machine.state != "terminated"
    if view.machine.presence == "unknown" or present:
        return None
    window = _window(view)
    if state.absent_at is None or now - state.absent_at < window:
        first = msgspec.structs.replace(state, absent_at=state.absent_at or now)
        return Decision(state=first, seen=True, wake_in=max(POLL_S, window))
    _, spend = settle(charged(state, view.machine.machine), now, release=True)
    final = record.target == "ENDED"
    return Decision(
        status="ENDED" if final else "PENDING",
        final=final or None,
        target=None if final else "RELEASED",
        generation=record.generation + 1,
        reason="the machine was lost",
        state=NodeState(
            error={"code": "lost", "what": "the machine was lost", "retryable": "yes"},
            lost_agent=agent_name(record, state),
        ),
        spend=spend,
        events=(Event("node.lost", {"machine": state.machine}),),
        seen=True,
    )


def _window(view: NodeView) -> float:
    """Seconds between the two looks that make an absence certain.

    A list may be late with what it shows, never early: one that has this token as terminated is past all that
    could still come of it; nor can anything come of one that was used once and found no room. A terminated
    machine of another token tells nothing.
    """
    machine, state = view.machine.machine, view.state
    asked_once = state.attempts == 1 and not state.unanswered and not state.machine
    if asked_once and (state.error or {}).get("code") in NO_ROOM:
        return 0.0
    ended = machine is not None and machine.token == state.token
    return min(CONFIRM_S, view.consistency_s) if ended else view.consistency_s


def _to_stopping(record: Record, view: NodeView, now: float) -> Decision:
    event = Event("node.stop", {"machine": view.state.machine})
    return Decision(
        status="STOPPING", effects=(StopMachine(machine_of(view.state)),), events=(event,), wake_in=POLL_S
    )


def _stopping(record: Record, view: NodeView, now: float) -> Decision:
    if gone := _if_gone(record, view, now):
        return gone
    machine = view.machine.machine
    if machine is None or machine.state == "stopping":
        return Decision(wake_in=POLL_S if machine else HEARTBEAT_S)
    if machine.state != "stopped":
        return Decision(effects=(StopMachine(machine),), wake_in=_patience(record))
    state, spend = settle(charged(view.state, machine), now, release=True)
    state = msgspec.structs.replace(state, lost_agent=agent_name(record, state))
    event = Event("node.stopped", {"machine": machine.id, "by": "request"})
    return Decision(status="STOPPED", reason="", state=state, spend=spend, events=(event,), seen=True)


def _stopped(record: Record, view: NodeView, now: float) -> Decision:
    if record.target != "UP":
        return Decision(wake_in=HEARTBEAT_S * 12)
    if gone := _if_gone(record, view, now):
        return gone
    offer = view.state.offer or view.offer
    reserve = granted(view, offer)
    if reserve is None:
        error = too_dear(view, offer)
        data = {"free_micro": view.free_micro}
        return Decision(target="STOPPED", reason=error["what"], events=(Event("budget.refused", data),))
    woken = msgspec.structs.replace(
        view.state,
        billed_from=now,
        settled_to=None,
        settled_micro=0,
        reserved_micro=reserve,
        attempts=0,
        boots=view.state.boots + 1,
    )

    return Decision(
        status="BOOTING",
        reason="",
        state=woken,
        effects=(StartMachine(machine_of(view.state)),),
        events=(Event("node.start", {"machine": view.state.machine}),),
        spend=reserved(offer, reserve),
        wake_in=POLL_S,
    )


def _failed_waits(record: Record, view: NodeView, now: float) -> Decision:
    """The cluster decides: RELEASED or ENDED gives the machine back, STOPPED keeps its disk for a `start`."""
    if record.target != "STOPPED":
        return Decision()
    if view.state.machine:
        return _to_stopping(record, view, now)
    return _to_ending(record, view, now)  # what was refused may have been made all the same


def _to_ending(record: Record, view: NodeView, now: float) -> Decision:
    machine = view.machine.machine or machine_of(view.state)
    event = Event("node.end", {"machine": machine.id})
    effects = (TerminateMachine(machine),) if machine.id else ()
    clean = msgspec.structs.replace(_known(view), absent_at=None)
    return Decision(status="ENDING", state=clean, effects=effects, events=(event,), wake_in=0.05)


def _known(view: NodeView) -> NodeState:
    """The state with what the infra shows of the machine; one of which only the list tells is billed too."""
    machine = view.machine.machine
    if machine is None or machine.token != view.state.token:
        return view.state
    return msgspec.structs.replace(charged(view.state, machine), machine=machine.id)


def _ending(record: Record, view: NodeView, now: float) -> Decision:
    """Left only after the infra said twice that nothing with this token is there."""
    state, machine = view.state, view.machine.machine
    if machine is not None and machine.state != "terminated":
        seen_again = _known(view)
        if machine.state == "terminating":
            return Decision(state=seen_again if seen_again != state else None, wake_in=POLL_S)
        return Decision(state=seen_again, effects=(TerminateMachine(machine),), wake_in=_patience(record))
    if view.machine.presence == "unknown":
        return Decision(reason="waiting to see that the machine is gone", wake_in=HEARTBEAT_S)
    window = _window(view)
    if state.absent_at is None or now - state.absent_at < window:
        first = msgspec.structs.replace(_known(view), absent_at=state.absent_at or now)
        return Decision(state=first, seen=True, wake_in=max(0.05, window))
    _, spend = settle(_known(view), now, release=True)
    final = record.target == "ENDED"
    return Decision(
        status="ENDED" if final else "PENDING",
        final=final or None,
        generation=record.generation + 1,
        reason="",
        state=NodeState(error=state.error),
        spend=spend,
        events=(Event("node.ended", {"machine": state.machine}),),
        seen=True,
    )


def _patience(record: Record) -> float:
    """How long until the same deed is done again: soon at first, slower after an error."""
    return HEARTBEAT_S if record.outcome and record.outcome.error else POLL_S


_STEPS: dict[str, Callable[[Record, NodeView, float], Decision]] = {
    "PENDING": _pending,
    "CREATING": _creating,
    "BOOTING": _booting,
    "UP": _up,
    "STOPPING": _stopping,
    "STOPPED": _stopped,
    "FAILED": _failed_waits,
    "ENDING": _ending,
}
