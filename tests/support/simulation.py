"""skynb in virtual time: a real ledger, the real core and kinds, a simulated cloud and simulated agents.

Every commit, every call of the provider and every call of an agent that changes something is a numbered
point. `crash=(number, how)` ends the server there, before or after the deed, and starts another one on the
same ledger and the same world; with "response lost" the server lives and hears an error although the deed is
done.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal, NamedTuple

from sqlalchemy import Dialect, Engine

from skynb.control.clock import Clock
from skynb.control.ledger import Claim, Filter, Ledger, Money, Transaction
from skynb.control.reconciler import Kind
from skynb.control.records import Record
from skynb.errors import ProviderError
from skynb.spec import Task
from skynb.wire import (
    AutostopRequest,
    CancelRequest,
    DaskRequest,
    ExecRequest,
    LaunchRequest,
    LeaseInfo,
    ManagedCancel,
    ManagedInfo,
    ManagedRequest,
    PoolInfo,
    PoolRequest,
)
from skynb_clusters import dasks
from skynb_clusters.contract import Capabilities, Check, Listing, Machine, NodeRequest, Provider
from skynb_clusters.core import Core
from skynb_clusters.deciders.money import END_S
from skynb_clusters.kinds import all_kinds
from skynb_clusters.providers.sim.faults import Fault
from skynb_clusters.providers.sim.units import Memory, Terms
from skynb_clusters.providers.sim.world import FOREIGN_OWNER, World
from skynb_clusters.rebuild import Rebuilder, Rebuilding
from skynb_clusters.records import DaskState
from skynb_clusters.requests import Desk
from skynb_jobs.deciders.line import Limits
from skynb_jobs.floor import managed_kinds
from skynb_jobs.line import Line
from skynb_jobs.pool_requests import PoolsDesk, pool_info
from skynb_jobs.requests import JobsDesk
from skynb_jobs.views import infos
from tests.support.simulated_agents import Agents, Hub, Pumps, SimulatedTransport

How = Literal["before", "after", "response lost"]
LEASE = LeaseInfo(presence_s=600.0, envelope_s=3600.0)
OWNER = "server-1"
BEGAN = 1_800_000_000.0


class Crash(BaseException):
    """The server ends here."""


class At(NamedTuple):
    """Where to crash: the number of a point, and on which side of the deed."""

    number: int
    how: How


class VirtualClock(Clock):
    def __init__(self) -> None:
        self.time = BEGAN

    def now(self) -> float:
        return self.time

    def monotonic(self) -> float:
        return self.time


class Simulation:
    """One home of skynb with one simulated cloud, in a folder of its own. Use as a context."""

    def __init__(
        self,
        *,
        seed: str = "1",
        terms: Terms | None = None,
        faults: Sequence[Fault] = (),
        lease: LeaseInfo = LEASE,
        crash: Sequence[At] = (),
        away_s: float = 0.0,
        pace: float = 0.0,
        limits: Limits | None = None,
    ) -> None:
        self.clock = VirtualClock()
        self.points: list[str] = []
        self.crashes = 0
        self.longest_away_s = 0.0
        self.pace = pace
        self._crash = {at.number: at.how for at in crash}
        self._away_s = away_s
        self._lease = lease
        self._limits = limits or Limits()
        self._has_jobs = False
        self._lined = -1
        memory = Memory(seed=seed, began_at=BEGAN, faults=tuple(faults))
        self.world = World(memory, self.clock.now, terms)
        self.agents = Agents(self.world, self.clock.now, self.point)
        self.provider = SimulatedProvider(self)
        self.broken: list[str] = []
        self.moves: set[tuple[str, str, str]] = set()
        self._finals: dict[str, str] = {}
        self._statuses: dict[str, str] = {}
        self._folder = TemporaryDirectory(prefix="skynb-sim-", dir=_memory_disk())
        self._home = Path(self._folder.name)
        shutil.copyfile(_template(), self._home / "ledger.db")
        self.ledger = NumberedLedger(f"sqlite:///{self._home / 'ledger.db'}", self)
        _share_statements(self.ledger.engine)
        self._loop = asyncio.new_event_loop()
        self._server()

    def __enter__(self):
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.close()
        self.ledger.close()
        self._folder.cleanup()

    # What a person does

    def launch(self, name: str, **task: Any) -> None:
        """A cluster, on simulated machines; asked again if the server crashed before it was written."""
        options = {key: task.pop(key) for key in ("autostop", "budget_micro") if key in task}
        resources = {"infra": "sim/aws/us-east-1", "instance_type": "g5.xlarge"}
        config, secrets = Task(**({"resources": resources} | task)).to_wire()
        request = LaunchRequest(task=config, secrets=secrets, cluster_name=name, **options)

        def there() -> bool:
            cluster = self.cluster(name)
            return cluster is not None and not cluster.final

        self._ask(lambda desk, tx: desk.launch(tx, request, "ann")[1], unless=there)

    def exec(self, name: str, **task: Any) -> None:
        config, secrets = Task(**task).to_wire()
        before = len(self.jobs(name))
        request = ExecRequest(task=config, secrets=secrets)
        self._ask(
            lambda desk, tx: desk.exec(tx, name, request, "ann")[1],
            unless=lambda: len(self.jobs(name)) > before,
        )

    def stop(self, name: str) -> None:
        self._ask(lambda desk, tx: desk.stop(tx, name))

    def start(self, name: str) -> None:
        self._ask(lambda desk, tx: desk.start(tx, name))

    def down(self, name: str) -> None:
        self._ask(lambda desk, tx: desk.down(tx, name))

    def cancel(self, name: str) -> None:
        self._ask(lambda desk, tx: desk.cancel(tx, name, CancelRequest(all=True))[1])

    def dask(self, name: str, workers: int, per_node: int = 1) -> None:
        """Dask with so many workers, of which a node holds no more than some."""
        request = DaskRequest(workers=workers, per_node=per_node)
        self._ask(lambda _, tx: dasks.up(tx, name, request))

    def dask_down(self, name: str) -> None:
        self._ask(lambda _, tx: dasks.down(tx, name))

    def workers(self, name: str) -> int:
        """How many workers the living Dask of a cluster runs, as its record says; -1 without one."""
        with self.ledger.read() as tx:
            cluster = tx.find("cluster", name)
            live = dasks.live(tx, cluster) if cluster is not None else None
            return len(live.state_as(DaskState).workers) if live is not None else -1

    def autostop(self, name: str, minutes: float, *, down: bool = False) -> None:
        request = AutostopRequest(idle_minutes=minutes, down=down)
        self._ask(lambda desk, tx: desk.autostop(tx, name, request))

    def managed(self, name: str, *tasks: dict[str, Any], **options: Any) -> None:
        """A managed job of these tasks, or one; asked again if the server crashed before it was written."""
        base = {"resources": {"infra": "sim/aws/us-east-1", "instance_type": "g5.xlarge"}}
        wired = [Task(**(base | {"name": name} | task)).to_wire() for task in tasks]
        request = ManagedRequest(
            name=name, tasks=[config for config, _ in wired], secrets=[kept for _, kept in wired], **options
        )
        self._has_jobs = True
        before = self._newest(name)

        def ask(desk: Desk, tx: Transaction) -> Sequence[str]:
            return self.jobs_desk.launch(tx, request, prepared, options.get("user", "ann"))[1]

        prepared = self.jobs_desk.prepare(request)
        self._ask(ask, unless=lambda: self._newest(name) != before)

    def pool(self, name: str, **task: Any) -> None:
        """A pool of these workers, or other workers for the one of that name."""
        base = {"resources": {"infra": "sim/aws/us-east-1", "instance_type": "g5.xlarge"}}
        config, secrets = Task(**(base | task)).to_wire()
        request = PoolRequest(task=config, secrets=secrets)
        prepared = self.pools_desk.prepare(request)
        self._has_jobs = True

        def there() -> bool:
            with self.ledger.read() as tx:
                return tx.find("pool", name) is not None

        self._ask(
            lambda _, tx: self.pools_desk.apply(tx, name, request, prepared, "ann")[1],
            unless=None if there() else there,
        )

    def pool_down(self, name: str) -> None:
        self._ask(lambda _, tx: self.pools_desk.down(tx, name), unless=lambda: self.pool_info(name) is None)

    def pool_info(self, name: str) -> PoolInfo | None:
        """The pool of that name that is not ended."""
        with self.ledger.read() as tx:
            record = tx.find("pool", name)
            return pool_info(tx, record) if record is not None else None

    def cancel_managed(self, name: str) -> None:
        self._ask(lambda _, tx: self.jobs_desk.cancel(tx, ManagedCancel(name=name), "ann")[1])

    def managed_jobs(self, name: str) -> list[Record]:
        with self.ledger.read() as tx:
            every = reversed(tx.find_all("managed", live=False))
            return [job for job in every if fnmatchcase(job.title, name)]

    def _newest(self, name: str) -> str:
        """The number of the newest managed job of that name, empty if there is none."""
        with self.ledger.read() as tx:
            return next((job.name for job in tx.page("managed", Filter(titles=(name,)), 1)), "")

    def managed_info(self, name: str) -> ManagedInfo:
        """The newest managed job of that name."""
        with self.ledger.read() as tx:
            return infos(tx, tx.page("managed", Filter(titles=(name,)), 1))[0]

    def reap(self) -> float | None:
        """The server's own look at forgotten machines; after how many seconds the next can confirm it."""
        return self._loop.run_until_complete(self.core.reaper.turn())

    def rebuild(self) -> Rebuilding:
        """The ledger's lost part, had again from the machines."""
        rebuilder = Rebuilder(self.core, self._lease)
        return self._loop.run_until_complete(rebuilder.run((), None, "ann"))

    def lose_ledger(self) -> None:
        """All that was written is gone, and the server starts anew."""
        self.ledger.close()
        for rest in self._home.glob("ledger.db*"):
            rest.unlink()
        shutil.copyfile(_template(), self._home / "ledger.db")
        self.ledger = NumberedLedger(f"sqlite:///{self._home / 'ledger.db'}", self)
        self._server()

    # What a test sees

    def cluster(self, name: str) -> Record | None:
        """The cluster, the last of that name if none lives."""
        with self.ledger.read() as tx:
            return next(reversed(tx.find_all("cluster", names=[name], live=False)), None)

    def status(self, name: str) -> str:
        found = self.cluster(name)
        return found.status if found else ""

    def records(self) -> list[Record]:
        with self.ledger.read() as tx:
            kinds = ("managed", "task", "cluster", "node", "job", "dask", "kernel")
            return [record for kind in kinds for record in tx.find_all(kind, live=False)]

    def jobs(self, name: str) -> list[Record]:
        cluster = self.cluster(name)
        if cluster is None:
            return []
        with self.ledger.read() as tx:
            return [child for child in tx.children(cluster.id) if child.kind == "job"]

    def nodes(self, name: str) -> list[Record]:
        cluster = self.cluster(name)
        if cluster is None:
            return []
        with self.ledger.read() as tx:
            return [child for child in tx.children(cluster.id) if child.kind == "node"]

    def money(self) -> Money:
        with self.ledger.read() as tx:
            return tx.money()

    def events(self) -> list[str]:
        with self.ledger.read() as tx:
            return [event.name for event in tx.events(limit=100_000)]

    # Time

    def until(self, condition: Callable[[], Any], limit_s: float = 7200.0) -> None:
        """Go on until it holds; AssertionError with what is known if it does not within the time."""
        end, looked, crashes = self.clock.time + limit_s, -1, self.crashes
        while looked == len(self.points) or not condition():  # only what is written can change it
            assert self.clock.time < end, self.story()
            looked = len(self.points)
            self.turn(end)
            if crashes != self.crashes:  # the time that the server was away is not the cluster's
                end, crashes = self.clock.time + limit_s, self.crashes

    def sleep(self, seconds: float) -> None:
        """Let time pass, everybody at work."""
        end = self.clock.time + seconds
        while self.clock.time < end:
            self.turn(end)

    def turn(self, end: float) -> None:
        """Step one record that is ready; where none is, go to the next moment, at most to `end`."""
        if self._has_jobs and self._lined != len(self.points):
            self._look_at_line()
        core = self.core  # after the look, which may have been the server's last
        key = core.reconciler.queue.take_now()
        if key is None:
            self._go_on(end)
            return
        try:
            self._loop.run_until_complete(core.reconciler.step(key))
        except Crash:
            self._restart()
        finally:
            core.reconciler.queue.done(key)

    def _look_at_line(self) -> None:
        """Who waits gets their turn, as the line does when the ledger has changed."""
        self._lined = len(self.points)
        try:
            while self._loop.run_until_complete(self.line.turn()):
                pass
        except Crash:
            self._restart()

    def point(self, name: str, deed: Callable[[], Any]) -> Any:
        """A numbered point around a deed."""
        number = len(self.points)
        self.points.append(name)
        how = self._crash.get(number)
        if how == "before":
            raise Crash
        value = deed()
        if how == "after":
            raise Crash
        if how == "response lost":
            raise ProviderError(f"{name}: no answer", retryable="unknown")
        return value

    def ended(self, record: Record) -> None:
        """A record is written as final: nothing of it may live, and it stays as it is."""
        if self._finals.setdefault(record.id, record.status) != record.status:
            self.broken.append(f"{record.id} was {self._finals[record.id]} and is {record.status}")
        if record.kind == "node" and (alive := self.living(record.id)):
            self.broken.append(f"{record.id} is {record.status} and {alive} live")

    def written(self, record: Record) -> None:
        """A record is committed; moves: (kind, status before, status now), of all records ever."""
        before = self._statuses.get(record.id, record.status)
        self._statuses[record.id] = record.status
        if before != record.status:
            self.moves.add((record.kind, before, record.status))

    def crash_after(self, points: int, how: How) -> None:
        """Crash once more, so many points from now."""
        self._crash[len(self.points) + points] = how

    def calm(self) -> None:
        """No crash and no fault from here on, and every machine can be reached."""
        self._crash = {}
        self.world.lift()
        for unit in self.world.memory.units.values():
            unit.marks.pop("mute", None)

    def kill_server(self, away_s: float = 0.0) -> None:
        """The server ends between two steps; the next one starts after so many seconds."""
        self._away_s, before = away_s, self._away_s
        self._restart()
        self._away_s = before

    def living(self, record: str = "") -> list[str]:
        """Machines of this server, or of one record of it, that are not gone."""
        self.world.pass_time()
        return [
            unit.id
            for unit in self.world.memory.units.values()
            if unit.state != "terminated"
            and unit.tags.get("skynb-owner") != FOREIGN_OWNER
            and record in {"", unit.tags.get("skynb-record")}
        ]

    def story(self) -> str:
        """What everybody knows now, for a failure's message."""
        lines = [f"t={self.clock.time - BEGAN:.1f} points={len(self.points)} crashes={self.crashes}"]
        lines += [
            f"{record.id} {record.status}->{record.target} {record.reason!r} {record.outcome}"
            for record in self.records()
        ]
        lines += [
            f"{unit.id} {unit.state} {unit.tags.get('skynb-record')} g{unit.tags.get('skynb-generation')}"
            for unit in self.world.memory.units.values()
        ]
        return "\n".join([*lines, *self.events()[-30:]])

    # How

    def _server(self) -> None:
        """A new life of the server: nothing of the last one is left but the ledger and the files."""
        claim = Claim(owner=OWNER, token=f"life-{self.crashes}")
        self.core = Core(
            self.ledger, self._home, {"sim": self.provider}, OWNER, claim, self._kinds, threads=False
        )
        self.hub = Hub(self.agents, self.core._job_changed, self.core.wake)
        self.core.hub = self.hub  # type: ignore[assignment]
        self.pumps = Pumps(self.hub)
        self.core.pumps = self.pumps  # type: ignore[assignment]
        self.desk = Desk(self.core, self._lease)
        self.jobs_desk = JobsDesk(self.core, self.desk)
        self.pools_desk = PoolsDesk(self.core, self.desk)
        self.line = Line(self.core, self._limits)
        with self.ledger.read() as tx:
            for key in tx.live():
                self.core.wake(key)

    def _kinds(self, core: Core) -> Sequence[Kind]:
        return (*all_kinds(core), *managed_kinds(core, self._lease))

    def _restart(self) -> None:
        self.crashes += 1
        self.longest_away_s = max(self.longest_away_s, self._away_s)
        end = self.clock.time + self._away_s
        while self.clock.time < end:
            self._move_to(min(self._next_of_world(end), end))
        self._server()

    def _ask(
        self,
        request: Callable[[Desk, Transaction], Sequence[str]],
        unless: Callable[[], Any] = lambda: False,
    ) -> None:
        while not unless():
            try:
                with self.ledger.transaction() as tx:
                    woken = request(self.desk, tx)
            except Crash:
                self._restart()
            else:
                for key in woken:
                    self.core.wake(key)
                return

    def _go_on(self, end: float) -> None:
        wait = self.core.reconciler.queue.wait_s()
        mine = end if wait is None else self.clock.time + wait
        self._move_to(min(max(min(mine, self._next_of_world(end)), self.clock.time + self.pace), end))

    def _next_of_world(self, end: float) -> float:
        times = (self.world.next_at(), self.agents.next_at())
        return min((at for at in times if at is not None and at > self.clock.time), default=end)

    def _move_to(self, time: float) -> None:
        self.clock.time = max(time, self.clock.time + 0.001)
        self.world.pass_time()
        self.agents.pass_time()
        self.hub.pass_time()
        self.pumps.pass_time()


class NumberedLedger(Ledger):
    """A ledger whose commits are points."""

    def __init__(self, url: str, simulation: Simulation) -> None:
        super().__init__(url, simulation.clock)
        self._simulation = simulation

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        number = -1
        simulation = self._simulation
        with super().transaction() as tx:
            written: list[Record] = []
            writes = _watch(tx, simulation.ended, written)
            yield tx
            if "commit" in writes and simulation.longest_away_s <= END_S:
                # A machine that boots while no server is there has no agent yet that would end it in time.
                simulation.broken += [f"G7: {one} has {one.free}" for one in tx.budgets() if one.free < 0]
            if writes:
                number = len(simulation.points)
                simulation.points.append(f"commit {writes[0]}")
                if simulation._crash.get(number) == "before":
                    raise Crash
        for record in written:
            simulation.written(record)
        if number >= 0 and simulation._crash.get(number) in {"after", "response lost"}:
            raise Crash


def _watch(tx: Transaction, ended: Callable[[Record], None], kept: list[Record]) -> list[str]:
    """What this transaction writes; a renewed claim is nothing. ended(record) is called with final ones.

    kept: gets every record as it was written.
    """
    writes: list[str] = []
    for name in ("commit", "note", "insert", "move", "amend", "append"):
        method = getattr(tx, name)

        def noted(*args: Any, _name: str = name, _method: Any = method, **options: Any) -> Any:
            writes.append(_name)
            written = _method(*args, **options)
            if isinstance(written, Record):
                kept.append(written)
                if written.final:
                    ended(written)
            return written

        setattr(tx, name, noted)
    return writes


class SimulatedProvider(Provider):
    """The simulated cloud behind the provider contract, its deeds numbered."""

    name = "sim"

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation
        self._world = simulation.world
        self.capabilities = Capabilities(
            stop=True,
            spot=True,
            ports=True,
            guest_shutdown_stops_billing=True,
            consistency_s=self._world.terms.consistency_s,
            images=True,
            disk_tiers=True,
        )

    def check(self) -> Sequence[Check]:
        return ()

    def create(self, request: NodeRequest) -> Machine:
        made: Machine = self._point("create", lambda: self._create(request))
        return made

    def list(self, tags: Mapping[str, str], region: str | None = None) -> Listing:
        return self._world.list(tags, region)

    def start(self, machine: Machine) -> None:
        self._point("start", lambda: self._world.start(machine.id))

    def stop(self, machine: Machine) -> None:
        self._point("stop", lambda: self._world.stop(machine.id))

    def terminate(self, machine: Machine) -> None:
        self._point("terminate", lambda: self._world.terminate(machine.id))

    def set_on_shutdown(self, machine: Machine, mode: Literal["stop", "terminate"]) -> None:
        self._point("set_on_shutdown", lambda: self._world.set_on_shutdown(machine.id, mode))

    def open_ports(self, machine: Machine, ports: Sequence[str]) -> None:
        self._point("open_ports", lambda: self._world.open_ports(machine.id, tuple(ports)))

    def transport(self, machine: Machine) -> SimulatedTransport:
        return SimulatedTransport(self._simulation.agents, machine.id)

    def end_command(self, machine: Machine, mode: Literal["stop", "down"]) -> Sequence[str]:
        return ("shutdown", mode)

    def _create(self, request: NodeRequest) -> Machine:
        made = self._world.create(request)
        alive = self._simulation.living(request.tags["skynb-record"])
        if len(alive) > 1:
            self._simulation.broken.append(f"{request.tags['skynb-record']} has {alive}")
        return made

    def _point(self, name: str, deed: Callable[[], Any]) -> Any:
        return self._simulation.point(f"cloud {name}", deed)


def _memory_disk() -> str | None:
    """Where files cost no disk, if there is such a place."""
    return "/dev/shm" if Path("/dev/shm").is_dir() else None


@cache
def _template() -> Path:
    """An empty ledger, migrated once a process."""
    folder = TemporaryDirectory(prefix="skynb-sim-", dir=_memory_disk())
    _KEPT.append(folder)
    path = Path(folder.name) / "ledger.db"
    made = Ledger(f"sqlite:///{path}")
    made.close()
    return path


def forget() -> None:
    """Take away what the simulations of this process share."""
    _template.cache_clear()
    while _KEPT:
        _KEPT.pop().cleanup()


def _share_statements(engine: Engine) -> None:
    """Statements are compiled once for all simulations of a process: kept by dialect, which is one, too."""
    engine.dialect = _DIALECTS.setdefault(engine.dialect.name, engine.dialect)
    engine.update_execution_options(compiled_cache=_STATEMENTS)


_DIALECTS: dict[str, Dialect] = {}
_STATEMENTS: dict[Any, Any] = {}
_KEPT: list[TemporaryDirectory[str]] = []  # until `forget`
