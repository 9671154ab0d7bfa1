"""What a person may ask of Dask on clusters, a transaction each."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from skynb.control.ledger import Transaction
from skynb.control.records import Event, Move, Record
from skynb.errors import ConflictError, SpecError
from skynb.wire import DaskRequest
from skynb_clusters.deciders.dask import scaled
from skynb_clusters.naming import dask_id
from skynb_clusters.records import ClusterSpec, DaskSpec
from skynb_clusters.requests import find_free
from skynb_clusters.views import find_cluster
from skynb_clusters.wishes import read_task


def up(tx: Transaction, name: str, request: DaskRequest, files: str = "") -> Sequence[str]:
    """A Dask cluster of so many workers on the nodes; one that is there is scaled. files: of its task."""
    cluster = find_free(tx, name)
    if cluster.target != "UP":
        raise ConflictError(f"cluster {name!r} is {cluster.status}", mend=f"`skynb start {name}` first")
    workers = request.workers if request.workers is not None else cluster.spec_as(ClusterSpec).num_nodes
    if not 0 <= workers <= 10_000 or request.threads < 1:
        raise SpecError("workers must be from 0 to 10000 and threads at least 1", where="workers")
    if request.per_node is not None and request.per_node < 1:
        raise SpecError("a node holds at least one worker", where="per_node")
    spec = DaskSpec(
        workers=workers, threads=request.threads, memory=request.memory, per_node=request.per_node
    )
    if request.task is not None:
        task = read_task(request.task, {})
        spec = msgspec.structs.replace(spec, files=files, setup=task.setup or "", prelude=task.run or "")
    if (running := live(tx, cluster)) is not None:
        old = running.spec_as(DaskSpec)
        if request.task is not None:
            raise ConflictError(
                f"Dask runs on {name!r}, in the environment that it began with",
                mend=f"`skynb dask down {name}` first, or take it as it is",
            )
        kept = {"files": old.files, "setup": old.setup, "prelude": old.prelude}
        spec = msgspec.structs.replace(spec, per_node=request.per_node or old.per_node, **kept)
        if spec.per_node != old.per_node:
            raise ConflictError(
                f"Dask runs on {name!r} with {old.per_node or 'any number of'} workers a node",
                mend=f"`skynb dask down {name}` first",
            )
        if (old.threads, old.memory) != (spec.threads, spec.memory):
            raise ConflictError(
                f"Dask runs on {name!r} with {old.threads} threads and {old.memory} memory a worker",
                mend=f"`skynb dask down {name}` first",
            )
        numbers = scaled(old, workers, request.retire)
        tx.amend(running, spec=msgspec.structs.replace(spec, numbers=numbers))
        data = {"workers": workers, "retire": request.retire}
        tx.append(Event("dask.scale.asked", data), record=running.id, scope=cluster.id)
        return (running.id, cluster.id)
    number = tx.highest("dask", parent=cluster.id) + 1
    record = Record(
        id=dask_id(cluster.id, number),
        kind="dask",
        name=str(number),
        parent=cluster.id,
        owner=cluster.owner,
        status="STARTING",
        target="UP",
        spec=msgspec.json.encode(spec),
    )
    tx.insert(record)
    tx.append(Event("dask.asked", {"workers": workers}), record=record.id, scope=cluster.id)
    return (record.id, cluster.id)


def down(tx: Transaction, name: str) -> Sequence[str]:
    """Move the cluster's Dask towards nothing left; without one, nothing happens."""
    cluster = find_cluster(tx, name)
    running = live(tx, cluster)
    if running is None:
        return ()
    tx.move(Move(running.id, "ENDED"))
    return (running.id, cluster.id)


def live(tx: Transaction, cluster: Record) -> Record | None:
    """The cluster's Dask that is not ended nor meant to be."""
    found = tx.find_all("dask", parent=cluster.id)
    return next((record for record in found if record.target == "UP"), None)
