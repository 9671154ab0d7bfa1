"""The head's queue at work: takes jobs, asks the deciders, talks to the nodes, keeps the book.

Everything follows one loop: something changed -> `reconcile` -> state on disk -> commands to nodes -> reports
come back -> again. Commands are repeated after a reconnection, and nodes take a repeat for what it is.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, Callable, Dict, Iterable, List, Optional, Set, Tuple

from skynb_agent import gang, queue, states
from skynb_agent.gang import Command, Verdict
from skynb_agent.jobs import Job, JobBook, Slot, digest_of
from skynb_agent.protocol import Codes, RemoteError
from skynb_agent.ranks import DEFAULT_GRACE_S
from skynb_agent.wake import Tasks, note

if TYPE_CHECKING:
    from skynb_agent.nodes import NodeBook
    from skynb_agent.peer import Call


class Head:
    """The gang queue of one cluster. `on_submit` is called for every new job."""

    def __init__(self, book: JobBook, nodes: NodeBook, tasks: Tasks) -> None:
        self.book = book
        self.nodes = nodes
        self.on_submit: Callable[[], None] = lambda: None
        self.paused = False  # set while the cluster ends: nothing new starts
        self._tasks = tasks
        self._asked: Set[Tuple[int, int, str]] = set()
        self._kicked = False

    # -- what the server asks

    def submit(self, spec: dict[str, Any]) -> dict[str, Any]:
        """Queue a job. The same id and content again answers the same; other content is a conflict."""
        number, digest = int(spec["id"]), digest_of(spec)
        known = self.book.jobs.get(number)
        if known is not None:
            if known.digest != digest:
                raise RemoteError(Codes.CONFLICT, f"job {number} was submitted before with other content")
            return known.to_state()
        if self.paused:
            raise RemoteError(Codes.ENDING, "the cluster is ending and takes no new jobs")
        probe = Job(spec, digest, order=0)
        if probe.need().num_nodes < 1 or probe.need().gpus < 0 or probe.need().cpus < 0:
            raise RemoteError(Codes.BAD_REQUEST, "num_nodes must be at least 1, CPUs and GPUs at least 0")
        why = queue.never_fits(probe.need(), self.nodes.queue_view())
        if why is not None:
            raise RemoteError(Codes.NEVER_FITS, f"this job can never start: {why}")
        job = self.book.add(spec, digest)
        job.state = states.move(job.state, "PENDING")
        try:
            self.book.save(job, must=True)
        except OSError:
            self.book.discard(job)  # an accepted job is a durable one
            raise
        self.on_submit()
        self.kick()
        return job.to_state()

    def cancel(
        self, ids: Iterable[int] | None, grace_s: float = DEFAULT_GRACE_S, reason: str = "cancelled"
    ) -> list[Any]:
        """Cancel jobs (None = all). Durable when this returns; a job is final when its ranks are gone."""
        wanted = [job.id for job in self.book.active.values()] if ids is None else list(ids)
        unknown = [number for number in wanted if number not in self.book.jobs]
        if unknown:
            raise RemoteError(Codes.NOT_FOUND, f"no such job: {', '.join(map(str, unknown))}")
        jobs = [self.book.jobs[number] for number in wanted]
        for job in jobs:
            if not job.final and job.verdict is None:
                job.verdict, job.grace_s = Verdict("CANCELLED", reason), grace_s
                self.book.save(job, must=True)
        self.reconcile()
        return [job.to_state() for job in jobs]

    def node_gone(self, rank: int, node_id: str) -> list[int]:
        """The server says this machine is lost: its ranks have ended. The answer lists the jobs it ends."""
        if rank == self.nodes.config.rank:
            raise RemoteError(Codes.BAD_REQUEST, "the head cannot be declared lost to itself")
        self.nodes.declare_gone(rank, node_id)
        return self._lose(node_id)

    async def watch(self, call: Call, rev: int) -> None:
        """Push every job newer than `rev`, then each change as it happens."""
        changes = self.book.watch()
        try:
            for state in self.book.newer(rev):
                await call.peer.send({"sub": call.number, "job": state})
            while True:
                state = await changes.get()
                await call.peer.send({"sub": call.number, "job": state})
        finally:
            self.book.unwatch(changes)

    def counts(self) -> dict[str, int]:
        """How many jobs are in each state that has any."""
        found: Dict[str, int] = {}
        for job in self.book.jobs.values():
            found[job.state] = found.get(job.state, 0) + 1
        return found

    # -- what the nodes say

    def take_report(self, report: dict[str, Any]) -> None:
        """News of one rank, from the local host or a worker. Old news is dropped."""
        job = self.book.jobs.get(int(report["job"]))
        slot = next((s for s in job.slots if s.rank == report["rank"]), None) if job else None
        if job is None or slot is None or not states.forward(slot.stage, str(report["stage"])):
            return
        for name in ("stage", "phase", "exit_code", "cause", "pid"):
            setattr(slot, name, report.get(name))
        self.book.save(job)
        self.kick()

    def take_all_reports(self, rank: int, node_id: str, reports: list[dict[str, Any]]) -> None:
        """A node's whole state after it (re)connects. What it should have and has not is lost."""
        said = {(r["job"], r["rank"]) for r in reports}
        for report in reports:
            job = self.book.jobs.get(int(report["job"]))
            if job is None or all(s.node_id != node_id or s.rank != report["rank"] for s in job.slots):
                self._disown(rank, report)
            self.take_report(report)
        for job in list(self.book.active.values()):
            for slot in job.slots:
                missing = slot.node_id == node_id and (job.id, slot.rank) not in said
                if missing and slot.stage not in {states.ASSIGNED, states.ENDED}:
                    self._mark(job, slot, "lost")
        self._asked = {asked for asked in self._asked if self._node_of(asked) != rank}
        self.kick()

    def node_replaced(self, old_id: str) -> None:
        """A newer generation took an old node's rank, so the old one is lost."""
        self._lose(old_id)

    def _disown(self, rank: int, report: dict[str, Any]) -> None:
        note(
            "a node reports a rank that this head does not know; it is stopped", report["job"], report["rank"]
        )
        params = {"job": report["job"], "rank": report["rank"], "grace_s": DEFAULT_GRACE_S}
        self._tasks.spawn(self._ask_quietly(rank, "rank_stop", params))

    def _lose(self, node_id: str) -> list[int]:
        hit: List[int] = []
        for job in list(self.book.active.values()):
            for slot in job.slots:
                if slot.node_id == node_id and slot.stage != states.ENDED:
                    self._mark(job, slot, "lost")
                    hit.append(job.id)
        self.kick()
        return hit

    def _mark(self, job: Job, slot: Slot, cause: str, message: str | None = None) -> None:
        slot.stage, slot.cause, slot.message = states.ENDED, cause, message
        self.book.save(job)

    def _node_of(self, asked: tuple[int, int, str]) -> int | None:
        job = self.book.jobs.get(asked[0])
        return next((s.node for s in job.slots if s.rank == asked[1]), None) if job else None

    # -- the loop

    def kick(self) -> None:
        """Something changed; look again as soon as the loop is free."""
        if not self._kicked:
            self._kicked = True
            asyncio.get_running_loop().call_soon(self.reconcile)

    def reconcile(self) -> None:
        """Move every job as far as it will go now, then start what fits."""
        self._kicked = False
        for job in list(self.book.active.values()):
            self._advance(job)
        if not self.paused:
            self._start_some()

    def _advance(self, job: Job) -> None:
        if not job.slots and not job.final:
            if job.verdict is not None:
                self._settle(job, job.verdict.state, job.verdict)
            return
        while not job.final:
            step = gang.decide(job.state, [slot.view() for slot in job.slots], job.verdict)
            changed = step.state != job.state or step.verdict != job.verdict
            if changed:
                self._settle(job, step.state, step.verdict)
            for command in step.commands:
                self._command(job, command)
            if not changed:
                return
        self._let_go(job)

    def _settle(self, job: Job, state: str, verdict: Verdict | None) -> None:
        job.verdict = verdict
        if verdict is not None:
            job.reason = verdict.reason
        if state != job.state:
            job.state = states.move(job.state, state)
            if job.started_at is None and not job.final:
                job.started_at = time.time()
            if job.final:
                job.ended_at = time.time()
        self.book.save(job)
        if job.final:
            self.book.drop_secrets(job)
            if not job.slots:
                self.book.release(job)

    def _start_some(self) -> None:
        active = self.book.active.values()
        waiting = [job.need() for job in active if not job.slots and not job.final]
        if not waiting:
            return
        running = [job.holding() for job in active if job.slots and not job.final]
        for holding in queue.decide(waiting, self.nodes.queue_view(), running):
            job = self.book.jobs[holding.need.job]
            job.slots = [self._slot(rank, seat) for rank, seat in enumerate(holding.seats)]
            self.book.save(job)
            self._advance(job)

    def _slot(self, rank: int, seat: queue.Seat) -> Slot:
        node_id = self.nodes.node_id(seat.node) or ""
        return Slot(
            rank, seat.node, node_id, self.nodes.ip(seat.node), seat.cpus, list(seat.gpus), seat.share
        )

    # -- commands

    def _command(self, job: Job, command: Command) -> None:
        slot = job.slots[command.rank]
        asked = (job.id, slot.rank, command.verb)
        if asked in self._asked or not self.nodes.connected(slot.node):
            return
        self._asked.add(asked)
        self._tasks.spawn(self._ask(job, slot, command.verb))

    async def _ask(self, job: Job, slot: Slot, verb: str) -> None:
        method, params = self._words(job, slot, verb)
        try:
            report: Optional[Dict[str, Any]] = await self.nodes.ask(slot.node, method, params)
        except RemoteError as error:
            self._asked.discard((job.id, slot.rank, verb))
            self._refused(job, slot, error.code, error.message)
            return
        except OSError as error:  # the local host's disk
            self._refused(job, slot, Codes.REFUSED, error.strerror or "the disk refused")
            return
        if report:
            self.take_report(report)

    def _refused(self, job: Job, slot: Slot, code: str, message: str) -> None:
        if code == Codes.DISCONNECTED:
            return  # asked again when the node is back
        if slot.stage != states.ENDED:
            self._mark(job, slot, "refused", message)
            self.kick()

    def _words(self, job: Job, slot: Slot, verb: str) -> tuple[str, dict[str, Any]]:
        if verb == "prepare":
            ips = [other.ip for other in job.slots]
            spec = self.book.full_spec(job)
            return "rank_prepare", {"job": spec, "rank": slot.rank, "ips": ips, "gpus": slot.gpus}
        params: Dict[str, Any] = {"job": job.id, "rank": slot.rank}
        if verb == "stop":
            return "rank_stop", {**params, "grace_s": job.grace_s}
        return "rank_launch", {**params, "phase": verb}

    def _let_go(self, job: Job) -> None:
        asked = (job.id, -1, "forget")
        if asked not in self._asked and not job.released:
            self._asked.add(asked)
            self._tasks.spawn(self._forget(job))

    async def _forget(self, job: Job) -> None:
        done = True
        for slot in job.slots:
            here = self.nodes.node_id(slot.node) == slot.node_id  # a lost node has nothing to be told
            if here and not await self._ask_quietly(
                slot.node, "rank_forget", {"job": job.id, "rank": slot.rank}
            ):
                done = False
        self._asked.discard((job.id, -1, "forget"))
        self._asked = {asked for asked in self._asked if asked[0] != job.id}
        if done:
            self.book.release(job)

    async def _ask_quietly(self, rank: int, method: str, params: dict[str, Any]) -> bool:
        try:
            await self.nodes.ask(rank, method, params)
        except (RemoteError, OSError):
            return False
        return True
