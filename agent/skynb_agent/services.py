"""Long-lived processes that the server hosts on a node: Dask, kernels, replicas. By name."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, Optional

from skynb_agent import environment, files, launch
from skynb_agent.launch import Launch, Outcome
from skynb_agent.protocol import Codes, RemoteError

if TYPE_CHECKING:
    from skynb_agent.config import Config
    from skynb_agent.wake import Bell, Tasks

DEFAULT_GRACE_S = 10.0
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")
_PUBLIC = ("name", "state", "exit_code", "pid", "idle_ok", "digest", "log")


class Service:
    """One service; `record` is what service.json holds. Its environment is never written."""

    def __init__(self, folder: Path, record: dict[str, Any]) -> None:
        self.folder = folder
        self.record = record
        self.launch: Optional[Launch] = None
        self.stop_grace: Optional[float] = None
        self.done: Optional[asyncio.Task[Any]] = None

    def facts(self) -> dict[str, Any]:
        """What service_list shows."""
        return {name: self.record.get(name) for name in _PUBLIC}

    def save(self) -> None:
        """Write service.json."""
        files.write_json(self.folder / "service.json", self.record)


class ServiceHost:
    """All services of this node. States: RUNNING, STOPPING, STOPPED (asked for), EXITED (by itself)."""

    def __init__(self, config: Config, boot: str | None, tasks: Tasks, changed: Bell) -> None:
        self.config = config
        self.services: Dict[str, Service] = {}
        self._boot = boot
        self._tasks = tasks
        self._changed = changed

    def load(self) -> None:
        """Take up what an earlier agent left. Called once, before anything is served."""
        for path in sorted((self.config.root / "services").glob("*/service.json")):
            service = Service(path.parent, files.read_json(path))
            self.services[service.record["name"]] = service
            if service.record["state"] in {"RUNNING", "STOPPING"}:
                self._resume(service)

    def _resume(self, service: Service) -> None:
        record = service.record
        service.launch = self._launch_of(service)
        begun = service.launch.recover(record["pid"], record["started"])
        if record["boot"] != self._boot or not begun:
            service.launch.pid = None
            record.update(state="EXITED", exit_code=launch.UNKNOWN_EXIT)
            service.save()
            return
        service.stop_grace = DEFAULT_GRACE_S if record["state"] == "STOPPING" else None
        service.done = self._tasks.spawn(self._follow(service, service.launch))

    def start(self, params: dict[str, Any]) -> dict[str, Any]:
        """Start a service, or say that it runs already; another digest under a running name is a conflict."""
        name, argv = str(params["name"]), [str(word) for word in params["argv"]]
        if not _NAME.fullmatch(name) or not argv:
            raise RemoteError(
                Codes.BAD_REQUEST, "a service needs an argv and a name of letters, digits, _ . -"
            )
        wanted = {
            "argv": argv,
            "env": params.get("env") or {},
            "cwd": params.get("cwd"),
            "log": params.get("log"),
        }
        digest = hashlib.sha256(json.dumps(wanted, sort_keys=True).encode()).hexdigest()
        known = self.services.get(name)
        if known is not None and known.record["state"] in {"RUNNING", "STOPPING"}:
            if known.record["digest"] != digest or known.record["state"] == "STOPPING":
                raise RemoteError(
                    Codes.CONFLICT, f"service {name} is {known.record['state']} with another definition"
                )
            return known.facts()
        folder = files.private_folder(self.config.root / "services" / name)
        log = self.config.home / params["log"] if params.get("log") else folder / "log"
        record: Dict[str, Any] = {
            "name": name,
            "digest": digest,
            "state": "RUNNING",
            "exit_code": None,
            "pid": None,
            "started": None,
        }
        turn = known.record["turn"] + 1 if known else 1
        record.update(turn=turn, boot=self._boot, idle_ok=bool(params.get("idle_ok")), log=str(log))
        service = Service(folder, record)
        service.save()
        self._begin(service, argv, params)
        self.services[name] = service
        return service.facts()

    def _begin(self, service: Service, argv: list[str], params: dict[str, Any]) -> None:
        env = environment.base(self.config, dict(os.environ))
        env.update({str(k): str(v) for k, v in (params.get("env") or {}).items()})
        service.launch = self._launch_of(service)
        cwd = Path(params["cwd"]) if params.get("cwd") else self.config.home
        try:
            service.launch.start(argv, env=env, cwd=cwd, log=Path(service.record["log"]))
        except OSError as error:
            service.record.update(state="EXITED", exit_code=launch.UNKNOWN_EXIT)
            service.save()
            raise RemoteError(Codes.REFUSED, f"the service could not be started: {error.strerror}") from error
        service.record.update(pid=service.launch.pid, started=service.launch.started)
        service.save()
        service.done = self._tasks.spawn(self._follow(service, service.launch))

    async def stop(self, name: str, grace_s: float = DEFAULT_GRACE_S) -> dict[str, Any]:
        """End a service and everything it started; answered when nothing is left of it."""
        service = self.services.get(name)
        if service is None:
            raise RemoteError(Codes.NOT_FOUND, f"there is no service {name}")
        if service.done is not None and not service.done.done():
            if service.stop_grace is None:
                service.stop_grace = grace_s
                service.record["state"] = "STOPPING"
                service.save()
                self._changed.ring()
            await asyncio.wait({service.done})
        return service.facts()

    async def stop_all(self, grace_s: float) -> None:
        """End every service at once."""
        stops = [asyncio.ensure_future(self.stop(name, grace_s)) for name in self.services]
        if stops:
            await asyncio.wait(stops)

    def listing(self) -> list[dict[str, Any]]:
        """Every service that was ever started here, with its state."""
        return [service.facts() for service in self.services.values()]

    def tail(self, name: str, limit: int, offset: int | None) -> tuple[int, bytes]:
        """Where they begin, and up to `limit` bytes of a service's output from `offset` (default: end)."""
        service = self.services.get(name)
        if service is None:
            raise RemoteError(Codes.NOT_FOUND, f"there is no service {name}")
        with Path(service.record["log"]).open("rb") as log:
            size = log.seek(0, os.SEEK_END)
            start = max(0, size - limit) if offset is None else min(offset, size)
            log.seek(start)
            return start, log.read(limit)

    def busy(self) -> list[str]:
        """Names of the running services that keep a node from being idle."""
        states = {"RUNNING", "STOPPING"}
        return [
            n for n, s in self.services.items() if s.record["state"] in states and not s.record["idle_ok"]
        ]

    def _launch_of(self, service: Service) -> Launch:
        name = service.record["name"]
        variables = environment.markers(self.config, f"service/{name}")
        return Launch(service.folder, f"turn-{service.record['turn']}", variables)

    async def _follow(self, service: Service, made: Launch) -> None:
        outcome: Outcome | None = None
        while outcome is None and service.stop_grace is None:
            outcome = made.outcome()
            if outcome is None:
                await self._changed.wait(made.poll_s())
        await launch.end([made.owner()], service.stop_grace or 0.0)
        outcome = outcome or made.outcome() or Outcome(launch.UNKNOWN_EXIT, known=False)
        state = "EXITED" if service.stop_grace is None else "STOPPED"
        service.record.update(state=state, exit_code=outcome.code)
        service.save()
        self._changed.ring()
