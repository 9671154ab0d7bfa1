"""A ledger that was lost, had again from the machines: tags say what they are, agents what they do."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from skynb.control.budgets import run_account
from skynb.control.records import Event
from skynb.errors import ConflictError, NotFoundError, SkynbError
from skynb.wire import LeaseInfo
from skynb_clusters import tls
from skynb_clusters.agents import Greeting
from skynb_clusters.deciders.reaping import GONE
from skynb_clusters.deciders.rebuilding import Rebuilt, Relic, rebuild
from skynb_clusters.naming import cluster_of
from skynb_clusters.records import ClusterSpec

if TYPE_CHECKING:
    from skynb_clusters.core import Core
    from skynb_clusters.reaper import Found, Seen

_REFERENCE = re.compile(r"secret-[0-9a-f]+")


class Rebuilding(msgspec.Struct, frozen=True):
    """clusters: names of those that were written. left: machines that were not taken, and why.

    blind: what could not be seen.
    """

    clusters: tuple[str, ...]
    left: dict[str, str]
    blind: tuple[str, ...]


class Rebuilder:
    """Writes clusters into one core's ledger that it does not know, and their machines bear witness of."""

    def __init__(self, core: Core, lease: LeaseInfo) -> None:
        self._core = core
        self._lease = lease

    async def run(self, machines: Sequence[str], owner: str | None, by: str) -> Rebuilding:
        """Take in the clusters of these machines (`INFRA:ID`), or of all that the ledger never heard of.

        owner: the name of a server that is gone, which this one takes over. Records that are there are never
        written over. Done twice, it does nothing the second time.
        """
        seen = await self._core.reaper.look()
        if owner is not None and owner != self._core.owner:
            await self._succeed(owner, seen)
            seen = await self._core.reaper.look()
        unknown = [
            one for one in seen.found if one.verdict.claim == "unknown" and one.machine.state not in GONE
        ]
        chosen = self._chosen(machines, seen, unknown) if machines else unknown
        relics = await asyncio.gather(*map(self._relic, chosen))
        now = self._core.ledger.clock.now()
        blind = bool(seen.blind)
        rebuilt, left = rebuild(relics, self._lease, now, blind=blind)
        written = []
        for one in rebuilt:
            if refusal := await self._core.reconciler.in_ledger(self._write, one, by):
                left |= dict.fromkeys(one.machines, refusal)
            else:
                written.append(one.cluster.name)
                for record in (one.cluster, *one.nodes):
                    self._core.wake(record.id)
        self._core.reconciler.notify()
        return Rebuilding(tuple(written), left, seen.blind)

    async def _succeed(self, owner: str, seen: Seen) -> None:
        """Bear the name of a server that is gone; only one that has no cluster of its own can."""
        theirs = [one for one in seen.found if one.machine.tags.get("skynb-owner") == owner]
        if not theirs:
            raise NotFoundError(f"no machine belongs to {owner!r}", mend="`skynb adopt` shows whose they are")
        if any(one.verdict.claim == "others" for one in theirs):
            raise ConflictError(
                f"machines of {owner} were rented a short time ago",
                why="Their first lease lives, so their server may, too",
                mend="Wait until it is over; two servers must not bear one name",
            )
        if live := await self._core.reconciler.in_ledger(self._live):
            raise ConflictError(
                f"this server has clusters of its own: {', '.join(live[:5])}",
                why="It would no longer know their machines under another name",
                mend="Take them down, or rebuild in a fresh SKYNB_HOME",
            )
        self._core.become(owner)

    def _live(self) -> list[str]:
        with self._core.ledger.read() as tx:
            return [record.name for record in tx.find_all("cluster")]

    def _chosen(self, names: Sequence[str], seen: Seen, unknown: Sequence[Found]) -> list[Found]:
        """All machines of the clusters that the named ones belong to; NotFoundError, ConflictError."""
        by_name = {one.name: one for one in seen.found}
        free = {one.name for one in unknown}
        for name in names:
            if name not in by_name:
                raise NotFoundError(
                    f"there is no machine {name!r} with skynb's tags",
                    mend="`skynb adopt` lists machines as INFRA:ID",
                )
            if name not in free:
                one = by_name[name]
                raise ConflictError(f"machine {name} cannot be adopted", why=one.verdict.why, mend=_mend(one))
        wanted = {_family(by_name[name]) for name in names}
        return [one for one in unknown if _family(one) in wanted]

    async def _relic(self, one: Found) -> Relic:
        greeting: Greeting | None = None
        if one.machine.state == "running":
            transport = self._core.providers[one.infra].transport(one.machine)
            greeting = await self._core.hub.greet(transport)
        return Relic(one.infra, one.machine, greeting)

    def _write(self, one: Rebuilt, by: str) -> str:
        """All records of a cluster, or the reason why none."""
        cluster = one.cluster
        spec = msgspec.structs.replace(cluster.spec_as(ClusterSpec), authority=self._authority(one))
        cluster = msgspec.structs.replace(cluster, owner=cluster.owner or by, spec=msgspec.json.encode(spec))
        with self._core.ledger.transaction() as tx:
            if tx.get(cluster.id) is not None:
                return f"the ledger has {cluster.id}, and another life of its machines"
            if tx.find("cluster", cluster.name) is not None:
                return f"the ledger has another cluster {cluster.name!r}"
            tx.insert(cluster)
            for node in one.nodes:
                tx.insert(msgspec.structs.replace(node, owner=cluster.owner))
            if one.budget_micro is not None:
                tx.set_budget(run_account(cluster.id), one.budget_micro, by=by)
            data = {"machines": list(one.machines), "nodes": len(one.nodes), "by": by}
            tx.append(Event("cluster.rebuilt", data), record=cluster.id, scope=cluster.id)
        return ""

    def _authority(self, one: Rebuilt) -> str:
        """The cluster's certificates where they are still kept, else new ones, for agents to come."""
        if _REFERENCE.fullmatch(one.authority):
            try:
                self._core.secrets.get(one.authority)
            except SkynbError:
                pass
            else:
                return one.authority
        fresh = tls.new_authority(one.cluster.name)
        return self._core.secrets.put({"cert": fresh.cert, "key": fresh.key})


def _family(one: Found) -> str:
    record = one.machine.tags.get("skynb-record", "")
    return cluster_of(record) if record.count("-") > 1 else record


def _mend(one: Found) -> str:
    owner = one.machine.tags.get("skynb-owner", "ID")
    return {
        "lapsed": f"If its server is gone for good: `skynb rebuild --from-tags --owner {owner}`",
        "unclaimed": "`skynb reap` ends it: the ledger has let go of it",
        "claimed": "It is a cluster's already",
    }.get(one.verdict.claim, "It is its owner's")
