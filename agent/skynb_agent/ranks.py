"""The ranks that this node runs, for whatever head: prepared, set up, run, stopped, remembered.

The head's calls come in through `prepare`, `launch`, `stop` and `forget`; each may be repeated. What happens
goes out through `on_report`. Everything is on disk before it is reported, so a killed agent resumes here.
"""

from __future__ import annotations

import os
import shutil
import time
from typing import TYPE_CHECKING, Any, Callable, Dict, Optional, Tuple

from skynb_agent import environment, files, launch, processes, states
from skynb_agent.environment import Place
from skynb_agent.launch import Launch, Outcome
from skynb_agent.protocol import Codes, RemoteError
from skynb_agent.setups import SKIPPED, Setups
from skynb_agent.wake import note

if TYPE_CHECKING:
    from pathlib import Path

    from skynb_agent.config import Config
    from skynb_agent.wake import Bell, Tasks

Key = Tuple[int, int]
DEFAULT_GRACE_S = 10.0
HOOK_S = 3600.0
_LEFTOVER_GRACE_S = 2.0
_PHASES = ("setup", "run")
_PUBLIC = ("job", "rank", "stage", "phase", "exit_code", "cause", "pid")


class Rank:
    """One rank on this node; `record` is what rank.json holds."""

    def __init__(self, folder: Path, record: dict[str, Any]) -> None:
        self.folder = folder
        self.record = record
        self.launches: Dict[str, Launch] = {}
        self.stop_grace: Optional[float] = None

    @property
    def key(self) -> Key:
        """(job id, rank)."""
        return (self.record["job"], self.record["rank"])

    @property
    def stage(self) -> str:
        """Where it is in states.RANK_STAGES."""
        return str(self.record["stage"])

    @property
    def log(self) -> Path:
        """Its output, both phases."""
        return self.folder / "log"

    def report(self) -> dict[str, Any]:
        """What the head may know; no environment in it."""
        return {name: self.record.get(name) for name in _PUBLIC}

    def save(self) -> None:
        """Write rank.json."""
        files.write_json(self.folder / "rank.json", self.record)


class RankHost:
    """All ranks of this node. `on_report` is called after every durable change."""

    def __init__(self, config: Config, boot: str | None, tasks: Tasks, changed: Bell) -> None:
        self.config = config
        self.boot = boot
        self.ranks: Dict[Key, Rank] = {}
        self.on_report: Callable[[Dict[str, Any]], None] = lambda _report: None
        self.changed = changed
        self._tasks = tasks
        self._jobs = config.root / "jobs"
        self._setups = Setups(config.root, boot)

    def load(self) -> None:
        """Take up what an earlier agent left. Called once, before anything is served."""
        for path in sorted(self._jobs.glob("*/rank-*/rank.json")):
            record = files.read_json(path)
            rank = Rank(path.parent, record)
            self.ranks[rank.key] = rank
            if rank.stage != states.ENDED:
                self._resume(rank)

    def _resume(self, rank: Rank) -> None:
        rebooted = rank.record["boot"] != self.boot
        for phase in rank.record["launched"]:
            self._launch_of(rank, phase)
        if rank.stage not in {states.SETTING_UP, states.RUNNING}:
            if rebooted and rank.record["launched"]:
                self._tasks.spawn(self._conclude(rank, None, "rebooted"))
            return
        phase = rank.record["phase"]
        made = rank.launches[phase]
        begun = made.recover(rank.record["pid"], rank.record["started"])
        outcome = made.outcome() if begun else None
        vanished = outcome is not None and not outcome.known
        if (rebooted and (outcome is None or vanished)) or (vanished and self.boot is None):
            made.pid = None  # the number means nothing after a boot; variables still do
            self._tasks.spawn(self._conclude(rank, launch.UNKNOWN_EXIT, "rebooted"))
            return
        if not begun:  # killed between the intent and the start; the wrapper's claim makes a repeat safe
            try:
                self._start(rank, phase)
            except OSError as error:
                note("a rank could not be resumed:", *rank.key, error.strerror)
                self._finish(rank, launch.UNKNOWN_EXIT, "refused")
                return
        self._tasks.spawn(self._follow(rank, phase))

    def reports(self) -> list[dict[str, Any]]:
        """Every rank that the head has not yet let go."""
        return [rank.report() for rank in self.ranks.values() if not rank.record.get("forgotten")]

    def get(self, job: int, rank: int) -> Rank | None:
        """One rank, or None if it was never here."""
        return self.ranks.get((job, rank))

    def busy(self) -> bool:
        """True while any rank is between prepared and ended."""
        return any(rank.stage != states.ENDED for rank in self.ranks.values())

    def prepare(self, job: dict[str, Any], rank: int, ips: list[str], gpus: list[str]) -> dict[str, Any]:
        """Write scripts and secrets; after this the rank can start at once. OSError if the disk refuses."""
        known = self.get(int(job["id"]), rank)
        if known is not None:
            return known.report()
        folder = files.private_folder(self._jobs / str(int(job["id"])) / f"rank-{rank}")
        for phase in _PHASES:
            if job.get(phase) is not None:
                text = f"#!{_shell()}\n{job[phase]}\n"
                files.write_bytes(folder / f"{phase}.sh", text.encode(), 0o700)
        files.write_json(folder / "secrets.json", job.get("secret_env") or {})
        stage = states.READY if job.get("setup") is None else states.PREPARED
        public = {key: value for key, value in job.items() if key not in {"secret_env", "setup", "run"}}
        record = {"job": int(job["id"]), "rank": rank, "stage": stage, "phase": "setup", "exit_code": None}
        record.update(cause=None, pid=None, started=None, boot=self.boot, launched=[], spec=public)
        record.update(ips=ips, gpus=gpus, has_run=job.get("run") is not None)
        record["setup_digest"] = self._setups.digest(job, rank, ips)
        made = Rank(folder, record)
        made.save()
        made.log.touch(mode=0o600)
        self.ranks[made.key] = made
        self._announce(made)
        return made.report()

    def launch(self, job: int, rank: int, phase: str) -> dict[str, Any]:
        """Start one phase if it has not started; the answer is the rank's report."""
        found = self._require(job, rank)
        ready, running = {
            "setup": (states.PREPARED, states.SETTING_UP),
            "run": (states.READY, states.RUNNING),
        }[phase]
        if found.stage != ready or found.stop_grace is not None:
            return found.report()
        if phase == "setup" and self._setups.holds(found.record.get("setup_digest")):
            with found.log.open("ab") as log:
                log.write(SKIPPED)
            self._ready(found)
            return found.report()
        found.record.update(stage=running, phase=phase, pid=None, started=None)
        if phase == "run" and not found.record["has_run"]:
            self._tasks.spawn(self._conclude(found, 0, "exit"))
            return found.report()
        found.record["launched"].append(phase)
        found.save()  # the intent comes first; a crash after this line starts or adopts, never both
        if phase == "setup":
            self._setups.begin()
        self._launch_of(found, phase)
        try:
            self._start(found, phase)
        except OSError as error:
            found.record["message"] = f"{error.strerror or error}"
            self._finish(found, launch.UNKNOWN_EXIT, "refused")
            raise RemoteError(
                Codes.REFUSED, f"the {phase} script could not be started: {error.strerror}"
            ) from error
        self._tasks.spawn(self._follow(found, phase))
        self._announce(found)
        return found.report()

    def warned(self, kind: str, at: float) -> None:
        """The infra announced something: hooks of work that runs here run beside it when it is an end."""
        if kind != "preemption":
            return
        for rank in self.ranks.values():
            if rank.stage == states.RUNNING and rank.stop_grace is None:
                for number, hook in enumerate(rank.record["spec"].get("hooks") or ()):
                    self._start_hook(rank, f"hook-{number}-{at:.0f}", hook)

    def stop(self, job: int, rank: int, grace_s: float) -> dict[str, Any]:
        """Begin to end a rank; its report follows when nothing of it is left."""
        found = self._require(job, rank)
        if found.stage == states.ENDED or found.stop_grace is not None:
            return found.report()
        found.stop_grace = grace_s
        if found.stage in {states.SETTING_UP, states.RUNNING}:
            self.changed.ring()  # its follower does the rest
        else:
            self._tasks.spawn(self._conclude(found, None, "stopped", grace_s))
        return found.report()

    def forget(self, job: int, rank: int) -> dict[str, Any]:
        """The head has recorded this rank's end: drop its secrets and report it no more. Logs stay."""
        found = self.get(job, rank)
        if found is not None and found.stage == states.ENDED and not found.record.get("forgotten"):
            files.remove(found.folder / "secrets.json")
            found.record["forgotten"] = True
            found.save()
        return {}

    def stop_all(self, grace_s: float) -> None:
        """Begin to end everything here, whatever the head thinks."""
        for rank in list(self.ranks.values()):
            self.stop(*rank.key, grace_s)

    def drop_logs(self, key: Key) -> None:
        """Delete a forgotten rank's folder. The caller has checked that every byte was acknowledged."""
        rank = self.ranks[key]
        if rank.record.get("forgotten"):
            shutil.rmtree(rank.folder, ignore_errors=True)
            del self.ranks[key]

    def _require(self, job: int, rank: int) -> Rank:
        found = self.get(job, rank)
        if found is None:
            raise RemoteError(Codes.NOT_FOUND, f"job {job} has no rank {rank} on this node")
        return found

    def _start_hook(self, rank: Rank, name: str, hook: dict[str, Any]) -> None:
        if name in rank.record["launched"]:
            return
        try:
            files.write_bytes(rank.folder / f"{name}.sh", f"#!{_shell()}\n{hook['run']}\n".encode(), 0o700)
            rank.record["launched"].append(name)
            rank.save()
            event = {"SKYPILOT_HOOK_EVENT": "preemption", "SKYNB_HOOK_EVENT": "preemption"}
            self._run(rank, self._launch_of(rank, name), event)
        except OSError as error:
            note("a hook could not be started:", *rank.key, error.strerror)
            return
        self._tasks.spawn(self._end_hook(rank.launches[name], float(hook.get("timeout") or HOOK_S)))

    async def _end_hook(self, made: Launch, timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        while made.outcome() is None and (left := deadline - time.monotonic()) > 0:
            await self.changed.wait(min(left, made.poll_s() or left))
        if made.outcome() is None:
            await launch.end([made.owner()], DEFAULT_GRACE_S)
        made.reap()

    def _launch_of(self, rank: Rank, phase: str) -> Launch:
        label = f"{rank.record['job']}/{rank.record['rank']}" + ("" if phase in _PHASES else f"/{phase}")
        made = Launch(rank.folder, phase, environment.markers(self.config, label))
        rank.launches[phase] = made
        return made

    def _run(self, rank: Rank, made: Launch, more: dict[str, str]) -> None:
        spec = {**rank.record["spec"], "secret_env": files.read_json(rank.folder / "secrets.json") or {}}
        place = Place(rank.record["rank"], tuple(rank.record["ips"]), tuple(rank.record["gpus"]))
        phase = "setup" if made.name == "setup" else "run"
        env = {**environment.for_phase(self.config, dict(os.environ), spec, place, phase), **more}
        cwd = self.config.home / "sky_workdir" if spec.get("workdir") else self.config.home
        made.start([_shell(), str(rank.folder / f"{made.name}.sh")], env=env, cwd=cwd, log=rank.log)

    def _start(self, rank: Rank, phase: str) -> None:
        made = rank.launches[phase]
        self._run(rank, made, {})
        rank.record.update(pid=made.pid, started=made.started)
        rank.save()

    async def _follow(self, rank: Rank, phase: str) -> None:
        made = rank.launches[phase]
        outcome: Outcome | None = None
        while outcome is None and rank.stop_grace is None:
            outcome = made.outcome()
            if outcome is None and rank.stop_grace is None:
                await self.changed.wait(made.poll_s())
        if outcome is None:
            await self._end_processes(rank, rank.stop_grace or 0.0)
            outcome = made.outcome() or Outcome(launch.UNKNOWN_EXIT, known=False)
            self._finish(rank, outcome.code, "stopped")
        elif phase == "setup" and outcome.known and outcome.code == 0 and rank.stop_grace is None:
            if not processes.members(made.owner()) - {made.pid}:
                self._setups.done(rank.record.get("setup_digest"))
            self._ready(rank)
        else:
            await self._conclude(rank, outcome.code, "exit" if outcome.known else "killed")

    def _ready(self, rank: Rank) -> None:
        rank.record["stage"] = states.READY
        rank.save()
        self._announce(rank)

    async def _conclude(
        self, rank: Rank, code: int | None, cause: str, grace_s: float = _LEFTOVER_GRACE_S
    ) -> None:
        await self._end_processes(rank, grace_s)
        self._finish(rank, code, cause)

    async def _end_processes(self, rank: Rank, grace_s: float) -> None:
        if not rank.launches:
            return
        await launch.end([made.owner() for made in rank.launches.values()], grace_s)
        for made in rank.launches.values():
            made.reap()

    def _finish(self, rank: Rank, code: int | None, cause: str) -> None:
        rank.record.update(stage=states.ENDED, exit_code=code, cause=cause)
        try:
            rank.save()
        except OSError as error:  # a full disk must not keep the head from hearing of the end
            note("the end of a rank could not be written:", *rank.key, error.strerror)
        files.remove(rank.folder / "secrets.json")
        self._announce(rank)

    def _announce(self, rank: Rank) -> None:
        self.changed.ring()
        self.on_report(rank.report())


def _shell() -> str:
    return shutil.which("bash", path=os.environ.get("PATH") or environment.DEFAULT_PATH) or "/bin/sh"
