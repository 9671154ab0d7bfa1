"""Pools of workers as people see them."""

from __future__ import annotations

from skynb.client.listings import Listing
from skynb.client.words import ago, dollars
from skynb.wire import PoolInfo, WorkerInfo


class Pools(Listing[PoolInfo]):
    """Pools, oldest first."""

    head = ("NAME", "STATUS", "WORKERS", "READY", "BUSY", "WAITING", "VERSION", "SINCE", "SPENT")
    empty = "No pools."

    def cells(self, item: PoolInfo, now: float) -> list[str]:
        usable = [worker for worker in item.workers if worker.status in {"READY", "BUSY"}]
        busy = sum(worker.status == "BUSY" for worker in usable)
        range_ = f" ({item.least}-{item.most})" if item.least != item.most else ""
        return [
            item.name,
            item.status,
            f"{item.wanted}{range_}",
            str(len(usable)),
            str(busy),
            str(item.waiting),
            str(item.version),
            ago(item.created_at, now),
            dollars(item.settled_micro),
        ]

    def note(self, item: PoolInfo) -> str:
        told = [f"{item.name}: {item.reason}"] if item.reason else []
        return "\n".join([*told, *(f"  {_worker(one)}" for one in item.workers)])


def _worker(one: WorkerInfo) -> str:
    where = f" on {one.infra} {one.accelerators or one.instance_type}" if one.infra else ""
    work = f", job {one.job}" if one.job is not None else ""
    return f"{one.cluster}: {one.status}{where}{work}" + (f" ({one.reason})" if one.reason else "")
