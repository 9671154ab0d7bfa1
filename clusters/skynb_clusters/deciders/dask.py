"""The life of a Dask cluster on a cluster's nodes: one scheduler on the head, workers spread over the nodes.

STARTING -> UP -> ENDING -> ENDED (final)        targets: UP, ENDED
"""

from __future__ import annotations

from typing import Literal

import msgspec

from skynb.control.records import Decision, Event, Record
from skynb_clusters.records import ApplyDask, DaskSpec, DaskState, EndDask

CHECK_S = 10.0


class DaskView(msgspec.Struct, frozen=True, kw_only=True):
    """running: names of the services seen alive; None while the agents cannot be asked."""

    spec: DaskSpec
    state: DaskState
    cluster: Literal["up", "waiting", "gone"]
    running: tuple[str, ...] | None = None


def wanted(spec: DaskSpec) -> tuple[str, ...]:
    """Names of the services that should run."""
    return ("dask-scheduler", *(f"dask-worker-{number}" for number in range(spec.workers)))


def decide_dask(record: Record, view: DaskView, now: float) -> Decision:
    """The next step of a Dask cluster. Pure."""
    outcome = record.outcome
    if record.target == "ENDED" or view.cluster == "gone":
        return _ending(record, view)
    if view.cluster == "waiting" or view.running is None:
        return Decision(wake_in=CHECK_S)
    if outcome and outcome.effect == "ApplyDask" and outcome.value:
        state = msgspec.convert(outcome.value, DaskState)
        data = {"workers": view.spec.workers}
        events = (Event("dask.up", data),) if state != view.state or record.status != "UP" else ()
        return Decision(status="UP", reason="", state=state, events=events, seen=True, wake_in=CHECK_S)
    if outcome and outcome.error:
        return Decision(reason=str(outcome.error.get("what")), wake_in=2.0)
    if set(view.running) != set(wanted(view.spec)) or record.status != "UP":
        return Decision(effects=(ApplyDask(view.spec.workers),), wake_in=CHECK_S)
    return Decision(wake_in=CHECK_S)


def _ending(record: Record, view: DaskView) -> Decision:
    if view.cluster == "gone" or view.running == ():
        return Decision(status="ENDED", final=True, events=(Event("dask.ended", {}),))
    if record.outcome and record.outcome.error:
        return Decision(status="ENDING", reason=str(record.outcome.error.get("what")), wake_in=1.0)
    return Decision(status="ENDING", effects=(EndDask(),), wake_in=1.0)
