"""Agents of simulated machines: what a real one answers, in virtual time, behind the faces of the core.

A job sleeps as long as its `run` says (`sleep 30`), and fails where that says `false`. A head keeps its jobs
on its disk; a node without a word from the server ends itself when its lease is over.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from skynb.errors import ProviderError
from skynb_agent.protocol import FINAL_STATES, Methods
from skynb_clusters.agents import Facts, Greeting
from skynb_clusters.contract import Channel
from skynb_clusters.links import AgentError
from skynb_clusters.providers.sim.provider import NOTICE_S
from skynb_clusters.providers.sim.units import Unit
from skynb_clusters.providers.sim.world import World

_LOOKS = {Methods.STATUS, Methods.SERVICE_LIST}
Point = Callable[[str, Callable[[], Any]], Any]
STARTED_IN = 3.0  # seconds from a submit to the first line of a job


@dataclass
class Job:
    number: int
    seconds: float
    fails: bool
    num_nodes: int
    submitted_at: float
    task_id: str = ""
    awaits: str = ""  # its work begins when the node has heard this line
    state: str = "PENDING"
    started_at: float | None = None
    ended_at: float | None = None
    ranks: list[dict[str, Any]] = field(default_factory=list)

    def word(self) -> dict[str, Any]:
        return {
            "id": self.number,
            "state": self.state,
            "submitted_at": self.submitted_at,
            "started_at": self.started_at,
            "ended_at": self.ended_at,
            "ranks": [dict(rank) for rank in self.ranks],
            "reason": "",
        }

    def end(self, state: str, now: float, code: int | None) -> None:
        self.state, self.ended_at = state, now
        self.ranks = [{**rank, "exit_code": code} for rank in self.ranks]


@dataclass
class Agent:
    """The agent on one machine. boot, disk: of the machine when it was started."""

    name: str
    config: dict[str, Any]
    boot: int
    disk: int
    started_at: float
    heard_at: float
    busy_at: float
    away_work: float = 0.0
    jobs: dict[int, Job] = field(default_factory=dict)
    nodes: int = 0
    hosts: tuple[str, ...] = ()
    autostop: dict[str, Any] | None = None
    autostop_at: float = 0.0
    paid_until: float | None = None
    paid_end: str = "down"
    services: dict[str, str] = field(default_factory=dict)

    @property
    def working(self) -> bool:
        serves = "RUNNING" in self.services.values()
        return serves or any(job.state not in FINAL_STATES for job in self.jobs.values())


class Agents:
    """All agents of a world, by machine. runs: how often each (cluster, job) began on a head.

    overlaps: tasks that began while another machine still worked on them.
    """

    def __init__(self, world: World, now: Callable[[], float], point: Point) -> None:
        self.world = world
        self.now = now
        self.point = point
        self.agents: dict[str, Agent] = {}
        self.runs: dict[tuple[str, int], int] = {}
        self.overlaps: list[str] = []
        self._of: dict[str, dict[str, None]] = {}  # machines by cluster

    def _unit(self, machine: str) -> Unit | None:
        """The machine as it was when time last went on, which costs no walk through all of them."""
        return self.world.memory.units.get(machine)

    def living(self, machine: str) -> Agent | None:
        """The agent if it runs and can be reached."""
        unit, agent = self._unit(machine), self.agents.get(machine)
        if unit is None or agent is None or unit.state != "running" or agent.boot != unit.boots:
            return None
        died = "agent-dies" in unit.marks and self.now() >= agent.started_at + unit.marks["agent-dies"]
        return None if died or not _reachable(unit) else agent

    def start(self, machine: str, config: dict[str, Any]) -> dict[str, Any]:
        """What `agent.pyz start` does: one that runs stays and answers."""
        unit, agent = self._unit(machine), self.living(machine)
        if unit is None or unit.state != "running" or not _reachable(unit):
            raise ProviderError(f"{machine} cannot be reached", retryable="unknown")
        if agent is None or agent.name != config["node_id"]:
            now, old = self.now(), self.agents.get(machine)
            agent = Agent(config["node_id"], config, unit.boots, unit.disk, now, now, now)
            if old is not None and old.name == agent.name and old.disk == unit.disk:
                agent.jobs = old.jobs
                if old.boot != agent.boot:
                    self._rebooted(agent)
            self.agents[machine] = agent
            self._of.setdefault(config["cluster_id"], {})[machine] = None
        return {"head_port": 7000 if config["role"] == "head" else None, "version": "1"}

    def pass_time(self) -> None:
        """Jobs go on and end, leases run out."""
        now = self.now()
        for machine, agent in list(self.agents.items()):
            if self._unit(machine) is None:
                continue
            if self.living(machine) is agent:
                for job in agent.jobs.values():
                    self._go_on(agent, job, now)
                self._lease(machine, agent, now)

    def next_at(self) -> float | None:
        """When something happens by itself next."""
        times: list[float] = []
        for machine, agent in self.agents.items():
            if self.living(machine) is agent:
                for job in agent.jobs.values():
                    if job.state == "PENDING":
                        times.append(max(job.submitted_at + STARTED_IN, self.now() + 0.5))
                    elif job.state == "RUNNING":
                        times.append(float(job.started_at or 0) + job.seconds)
                times.append(self._lease_ends(agent))
                times += [agent.paid_until] if agent.paid_until is not None else []
        return min((at for at in times if at > self.now()), default=None)

    def call(self, machine: str, agent: Agent, method: str, params: Mapping[str, Any]) -> Any:
        """One call of the server, heard."""
        agent.heard_at = self.now()
        return self._METHODS[method](self, machine, agent, params)

    def _submit(self, _machine: str, agent: Agent, params: Mapping[str, Any]) -> dict[str, Any]:
        asked = params["job"]
        number = int(asked["id"])
        if number not in agent.jobs:
            awaits, _, script = (asked["run"] or "true").rpartition("; done\n")
            words = script.split()
            seconds = float(words[words.index("sleep") + 1]) if "sleep" in words else 1.0
            fails, nodes = "false" in words, int(asked["num_nodes"])
            job = Job(number, seconds, fails, nodes, self.now(), str(asked.get("task_id") or ""))
            job.awaits = awaits.partition('"')[2].partition('"')[0]
            agent.jobs[number], agent.busy_at = job, self.now()
        return {}

    def _cancel(self, _machine: str, agent: Agent, params: Mapping[str, Any]) -> dict[str, Any]:
        for number in params["ids"]:
            job = agent.jobs.get(int(number))
            if job is not None and job.state not in FINAL_STATES:
                job.end("CANCELLED", self.now(), None)
                agent.busy_at = self.now()
        return {}

    def _configure(self, _machine: str, agent: Agent, params: Mapping[str, Any]) -> dict[str, Any]:
        agent.nodes, agent.hosts = len(params["node_ips"]), tuple(params["peers"]["lines"])
        return {}

    def _node_gone(self, _machine: str, agent: Agent, params: Mapping[str, Any]) -> dict[str, Any]:
        for job in agent.jobs.values():
            lost = any(rank["node_id"] == params["node_id"] for rank in job.ranks)
            if lost and job.state not in FINAL_STATES:
                job.end("FAILED", self.now(), None)
        return {}

    def _set_autostop(self, _machine: str, agent: Agent, params: Mapping[str, Any]) -> dict[str, Any]:
        agent.autostop, agent.autostop_at = dict(params), self.now()
        return {}

    def _status(self, _machine: str, agent: Agent, _params: Mapping[str, Any]) -> dict[str, Any]:
        idle = 0.0 if agent.working else self.now() - max(agent.busy_at, agent.autostop_at)
        minutes = (agent.autostop or {}).get("idle_minutes")
        due = not agent.working and minutes is not None and idle >= minutes * 60
        return {"idle": {"idle_s": idle, "busy": ["jobs"] if agent.working else [], "due": due}}

    def _renew(self, _machine: str, agent: Agent, params: Mapping[str, Any]) -> dict[str, Any]:
        agent.config["lease"] = {name: params[name] for name in ("presence_s", "envelope_s")}
        paid = params.get("paid_s")
        agent.paid_until = None if paid is None else self.now() + paid
        agent.paid_end = params["paid_end"]
        return {}

    def _start_service(self, _machine: str, agent: Agent, params: Mapping[str, Any]) -> dict[str, Any]:
        agent.services[params["name"]], agent.busy_at = "RUNNING", self.now()
        return {}

    def _stop_service(self, _machine: str, agent: Agent, params: Mapping[str, Any]) -> dict[str, Any]:
        agent.services[params["name"]], agent.busy_at = "STOPPED", self.now()
        return {}

    def _services(self, _machine: str, agent: Agent, _params: Mapping[str, Any]) -> dict[str, Any]:
        states = agent.services.items()
        return {"services": [{"name": name, "state": state, "exit_code": None} for name, state in states]}

    _METHODS: ClassVar[dict[str, Callable[..., Any]]] = {
        Methods.SUBMIT: _submit,
        Methods.CANCEL: _cancel,
        Methods.CONFIGURE: _configure,
        Methods.NODE_GONE: _node_gone,
        Methods.AUTOSTOP_SET: _set_autostop,
        Methods.STATUS: _status,
        Methods.LEASE_RENEW: _renew,
        Methods.SERVICE_START: _start_service,
        Methods.SERVICE_STOP: _stop_service,
        Methods.SERVICE_LIST: _services,
    }

    def _go_on(self, agent: Agent, job: Job, now: float) -> None:
        peers = self._peers(agent)
        if job.state == "PENDING" and now >= job.submitted_at + STARTED_IN and len(peers) >= job.num_nodes:
            job.state, job.started_at = "RUNNING", now
            job.ranks = [
                {"rank": rank, "node_id": peers[rank].name, "pid": 1, "exit_code": None}
                for rank in range(job.num_nodes)
            ]
            key = (agent.config["cluster_id"], job.number)
            self.runs[key] = self.runs.get(key, 0) + 1
            if self._works(job.task_id) > 1:
                self.overlaps.append(f"{job.task_id} began as {key} while it ran elsewhere")
        if job.state == "RUNNING":
            names = {peer.name for peer in peers}
            whole = all(rank["node_id"] in names for rank in job.ranks)
            if job.awaits and job.awaits not in agent.hosts:
                job.started_at = now
            if whole and now >= float(job.started_at or 0) + job.seconds:
                job.end("FAILED" if job.fails else "SUCCEEDED", now, 1 if job.fails else 0)
            if job.state in FINAL_STATES:
                agent.busy_at = now

    def _works(self, task_id: str) -> int:
        """How many machines that run, reachable or not, work on a task."""
        running = (
            agent
            for machine, agent in self.agents.items()
            if (unit := self._unit(machine)) and unit.state == "running" and agent.boot == unit.boots
        )
        return sum(
            job.task_id == task_id and job.state == "RUNNING"
            for agent in running
            for job in agent.jobs.values()
        )

    def _peers(self, head: Agent) -> list[Agent]:
        """The agents of this cluster's gang that run, by rank; an extra node's agent heads itself."""
        found = [self.living(machine) for machine in self._of[head.config["cluster_id"]]]
        gang = [one for one in found if one and (one.name == head.name or one.config["role"] == "worker")]
        return sorted(gang, key=lambda one: int(one.config["rank"]))

    def _rebooted(self, agent: Agent) -> None:
        for job in agent.jobs.values():
            if job.state == "RUNNING":
                job.end("FAILED", self.now(), None)

    def _lease(self, machine: str, agent: Agent, now: float) -> None:
        if agent.paid_until is not None and now >= agent.paid_until:
            self.world.end_inside(machine, agent.paid_end)
        elif now >= self._lease_ends(agent):
            self.world.end_inside(machine, "down")

    def _lease_ends(self, agent: Agent) -> float:
        lease = agent.config["lease"]
        return agent.heard_at + float(lease["envelope_s"] if agent.working else lease["presence_s"])


class Hub:
    """The face of AgentHub over simulated agents, for one life of the server."""

    def __init__(
        self, agents: Agents, on_job: Callable[[str, int], None], on_loss: Callable[[str], None]
    ) -> None:
        self._agents = agents
        self._on_job = on_job
        self._on_loss = on_loss
        self._machines: dict[str, str] = {}
        self._told: dict[tuple[str, int], str] = {}
        self._heard: dict[str, tuple[dict[str, Any], ...]] = {}

    async def reach(
        self, node: str, name: str, transport: SimulatedTransport, *, new: bool = False
    ) -> Facts | None:
        agent = self._agents.living(transport.machine)
        if agent is None or agent.name != name:
            self.drop(node)
            return None
        agent.heard_at = self._agents.now()
        if self._machines.get(node) != transport.machine:
            self._machines[node] = transport.machine
            self._told = {key: state for key, state in self._told.items() if key[0] != node}
        head = agent.config["role"] == "head"
        return Facts(agent.name, "1", 7000 if head else None, notices=self._notices(transport.machine))

    async def greet(self, transport: SimulatedTransport) -> Greeting | None:
        agent = self._agents.living(transport.machine)
        if agent is None:
            return None
        head = agent.config["role"] == "head"
        return Greeting(agent.name, agent.autostop, tuple(agent.jobs) if head else None)

    def jobs(self, node: str) -> dict[int, dict[str, Any]] | None:
        agent = self._agent(node)
        return None if agent is None else {number: job.word() for number, job in agent.jobs.items()}

    async def call(self, node: str, method: str, params: dict[str, Any] | None = None) -> Any:
        agent = self._agent(node)
        if agent is None:
            raise ProviderError(f"no link to the agent of {node}", retryable="unknown")
        machine = self._machines[node]

        def deed() -> Any:
            try:
                return self._agents.call(machine, agent, method, params or {})
            except KeyError as error:
                raise AgentError(f"{method} is not known: {error}") from error

        return deed() if method in _LOOKS else self._agents.point(f"agent {method}", deed)

    def pass_time(self) -> None:
        """Say what changed, as links and pushes do."""
        for node, machine in list(self._machines.items()):
            agent = self._agent(node)
            if agent is None:
                self.drop(node)
                self._on_loss(node)
                continue
            if self._heard.get(node) != (notices := self._notices(machine)):
                self._heard[node] = notices
                self._on_loss(node)
            for number, job in agent.jobs.items():
                if self._told.get((node, number)) != job.state:
                    self._told[node, number] = job.state
                    self._on_job(node, number)

    def drop(self, node: str) -> None:
        self._machines.pop(node, None)

    def close(self) -> None:
        self._machines.clear()

    def _notices(self, machine: str) -> tuple[dict[str, Any], ...]:
        unit = self._agents.world.unit(machine)
        return tuple({"kind": "preemption", "at": at + NOTICE_S} for at in unit.notices) if unit else ()

    def _agent(self, node: str) -> Agent | None:
        machine = self._machines.get(node)
        return None if machine is None else self._agents.living(machine)


class Pumps:
    """The face of LogPumps: a rank's log is home once the job has ended and its node answers."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._wanted: dict[tuple[str, int, int], tuple[str, Callable[[], None]]] = {}
        self._drained: set[tuple[str, int, int]] = set()

    def ensure(self, scope: str, job: int, rank: int, node: str, on_end: Callable[[], None]) -> None:
        if (scope, job, rank) not in self._drained:
            self._wanted[scope, job, rank] = (node, on_end)

    def pass_time(self) -> None:
        for key, (node, on_end) in list(self._wanted.items()):
            if self._hub.jobs(node) is not None:
                head_jobs = self._hub.jobs(f"{node.rpartition('-')[0]}-0") or {}
                if head_jobs.get(key[1], {}).get("state") in FINAL_STATES:
                    del self._wanted[key]
                    self._drained.add(key)
                    on_end()

    def drained(self, scope: str, job: int) -> tuple[int, ...]:
        return tuple(sorted(rank for (a, b, rank) in self._drained if (a, b) == (scope, job)))

    def forget(self, scope: str, job: int) -> None:
        self._drained = {key for key in self._drained if key[:2] != (scope, job)}
        self._wanted = {key: one for key, one in self._wanted.items() if key[:2] != (scope, job)}

    def close(self) -> None:
        self._wanted.clear()


class SimulatedTransport:
    """The way to a simulated machine: it runs the program that starts its agent, and shows Dask's card."""

    python: Sequence[str] = ("python3",)
    root = "/skynb"
    home = "/home"
    env: Mapping[str, str] = {}

    def __init__(self, agents: Agents, machine: str) -> None:
        self._agents = agents
        self.machine = machine

    def exec(self, argv: Sequence[str]) -> StartProcess | Answered:
        unit = self._agents.world.unit(self.machine)
        if unit is None or unit.state != "running" or not _reachable(unit):
            raise ProviderError(f"{self.machine} cannot be reached", retryable="unknown")
        if argv[0] == "rm":
            return Answered(b"")
        if argv[0] == "cat":
            return Answered(json.dumps({"address": f"tls://{self.machine}", "services": {}}).encode())
        return StartProcess(lambda config: self._agents.start(self.machine, config), self._agents.point)

    def connect(self, target: str) -> Channel:
        raise ProviderError(f"no answer at {target}", retryable="unknown")


class Answered:
    """A program that has ended, and what it printed."""

    def __init__(self, printed: bytes) -> None:
        self.stdin = io.BytesIO()
        self.stdout = io.BytesIO(printed)

    def wait(self, timeout: float | None = None) -> int:
        return 0

    def close(self) -> None:
        """Nothing is open."""


class StartProcess:
    """The program that receives an agent and starts it: it reads all its input, then prints the facts."""

    def __init__(self, start: Callable[[dict[str, Any]], dict[str, Any]], point: Point) -> None:
        self._start = start
        self._point = point
        self.stdin = _Input()
        self.stdout = self

    def read(self) -> bytes:
        first, _, rest = self.stdin.taken.partition(b"\n")
        sizes = [int(entry["size"]) for entry in json.loads(first)["files"]]
        config = json.loads(rest[sizes[0] : sizes[0] + sizes[1]])
        return json.dumps(self._point("agent start", lambda: self._start(config))).encode()

    def wait(self, timeout: float | None = None) -> int:
        return 0

    def stderr_tail(self) -> str:
        return ""

    def close(self) -> None:
        """Nothing is open."""


class _Input(io.BytesIO):
    taken = b""

    def close(self) -> None:
        self.taken = self.getvalue()
        super().close()


def _reachable(unit: Unit) -> bool:
    return not {"mute", "stranger"} & set(unit.marks)
