"""What a person may ask of pools, and what they see: each request is one ledger transaction."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from skynb.control.clock import new_id
from skynb.control.ledger import Filter, Transaction
from skynb.control.records import Event, Move, Record
from skynb.errors import ConflictError, NotFoundError, SpecError
from skynb.planning import Plan
from skynb.spec import Task
from skynb.wire import PoolInfo, PoolRequest, WorkerInfo
from skynb_clusters.core import Core
from skynb_clusters.records import ClusterState, offer_of
from skynb_clusters.requests import Desk
from skynb_clusters.views import accelerators_of, infra_of
from skynb_clusters.wishes import check_fits, read_task
from skynb_jobs.naming import pool_id, worker_id, worker_name
from skynb_jobs.pools import waiting
from skynb_jobs.records import FINAL, JobSpec, PoolSpec, PoolState, TaskSpec, Worker

MOST_WORKERS = 1000
_NAME = r"[a-zA-Z]([-a-zA-Z0-9]*[a-zA-Z0-9])?"
_ALL = 1_000_000


class Prepared(NamedTuple):
    """What a request comes to, before it is written."""

    task: Task
    plan: Plan
    files: str


class PoolsDesk:
    """Takes requests for pools; as `Desk`, in a worker thread, inside the transaction it is given."""

    def __init__(self, core: Core, desk: Desk) -> None:
        self._core = core
        self._desk = desk

    def prepare(self, request: PoolRequest) -> Prepared:
        """Read, plan, and keep the files. SpecError, UnsupportedError, NoOfferError."""
        task = read_task(request.task, request.secrets, of_pool=True)
        if task.pool is None and request.workers is None:
            mend = "Write `pool: {workers: 2}` in the task, or say --workers"
            raise SpecError("the number of workers is missing", where="pool", mend=mend)
        plan = self._desk.plan_now(task)
        return Prepared(task, plan, "" if request.dryrun else self._desk.keep(request.task))

    def discard(self, prepared: Prepared) -> None:
        """Forget files that no pool came of."""
        if prepared.files:
            self._core.snapshots.drop(prepared.files)

    def apply(
        self, tx: Transaction, name: str, request: PoolRequest, prepared: Prepared, user: str
    ) -> tuple[PoolInfo, Sequence[str], PoolSpec | None]:
        """A new pool, or other workers for the one of that name: what works goes on to its end.

        The last of the answer is a spec whose files and secrets nobody needs once this is written.
        """
        if not re.fullmatch(_NAME, name) or len(name) > 40:
            mend = "Begin with a letter; letters, digits and - may follow"
            raise SpecError(f"{name[:80]!r} is no name for a pool", where="pool_name", mend=mend)
        record = tx.find("pool", name)
        if record is not None and record.target != "UP":
            raise ConflictError(f"pool {name!r} is being taken down", mend="Wait, or take another name")
        spec = self._spec(request, prepared, user)
        if request.dryrun:
            info = PoolInfo(name=name, status="", user=user, least=spec.least, most=spec.most)
            return msgspec.structs.replace(info, plan=prepared.plan.to_dict()), (), None
        unused = None
        if record is None:
            record = tx.insert(
                Record(
                    id=pool_id(new_id("p").partition("-")[2]),
                    kind="pool",
                    name=name,
                    parent=None,
                    owner=user,
                    status="STARTING",
                    target="UP",
                    spec=msgspec.json.encode(spec),
                    state=msgspec.json.encode(PoolState()),
                )
            )
        else:
            before = record.spec_as(PoolSpec)
            if record.status != "FAILED" and self._makes(before) == self._makes(spec):
                same = {"version": before.version, "secrets": before.secrets, "files": before.files}
                spec, unused = msgspec.structs.replace(spec, **same), spec
            else:
                spec, unused = msgspec.structs.replace(spec, version=before.version + 1), before
            tx.amend(record, spec=spec)
        data = {"version": spec.version, "least": spec.least, "most": spec.most}
        tx.append(Event("pool.asked", data), record=record.id, scope=record.id)
        return pool_info(tx, find_pool(tx, name)), (record.id,), unused

    def _makes(self, spec: PoolSpec) -> tuple[object, ...]:
        """What workers of it are made of."""
        config = {key: value for key, value in spec.config.items() if key not in {"pool", "name", "run"}}
        secrets = self._core.secrets.get(spec.secrets) if spec.secrets else {}
        return config, secrets, self._core.snapshots.key(spec.files) if spec.files else ""

    def down(self, tx: Transaction, name: str) -> Sequence[str]:
        """Move the pool towards nothing left; ConflictError while jobs of it go on."""
        record = find_pool(tx, name)
        going = of_pool(tx.page("managed", Filter(live=True), _ALL), record.id)
        left = [one for one in going if one.status not in FINAL]
        if left and record.target == "UP":
            raise ConflictError(
                f"{len(left)} managed jobs of pool {name!r} go on",
                mend=f"`skynb jobs cancel --pool {name}` ends them, or wait",
            )
        tx.move(Move(record.id, "TERMINATED"))
        tx.append(Event("pool.down.asked"), record=record.id, scope=record.id)
        return (record.id,)

    def _spec(self, request: PoolRequest, prepared: Prepared, user: str) -> PoolSpec:
        task, pool = prepared.task, prepared.task.pool
        fixed = request.workers if request.workers is not None else pool.workers if pool else None
        least = fixed if fixed is not None else (pool.min_workers if pool else None) or 0
        most = fixed if fixed is not None else (pool.max_workers if pool else None) or least
        if not 0 <= least <= most <= MOST_WORKERS:
            raise SpecError(f"a pool has 0 to {MOST_WORKERS} workers", where="pool.workers")
        config, secrets = task.to_wire()
        kept = self._core.secrets.put(secrets) if secrets and not request.dryrun else ""
        spec = PoolSpec(
            config=config,
            num_nodes=task.num_nodes,
            secrets=kept,
            files=prepared.files,
            least=least,
            most=most,
            user=user,
        )
        wished = {
            "threshold": pool.queue_length_threshold if pool else None,
            "up_s": pool.upscale_delay_seconds if pool else None,
            "down_s": pool.downscale_delay_seconds if pool else None,
        }
        return msgspec.structs.replace(
            spec, **{key: value for key, value in wished.items() if value is not None}
        )


def find_pool(tx: Transaction, name: str) -> Record:
    """The pool of that name; NotFoundError."""
    record = tx.find("pool", name)
    if record is None:
        raise NotFoundError(f"there is no pool {name!r}", mend="`skynb jobs pool status` lists them")
    return record


def pool_for(tx: Transaction, name: str, tasks: Sequence[Task]) -> str:
    """The record id of a pool that takes these tasks; NotFoundError, ConflictError."""
    record = find_pool(tx, name)
    if record.target != "UP":
        raise ConflictError(f"pool {name!r} is being taken down", mend="Take another one")
    nodes = record.spec_as(PoolSpec).num_nodes
    for task in tasks:
        if task.num_nodes > nodes:
            raise ConflictError(
                f"workers of pool {name!r} have {nodes} nodes, the task wants {task.num_nodes}",
                where="num_nodes",
                mend="Take another pool, or none",
            )
        _check_serves(tx, record, task)
    return record.id


def _check_serves(tx: Transaction, pool: Record, task: Task) -> None:
    """ConflictError if there are workers, and none of them is what the task asks for."""
    refused: ConflictError | None = None
    for worker in pool.state_as(PoolState).workers:
        cluster = tx.get(worker.cluster)
        if cluster is None or (cluster.status, cluster.target) != ("UP", "UP"):
            continue
        try:
            check_fits(cluster, task)
        except ConflictError as error:
            refused = error
        else:
            return
    if refused is not None:
        what = f"no worker of pool {pool.name!r} is what the task asks for"
        mend = "Take another pool, or none"
        raise ConflictError(what, why=refused.why, where=refused.where, mend=mend)


def of_pool(managed: Sequence[Record], pool: str) -> list[Record]:
    """Those of the managed jobs that a pool's workers do."""
    return [one for one in managed if any(task.pool == pool for task in one.spec_as(JobSpec).tasks)]


def pool_infos(tx: Transaction, names: Sequence[str] = ()) -> list[PoolInfo]:
    """Pools that are not ended, all or those named; NotFoundError for a name that there is not."""
    found = [find_pool(tx, name) for name in names] if names else tx.find_all("pool")
    return [pool_info(tx, record) for record in found]


def pool_info(tx: Transaction, record: Record) -> PoolInfo:
    """A pool as people see it."""
    spec, state = record.spec_as(PoolSpec), record.state_as(PoolState)
    monies = tx.monies([worker_id(record.id, number + 1) for number in range(state.made)]).values()
    return PoolInfo(
        name=record.name,
        status="TERMINATING" if record.target != "UP" and not record.final else record.status,
        user=record.owner,
        reason=record.reason,
        version=spec.version,
        wanted=state.wanted,
        least=spec.least,
        most=spec.most,
        waiting=len(waiting(tx, record.id)),
        created_at=record.created_at,
        settled_micro=sum(money.settled for money in monies),
        reserved_micro=sum(money.reserved for money in monies),
        workers=[_worker_info(tx, record.name, worker) for worker in state.workers],
    )


def _worker_info(tx: Transaction, pool: str, worker: Worker) -> WorkerInfo:
    cluster = tx.get(worker.cluster)
    task = tx.get(worker.task) if worker.task else None
    info = WorkerInfo(
        number=worker.number,
        cluster=worker_name(pool, worker.number),
        status=_status(worker),
        version=worker.version,
        began_at=worker.began_at,
        job=task.spec_as(TaskSpec).job if task else None,
        reason=worker.why or (cluster.reason if cluster else ""),
    )
    if cluster is None or cluster.state_as(ClusterState).phase == "failed":
        return info
    offer = offer_of(cluster)
    return msgspec.structs.replace(
        info,
        infra=infra_of(offer),
        instance_type=offer.instance_type,
        accelerators=accelerators_of(offer),
        spot=offer.spot,
        hourly_micro=offer.hourly_micro,
    )


def _status(worker: Worker) -> str:
    if worker.over_at is not None:
        return "ENDING"
    if worker.ready_at is None:
        return "SETTING_UP" if worker.setup else "STARTING"
    return "BUSY" if worker.task else "READY"
