"""Finding machines: offers are tried in the plan's order, some at a time, until one has them all. Pure.

A lane is one offer being tried with nodes of its own. A refusal takes away what it disproves and nothing
else; the lane's machines are given back before its next offer. The first lane with a machine for every node
has won, and the others end at once. When all is tried: look beyond the plan, then wait and go on, or give up
and say so.
"""

from __future__ import annotations

from typing import Any, cast

import msgspec

from skynb.control.records import Decision, Event, Move, Record
from skynb.errors import Disproved
from skynb.planning.blocks import LASTS, active, block, covers
from skynb_clusters.deciders.views import ClusterView, NodeSeen, moves
from skynb_clusters.records import ClusterState, FindOffers, Lane, Offer, offers_of

ATTEMPTS_AN_OFFER = 3
PAUSES_S = (30.0, 60.0, 120.0, 300.0)
KEPT_REFUSALS = 100
SEARCH_S = 5.0
_NO_MACHINE = {"PENDING", "ENDED"}
_HAS_MACHINE = {"BOOTING", "UP"}
_NO_USE = {"budget"}  # no other offer mends that


def launch(record: Record, view: ClusterView, now: float) -> Decision | None:
    """The next step of a launch; None when its machines are there and only have to come up."""
    turn = _Turn(record, view, now)
    if view.state.phase == "waiting":
        if turn.resume():
            return turn.decision()
        return Decision(wake_in=max(0.1, (view.state.resume_at or now) - now))
    if turn.race_is_won():
        return turn.decision()
    for number in range(len(turn.state.lanes)):
        turn.step(number)
    if all(lane.phase in {"out", "lost"} for lane in turn.state.lanes):
        turn.give_up()
    return turn.decision()


def alone(state: ClusterState) -> ClusterState:
    """Only the cluster's own lane goes on."""
    lanes = tuple(
        lane if number == state.lane else msgspec.structs.replace(lane, phase="lost")
        for number, lane in enumerate(state.lanes)
    )
    return msgspec.structs.replace(state, lanes=lanes)


class _Turn:
    """One decision in the making."""

    def __init__(self, record: Record, view: ClusterView, now: float) -> None:
        self.record = record
        self.view = view
        self.now = now
        self.state = view.state
        self.moves: list[Move] = []
        self.events: list[Event] = []
        self.reason: str | None = None
        self.search = False
        self.failed = False
        found = record.outcome if record.outcome and record.outcome.effect == "FindOffers" else None
        if found is not None and self.state.more is None:
            offers = () if found.error else msgspec.convert((found.value or {})["offers"], tuple[Offer, ...])
            self._change(more=offers)
        if not self.state.lanes:
            self._change(lanes=tuple(Lane(offer=0, phase="out") for _ in range(view.spec.lanes)))
            for number in range(view.spec.lanes):
                self._take_next(number)

    def resume(self) -> bool:
        """The pause is over: begin again with the first offer that nothing speaks against."""
        if self.now < (self.state.resume_at or 0.0):
            return False
        lasting = active(self.state.blocks, self.now + LASTS["capacity"])  # capacity comes and goes
        self._change(phase="launching", cursor=0, resume_at=None, blocks=lasting)
        for number, lane in enumerate(self.state.lanes):
            if lane.phase == "out":
                self._take_next(number)
        return True

    def race_is_won(self) -> bool:
        """Several lanes run, and one has a machine for every node: it goes on, the others end."""
        racing = [number for number, lane in enumerate(self.state.lanes) if lane.phase != "lost"]
        if len(racing) < 2:
            return False
        whole = [n for n in racing if all(node.status in _HAS_MACHINE for node in self._nodes(n))]
        if not whole:
            return False
        winner = min(whole, key=lambda number: self.state.lanes[number].offer)
        self._change(lane=winner, offer=self.state.lanes[winner].offer)
        self.state = alone(self.state)
        for number in racing:
            if number != winner:
                self.moves += moves(self._nodes(number), "ENDED")
        self.events.append(Event("launch.won", {"lane": winner, "offer": self._told(winner)}))
        return True

    def step(self, number: int) -> None:
        """Move one lane on."""
        lane, nodes = self.state.lanes[number], self._nodes(number)
        if lane.phase == "trying":
            failed = [node for node in nodes if node.status == "FAILED"]
            lost = [n for n in nodes if n.status == "PENDING" and n.target == "RELEASED" and n.error]
            if failed or lost:
                self._refused(number, (failed or lost)[0])
            else:
                self.moves += moves(nodes, "UP")
        elif lane.phase == "releasing":
            if unreleased := moves(nodes, "RELEASED"):
                self.moves += unreleased
            elif all(node.status in _NO_MACHINE for node in nodes):
                self._next(number)

    def give_up(self) -> None:
        """No lane has an offer left."""
        state = self.state
        code = (state.error or {}).get("code")
        if self.view.spec.retry and code not in _NO_USE:
            pause = PAUSES_S[min(state.round, len(PAUSES_S) - 1)]
            self._change(phase="waiting", round=state.round + 1, resume_at=self.now + pause)
            self.reason = f"no machines could be had; again in {pause:g} s"
            self.events.append(Event("launch.waiting", {"pause_s": pause, "round": state.round + 1}))
            return
        self.failed = True
        self._change(phase="failed", error=_summary(state))
        self.events.append(Event("launch.failed", {"tried": list(state.tried)}))

    def decision(self) -> Decision | None:
        """All of it, at once; None where there is nothing to do but wait."""
        changed = self.state != self.view.state
        if not (changed or self.moves or self.events or self.search):
            return None
        return Decision(
            status="TERMINATING" if self.failed else None,
            target="TERMINATED" if self.failed else None,
            state=self.state if changed else None,
            reason=self.reason,
            moves=tuple(self.moves),
            events=tuple(self.events),
            effects=(FindOffers(),) if self.search else (),
            wakes=tuple(item.id for item in self.view.work) if self.moves else (),
            wake_in=SEARCH_S if self.search else 0.001,
        )

    def _refused(self, number: int, node: NodeSeen) -> None:
        """One node cannot be had: all or none, so this lane's machines are given back first."""
        lane, error, state = self.state.lanes[number], dict(node.error or {}), self.state
        offer = offers_of(self.view.spec, state)[lane.offer]
        entry = {"offer": msgspec.to_builtins(offer), "error": error, "attempt": lane.attempt}
        blocks = state.blocks
        if disproved := error.get("disproves"):
            scope = cast("Disproved", disproved)
            blocks = (*blocks, block(scope, offer, self.now, str(error.get("what", ""))))
        self._change(error=error, tried=(*state.tried, entry)[-KEPT_REFUSALS:], blocks=blocks)
        self._set(number, msgspec.structs.replace(lane, phase="releasing", error=error))
        self.moves += moves(self._nodes(number), "RELEASED")
        self.events.append(Event("launch.refused", entry))
        self.reason = f"{offer.cloud} {offer.instance_type}: {error.get('what', node.reason)}"

    def _next(self, number: int) -> None:
        lane = self.state.lanes[number]
        error = lane.error or {}
        if error.get("code") in _NO_USE:
            self._set(number, msgspec.structs.replace(lane, phase="out"))
        elif (
            not error.get("disproves") and lane.attempt < ATTEMPTS_AN_OFFER and not self._blocked(lane.offer)
        ):
            self._try(number, Lane(offer=lane.offer, attempt=lane.attempt + 1))
        else:
            self._take_next(number)

    def _take_next(self, number: int) -> None:
        """The next offer in order that no refusal speaks against, if there is one."""
        offers = offers_of(self.view.spec, self.state)
        free = (index for index in range(self.state.cursor, len(offers)) if not self._blocked(index))
        index = next(free, None)
        if index is not None:
            self._change(cursor=index + 1)
            self._try(number, Lane(offer=index))
        elif self.state.more is None and self.state.tried:
            self.search = True
        else:
            self._set(number, msgspec.structs.replace(self.state.lanes[number], phase="out"))

    def _try(self, number: int, lane: Lane) -> None:
        self._set(number, lane)
        self.moves += moves(self._nodes(number), "UP")
        if lane.attempt > 1 or self.state.tried or len(self.state.lanes) > 1:
            told = {"lane": number, "offer": self._told(number), "attempt": lane.attempt}
            self.events.append(Event("launch.try", told))

    def _blocked(self, index: int) -> bool:
        offer = offers_of(self.view.spec, self.state)[index]
        return any(covers(held.scope, offer) for held in active(self.state.blocks, self.now))

    def _nodes(self, number: int) -> list[NodeSeen]:
        return [node for node in self.view.nodes if node.lane == number]

    def _told(self, number: int) -> dict[str, Any]:
        offer = offers_of(self.view.spec, self.state)[self.state.lanes[number].offer]
        told: dict[str, Any] = msgspec.to_builtins(offer)
        return told

    def _set(self, number: int, lane: Lane) -> None:
        lanes = list(self.state.lanes)
        lanes[number] = lane
        self._change(lanes=tuple(lanes), configured=())
        if number == self.state.lane:
            self._change(offer=lane.offer)

    def _change(self, **changes: Any) -> None:
        self.state = msgspec.structs.replace(self.state, **changes)


def _summary(state: ClusterState) -> dict[str, Any]:
    """The last refusal, told as the end of all of them."""
    last = dict(state.error or {})
    offers = {str(entry["offer"]) for entry in state.tried}
    if len(offers) < 2:
        return last
    return last | {
        "what": f"no machines could be had: {len(offers)} offers were tried",
        "why": f"The last refusal: {last.get('what')}",
        "mend": last.get("mend") or "Ask for other machines, or go on until there are some: --retry-until-up",
    }
