"""Cluster jobs: handing them to the head's agent, mirroring its word, bringing their logs home."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from skynb.control.records import Decision, Effect, Event, Record
from skynb.errors import NotFoundError, ProviderError
from skynb_agent.protocol import Methods
from skynb_clusters import naming as names
from skynb_clusters.deciders.job import JobView, decide_job
from skynb_clusters.deciders.views import telling
from skynb_clusters.deploy import put
from skynb_clusters.records import (
    JOB_FINAL,
    CancelJob,
    ClusterState,
    DropKept,
    JobSpec,
    JobState,
    NodeState,
    SubmitJob,
    gang_of,
    head_of,
)

if TYPE_CHECKING:
    from skynb_clusters.contract import Transport
    from skynb_clusters.core import Core

TELL_EVERY_S = 3.0
_NO_MACHINE = {"PENDING", "ENDED"}


class JobKind:
    """Kind `job`, a job of a cluster; its record's name is its number."""

    name = "job"

    def __init__(self, core: Core) -> None:
        self._core = core

    async def observe(self, record: Record) -> JobView:
        scope = str(record.parent)
        cluster = await self._core.get(scope)
        nodes = {child.id: child for child in await self._core.children(scope) if child.kind == "node"}
        head = nodes.get(head_of(cluster)) if cluster else None
        if cluster is None or head is None:
            raise ProviderError(f"{record.id} has no cluster in the ledger")
        spec, state = record.spec_as(JobSpec), record.state_as(JobState)
        presence, word = self._ask(head.id, spec.number)
        ranks = (word or {}).get("ranks") or state.ranks
        here = {names.node_of(str(rank.get("node_id"))) for rank in ranks}
        self._pump(record, scope, spec.number, ranks)
        error = cluster.state_as(ClusterState).error or {}
        failed = cluster.state_as(ClusterState).phase == "failed"
        return JobView(
            spec=spec,
            state=state,
            cluster_status=cluster.status,
            cluster_target=cluster.target,
            head=head.generation,
            presence=presence,
            word=word,
            drained=self._core.pumps.drained(scope, spec.number),
            failure=f"no machine could be had: {error.get('what')}" if failed else "",
            nodes_gone=all(nodes[node].status in _NO_MACHINE for node in here if node in nodes),
            tail=self._tail(scope, spec.number) if record.status in JOB_FINAL else "",
        )

    def decide(self, record: Record, observation: JobView, now: float) -> Decision:
        decision = decide_job(record, observation, now)
        if decision.final:
            self._core.pumps.forget(str(record.parent), observation.spec.number)
        return telling(decision, observation.spec.held_by)

    async def act(self, record: Record, effect: Effect) -> dict[str, Any] | None:
        cluster = await self._core.get(str(record.parent))
        if cluster is None:
            raise ProviderError(f"{record.id} has no cluster in the ledger")
        head = head_of(cluster)
        if isinstance(effect, SubmitJob):
            await self._send_files(record, gang_of(cluster))
            await self._send_journal(record, gang_of(cluster))
            await self._core.hub.call(head, Methods.SUBMIT, {"job": self._job(record)})
        elif isinstance(effect, CancelJob):
            await self._core.hub.call(head, Methods.CANCEL, {"ids": [effect.number]})
        elif isinstance(effect, DropKept):
            self._core.drop(effect)
        return None

    async def _send_files(self, record: Record, gang: Sequence[str]) -> None:
        """Lay the job's files on every node; a job that waits for that is not handed over yet."""
        files = record.spec_as(JobSpec).files
        if not files:
            return
        transports = await self._transports(gang)
        send, begun = self._core.snapshots.send, self._core.ledger.clock.monotonic()
        going = [(0, 0)] * len(transports)
        sending = asyncio.gather(
            *(
                self._core.in_cloud(send, files, transport, partial(_note, going, number))
                for number, transport in enumerate(transports)
            )
        )
        try:
            while not (await asyncio.wait([sending], timeout=TELL_EVERY_S))[0]:
                await self._going(record, going)
            counts = await sending
        finally:
            sending.cancel()
        laid = Event(
            "files.laid",
            {
                "job": record.spec_as(JobSpec).number,
                "nodes": len(counts),
                "files": max(count["files"] for count in counts),
                "sent": sum(count["sent"] for count in counts),
                "seconds": round(self._core.ledger.clock.monotonic() - begun, 2),
            },
        )
        await self._core.reconciler.in_ledger(self._tell, record, laid)

    async def _send_journal(self, record: Record, gang: Sequence[str]) -> None:
        """What earlier jobs at the same work wrote into their journals, to every node's home."""
        spec = record.spec_as(JobSpec)
        if not spec.earlier:
            return
        journal = await self._core.in_cloud(self._journal, spec.earlier)
        if not journal:
            return
        transports = await self._transports(gang)
        sent = (self._core.in_cloud(put, transport, spec.journal, journal) for transport in transports)
        await asyncio.gather(*sent)

    def _journal(self, earlier: Sequence[tuple[str, int]]) -> bytes:
        return b"".join(self._core.logs.journal(*one) for one in earlier)

    async def _transports(self, gang: Sequence[str]) -> list[Transport]:
        nodes = await asyncio.gather(*(self._core.get(node) for node in gang))
        return [self._core.transport(node.state_as(NodeState)) for node in nodes if node]

    async def _going(self, record: Record, going: Sequence[tuple[int, int]]) -> None:
        """How far the files have come, by node as (bytes sent, of how many)."""
        sent, of = (sum(some) for some in zip(*going, strict=True))
        if of:
            data = {"job": record.spec_as(JobSpec).number, "sent": sent, "of": of}
            await self._core.reconciler.in_ledger(self._tell, record, Event("files.going", data))

    def _tell(self, record: Record, event: Event) -> None:
        with self._core.ledger.transaction() as tx:
            tx.append(event, record=record.id, scope=str(record.parent))

    def _ask(
        self, head: str, number: int
    ) -> tuple[Literal["present", "absent", "unknown"], dict[str, Any] | None]:
        jobs = self._core.hub.jobs(head)
        if jobs is None:
            return "unknown", None
        word = jobs.get(number)
        return ("present", word) if word else ("absent", None)

    def _pump(self, record: Record, scope: str, number: int, ranks: Any) -> None:
        for rank in ranks:
            if rank.get("node_id") and (rank.get("pid") or rank.get("exit_code") is not None):
                node = names.node_of(str(rank["node_id"]))
                self._core.pumps.ensure(
                    scope, number, int(rank["rank"]), node, lambda: self._core.wake(record.id)
                )

    def _tail(self, scope: str, number: int) -> str:
        return self._core.logs.tail(scope, number).decode(errors="replace")

    def _job(self, record: Record) -> dict[str, Any]:
        spec = record.spec_as(JobSpec)
        secrets: dict[str, str] = {}
        if spec.secrets:
            try:
                secrets = self._core.secrets.get(spec.secrets)
            except NotFoundError as error:
                raise ProviderError(str(error), retryable="no") from None
        files = self._core.snapshots.key(spec.files) if spec.files else ""
        return {
            "id": spec.number,
            "name": spec.title,
            "num_nodes": spec.num_nodes,
            "gpus_per_node": spec.gpus_per_node,
            "cpus_per_node": spec.cpus_per_node,
            "priority": spec.priority,
            "setup": spec.setup,
            "setup_key": None if spec.fresh_setup else files,
            "run": spec.run,
            "env": spec.envs,
            "secret_env": secrets,
            "task_id": spec.task_id,
            "workdir": bool(spec.workdir),
            "user": spec.user,
            **({"hooks": list(spec.hooks)} if spec.hooks else {}),
        }


def _note(going: list[tuple[int, int]], number: int, sent: int, of: int) -> None:
    going[number] = (sent, of)
