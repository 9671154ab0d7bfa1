"""The life of a Dask cluster on a cluster's nodes: one scheduler on the head, workers spread over the nodes.

STARTING -> UP -> ENDING -> ENDED (final)        targets: UP, ENDED

A process that ends is started again, with one exception: a scheduler that ended itself, which it does when
nobody has used it for the cluster's autostop time. A worker whose node is not there waits for it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Literal

import msgspec

from skynb.control.records import Decision, Event, Record
from skynb_clusters.records import ApplyDask, DaskSpec, DaskState, DropKept, EndDask

CHECK_S = 5.0
WAIT_S = 1.0  # for nodes that come
SCHEDULER = "dask-scheduler"
_WORKER = "dask-worker-"


class DaskView(msgspec.Struct, frozen=True, kw_only=True):
    """running: names of the services seen alive; None while the head's agent cannot be asked.

    away: workers whose node cannot be asked, or is not there; why: what the cluster says of that. unused: the
    scheduler ended itself, with status 0.
    """

    spec: DaskSpec
    state: DaskState
    cluster: Literal["up", "waiting", "gone"]
    running: tuple[str, ...] | None = None
    away: tuple[str, ...] = ()
    why: str = ""
    unused: bool = False


def wanted(spec: DaskSpec) -> tuple[str, ...]:
    """Names of the services that should run, the scheduler first."""
    return (SCHEDULER, *(worker_name(number) for number in spec.members))


def worker_name(number: int) -> str:
    """What a worker is called, as a service and by Dask."""
    return f"{_WORKER}{number}"


def scaled(spec: DaskSpec, workers: int, retire: Collection[str] = ()) -> tuple[int, ...]:
    """The numbers of `workers` workers, from those of now: free numbers come, retired and young ones go."""
    have = list(spec.members)
    free = (number for number in range(len(have) + workers) if number not in have)
    more = [next(free) for _ in range(workers - len(have))]
    going = sorted(have, key=lambda number: (worker_name(number) not in retire, -number))
    gone = set(going[: max(0, len(have) - workers)])
    return tuple(sorted({*have, *more} - gone))


def decide_dask(record: Record, view: DaskView, now: float) -> Decision:
    """The next step of a Dask cluster. Pure."""
    outcome = record.outcome
    if record.target == "ENDED" or view.cluster == "gone":
        return _ending(record, view)
    if view.cluster == "waiting" or view.running is None:
        return Decision(wake_in=CHECK_S)
    if outcome and outcome.effect == "ApplyDask" and outcome.value:
        return _applied(record, view, msgspec.convert(outcome.value, DaskState))
    if outcome and outcome.error:
        return Decision(reason=_words(outcome.error), wake_in=2.0)
    missing = set(wanted(view.spec)) - set(view.running) - set(view.away)
    if record.status == "UP" and view.unused and SCHEDULER in missing:
        reason = "nobody used it"
        event = Event("dask.unused", {})
        return Decision(target="ENDED", status="ENDING", reason=reason, events=(event,), wake_in=0.001)
    known = {SCHEDULER, *view.state.workers}
    unlike = set(view.running) - known or known - set(wanted(view.spec))  # too many, or not written down
    if missing or unlike or record.status != "UP":
        return _apply(record, view, sorted(missing))
    if view.away:
        waiting = f"{len(view.away)} of {view.spec.workers} workers wait for their nodes"
        return Decision(reason=f"{waiting}: {view.why}" if view.why else waiting, wake_in=WAIT_S)
    return Decision(reason="" if record.reason else None, wake_in=CHECK_S)


def _apply(record: Record, view: DaskView, missing: list[str]) -> Decision:
    """Start what is missing and stop what is too many; what ended unasked is named."""
    lost = [name for name in missing if name in {SCHEDULER, *view.state.workers}]
    again = record.status == "UP" and bool(lost)
    return Decision(
        reason=f"{', '.join(lost)} ended and is started again" if again else None,
        effects=(ApplyDask(view.spec.workers),),
        events=(Event("dask.restart", {"services": lost}),) if again else (),
        wake_in=CHECK_S,
    )


def _applied(record: Record, view: DaskView, state: DaskState) -> Decision:
    changed = state != view.state or record.status != "UP"
    events = (Event("dask.up", {"workers": len(state.workers)}),) if changed else ()
    return Decision(
        status="UP", state=state, events=events, seen=True, wake_in=WAIT_S if view.away else CHECK_S
    )


def _ending(record: Record, view: DaskView) -> Decision:
    if view.cluster == "gone" or view.running == ():
        if view.spec.files and not (record.outcome and record.outcome.effect == "DropKept"):
            return Decision(status="ENDING", effects=(DropKept((), files=view.spec.files),), wake_in=1.0)
        return Decision(status="ENDED", final=True, events=(Event("dask.ended", {}),))
    if record.outcome and record.outcome.error:
        return Decision(status="ENDING", reason=_words(record.outcome.error), wake_in=1.0)
    return Decision(status="ENDING", effects=(EndDask(),), wake_in=1.0)


def _words(error: Mapping[str, Any]) -> str:
    return ": ".join(str(error[part]) for part in ("what", "why") if error.get(part))
