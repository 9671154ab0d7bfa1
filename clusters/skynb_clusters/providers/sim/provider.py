"""Infra `sim` for rehearsals: a simulated cloud on the wall clock, whose machines are those of `local`.

The cloud's memory is a file, so that a server that starts again, and a node that ends itself, see the same
world. Every call lets pass what was due, then makes the processes follow.
"""

from __future__ import annotations

import fcntl
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, TypeVar

import msgspec

from skynb.control.secrets import write_private
from skynb.errors import ProviderError, SpecError
from skynb_clusters.contract import (
    Capabilities,
    Channel,
    Check,
    Listing,
    Machine,
    NodeRequest,
    Process,
    Provider,
    Transport,
)
from skynb_clusters.providers.local import LocalProvider
from skynb_clusters.providers.sim.chance import uniform
from skynb_clusters.providers.sim.faults import parse_faults
from skynb_clusters.providers.sim.market import Market
from skynb_clusters.providers.sim.units import Memory, Terms, Unit
from skynb_clusters.providers.sim.world import World

T = TypeVar("T")

TERMS = Terms(boot_s=0.4, stop_s=0.2, end_s=0.2, consistency_s=1.0, forget_s=600.0)
ORDER_S = 0.25
NOTICE_S = 120.0


class SimProvider(Provider):
    """A simulated account under `folder`: `world.json`, `faults.txt` if somebody wrote one, and the nodes."""

    name = "sim"
    capabilities = Capabilities(
        stop=True,
        spot=True,
        ports=True,
        guest_shutdown_stops_billing=True,
        consistency_s=TERMS.consistency_s,
        images=True,
        disk_tiers=True,
        own_limit=True,
        notice_s=NOTICE_S,
    )

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._nodes = LocalProvider(folder / "nodes")

    def check(self) -> Sequence[Check]:
        try:
            refused = self._in_world(lambda world: world.check())
        except (ProviderError, OSError) as error:
            return (Check(infra="sim", ok=False, detail=str(error)),)
        detail = "rehearsals: nothing is rented" if refused is None else str(refused)
        return (Check(infra="sim", ok=refused is None, detail=detail),)

    def create(self, request: NodeRequest) -> Machine:
        time.sleep(ORDER_S * (0.5 + uniform(_seed(), request.token)))
        return self._in_world(lambda world: world.create(request))

    def list(self, tags: Mapping[str, str], region: str | None = None) -> Listing:
        return self._in_world(lambda world: world.list(tags, region), changes=False)

    def start(self, machine: Machine) -> None:
        self._in_world(lambda world: world.start(machine.id))

    def stop(self, machine: Machine) -> None:
        self._in_world(lambda world: world.stop(machine.id))

    def terminate(self, machine: Machine) -> None:
        self._in_world(lambda world: world.terminate(machine.id))

    def end_inside(self, machine_id: str, mode: str) -> None:
        """What the end command does, on the node itself."""
        self._in_world(lambda world: world.end_inside(machine_id, mode))

    def notices(self, machine_id: str) -> Sequence[float]:
        """When the cloud gave notice to a machine; raises ProviderError once it is not there."""
        unit = self._glance(machine_id)
        if unit is None:
            raise ProviderError(f"there is no machine {machine_id}", retryable="no")
        return unit.notices

    def set_on_shutdown(self, machine: Machine, mode: Literal["stop", "terminate"]) -> None:
        self._in_world(lambda world: world.set_on_shutdown(machine.id, mode))

    def open_ports(self, machine: Machine, ports: Sequence[str]) -> None:
        self._in_world(lambda world: world.open_ports(machine.id, tuple(ports)))

    def transport(self, machine: Machine) -> Transport:
        unit = self._glance(machine.id)
        tags = {} if unit is None else unit.tags
        found = self._nodes.transport(LocalProvider.named(self._node_request(machine.id, tags)))
        if unit is not None and {"mute", "stranger"} & set(unit.marks):
            return Mute(found)
        return found

    def end_command(self, machine: Machine, mode: Literal["stop", "down"]) -> Sequence[str]:
        return self._command(mode, machine.id)

    def notice_command(self, machine: Machine) -> Sequence[str]:
        return self._command("notices", machine.id)

    def _command(self, verb: str, machine_id: str) -> Sequence[str]:
        return [sys.executable, "-m", "skynb_clusters.providers.sim", verb, str(self._folder), machine_id]

    def _glance(self, machine_id: str) -> Unit | None:
        """A machine as the world last had it; every node looks often, and must not wait in line."""
        path = self._folder / "world.json"
        if not path.exists():
            return None
        memory = msgspec.json.decode(path.read_bytes(), type=Memory)
        world = World(memory, time.time, TERMS, Market(memory.seed, memory.began_at))
        world.pass_time()
        return world.unit(machine_id)

    def _in_world(self, deed: Callable[[World], T], *, changes: bool = True) -> T:
        """A deed in the world as it is now; the processes follow, and what came of it is kept."""
        with self._memory() as memory:
            world = World(memory, time.time, TERMS, Market(memory.seed, memory.began_at))
            self._follow(world)  # before, so that whatever is listed as running does run
            try:
                return deed(world)
            finally:
                if changes:
                    self._follow(world)

    @contextmanager
    def _memory(self) -> Iterator[Memory]:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._folder / "world.json"
        with (self._folder / "lock").open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            before = path.read_bytes() if path.exists() else b""
            memory = (
                msgspec.json.decode(before, type=Memory)
                if before
                else Memory(seed=_seed(), began_at=time.time())
            )
            self._put_faults(memory)
            yield memory
            after = msgspec.json.encode(memory)
            if after != before:
                write_private(path, after)

    def _put_faults(self, memory: Memory) -> None:
        """Those of today, from the environment and the file; ProviderError where they make no sense."""
        path = self._folder / "faults.txt"
        text = os.environ.get("SKYNB_REHEARSE_FAULTS", "")
        if path.exists():
            text = f"{text}\n{path.read_text()}"
        try:
            faults = parse_faults(text)
        except SpecError as error:
            raise ProviderError(str(error), retryable="no") from None
        if faults != memory.faults:
            memory.faults, memory.struck = faults, {}

    def _follow(self, world: World) -> None:
        """Machines that run are process trees, and no others are."""
        world.pass_time()
        found = {machine.token: machine for machine in self._nodes.list({}).machines}
        for unit in world.memory.units.values():
            self._follow_one(world, unit, found.pop(self._node_request(unit.id, {}).token, None))
        for stray in found.values():
            self._nodes.terminate(stray)

    def _follow_one(self, world: World, unit: Unit, node: Machine | None) -> None:
        life = f"{unit.boots}.{unit.disk}"
        if unit.state in {"terminating", "terminated"}:
            if node is not None:
                self._nodes.terminate(node)
        elif unit.state in {"stopping", "stopped"}:
            if node is not None and node.state == "running":
                self._nodes.stop(node)
        elif unit.state == "running" and unit.played != life:
            if node is not None and unit.played.rpartition(".")[2] != str(unit.disk):
                self._nodes.terminate(node)
            made = self._nodes.create(self._node_request(unit.id, unit.tags))
            self._nodes.start(made)
            unit.played, unit.address = life, made.address
        elif unit.state == "running" and (node is None or node.state != "running"):
            world.power_off(unit.id)

    def _node_request(self, machine_id: str, tags: Mapping[str, str]) -> NodeRequest:
        """The machine of infra `local` that plays this one; two homes with one seed share none."""
        token = f"{self._folder.resolve()}:{machine_id}"
        return NodeRequest(token=token, name=machine_id, tags=tags, instance_type="")


class Mute:
    """The way to a machine that runs and answers nobody."""

    def __init__(self, real: Transport) -> None:
        self.python, self.root, self.home, self.env = real.python, real.root, real.home, real.env

    def exec(self, argv: Sequence[str]) -> Process:
        raise ProviderError("the machine does not answer", retryable="unknown")

    def connect(self, target: str) -> Channel:
        raise ProviderError("the machine does not answer", retryable="unknown")


def _seed() -> str:
    return os.environ.get("SKYNB_REHEARSE_SEED", "1")
