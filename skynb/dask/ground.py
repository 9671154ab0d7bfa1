"""The ground under a SkyCluster: requests to the skynb server, from one thread that is not the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from typing import Any, TypeVar

import msgspec

from skynb.client.environment import in_environment
from skynb.client.http import Connection, segment
from skynb.client.tasks import packed
from skynb.environment import Environment
from skynb.errors import NotFoundError, SkynbError, error_from_dict
from skynb.spec import Task
from skynb.wire import ClusterInfo, DaskInfo, DaskRequest, LaunchAnswer, LaunchRequest

T = TypeVar("T")

POLL_S = 0.1


class Ground:
    """One cluster and the Dask on it, by name. Every method but `down_soon` is awaited."""

    def __init__(self, name: str | None) -> None:
        self.name = name
        self._connection = Connection()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="skynb-dask")
        self._carried = ExitStack()
        self._task: dict[str, Any] | None = None

    async def carry(self, task: Task, env_sync: bool | Environment, without: Sequence[str]) -> None:
        """What each node does before Dask begins there. SpecError, UnsupportedError before any is rented."""

        def carried() -> dict[str, Any]:
            (sent,) = self._carried.enter_context(in_environment([task], env_sync, without))
            return packed(sent)[0]

        self._task = await self._in_thread(carried)

    async def launch(self, request: LaunchRequest) -> None:
        """Ask for a new cluster under a free name, which becomes `name`."""
        answer = await self._call("POST", "/clusters", LaunchAnswer, request)
        self.name = answer.cluster

    async def cluster(self) -> ClusterInfo:
        return await self._call("GET", self._path(), ClusterInfo)

    async def until_up(self, tell: Callable[[str], None], deadline: float) -> None:
        """Wait for every node; the launch's own error if it failed."""
        while True:
            found = await self.cluster()
            if found.status == "UP":
                return
            if found.final:
                raise _failure(found)
            up = sum(node.status == "UP" for node in found.nodes)
            tell(f"{found.name}: {found.status}, {up} of {found.num_nodes} nodes {found.reason}".rstrip())
            await _pause(deadline, f"cluster {found.name!r} did not come up", found.reason)

    async def dask(self) -> DaskInfo | None:
        """The Dask of the cluster with a client's certificate; None if none runs."""
        try:
            found = await self._call("GET", self._path("/dask"), DaskInfo)
        except NotFoundError:
            await self.cluster()  # a cluster that is not there is another matter
            return None
        return None if found.status in {"ENDING", "ENDED"} else found

    async def ask(
        self,
        workers: int | None,
        threads: int,
        memory: str,
        retire: Sequence[str] = (),
        *,
        per_node: int | None = None,
        begin: bool = False,
    ) -> DaskInfo:
        """Bring Dask up, or scale it; durable when this returns. begin: with what `carry` was given."""
        request = DaskRequest(
            workers=workers,
            threads=threads,
            memory=memory,
            retire=list(retire),
            per_node=per_node,
            task=self._task if begin else None,
        )
        return await self._call("POST", self._path("/dask"), DaskInfo, request)

    async def until_scheduler(self, tell: Callable[[str], None], deadline: float) -> DaskInfo:
        """Wait until the scheduler listens."""
        while True:
            found = await self.living_dask()
            if found.status == "UP" and found.scheduler:
                return found
            tell(f"{self.name}: the Dask scheduler starts {found.reason}".rstrip())
            await _pause(deadline, "the Dask scheduler did not come up", found.reason)

    async def living_dask(self) -> DaskInfo:
        """The Dask that was asked for; SkynbError if it has ended, for nothing is worth waiting for then."""
        found = await self.dask()
        if found is None:
            cluster = await self.cluster()
            raise SkynbError(
                f"the Dask on {self.name!r} ended before its workers were there",
                why=cluster.reason or f"it was idle or taken down; the cluster is {cluster.status}",
                mend="Start it again, with a longer idle_minutes= if it was idle",
            )
        return found

    async def end_dask(self, deadline: float) -> None:
        """Take Dask down and see that nothing is left of it."""
        await self._call("DELETE", self._path("/dask"), DaskInfo)
        while await self._lives():
            await _pause(deadline, f"the Dask on {self.name!r} does not end")

    async def end_cluster(self, deadline: float) -> None:
        """Take the cluster down and see that nothing is left of it."""
        found = await self._call("DELETE", self._path(), ClusterInfo)
        while not found.final:
            await _pause(deadline, f"cluster {self.name!r} does not end", found.reason)
            found = await self.cluster()

    def down_soon(self) -> None:
        """Ask for the cluster's end without waiting for it; for the exit of the process."""
        connection = Connection()
        try:
            connection.call("DELETE", self._path(), ClusterInfo)
        finally:
            connection.close()

    async def close(self) -> None:
        """End the thread and its connection; requests are over."""
        await self._in_thread(self._connection.close)
        await self._in_thread(self._carried.close)
        self._thread.shutdown(wait=False)

    async def _lives(self) -> bool:
        try:
            found = await self._call("GET", self._path("/dask"), DaskInfo)
        except NotFoundError:
            return False
        return found.status != "ENDED"

    def _path(self, rest: str = "") -> str:
        return f"/clusters/{segment(self.name or '')}{rest}"

    def _call(
        self, method: str, path: str, answer: type[T], body: msgspec.Struct | None = None
    ) -> Awaitable[T]:
        return self._in_thread(partial(self._connection.call, method, path, answer, body=body))

    async def _in_thread(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, call)


async def _pause(deadline: float, what: str, why: str = "") -> None:
    """Wait for the next look; SkynbError once it is too late."""
    if asyncio.get_running_loop().time() > deadline:
        raise SkynbError(
            f"{what} in time", why=why or None, mend="Give a longer timeout=", retryable="unknown"
        )
    await asyncio.sleep(POLL_S)


def _failure(cluster: ClusterInfo) -> SkynbError:
    if cluster.error:
        return error_from_dict(cluster.error)
    return SkynbError(f"cluster {cluster.name!r} is {cluster.status}", why=cluster.reason or None)
