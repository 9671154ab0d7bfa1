"""What the kinds of this floor share: ledger, providers, agents, logs, secrets. Made once by the server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from skynb.control.ledger import Claim, Ledger
from skynb.control.reconciler import Kind, Reconciler
from skynb.control.records import Record
from skynb.control.secrets import SecretStore
from skynb.errors import ProviderError, UnsupportedError
from skynb_clusters.agents import AgentHub
from skynb_clusters.contract import Listing, Provider, SshEntry, Transport
from skynb_clusters.identity import become
from skynb_clusters.logs import LogStore
from skynb_clusters.naming import cluster_of, job_id
from skynb_clusters.offers import further
from skynb_clusters.pumps import LogPumps
from skynb_clusters.reaper import Reaper
from skynb_clusters.records import ClusterSpec, DropKept, NodeState, Offer, machine_of
from skynb_clusters.sightings import Sightings
from skynb_clusters.snapshots import Snapshots
from skynb_clusters.surroundings import Surroundings
from skynb_clusters.wishes import Wishes

T = TypeVar("T")


class Core:
    """The running control core of clusters.

    owner: names this server in the machines' tags. kinds: makes the kinds of record, given this core.
    threads: as of the Reconciler.
    """

    def __init__(
        self,
        ledger: Ledger,
        home: Path,
        providers: Mapping[str, Provider],
        owner: str,
        claim: Claim,
        kinds: Callable[[Core], Sequence[Kind]],
        *,
        threads: bool = True,
    ) -> None:
        self.ledger = ledger
        self.providers = providers
        self.owner = owner
        self._home = home
        self.secrets = SecretStore(home / "secrets")
        self.logs = LogStore(home / "logs")
        self.snapshots = Snapshots(home / "snapshots")
        self.surroundings = Surroundings(providers, ledger.clock.monotonic)
        self.reconciler = Reconciler(ledger, kinds(self), claim, threads=threads)
        self.sightings = Sightings(self._look)
        self.hub = AgentHub(self._job_changed, self.wake)
        self.reaper = Reaper(self)
        self.pumps = LogPumps(self.hub, self.logs, self.reconciler.notify)

    async def run(self) -> None:
        """Reconcile, and look for forgotten machines, until cancelled."""
        reaping = asyncio.create_task(self.reaper.run())
        try:
            await self.reconciler.run()
        finally:
            reaping.cancel()
            self.pumps.close()
            self.hub.close()
            self.ledger.close()

    def wake(self, record: str) -> None:
        """Look at this record now."""
        self.reconciler.queue.add(record)

    async def get(self, record_id: str) -> Record | None:
        return await self.reconciler.in_ledger(self._get, record_id)

    async def children(self, parent: str) -> list[Record]:
        return await self.reconciler.in_ledger(self._children, parent)

    async def in_cloud(self, call: Callable[..., T], *args: object) -> T:
        return await self.reconciler.in_cloud(call, *args)

    def drop(self, effect: DropKept) -> None:
        """Forget what a record kept beside the ledger."""
        for reference in effect.secrets:
            self.secrets.drop(reference)
        if effect.files:
            self.snapshots.drop(effect.files)

    def become(self, owner: str) -> None:
        """Take over another server's name, and so its machines."""
        become(self._home, owner)
        self.owner = owner
        self.reconciler.become(owner)

    def provider(self, offer: Offer) -> Provider:
        """The provider behind an offer; ProviderError if this server has none of that name."""
        try:
            return self.providers[offer.cloud]
        except KeyError:
            raise ProviderError(f"this server has no provider {offer.cloud!r}", retryable="no") from None

    def can_stop(self, offer: Offer) -> bool:
        """Whether machines of this offer can be stopped with their disk; ProviderError as `provider`."""
        return self.provider(offer).capabilities.stop and not offer.spot

    def unable(self, cloud: str, wishes: Wishes) -> UnsupportedError | None:
        """Why no machine of this infra can be as is wished; None if some can, or nothing is known of it."""
        provider = self.providers.get(cloud)
        return None if provider is None else wishes.unmet(cloud, provider.capabilities)

    def unmet(self, offer: Offer, wishes: Wishes) -> UnsupportedError | None:
        """Why machines of this offer cannot be as is wished; ProviderError as `provider`."""
        can = self.provider(offer).capabilities
        return wishes.of_offer(offer).unmet(offer.cloud, can, spot=offer.spot)

    def transport(self, state: NodeState) -> Transport:
        """The way to a node's machine."""
        if state.offer is None or not state.machine:
            raise ProviderError("the node has no machine yet", retryable="unknown")
        return self.provider(state.offer).transport(machine_of(state))

    def ssh(self, state: NodeState) -> SshEntry:
        """How `ssh` reaches a node's machine; UnsupportedError where it cannot. May block."""
        if state.offer is None or not state.machine:
            raise ProviderError("the node has no machine yet", retryable="unknown")
        entry = self.provider(state.offer).ssh(machine_of(state))
        if entry is None:
            what = f"ssh does not lead to machines of {state.offer.cloud}"
            raise UnsupportedError(what, mend="`skynb exec CLUSTER COMMAND` runs there")
        return entry

    def further_offers(self, spec: ClusterSpec) -> Sequence[Offer]:
        """What else there is for a cluster, beyond the offers of its plan. Blocks."""
        wishes = Wishes.kept(spec)
        return [offer for offer in further(spec, self.providers) if self.unmet(offer, wishes) is None]

    async def _look(self, provider: Provider, region: str | None) -> Listing:
        return await self.in_cloud(provider.list, {"skynb-owner": self.owner}, region)

    def _get(self, record_id: str) -> Record | None:
        with self.ledger.read() as tx:
            return tx.get(record_id)

    def _children(self, parent: str) -> list[Record]:
        with self.ledger.read() as tx:
            return tx.children(parent)

    def _job_changed(self, node: str, number: int) -> None:
        self.wake(job_id(cluster_of(node), number))
