"""Kernels on clusters' nodes. Jupyter's own programs start them: each cluster that is up has a kernelspec.

`node` is what a node gets; it imports nothing of ours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from skynb.kernels.listing import Kernels, Pruned
    from skynb.kernels.remote import Ran

LIMIT = 64_000_000

__all__ = ["add", "close", "ls", "prune", "run", "stop"]


def ls(cluster: str | None = None, *, ended: bool = False) -> Kernels:
    """The kernels of a cluster, or of all; with `ended` also those that have ended. NotFoundError."""
    from skynb.client.sdk import connection, path_of
    from skynb.kernels.listing import Kernels
    from skynb.wire import KernelInfo

    path = f"{path_of(cluster)}/kernels" if cluster else "/kernels"
    query: dict[str, str | list[str]] = {"ended": "1"} if ended else {}
    return Kernels(connection().call("GET", path, list[KernelInfo], query=query))


def add(cluster: str, name: str, *, python: str = "", rank: int = 0, lease_hours: float | None = None) -> str:
    """Offer Jupyter another kernel on a cluster that is up; the name under which it is found.

    name: letters, digits, `_`, `.`, `-`. python: on the node, a path or a command; empty is the one that jobs
    see. rank: of the node. lease_hours: it ends when left idle for so long, 12 by default.
    SpecError, NotFoundError, ConflictError.
    """
    import re

    from skynb.client.sdk import connection, path_of
    from skynb.errors import ConflictError, SpecError
    from skynb.kernels import specs
    from skynb.wire import ClusterInfo

    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", name):
        raise SpecError(f"{name!r} is no name of a kernel", where="name", mend="Letters, digits, _ . -")
    found = connection().call("GET", path_of(cluster), ClusterInfo)
    if found.status != "UP":
        raise ConflictError(f"cluster {cluster!r} is {found.status}", mend=f"`skynb start {cluster}` first")
    if not 0 <= rank < found.num_nodes:
        raise SpecError(f"cluster {cluster!r} has nodes 0 to {found.num_nodes - 1}", where="rank")
    config: dict[str, Any] = {"python": python, "rank": rank}
    if lease_hours is not None:
        config["lease_hours"] = lease_hours
    full = f"{specs.PREFIX}{cluster}-{name}".lower()
    specs.write(full, specs.spec(_home(), found, name, **config))
    return full


def run(
    code: str,
    cluster: str | None = None,
    *,
    inputs: Mapping[str, Any] | None = None,
    outputs: Sequence[str] = (),
    pickled: bool = False,
    limit: int = LIMIT,
    emit: Callable[[str, dict[str, Any]], None] | None = None,
) -> Ran:
    """Run code in a kernel on a cluster; the next call finds its state. The kernel ends with this process.

    cluster: the only one that is up by default. inputs: values by the names that they get there: JSON's
    types, bytes, numpy arrays, Arrow tables, data frames; others only with `pickled`: a pickle is code of
    whoever made it. outputs: names whose values come back, in `Ran.values`. limit: most bytes of one value.
    emit: gets each message of its outputs, as (type, content); without it they are printed. CellError if the
    code raises.
    """
    from skynb.cli.terminal import Terminal
    from skynb.kernels.remote import on_cluster

    kernel = on_cluster(cluster)
    return kernel.run(
        code,
        inputs=inputs or {},
        outputs=outputs,
        pickled=pickled,
        limit=limit,
        emit=emit or Terminal().emit,
    )


def close() -> None:
    """End the kernels of this process's `run`; the end of the process does so, too."""
    import sys

    if "skynb.kernels.remote" in sys.modules:  # else there is none
        from skynb.kernels.remote import close_all

        close_all()


def stop(cluster: str, kernels: Sequence[int]) -> Kernels:
    """End these kernels and all that their cells started; waits until they have ended. NotFoundError."""
    from functools import partial

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
    return Kernels(until(partial(look, path), None, f"{path} ends") for path in paths)


def prune(*, unattached: bool = False) -> Pruned:
    """Take away what is of no use: kernelspecs of clusters that are not up.

    unattached: also end every kernel to which nobody is attached, which may hold somebody's unsaved work.
    """
    from skynb.client.sdk import connection
    from skynb.kernels import specs
    from skynb.kernels.listing import Pruned
    from skynb.wire import ClusterInfo

    clusters = connection().call("GET", "/clusters", list[ClusterInfo])
    gone = [f"kernelspec {name}" for name in specs.sync(_home(), clusters)]
    lonely = [one for one in ls() if not one.attached] if unattached else []
    for one in lonely:
        stop(one.cluster, [one.id])
        gone.append(f"kernel {one.id} of {one.cluster}")
    return Pruned(gone)


def _home() -> str:
    """The home of the server, as it writes it itself."""
    from skynb.client import server

    return str(server.ensure()["home"])
