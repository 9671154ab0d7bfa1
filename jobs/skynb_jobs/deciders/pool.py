"""The life of a pool: warm workers, as many as are wanted, lent to tasks one at a time. Pure.

    STARTING <-> READY      STARTING -> FAILED -> STARTING (asked for anew)
    any -> TERMINATING -> TERMINATED

Targets: UP, TERMINATED. A worker is a cluster that the pool holds. It is ready once it is up and set up; it
is given up when a machine of it is certainly gone, when its setup fails, or when it is one too many and idle.
"""

from __future__ import annotations

from typing import Any

import msgspec

from skynb.control.records import Decision, Event, Move, Record
from skynb_jobs.deciders.turn import Turn, words
from skynb_jobs.deciders.views import PoolView, WorkerSeen
from skynb_jobs.naming import worker_id
from skynb_jobs.records import DropPool, PoolState, RentWorker, SetWorkerUp, Worker

AGAIN_S = 2.0
LOOK_S = 30.0  # what no cause wakes is looked at this often
MOST_FAILURES = 4  # workers in a row whose setup, or rental, failed: others' would, too
PAUSES_S = (0.0, 2.0, 10.0, 60.0)
LOST_PAUSE_S = 10.0


def decide_pool(record: Record, view: PoolView, now: float) -> Decision:
    """The next step of a pool. Pure."""
    turn = _Turn(record, view, view.state, now)
    turn.look()
    if record.target == "TERMINATED":
        turn.end()
    else:
        turn.scale()
        turn.shed()
        turn.rent()
        turn.lend()
        turn.tell_status()
    return turn.decision()


class _Turn(Turn[PoolView, PoolState]):
    """One decision about a pool."""

    # What the ledger says of each worker

    def look(self) -> None:
        for worker in self.state.workers:
            seen = self.seen(worker)
            if worker.over_at is not None:
                if seen.cluster.final or not seen.cluster.status:
                    self.change(worker, closed=True)
                continue
            self.waits += [LOOK_S] if worker.task else []
            held = worker if seen.lent or not worker.task else self.change(worker, task="", attempt=0)
            if why := self._lost(held, seen):
                self.lose(held, why)
            elif why := self._useless(held, seen):
                self.fail(held, why)
            elif held.ready_at is None:
                self._prepare(held, seen)
        left = tuple(worker for worker in self.state.workers if not worker.closed)
        self.set(workers=left)

    def _lost(self, worker: Worker, seen: WorkerSeen) -> str:
        """Why a worker's machines are gone, or going; empty while they stay."""
        cluster, work = seen.cluster, seen.cluster.work
        if cluster.hurt:
            return cluster.hurt
        if cluster.status and cluster.target != "UP" and not cluster.failed:
            return cluster.reason or "its cluster was taken down"
        if work is not None and work.status == "FAILED_DRIVER":
            return work.reason or "the head node lost a job"
        if cluster.warned_at is not None and not worker.task:
            return "the infra takes a machine away"
        return ""

    def _useless(self, worker: Worker, seen: WorkerSeen) -> str:
        """Why it cannot become ready, as others could not either; empty while it may."""
        cluster, work = seen.cluster, seen.cluster.work
        if cluster.failed:
            return str((cluster.error or {}).get("what") or cluster.reason or "no machines were had")
        if worker.setup and worker.ready_at is None and work and work.final and work.status != "SUCCEEDED":
            return work.reason or "its setup failed"
        return ""

    def _prepare(self, worker: Worker, seen: WorkerSeen) -> None:
        cluster = seen.cluster
        if not cluster.status:
            self._again(worker)
        elif cluster.status == "UP" and not worker.setup and self.view.has_setup:
            self.change(worker, setup=True)
            self.effects.append(SetWorkerUp(worker.number))
            self.waits.append(AGAIN_S)
        elif cluster.status == "UP" and (not self.view.has_setup or (cluster.work and cluster.work.final)):
            self.change(worker, ready_at=self.now)
            self.set(failures=0, next_at=0.0)
            self.tell("pool.ready", worker)
        elif worker.setup and cluster.work is None:
            self.effects.append(SetWorkerUp(worker.number))
            self.waits.append(AGAIN_S)

    def _again(self, worker: Worker) -> None:
        """Its cluster is not written yet, or could not be."""
        error = self.error_of("RentWorker", since=worker.began_at)
        if error:
            self.fail(worker, words(error))
        else:
            self.effects.append(RentWorker(worker.number))
            self.waits.append(AGAIN_S)

    # How many there should be

    def scale(self) -> None:
        """As many as are asked for, moved by the line: what it wants must last, unless there is nobody."""
        spec, state = self.view.spec, self.state
        busy = sum(bool(worker.task) for worker in self.live())
        line = -(-len(self.view.waiting) // spec.threshold)
        want = min(max(busy + line, spec.least), spec.most)
        bounded = min(max(state.wanted, spec.least), spec.most)
        if want == bounded:
            self.set(wanted=bounded, unlike=None)
            return
        same = state.unlike is not None and (want > bounded) == (state.unlike > bounded)
        since = state.unlike_since if same else self.now
        delay = spec.up_s if want > bounded else spec.down_s
        if bounded == 0 or self.now - since >= delay:
            self.set(wanted=want, unlike=None)
            self.events.append(Event("pool.scaled", {"workers": want, "waiting": len(self.view.waiting)}))
        else:
            self.set(wanted=bounded, unlike=want, unlike_since=since)
            self.waits.append(max(0.01, since + delay - self.now))

    def shed(self) -> None:
        """Idle workers that are one too many go: older versions first, then those that are not ready."""
        current = [worker for worker in self.live() if self.counts(worker)]
        ready = sum(worker.ready_at is not None for worker in current)
        old = [worker for worker in self.live() if not self.counts(worker) and not worker.task]
        for worker in old[: max(0, ready + len(old) - self.state.wanted)]:
            self.give_up(worker, "another version was asked for")
        idle = sorted(
            (worker for worker in current if not worker.task),
            key=lambda worker: (worker.ready_at is not None, -worker.number),
        )
        for worker in idle[: max(0, len(current) - self.state.wanted)]:
            self.give_up(worker, "fewer are wanted")

    def rent(self) -> None:
        """New ones, while there are too few and earlier ones did not all fail."""
        lacking = self.state.wanted - sum(self.counts(worker) for worker in self.live())
        if self._hopeless():
            return
        if lacking > 0 and self.now < self.state.next_at:
            self.waits.append(self.state.next_at - self.now)
            return
        for _ in range(lacking):
            number = self.state.made + 1
            worker = Worker(
                number=number,
                cluster=worker_id(self.record.id, number),
                version=self.view.spec.version,
                began_at=self.now,
            )
            self.set(workers=(*self.state.workers, worker), made=number)
            self.tell("pool.rent", worker)
            self.effects.append(RentWorker(number))
            self.waits.append(AGAIN_S)

    def lend(self) -> None:
        """Ready, idle workers to those that wait, in order."""
        taken = {(worker.task, worker.attempt) for worker in self.live() if worker.task}
        line = [one for one in self.view.waiting if one not in taken]
        free = [worker for worker in self.live() if worker.ready_at is not None and not worker.task]
        well = [one for one in free if (seen := self.seen(one).cluster).status == "UP" and seen.whole]
        for worker, (task, attempt) in zip(well, line, strict=False):
            self.change(worker, task=task, attempt=attempt)
            self.tell("pool.lent", worker, task=task)
            self.wakes.append(task)
        self.waits += [LOOK_S] if len(line) > len(well) else []

    def tell_status(self) -> None:
        """READY with a worker, or if none is wanted."""
        if any(worker.ready_at is not None for worker in self.live()) or not self.state.wanted:
            self.status, self.reason = "READY", ""
        else:
            self.status = "FAILED" if self._hopeless() else "STARTING"

    def end(self) -> None:
        """All go; the record ends when nothing of any is left."""
        for worker in self.live():
            self.give_up(worker, "the pool was taken down")
        if self.state.workers:
            self.status = "TERMINATING"
            return
        if (self.view.spec.secrets or self.view.spec.files) and not self.is_done("DropPool"):
            self.status = "TERMINATING"
            self.effects.append(DropPool())
            self.waits.append(AGAIN_S)
            return
        self.status, self.reason, self.final = "TERMINATED", "", True

    # What the steps are made of

    def seen(self, worker: Worker) -> WorkerSeen:
        return self.view.workers.get(worker.number) or WorkerSeen()

    def live(self) -> list[Worker]:
        return [worker for worker in self.state.workers if worker.over_at is None]

    def counts(self, worker: Worker) -> bool:
        """It is as was asked for last, and stays as far as is known."""
        return worker.version == self.view.spec.version and self.seen(worker).cluster.warned_at is None

    def lose(self, worker: Worker, why: str) -> None:
        """Give up one whose machines go; where that was before it was ready, the next one waits a little."""
        if worker.ready_at is None:
            self.set(next_at=self.now + LOST_PAUSE_S)
            self.reason = why
        self.give_up(worker, why)

    def fail(self, worker: Worker, why: str) -> None:
        """Give up one that cannot become ready: ever longer pauses, and at last no further one."""
        before = self.state.failures if self.state.failing == self.view.spec.version else 0
        pause = PAUSES_S[min(before, len(PAUSES_S) - 1)]
        self.set(failures=before + 1, failing=self.view.spec.version, next_at=self.now + pause)
        self.reason = why
        self.give_up(worker, why)

    def give_up(self, worker: Worker, why: str) -> None:
        """Let a worker go: its cluster is taken down."""
        self.change(worker, over_at=self.now, why=why)
        self.tell("pool.over", worker, why=why)
        cluster = self.seen(worker).cluster
        if cluster.status and cluster.target != "TERMINATED":
            self.moves.append(Move(worker.cluster, "TERMINATED"))

    def _hopeless(self) -> bool:
        return self.state.failing == self.view.spec.version and self.state.failures >= MOST_FAILURES

    def tell(self, name: str, worker: Worker, **data: Any) -> None:
        self.events.append(Event(name, {"worker": worker.number, **data}))

    def change(self, worker: Worker, **changes: Any) -> Worker:
        changed = msgspec.structs.replace(worker, **changes)
        workers = tuple(changed if one.number == worker.number else one for one in self.state.workers)
        self.set(workers=workers)
        return changed
