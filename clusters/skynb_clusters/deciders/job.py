"""The life of a cluster job, as the server sees it. The head's agent runs it; its word is what counts.

    INIT -> PENDING -> SETTING_UP -> RUNNING -> SUCCEEDED | FAILED | FAILED_SETUP | FAILED_DRIVER | CANCELLED

INIT is kept by the server alone: the job is durable and not yet handed over. A job is handed over to one
incarnation of the head, and never to another after that one is gone: it may have run.
Targets: DONE, CANCELLED. A final status is never changed; the record ends when the logs are home as well.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from skynb.control.records import Decision, Event, Record
from skynb_clusters.records import JOB_FINAL, CancelJob, DropKept, JobSpec, JobState, SubmitJob

CANCEL_AGAIN_S = 5.0
SUBMIT_AGAIN_S = 3.0


class JobView(msgspec.Struct, frozen=True, kw_only=True):
    """All that a decision about a job may rest on.

    head: the head node's generation. presence: whether the agent knows the job (`unknown` while it cannot be
    asked). word: the agent's JobState. drained: ranks whose log is all here. failure: why the cluster could
    not be launched. nodes_gone: no node is left whose log could still come.
    """

    spec: JobSpec
    state: JobState
    cluster_status: str
    cluster_target: str
    head: int
    failure: str = ""
    presence: Literal["present", "absent", "unknown"] = "unknown"
    word: dict[str, Any] | None = None
    drained: tuple[int, ...] = ()
    nodes_gone: bool = False
    tail: str = ""


def decide_job(record: Record, view: JobView, now: float) -> Decision:
    """The next step of a job. Pure."""
    if record.status in JOB_FINAL:
        return _draining(record, view, now)
    if record.status == "INIT":
        return _init(record, view, now)
    return _handed_over(record, view, now)


def _init(record: Record, view: JobView, now: float) -> Decision:
    outcome = record.outcome
    if view.presence == "present":
        return _mirror(record, view, now)
    if _head_lost(view):
        return _lost(record, view, now)
    not_there = not view.state.handed_to or view.presence == "absent"
    if not_there and view.failure:
        return _end(record, view, "FAILED_DRIVER", view.failure, now)
    if not_there and (record.target == "CANCELLED" or view.cluster_target == "TERMINATED"):
        return _end(record, view, "CANCELLED", "cancelled before it was started", now)
    if outcome and outcome.effect == "SubmitJob" and outcome.error:
        if outcome.error.get("retryable") == "no":
            return _end(record, view, "FAILED_DRIVER", str(outcome.error.get("what")), now)
        return Decision(reason=str(outcome.error.get("what")), wake_in=SUBMIT_AGAIN_S)
    if view.cluster_status != "UP":
        return Decision()
    handed = msgspec.structs.replace(view.state, handed_to=view.head)
    event = Event("job.submit", {"job": view.spec.number, "head_generation": view.head})
    return Decision(
        state=handed, effects=(SubmitJob(view.spec.number),), events=(event,), wake_in=SUBMIT_AGAIN_S
    )


def _handed_over(record: Record, view: JobView, now: float) -> Decision:
    if view.presence == "present":
        return _mirror(record, view, now)
    if _head_lost(view):
        return _lost(record, view, now)
    if view.presence == "absent":
        return _end(record, view, "FAILED_DRIVER", "the head node no longer knows this job", now)
    return Decision(wake_in=5.0)  # unknown is not dead


def _head_lost(view: JobView) -> bool:
    return bool(view.state.handed_to) and view.head != view.state.handed_to


def _lost(record: Record, view: JobView, now: float) -> Decision:
    status = "CANCELLED" if record.target == "CANCELLED" else "FAILED_DRIVER"
    return _end(record, view, status, "the head node went away while it had this job", now)


def _mirror(record: Record, view: JobView, now: float) -> Decision:
    word = view.word or {}
    status = str(word.get("state", record.status))
    state = msgspec.structs.replace(
        view.state,
        handed_to=view.state.handed_to or view.head,
        submitted_at=word.get("submitted_at"),
        started_at=word.get("started_at"),
        ended_at=word.get("ended_at"),
        ranks=tuple(word.get("ranks") or ()),
    )
    effects: tuple[CancelJob, ...] = ()
    if record.target == "CANCELLED" and status not in JOB_FINAL:
        effects = (CancelJob(view.spec.number),)
        state = msgspec.structs.replace(state, cancel_sent=True)
    changed = status != record.status
    if not changed and not effects and state == view.state:
        return Decision(wake_in=30.0)
    data = {"job": view.spec.number, "status": status, "reason": word.get("reason") or ""}
    return Decision(
        status=status,
        reason=str(word.get("reason") or ""),
        state=state,
        effects=effects,
        events=(Event("job.status", data),) if changed else (),
        seen=True,
        wake_in=CANCEL_AGAIN_S if effects else (0.001 if status in JOB_FINAL else 30.0),
    )


def _end(record: Record, view: JobView, status: str, reason: str, now: float) -> Decision:
    state = msgspec.structs.replace(view.state, ended_at=now)
    data = {"job": view.spec.number, "status": status, "reason": reason}
    return Decision(
        status=status, reason=reason, state=state, events=(Event("job.status", data),), wake_in=0.001
    )


def _draining(record: Record, view: JobView, now: float) -> Decision:
    """The verdict stands; the record ends when every rank's log is here, or no node is left to ask."""
    ranks = {
        int(rank["rank"]) for rank in view.state.ranks if rank.get("pid") or rank.get("exit_code") is not None
    }
    if ranks - set(view.drained) and not view.nodes_gone:
        return Decision(wake_in=5.0)
    spec = view.spec
    kept = DropKept((spec.secrets,) if spec.secrets else (), spec.files)
    dropped = record.outcome and record.outcome.effect == "DropKept"
    if (spec.secrets or spec.files) and not spec.held_by and not dropped:
        return Decision(effects=(kept,), wake_in=5.0)
    state = msgspec.structs.replace(view.state, drained=tuple(sorted(view.drained)), log_tail=view.tail)
    return Decision(final=True, state=state)
