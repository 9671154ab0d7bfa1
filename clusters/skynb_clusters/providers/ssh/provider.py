"""Infra `ssh`: a machine is an allocation on a host of a pool, with all of the host or with a part of it.

What is allocated stands on the hosts themselves (`on_host.py`), so that several users and servers share them.
Here we only remember which host we asked for which machine, so that no machine is ever made twice and that a
host that cannot be seen hides no more than what it was asked for.
"""

from __future__ import annotations

import builtins
import hashlib
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal
from weakref import WeakValueDictionary

import msgspec

from skynb.control.secrets import write_private
from skynb.errors import AuthError, CapacityError, ProviderError, SkynbError
from skynb_catalog import Offer
from skynb_clusters.contract import (
    Capabilities,
    Check,
    Listing,
    Machine,
    NodeRequest,
    Provider,
    SshEntry,
)
from skynb_clusters.providers.ssh import shapes
from skynb_clusters.providers.ssh.hosts import Hosts, alias, program
from skynb_clusters.providers.ssh.on_host import MARK
from skynb_clusters.providers.ssh.pools import Host, Pools
from skynb_clusters.providers.ssh.shapes import Facts, Shape
from skynb_clusters.transports.ssh import KnownHosts, SshTransport

OFFERS_SECONDS = 3.0
_LEAST_DISK_GIB = 1.0


class _Claim(msgspec.Struct, frozen=True):
    gpus: tuple[int, ...] = ()


class Card(msgspec.Struct, frozen=True, kw_only=True):
    """What a host tells of one allocation."""

    id: str
    token: str
    tags: dict[str, str]
    instance_type: str
    folder: str
    address: str
    created_at: float
    claim: _Claim


class _Asked(msgspec.Struct, frozen=True, kw_only=True):
    """A host was asked for a machine; card: its answer, once there was one."""

    place: str
    tags: dict[str, str]
    card: Card | None = None


class _Turn:
    """Held by whoever creates a machine, and gone with the last of them."""

    def __init__(self) -> None:
        self.lock = threading.Lock()


class SshProvider(Provider):
    """Pools of `ssh_pools.yaml` beside `folder`, which keeps host keys and what hosts were asked for."""

    name = "ssh"
    capabilities = Capabilities(
        stop=False, spot=False, ports=False, guest_shutdown_stops_billing=True, consistency_s=0.0
    )

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._pools = Pools(folder.parent)
        self._hosts = Hosts(KnownHosts(folder / "known_hosts"))
        self._expected: set[str] = set()
        self._creating: WeakValueDictionary[str, _Turn] = WeakValueDictionary()
        self._lock = threading.Lock()

    def check(self) -> Sequence[Check]:
        try:
            pools = self._pools.all()
        except SkynbError as error:
            return (Check(infra="ssh", ok=False, detail=str(error), mend=f"Correct {self._pools.file}"),)
        if not pools:
            mend = f"Write hosts down in {self._pools.file}, or name a Host of ~/.ssh/config: ssh/HOST"
            return (Check(infra="ssh", ok=False, detail="there are no pools of hosts", mend=mend),)
        found = self._hosts.each([host for pool in pools.values() for host in pool], self._hosts.facts)
        return [
            _checked(f"ssh/{name}/{host.name}", found[host]) for name, pool in pools.items() for host in pool
        ]

    def expect(self, region: str) -> None:
        self._expected.add(shapes.pool_of(region))

    def offers(self) -> Sequence[Offer]:
        names = [*self._pools.all(), *sorted(self._expected - set(self._pools.all()))]
        pools = {name: self._pools.get(name) for name in names}
        known = self._hosts.known([host for pool in pools.values() for host in pool], OFFERS_SECONDS)
        made = {
            (name, shape): shapes.offer(name, shape, known[host])
            for name, pool in pools.items()
            for host in pool
            if host in known
            for shape in shapes.shapes(known[host], host.allocation)
        }
        return tuple(made.values())

    def create(self, request: NodeRequest) -> Machine:
        name = f"ssh-{hashlib.sha256(request.token.encode()).hexdigest()[:16]}"
        shape = shapes.parse(request.instance_type)
        with self._alone(name):
            if (asked := self._asked(name)) is not None:
                card = self._allocate(self._host(asked.place), asked.place, name, request, shape)
                if card is not None:
                    return _machine(asked.place, card)
            return self._create_somewhere(name, request, shape)

    def list(self, tags: Mapping[str, str], region: str | None = None) -> Listing:
        memory = {name: asked for name, asked in self._memory().items() if tags.items() <= asked.tags.items()}
        places = self._places(region)
        # A record that we asked one host for is nowhere else; one that we asked nobody for hides nowhere.
        of_record = "skynb-record" in tags
        if of_record and memory:
            places = {asked.place: self._host(asked.place) for asked in memory.values()}
        found = self._hosts.each(
            list(places.values()), lambda host: self._hosts.ask(host, "look", tags=dict(tags))
        )
        machines: list[Machine] = []
        blind: list[str] = []
        for place, host in places.items():
            answer = found[host]
            if isinstance(answer, dict):
                machines += self._seen(place, answer["cards"], memory)
            elif memory or not of_record:
                blind.append(place)
        if blind and len(blind) == len(places):
            raise ProviderError("no host answers", why=", ".join(blind), retryable="unknown")
        return Listing(tuple(machines), tuple(blind))

    def start(self, machine: Machine) -> None:
        """A machine here runs for as long as it is there; ProviderError if it is not seen."""
        if machine.id not in {one.id for one in self.list({}).machines}:
            raise ProviderError(f"there is no machine {machine.id}", retryable="unknown")

    def stop(self, machine: Machine) -> None:
        raise ProviderError("a host of a pool cannot be stopped", retryable="no")

    def terminate(self, machine: Machine) -> None:
        asked = self._asked(machine.id)
        if place := asked.place if asked else machine.place:
            self._hosts.ask(self._host(place), "end", id=machine.id)
            self._forget(machine.id)

    def transport(self, machine: Machine) -> SshTransport:
        place, card = self._known(machine)
        gpus = ",".join(map(str, card.claim.gpus))
        return self._hosts.transport(
            self._host(place),
            root=f"{card.folder}/agent",
            home=f"{card.folder}/home",
            env={MARK: card.id, "CUDA_VISIBLE_DEVICES": gpus},
        )

    def end_command(self, machine: Machine, mode: Literal["stop", "down"]) -> Sequence[str]:
        _, card = self._known(machine)
        request = msgspec.json.encode({"id": card.id}).decode()
        return ["python3", f"{card.folder}/on_host.py", "end", request]

    def ssh(self, machine: Machine) -> SshEntry | None:
        place, _ = self._known(machine)
        host = self._host(place)
        return msgspec.structs.replace(
            host.entry, known_hosts=str(self._hosts.book.path), host_key_alias=alias(host)
        )

    def _create_somewhere(self, name: str, request: NodeRequest, shape: Shape) -> Machine:
        """On the first host, in the order of the file, that has room."""
        places = self._places(request.region)
        found = self._hosts.each(list(places.values()), self._hosts.facts)
        reasons = []
        for place, host in places.items():
            facts = found[host]
            if isinstance(facts, SkynbError):
                reasons.append(f"{place}: {facts.what}")
            elif request.zone in {None, host.name} and shape.fits(facts, host.allocation):
                card = self._allocate(host, place, name, request, shape)
                if card is not None:
                    return _machine(place, card)
                reasons.append(f"{place}: it is taken")
            else:
                reasons.append(f"{place}: it is too small")
        raise CapacityError(
            f"no host of ssh/{shapes.pool_of(request.region or '')} has room for {shape.name}",
            why="; ".join(reasons) or "there is no such pool",
            mend="`skynb check ssh` looks at every host",
        )

    def _allocate(self, host: Host, place: str, name: str, request: NodeRequest, shape: Shape) -> Card | None:
        """The card, None if the host is full. Noted before we ask: the answer may be lost."""
        self._remember(name, _Asked(place=place, tags=dict(request.tags)))
        want = {"cpus": shape.cpus, "memory_gib": shape.memory_gib, "gpus": shape.gpus, "whole": shape.whole}
        answer = self._hosts.ask(
            host,
            "allocate",
            id=name,
            token=request.token,
            tags=dict(request.tags),
            instance_type=request.instance_type,
            want=want,
            program=program(),
            address=host.address,
        )
        if "full" in answer:
            self._forget(name)
            return None
        card = msgspec.convert(answer["card"], Card)
        self._remember(name, _Asked(place=place, tags=card.tags, card=card))
        return card

    def _seen(self, place: str, raw: Any, memory: Mapping[str, _Asked]) -> builtins.list[Machine]:
        """The machines of a host's answer; what it was asked for and does not have is forgotten."""
        cards = msgspec.convert(raw, list[Card])
        for card in cards:
            asked = memory.get(card.id)
            if asked is None or asked.card is None:
                self._remember(card.id, _Asked(place=place, tags=card.tags, card=card))
        there = {card.id for card in cards}
        for name, asked in memory.items():
            if asked.place == place and name not in there and not self._busy(name):
                self._forget(name)
        return [_machine(place, card) for card in cards]

    def _known(self, machine: Machine) -> tuple[str, Card]:
        asked = self._asked(machine.id)
        if asked is not None and asked.card is not None:
            return asked.place, asked.card
        answer = self._hosts.ask(self._host(machine.place), "look", tags={})
        for card in msgspec.convert(answer["cards"], list[Card]):
            if card.id == machine.id:
                self._remember(card.id, _Asked(place=machine.place, tags=card.tags, card=card))
                return machine.place, card
        raise ProviderError(f"{machine.place} has no machine {machine.id}", retryable="no")

    def _places(self, region: str | None) -> dict[str, Host]:
        """Hosts by place: of one pool, or of all that we know or ever asked."""
        remembered = {asked.place.partition("/")[0] for asked in self._memory().values()}
        names = (
            [shapes.pool_of(region)]
            if region
            else [*self._pools.all(), *sorted(remembered - set(self._pools.all()))]
        )
        return {f"{name}/{host.name}": host for name in names for host in self._pools.get(name)}

    def _host(self, place: str) -> Host:
        host = self._pools.host(place)
        if host is None:
            raise ProviderError(
                f"host {place} is in no pool any more",
                mend=f"Put it back into {self._pools.file} until its machines are down",
                retryable="no",
            )
        return host

    @contextmanager
    def _alone(self, name: str) -> Iterator[None]:
        """One create of a machine at a time."""
        with self._lock:
            turn = self._creating.setdefault(name, _Turn())
        with turn.lock:
            yield

    def _busy(self, name: str) -> bool:
        with self._lock:
            return name in self._creating

    def _memory(self) -> dict[str, _Asked]:
        names = [path.stem for path in (self._folder / "machines").glob("ssh-*.json")]
        found = {name: self._asked(name) for name in names}
        return {name: asked for name, asked in found.items() if asked is not None}

    def _asked(self, name: str) -> _Asked | None:
        try:
            return msgspec.json.decode((self._folder / "machines" / f"{name}.json").read_bytes(), type=_Asked)
        except FileNotFoundError:
            return None

    def _remember(self, name: str, asked: _Asked) -> None:
        folder = self._folder / "machines"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(folder / f"{name}.json", msgspec.json.encode(asked))

    def _forget(self, name: str) -> None:
        (self._folder / "machines" / f"{name}.json").unlink(missing_ok=True)


def _machine(place: str, card: Card) -> Machine:
    return Machine(
        id=card.id,
        token=card.token,
        state="running",
        tags=card.tags,
        address=card.address,
        place=place,
        zone=place.partition("/")[2],
        instance_type=card.instance_type,
        created_at=card.created_at,
    )


def _checked(infra: str, facts: Facts | ProviderError | AuthError) -> Check:
    if isinstance(facts, SkynbError):
        return Check(infra=infra, ok=False, detail=facts.what + f" ({facts.why})", mend=facts.mend or "")
    gpus = f", {len(facts.gpus)} × {facts.gpus[0].name}" if facts.gpus else ""
    detail = f"{facts.cpus} CPUs, {facts.memory_gib:.0f} GiB{gpus}, Python {facts.python}"
    if not facts.sudo:
        detail += ", no sudo"
    if not facts.rsync:
        detail += ", no rsync"
    if facts.gpu_error:
        mend = "Run `nvidia-smi` there; a new driver often needs a reboot"
        return Check(infra=infra, ok=False, detail=f"{detail}; {facts.gpu_error}", mend=mend)
    if facts.disk_gib < _LEAST_DISK_GIB:
        mend = "Free some space in the login's home there"
        return Check(infra=infra, ok=False, detail=f"{detail}; the disk is full", mend=mend)
    return Check(infra=infra, ok=True, detail=detail)
