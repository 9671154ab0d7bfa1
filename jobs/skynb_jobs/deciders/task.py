"""The life of one task of a managed job: attempt after attempt, until it has ended once. Pure.

    PENDING -> STARTING -> RUNNING -> a final status
    STARTING | RUNNING -> RECOVERING -> RUNNING ...      any but a final one -> CANCELLING -> CANCELLED

Targets: QUEUED (its turn has not come), DONE, CANCELLED. An attempt is a cluster that the task was given. It
is lost only when the ledger is certain that a machine of it is gone; what cannot be seen changes nothing. The
next one is rented as soon as the infra says that it takes a machine, and begins to work when nothing of the
last one can work any more. A success that was heard of beats everything else. A task of a pool rents nothing:
it is lent a worker, and gives it back.
"""

from __future__ import annotations

from typing import Any

import msgspec

from skynb.control.records import Decision, Event, Move, Record
from skynb.errors import JobBudgetError, NotFoundError
from skynb_clusters.naming import job_id
from skynb_jobs.deciders.turn import Turn, words
from skynb_jobs.deciders.views import AttemptSeen, TaskView, WorkSeen
from skynb_jobs.naming import cluster_id
from skynb_jobs.records import (
    CANCELLED,
    FINAL,
    QUEUED,
    Attempt,
    DropTask,
    EndedBy,
    RentCluster,
    SubmitWork,
    TaskState,
)

DOUBT_S = 30.0  # a machine that is taken away may fail its work so long before its infra tells
MOST_DOUBT_S = 900.0
AGAIN_S = 2.0
LAPSE_S = 120.0  # what was to be taken so long ago is not taken
WORKED_S = 60.0  # an attempt that was lost earlier makes the next ones wait
MOST_UNTAKEN = 6  # what whole machines refuse so often in a row, others will refuse, too
PAUSES_S = (0.0, 0.0, 5.0, 20.0, 60.0, 300.0)
RESTART_PAUSES_S = (1.0, 5.0, 20.0, 60.0)
NO_HURRY_S = 3600.0
LOOK_S = 30.0
WAITS = "waits for a worker of its pool"
_UNFIT = {"spec": "FAILED_PRECHECKS", "unsupported": "FAILED_PRECHECKS", "auth": "FAILED_PRECHECKS"}
_UNFIT |= {
    "no-offer": "FAILED_NO_RESOURCE",
    "budget": "FAILED_NO_RESOURCE",
    JobBudgetError.code: "FAILED_NO_RESOURCE",
}
_HOPELESS = {NotFoundError.code, JobBudgetError.code}  # what was kept for the task is gone, or its money


def decide_task(record: Record, view: TaskView, now: float) -> Decision:
    """The next step of a task. Pure."""
    turn = _Turn(record, view, view.state, now)
    turn.look()
    if record.status in FINAL:
        turn.close()
    elif record.status == "PENDING" and record.target == QUEUED:
        return Decision(wake_in=NO_HURRY_S)
    elif turn.succeeded():
        turn.end("SUCCEEDED", "", "done")
    elif record.target == CANCELLED:
        turn.cancel()
    elif turn.is_late():
        turn.end("FAILED", "the deadline has passed", "cancelled")
    else:
        turn.judge()
        if turn.status not in FINAL:
            turn.go_on()
    return turn.decision()


class _Turn(Turn[TaskView, TaskState]):
    """One decision about a task."""

    def look(self) -> None:
        """Note what the ledger says of each attempt: its machines, a warning, its end."""
        for attempt in self.state.attempts:
            seen = self.seen(attempt)
            if attempt.closed:
                continue
            gone = seen.final or not seen.status or (attempt.worker and self.is_clear(attempt))
            if attempt.over_at is not None and gone:
                self.change(attempt, closed=True)
                self.wakes += [self.view.spec.pool] if self.view.spec.pool else []
                continue
            changes: dict[str, Any] = {"offer": seen.offer} if seen.offer != attempt.offer else {}
            if seen.status == "UP" and attempt.up_at is None:
                changes["up_at"] = self.now
            new = seen.warned_at not in {None, attempt.warned_at, attempt.lapsed_at}
            if new and attempt.over_at is None:
                changes["warned_at"] = seen.warned_at
                self.tell("task.warned", attempt, at=seen.warned_at)
            if changes:
                self.change(attempt, **changes)

    def succeeded(self) -> bool:
        """Some attempt has done the work, even one that was given up meanwhile."""
        works = [seen.work for seen in self.view.attempts.values() if seen.work]
        return any(work.status == "SUCCEEDED" for work in works)

    def cancel(self) -> None:
        """Nothing of it goes on; the verdict waits until no attempt can still have succeeded."""
        for attempt in self.live():
            self.give_up(attempt, "cancelled", "cancelled")
        if all(self.is_clear(attempt) for attempt in self.state.attempts):
            self.end(CANCELLED, "cancelled by request", "cancelled")
        elif self.status != "CANCELLING":
            self.status, self.reason = "CANCELLING", ""

    def is_late(self) -> bool:
        deadline = self.view.spec.deadline_at
        if deadline is not None:
            self.waits.append(max(0.01, deadline - self.now))
        return deadline is not None and self.now >= deadline

    def judge(self) -> None:
        """Which attempts are lost, and whether the work has failed by itself."""
        for attempt in self.live():
            self._judge(attempt, self.seen(attempt))
            if self.status in FINAL:
                return
        self._lapse()

    def go_on(self) -> None:
        """Rent, submit, or wait; there is no attempt that can succeed without one that the infra leaves."""
        fit = [attempt for attempt in self.live() if attempt.warned_at is None]
        if not fit:
            self._rent_next()
        elif self.view.spec.pool and not fit[-1].cluster:
            self._await_worker(fit[-1])
        elif not self.seen(fit[-1]).status:
            self._rent(fit[-1])
        else:
            self._work(fit[-1], self.seen(fit[-1]))

    def close(self) -> None:
        """The verdict stands; the record ends when nothing of any attempt is left."""
        if not all(attempt.closed for attempt in self.state.attempts):
            return
        if (self.view.spec.secrets or self.view.spec.files) and not self.is_done("DropTask"):
            self.effects.append(DropTask())
            self.waits.append(AGAIN_S)
            return
        self.final = True

    def end(self, status: str, reason: str, by: EndedBy) -> None:
        """The verdict; what still runs for it is taken down."""
        for attempt in self.live():
            done = (work := self.seen(attempt).work) is not None and work.status == "SUCCEEDED"
            self.give_up(attempt, by if done or by != "done" else "unneeded", reason)
        self.status, self.reason = status, reason
        self.set(ended_at=self.now)
        self.events.append(Event("task.ended", {"status": status, "reason": reason}))
        self.effects, self.waits = [], [0.01]

    def _judge(self, attempt: Attempt, seen: AttemptSeen) -> None:
        work, plain = seen.work, self.view.spec.num_nodes == 1 and attempt.warned_at is None
        failed = work is not None and work.status in {"FAILED", "FAILED_SETUP"}
        if work and failed and plain and not work.killed:
            self._failed(attempt, work)
        elif seen.spent:
            self.end("FAILED", "the budget is used up", "cancelled")
        elif seen.failed:
            what = str((seen.error or {}).get("what") or seen.reason)
            self.end("FAILED_NO_RESOURCE", what, "refused")
        elif seen.hurt:
            self._lose(attempt, seen.hurt)
        elif seen.status and seen.target != "UP":
            self._lose(attempt, seen.reason or "its cluster was taken down")
        elif work and work.status == "FAILED_DRIVER":
            self._not_taken(attempt, seen, work)
        elif work and work.status == "CANCELLED":
            self.end(CANCELLED, "its job was cancelled on its cluster", "cancelled")
        elif work and failed:
            self._doubt(attempt, seen, work)

    def _not_taken(self, attempt: Attempt, seen: AttemptSeen, work: WorkSeen) -> None:
        """The head does not have the job: its machine went, or all are whole and will not take it."""
        untaken = self.state.untaken + 1 if seen.whole else 0
        if untaken >= MOST_UNTAKEN:
            self.end("FAILED", f"no node took it, {untaken} times in a row: {work.reason}", "failed")
            return
        self._lose(attempt, work.reason or "the head node lost the job")
        self.set(untaken=untaken)

    def _lapse(self) -> None:
        """A machine that was to be taken is still there and well: its work goes on, and needs no other."""
        for attempt in self.live():
            if attempt.warned_at is None or not self.seen(attempt).whole:
                continue
            wait = attempt.warned_at + LAPSE_S - self.now
            if wait > 0:
                self.waits.append(wait)
                continue
            self.change(attempt, warned_at=None, lapsed_at=attempt.warned_at)
            self.tell("task.spared", attempt)
            for other in self.live():
                if other.number > attempt.number:
                    self.give_up(other, "unneeded", "the machine was not taken away")

    def _doubt(self, attempt: Attempt, seen: AttemptSeen, work: WorkSeen) -> None:
        """It failed in a way that a vanishing machine would explain: wait until that can be told."""
        past = self.now - (work.ended_at or self.now)
        if attempt.warned_at is not None:
            self._lose(attempt, "the infra took a machine away")
        elif past < DOUBT_S or (not seen.whole and past < MOST_DOUBT_S):
            self.waits.append(max(0.5, DOUBT_S - past))
        elif seen.whole:
            self._failed(attempt, work)
        else:
            self._lose(attempt, "it failed, and its machines do not answer")

    def _failed(self, attempt: Attempt, work: WorkSeen) -> None:
        """The work failed by itself: again on the same machines if that was asked for, else the end."""
        spec = self.view.spec
        free = any(code in spec.restart_codes for code in work.codes if code)
        left = self.state.restarts < spec.restarts
        if not (free or left) or self.seen(attempt).status != "UP":
            self.end(work.status, _told(work), "failed")
            return
        count = self.state.restarts + (0 if free else 1)
        pause = RESTART_PAUSES_S[min(len(attempt.jobs), len(RESTART_PAUSES_S)) - 1]
        self.set(restarts=count, next_at=self.now + pause)
        number = attempt.jobs[-1] + 1
        self.change(attempt, jobs=(*attempt.jobs, number))
        self.tell("task.restart", attempt, codes=list(work.codes), counted=not free, pause_s=pause)
        self.status, self.reason = "RECOVERING", f"{_told(work)}; again in {pause:g} s"

    def _lose(self, attempt: Attempt, why: str) -> None:
        work = self.seen(attempt).work
        worked = work is not None and attempt.up_at is not None and self.now - attempt.up_at >= WORKED_S
        quick = 0 if worked else self.state.quick + 1
        self.set(quick=quick, untaken=0, next_at=self.now + PAUSES_S[min(quick, len(PAUSES_S) - 1)])
        self.give_up(attempt, "preempted" if attempt.warned_at is not None else "lost", why)
        self.status, self.reason = "RECOVERING", why

    def _rent_next(self) -> None:
        if self.now < self.state.next_at:
            self.waits.append(self.state.next_at - self.now)
            return
        number, pool = len(self.state.attempts) + 1, self.view.spec.pool
        cluster = "" if pool else cluster_id(self.record.id, number)
        attempt = Attempt(number=number, cluster=cluster, began_at=self.now)
        self.set(attempts=(*self.state.attempts, attempt))
        self.status = "STARTING" if number == 1 else "RECOVERING"
        if pool:
            self.wakes.append(pool)
            self._await_worker(attempt)
            return
        self.tell("task.rent", attempt)
        self.effects.append(RentCluster(number))
        self.waits.append(AGAIN_S)

    def _await_worker(self, attempt: Attempt) -> None:
        """The pool lends one when it is this task's turn, and wakes it."""
        lent = self.view.lent
        if lent is None or lent.gone:
            self.end("FAILED_NO_RESOURCE", "its pool was taken down", "refused")
        elif lent.cluster and lent.attempt == attempt.number:
            self.change(attempt, cluster=lent.cluster, worker=lent.worker)
            self.tell("task.lent", attempt, worker=lent.worker)
            self.reason = ""
            self.waits.append(0.01)
        else:
            self.reason = lent.trouble or WAITS
            self.waits.append(LOOK_S)

    def _rent(self, attempt: Attempt) -> None:
        """Its cluster is not written yet."""
        error = self.error_of("RentCluster")
        if error and attempt.number == 1 and str(error.get("code")) in _UNFIT:
            self.end(_UNFIT[str(error["code"])], words(error), "refused")
        elif error and error.get("code") in _HOPELESS:
            self.end("FAILED", words(error), "refused")
        elif error:
            quick = self.state.quick + 1
            self.set(quick=quick, next_at=self.now + max(5.0, PAUSES_S[min(quick, len(PAUSES_S) - 1)]))
            self.reason = words(error)
            self.waits.append(self.state.next_at - self.now)
        elif self.now < self.state.next_at:
            self.waits.append(self.state.next_at - self.now)
        else:
            self.effects.append(RentCluster(attempt.number))
            self.waits.append(AGAIN_S)

    def _work(self, attempt: Attempt, seen: AttemptSeen) -> None:
        """Hand the task to its cluster once that is up and nothing else can work on it; then watch."""
        if not attempt.jobs:
            if seen.status != "UP" or not self._others_clear(attempt):
                self.reason = seen.reason or self.reason
                return
            self.change(attempt, jobs=(seen.next_job,))
            self.tell("task.submit", attempt)
            self.effects.append(SubmitWork(attempt.number, seen.next_job))
            self.waits.append(AGAIN_S)
        elif seen.work is None:
            error = self.error_of("SubmitWork")
            if error and error.get("code") in _HOPELESS:
                self.end("FAILED", words(error), "failed")
                return
            if self.now >= self.state.next_at:
                self.effects.append(SubmitWork(attempt.number, attempt.jobs[-1]))
            self.waits.append(max(AGAIN_S, self.state.next_at - self.now))
        elif seen.work.status == "RUNNING" and self.status != "RUNNING":
            self.status, self.reason = "RUNNING", ""
            self.set(started_at=self.state.started_at or self.now)
            self.tell("task.running", attempt)

    def _others_clear(self, attempt: Attempt) -> bool:
        return all(self.is_clear(other) for other in self.state.attempts if other.number != attempt.number)

    def is_clear(self, attempt: Attempt) -> bool:
        """Nothing of this attempt can work on the task any more."""
        seen = self.seen(attempt)
        if attempt.closed or seen.final or not attempt.jobs:
            return True
        if attempt.worker and attempt.over_at is not None and seen.work is None:
            return True  # it was not submitted, and will not be
        # Ranks on other nodes may outlive a head that went away with its queue.
        return seen.work is not None and seen.work.final and seen.work.status != "FAILED_DRIVER"

    # What the steps are made of

    def seen(self, attempt: Attempt) -> AttemptSeen:
        return self.view.attempts.get(attempt.number) or AttemptSeen()

    def live(self) -> list[Attempt]:
        return [attempt for attempt in self.state.attempts if attempt.over_at is None]

    def give_up(self, attempt: Attempt, by: EndedBy, why: str) -> None:
        """Let this attempt go: its cluster is taken down, or given back to its pool."""
        self.change(attempt, over_at=self.now, ended_by=by, why=why)
        self.tell("task.over", attempt, by=by, why=why)
        seen = self.seen(attempt)
        if attempt.worker:
            if seen.work is not None and not seen.work.final:
                self.moves.append(Move(job_id(attempt.cluster, attempt.jobs[-1]), "CANCELLED"))
        elif seen.status and seen.target != "TERMINATED":
            self.moves.append(Move(attempt.cluster, "TERMINATED"))

    def tell(self, name: str, attempt: Attempt, **data: Any) -> None:
        self.events.append(Event(name, {"attempt": attempt.number, **data}))

    def change(self, attempt: Attempt, **changes: Any) -> None:
        changed = tuple(
            msgspec.structs.replace(one, **changes) if one.number == attempt.number else one
            for one in self.state.attempts
        )
        self.set(attempts=changed)


def _told(work: WorkSeen) -> str:
    """Why the work failed, in words."""
    codes = ", ".join(f"rank {rank}: {code}" for rank, code in enumerate(work.codes) if code)
    kind = "its setup failed" if work.status == "FAILED_SETUP" else "it failed"
    return work.reason or (f"{kind} (exit codes: {codes})" if codes else kind)
