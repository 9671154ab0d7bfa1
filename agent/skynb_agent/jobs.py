"""The head's jobs on disk: each change is written, numbered and shown to watchers, in that order."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Dict, List, Optional, Set

from skynb_agent import files, states
from skynb_agent.gang import RankView, Verdict
from skynb_agent.protocol import FINAL_STATES
from skynb_agent.queue import Holding, Need, Seat
from skynb_agent.wake import note

if TYPE_CHECKING:
    from pathlib import Path

DEFAULT_CPUS = 0.5


@dataclass
class Slot:
    """One rank of a started job: where it sits and what its node last said."""

    rank: int
    node: int
    node_id: str
    ip: str
    cpus: float
    gpus: List[str]
    share: float
    stage: str = states.ASSIGNED
    phase: str = "setup"
    exit_code: Optional[int] = None
    cause: Optional[str] = None
    pid: Optional[int] = None
    message: Optional[str] = None

    def view(self) -> RankView:
        """What the gang's decider sees."""
        return RankView(
            self.rank, self.stage, self.node, self.phase, self.exit_code, self.cause, self.message
        )

    def to_json(self) -> dict[str, Any]:
        """One entry of JobState.ranks."""
        state = states.rank_state(self.stage, self.cause, self.exit_code)
        shown = {"rank": self.rank, "node": self.node, "node_id": self.node_id, "state": state}
        return {**shown, "exit_code": self.exit_code, "pid": self.pid, "cause": self.cause, "gpus": self.gpus}


@dataclass
class Job:
    """One job. `spec` is what was submitted, without secrets."""

    spec: Dict[str, Any]
    digest: str
    order: int
    state: str = "INIT"
    reason: Optional[str] = None
    rev: int = 0
    submitted_at: float = field(default_factory=time.time)
    started_at: Optional[float] = None
    ended_at: Optional[float] = None
    verdict: Optional[Verdict] = None
    grace_s: float = 10.0
    slots: List[Slot] = field(default_factory=list)
    released: bool = False

    @property
    def id(self) -> int:
        """The server's number for it."""
        return int(self.spec["id"])

    @property
    def final(self) -> bool:
        """True when it has ended for good."""
        return self.state in FINAL_STATES

    def need(self) -> Need:
        """What it asks of the queue."""
        spec = self.spec
        cpus = spec.get("cpus_per_node")
        return Need(
            self.id,
            int(spec.get("num_nodes") or 1),
            DEFAULT_CPUS if cpus is None else float(cpus),
            float(spec.get("gpus_per_node") or 0),
            int(spec.get("priority") or 0),
            self.order,
        )

    def holding(self) -> Holding:
        """What it holds of the nodes."""
        return Holding(self.need(), [Seat(s.node, s.cpus, tuple(s.gpus), s.share) for s in self.slots])

    def to_state(self) -> dict[str, Any]:
        """The JobState that travels; no environment in it."""
        spec = self.spec
        return {
            "id": self.id,
            "name": spec.get("name"),
            "state": self.state,
            "reason": self.reason,
            "rev": self.rev,
            "priority": int(spec.get("priority") or 0),
            "submitted_at": self.submitted_at,
            "started_at": self.started_at,
            "ended_at": self.ended_at,
            "num_nodes": self.need().num_nodes,
            "user": spec.get("user"),
            "task_id": spec.get("task_id"),
            "ending": self.verdict is not None and not self.final,
            "ranks": [slot.to_json() for slot in self.slots],
        }


def digest_of(spec: dict[str, Any]) -> str:
    """Equal specs have equal digests, whatever the order of their keys."""
    return hashlib.sha256(json.dumps(spec, sort_keys=True).encode()).hexdigest()


class JobBook:
    """All jobs of this cluster, by id."""

    def __init__(self, root: Path) -> None:
        self.jobs: Dict[int, Job] = {}
        self.active: Dict[int, Job] = {}
        self._folder = root / "jobs"
        self._rev = 0
        self._unwritten: Set[int] = set()
        self._watchers: Set[asyncio.Queue[Dict[str, Any]]] = set()

    @property
    def rev(self) -> int:
        """The number of the latest change."""
        return self._rev

    def load(self) -> None:
        """Read every job of an earlier agent."""
        for path in self._folder.glob("*/job.json"):
            raw = files.read_json(path)
            raw["slots"] = [Slot(**slot) for slot in raw["slots"]]
            raw["verdict"] = Verdict(*raw["verdict"]) if raw["verdict"] else None
            job = Job(**raw)
            self.jobs[job.id] = job
            self._rev = max(self._rev, job.rev)
            if not (job.final and job.released):
                self.active[job.id] = job

    def add(self, spec: dict[str, Any], digest: str) -> Job:
        """A new job in INIT, with its secrets in their own file. Not yet saved: the caller moves it on."""
        public = {key: value for key, value in spec.items() if key != "secret_env"}
        job = Job(public, digest, order=1 + max((known.order for known in self.jobs.values()), default=0))
        folder = files.private_folder(self._folder / str(job.id))
        files.write_json(folder / "secrets.json", spec.get("secret_env") or {})
        self.jobs[job.id] = self.active[job.id] = job
        return job

    def discard(self, job: Job) -> None:
        """Undo `add` for a job that could not be written."""
        del self.jobs[job.id], self.active[job.id]
        self.drop_secrets(job)

    def full_spec(self, job: Job) -> dict[str, Any]:
        """The submitted spec with its secrets, for the nodes that will run it."""
        secrets = files.read_json(self._folder / str(job.id) / "secrets.json")
        return {**job.spec, "secret_env": secrets or {}}

    def save(self, job: Job, *, must: bool = False) -> None:
        """Number the change, write it, show it to watchers.

        Without `must` a disk that refuses only delays the writing: `save_late` tries again.
        """
        self._rev += 1
        job.rev = self._rev
        try:
            self._write(job)
        except OSError as error:
            if must:
                raise
            note("a job could not be written, will try again:", job.id, error.strerror)
            self._unwritten.add(job.id)
        for watcher in self._watchers:
            watcher.put_nowait(job.to_state())

    def save_late(self) -> None:
        """Write what the disk refused before. Called once a second."""
        with suppress(OSError):
            while self._unwritten:
                self._write(self.jobs[next(iter(self._unwritten))])

    def _write(self, job: Job) -> None:
        files.write_json(self._folder / str(job.id) / "job.json", asdict(job))
        self._unwritten.discard(job.id)

    def drop_secrets(self, job: Job) -> None:
        """Remove the secrets of a job that is final."""
        files.remove(self._folder / str(job.id) / "secrets.json")

    def release(self, job: Job) -> None:
        """Every node has let go of it; nothing more will happen to this job."""
        job.released = True
        with suppress(OSError):  # forgotten again after a restart, at worst
            self._write(job)
        self.active.pop(job.id, None)

    def watch(self) -> asyncio.Queue[dict[str, Any]]:
        """A queue that gets every change from now on. Give it back to `unwatch`."""
        queue: asyncio.Queue[Dict[str, Any]] = asyncio.Queue()
        self._watchers.add(queue)
        return queue

    def unwatch(self, queue: asyncio.Queue[dict[str, Any]]) -> None:
        """Stop filling `queue`."""
        self._watchers.discard(queue)

    def newer(self, rev: int) -> list[dict[str, Any]]:
        """Every job that changed after `rev`, oldest change first."""
        changed = [job for job in self.jobs.values() if job.rev > rev]
        return [job.to_state() for job in sorted(changed, key=lambda job: job.rev)]
