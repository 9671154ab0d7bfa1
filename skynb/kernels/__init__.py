"""Kernels on clusters' nodes. Jupyter's own programs start them: each cluster that is up has a kernelspec.

`node` is what a node gets; it imports nothing of ours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from skynb.kernels.listing import Kernels, Pruned

__all__ = ["ls", "prune", "stop"]


def ls(cluster: str | None = None, *, ended: bool = False) -> Kernels:
    """The kernels of a cluster, or of all; with `ended` also those that have ended. NotFoundError."""
    from skynb.client.sdk import connection, path_of
    from skynb.kernels.listing import Kernels
    from skynb.wire import KernelInfo

    path = f"{path_of(cluster)}/kernels" if cluster else "/kernels"
    query: dict[str, str | list[str]] = {"ended": "1"} if ended else {}
    return Kernels(connection().call("GET", path, list[KernelInfo], query=query))


def stop(cluster: str, kernels: Sequence[int]) -> Kernels:
    """End these kernels and all that their cells started; waits until they have ended. NotFoundError."""
    from skynb.client.sdk import connection, path_of
    from skynb.client.waiting import until
    from skynb.kernels.listing import Kernels
    from skynb.wire import KernelInfo

    def look(path: str) -> KernelInfo | None:
        found = connection().call("GET", path, KernelInfo)
        return found if found.final else None

    paths = [f"{path_of(cluster)}/kernels/{number}" for number in kernels]
    for path in paths:
        connection().call("GET", path, KernelInfo)  # nothing is ended if one of them is not there
    for path in paths:
        connection().call("DELETE", path, KernelInfo)
    ended = [until(lambda path=path: look(path), None, f"{path} ends") for path in paths]  # type: ignore[misc]
    return Kernels(ended)


def prune(*, unattached: bool = False) -> Pruned:
    """Take away what is of no use: kernelspecs of clusters that are not up.

    unattached: also end every kernel to which nobody is attached, which may hold somebody's unsaved work.
    """
    from skynb.client import server
    from skynb.client.sdk import connection
    from skynb.kernels import specs
    from skynb.kernels.listing import Pruned
    from skynb.wire import ClusterInfo

    clusters = connection().call("GET", "/clusters", list[ClusterInfo])
    home = str((server.card() or {}).get("home") or server.home())
    gone = [f"kernelspec {name}" for name in specs.sync(home, clusters)]
    lonely = [one for one in ls() if not one.attached] if unattached else []
    for one in lonely:
        stop(one.cluster, [one.id])
        gone.append(f"kernel {one.id} of {one.cluster}")
    return Pruned(gone)
