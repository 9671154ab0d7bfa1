"""Keeps Jupyter's kernelspecs as the ledger has the clusters."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from skynb.control.ledger import Transaction
from skynb.kernels import specs
from skynb.wire import ClusterInfo
from skynb_clusters import views
from skynb_clusters.records import ClusterSpec

if TYPE_CHECKING:
    from skynb_jupyter.service import Service

log = logging.getLogger("skynb.kernels")

PAUSE_S = 0.5  # many records change at once when a cluster comes up


class SpecWriter:
    """Keeps the folders as the ledger has the clusters."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def run(self) -> None:
        """Until cancelled; the folders stay, as the clusters do."""
        reconciler = self._service.core.reconciler
        before: list[str] | None = None
        while True:
            changed = reconciler.changed
            now = await self._service.read(_up)
            if now != before:
                found = await self._service.read(partial(_infos, ids=now))
                try:
                    await asyncio.to_thread(specs.sync, self._service.info.home, found)
                    before = now
                except OSError as error:
                    log.warning("kernelspecs cannot be written: %s", error)
            await changed.wait()
            await asyncio.sleep(PAUSE_S)


def _up(tx: Transaction) -> list[str]:
    """Ids of the clusters that are up and a person's own."""
    return [
        one.id
        for one in tx.find_all("cluster")
        if one.status == "UP" and not one.spec_as(ClusterSpec).held_by
    ]


def _infos(tx: Transaction, ids: Sequence[str]) -> list[ClusterInfo]:
    return views.cluster_infos(tx, [record for key in ids if (record := tx.get(key)) is not None])
