"""The life of a kernel on a node: a keeper that the node's agent hosts, and the kernel that it keeps.

STARTING -> UP -> ENDING -> ENDED (final)        targets: UP, ENDED

One that ends is never started again: what it held is gone, and only its user knows what that was.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from skynb.control.records import Decision, Event, Record
from skynb_clusters.records import EndKernel, KernelState, StartKernel

CHECK_S = 5.0
SOON_S = 0.5
ATTEMPTS = 5


class KernelView(msgspec.Struct, frozen=True, kw_only=True):
    """node: whether the kernel's node can be expected to host it. service: what its agent says of the keeper.

    words: what the keeper printed last, once it has ended.
    """

    state: KernelState
    node: Literal["up", "waiting", "gone"]
    service: Literal["running", "ended", "absent", "unknown"] = "unknown"
    exit_code: int | None = None
    words: str = ""


def service_name(record: Record) -> str:
    """The name of the service that keeps it, and of its socket."""
    return f"kernel-{record.name}"


def decide_kernel(record: Record, view: KernelView, now: float) -> Decision:
    """The next step of a kernel. Pure."""
    if view.node == "gone":
        return _ended(record, view, "its node is gone" if record.target == "UP" else "")
    if view.service == "ended" and record.status != "STARTING":
        return _ended(record, view, view.words)
    if record.target == "ENDED":
        if view.service == "absent":
            return _ended(record, view, "")
        return Decision(status="ENDING", effects=(EndKernel(service_name(record)),), wake_in=1.0)
    if view.node == "waiting" or view.service == "unknown":
        return Decision(wake_in=CHECK_S)
    if record.status == "STARTING":
        return _starting(record, view)
    if view.service == "absent":
        return _ended(record, view, "its node has lost it")
    return Decision(wake_in=CHECK_S)


def _starting(record: Record, view: KernelView) -> Decision:
    outcome, state = record.outcome, view.state
    if outcome and outcome.effect == "StartKernel" and not outcome.error:
        event = Event("kernel.up", {"kernel": int(record.name)})
        return Decision(status="UP", reason="", events=(event,), wake_in=SOON_S)
    if outcome and outcome.error and (outcome.error.get("retryable") == "no" or state.attempts >= ATTEMPTS):
        return _ended(record, view, str(outcome.error.get("why") or outcome.error.get("what")))
    if outcome and outcome.error:
        return Decision(reason=str(outcome.error.get("what")), wake_in=SOON_S * 2**state.attempts)
    tried = msgspec.structs.replace(state, attempts=state.attempts + 1)
    return Decision(state=tried, effects=(StartKernel(service_name(record)),), wake_in=CHECK_S)


def _ended(record: Record, view: KernelView, why: str) -> Decision:
    state = msgspec.structs.replace(view.state, exit_code=view.exit_code)
    data = {"kernel": int(record.name), "exit_code": view.exit_code, "why": why}
    event = Event("kernel.ended", data)
    return Decision(status="ENDED", final=True, reason=why or None, state=state, events=(event,))
