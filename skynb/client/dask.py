"""Dask on a cluster: bring it up, scale it, take it down. What is given out carries no keys."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from skynb.client.listings import Dasks
from skynb.client.sdk import connection, path_of
from skynb.client.waiting import until
from skynb.errors import ProviderError
from skynb.wire import DaskInfo, DaskRequest


def up(
    cluster: str,
    workers: int | None = None,
    *,
    threads: int = 1,
    memory: str = "auto",
    per_node: int | None = None,
    wait: bool = True,
) -> DaskInfo:
    """Run Dask on a cluster, one worker a node by default, or scale the one that runs there.

    per_node: the most workers on a node; nodes are rented for those beyond and given back when these go.
    """
    request = DaskRequest(workers=workers, threads=threads, memory=memory, per_node=per_node)
    asked = connection().call("POST", f"{path_of(cluster)}/dask", DaskInfo, body=request)

    def whole(found: DaskInfo) -> bool:
        return found.status == "UP" and len(found.workers) == found.wanted

    return _when(cluster, whole) if wait else _keyless(asked)


def down(cluster: str, *, wait: bool = True) -> DaskInfo:
    """Take Dask down; the cluster stays."""
    asked = connection().call("DELETE", f"{path_of(cluster)}/dask", DaskInfo)
    return _when(cluster, lambda found: found.status == "ENDED") if wait else _keyless(asked)


def status(cluster: str) -> Dasks:
    """The Dask of a cluster."""
    return Dasks([_keyless(_now(cluster))])


def _when(cluster: str, done: Callable[[DaskInfo], bool]) -> DaskInfo:
    def look() -> DaskInfo | None:
        found = _now(cluster)
        if done(found):
            return found
        if found.status == "ENDED":
            raise ProviderError(f"Dask on {cluster!r} has ended", why=found.reason or None)
        return None

    return _keyless(until(look, None, f"Dask on {cluster!r}"))


def _now(cluster: str) -> DaskInfo:
    return connection().call("GET", f"{path_of(cluster)}/dask", DaskInfo)


def _keyless(info: DaskInfo) -> DaskInfo:
    return msgspec.structs.replace(info, tls={})
