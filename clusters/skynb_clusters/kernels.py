"""What a person may ask of kernels on clusters, a transaction each, and what is seen of them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import msgspec

from skynb.control.ledger import Transaction
from skynb.control.records import Event, Move, Record
from skynb.errors import ConflictError, NotFoundError, SpecError
from skynb.wire import KernelInfo, KernelRequest
from skynb_clusters.naming import kernel_id
from skynb_clusters.records import ClusterSpec, KernelSpec, KernelState
from skynb_clusters.requests import find_free
from skynb_clusters.views import find_cluster

MOST_LEASE_HOURS = 24 * 30


def start(tx: Transaction, name: str, request: KernelRequest, user: str) -> Record:
    """Write a kernel that is to run on a node of the cluster."""
    cluster = find_free(tx, name)
    nodes = cluster.spec_as(ClusterSpec).num_nodes
    if cluster.target != "UP":
        raise ConflictError(f"cluster {name!r} is {cluster.status}", mend=f"`skynb start {name}` first")
    if not 0 <= request.rank < nodes:
        raise SpecError(f"cluster {name!r} has nodes 0 to {nodes - 1}", where="rank")
    if not 0 < request.lease_hours <= MOST_LEASE_HOURS:
        raise SpecError(f"a lease is more than 0 and at most {MOST_LEASE_HOURS} hours", where="lease_hours")
    number = tx.highest("kernel", parent=cluster.id) + 1
    spec = KernelSpec(
        rank=request.rank,
        session=request.session,
        python=request.python,
        lease_s=request.lease_hours * 3600,
    )
    record = Record(
        id=kernel_id(cluster.id, number),
        kind="kernel",
        name=str(number),
        parent=cluster.id,
        owner=user,
        status="STARTING",
        target="UP",
        spec=msgspec.json.encode(spec),
        state=msgspec.json.encode(KernelState()),
    )
    tx.insert(record)
    tx.append(Event("kernel.asked", {"kernel": number}), record=record.id, scope=cluster.id)
    return record


def end(tx: Transaction, record: Record) -> Sequence[str]:
    """Move a kernel towards its end; one that has ended stays as it is."""
    if record.final:
        return ()
    tx.move(Move(record.id, "ENDED"))
    return (record.id,)


def find(tx: Transaction, name: str, number: int) -> Record:
    """A kernel of the last cluster of that name; NotFoundError."""
    cluster = find_cluster(tx, name, ended=True)
    found = tx.get(kernel_id(cluster.id, number))
    if found is None:
        raise NotFoundError(f"cluster {name!r} has no kernel {number}", mend=f"`skynb kernel ls {name}`")
    return found


def listed(tx: Transaction, name: str = "", *, ended: bool = False) -> list[KernelInfo]:
    """Kernels of one cluster or of all, oldest first."""
    every = partial(tx.find_all, "cluster", live=not ended)
    clusters = [find_cluster(tx, name, ended=True)] if name else every()
    below = tx.below("kernel", [cluster.id for cluster in clusters])
    return [
        info(kernel, cluster.name)
        for cluster in clusters
        for kernel in sorted(below.get(cluster.id, ()), key=lambda one: int(one.name))
        if ended or not kernel.final
    ]


def info(record: Record, cluster: str) -> KernelInfo:
    """A kernel as a person sees it."""
    spec, state = record.spec_as(KernelSpec), record.state_as(KernelState)
    return KernelInfo(
        id=int(record.name),
        cluster=cluster,
        rank=spec.rank,
        status=record.status,
        session=spec.session,
        python=spec.python,
        lease_hours=spec.lease_s / 3600,
        created_at=record.created_at,
        exit_code=state.exit_code,
        reason=record.reason,
        final=record.final,
    )
