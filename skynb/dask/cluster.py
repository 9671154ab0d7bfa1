"""`SkyCluster`: a Dask cluster that lives on skynb's nodes and not in the process that uses it."""

from __future__ import annotations

import asyncio
import atexit
import warnings
import weakref
from collections.abc import Collection, Mapping
from typing import Any

from distributed.core import rpc
from distributed.deploy.cluster import Cluster
from distributed.security import Security
from distributed.utils import format_dashboard_link

from skynb.dask import versions
from skynb.dask.ground import Ground
from skynb.dask.progress import Progress
from skynb.errors import SkynbError
from skynb.spec import Task
from skynb.wire import AutostopRequest, DaskInfo

CLOSE_SECONDS = 60.0
LOOK_SECONDS = 1.0  # between two looks whether the Dask that is waited for lives


class SkyCluster(Cluster):
    """A `distributed` cluster whose scheduler and workers are services of the nodes' agents.

    `SkyCluster("c")` attaches to cluster `c` and brings Dask up on it if it is not; it never rents anything.
    Without a name, a cluster of `nodes` nodes is launched and taken down again on `close()`, at the end of
    the process, or when nobody has used it for `idle_minutes`.

    n_workers: default one a node, or as many as run already. threads, memory: of each worker; those of a
    Dask that runs already win. infra: where to launch. task_options: more fields of the task, as in its YAML
    (`{"resources": {"cpus": "8+"}}`). shutdown_on_close: whether `close()` ends what is there (the cluster if
    it was launched here, else Dask); default: only if it was launched here. timeout: seconds until nodes,
    scheduler and workers must be there. Raises SkynbError; what was launched is ended then.
    """

    def __init__(
        self,
        name: str | None = None,
        *,
        n_workers: int | None = None,
        nodes: int = 1,
        threads: int = 1,
        memory: str = "auto",
        infra: str = "local",
        task_options: Mapping[str, Any] | None = None,
        idle_minutes: float | None = 30.0,
        shutdown_on_close: bool | None = None,
        timeout: float = 300.0,
        asynchronous: bool = False,
        loop: Any = None,
        quiet: bool = False,
    ) -> None:
        self._launches = name is None
        self._task = _task(nodes, infra, task_options or {}) if self._launches else None
        self._idle_minutes = idle_minutes
        self._asked = (n_workers, threads, memory)
        self._timeout = timeout
        self.shutdown_on_close = self._launches if shutdown_on_close is None else shutdown_on_close
        self.security: Security | None = None
        self._ground = Ground(name)
        self._dask: DaskInfo | None = None
        self._progress = Progress(quiet=quiet)
        super().__init__(asynchronous=asynchronous, loop=loop, quiet=True, name=name)
        if not self.called_from_running_loop:
            self._loop_runner.start()
            self.sync(self._start)

    @classmethod
    def from_name(cls, name: str, **options: Any) -> SkyCluster:
        """Attach to the cluster of that name; NotFoundError if there is none. `close()` leaves it running."""
        return cls(name, **options)

    @property
    def workers(self) -> list[str]:
        """Names of the workers that there should be."""
        return list(self._dask.names) if self._dask else []

    @property
    def dashboard_link(self) -> str:
        """Where the dashboard is; it listens on the head node's loopback alone."""
        if self._dask is None or not self._dask.dashboard:
            return ""
        host, _, port = self._dask.dashboard.split("/")[2].partition(":")
        return str(format_dashboard_link(host, port))

    def scale(self, n: int) -> Any:
        """Ask for `n` workers in all, and return. Those that go hand over their data first."""
        return self.sync(self._scale, n)

    def scale_up(self, n: int) -> Any:
        """Ask for at least `n` workers in all."""
        return self.sync(self._scale, max(n, len(self.workers)))

    def scale_down(self, workers: Collection[str]) -> Any:
        """Let these workers, by name, go; Dask's adaptive scaling has retired them already."""
        return self.sync(self._let_go, [str(worker) for worker in workers])

    def shutdown(self) -> Any:
        """Close and end what is there, whatever `shutdown_on_close` says."""
        self.shutdown_on_close = True
        return self.close()

    async def _start(self) -> None:
        if self.status.name != "created":
            return
        deadline = asyncio.get_running_loop().time() + self._timeout
        try:
            await self._bring_up(deadline)
            await super()._start()
            await self._workers_there(deadline)
        except BaseException as error:
            self._timeout = CLOSE_SECONDS
            self.shutdown_on_close = self._launches
            await self._close()
            if not isinstance(error, OSError):
                raise
            raise SkynbError(
                f"the Dask scheduler of {self.name!r} ended before its workers were there",
                why=str(error) or None,
                mend="Start it again, with a longer idle_minutes= if that was short",
                retryable="yes",
            ) from error
        _LIVE.add(self)
        self._progress.end(f"{self.name}: Dask is up with {len(self.workers)} workers")

    async def _bring_up(self, deadline: float) -> None:
        """Nodes, then the scheduler, then a connection to it that is known to be good."""
        if self._task is not None:
            autostop = None
            if self._idle_minutes is not None:
                autostop = AutostopRequest(idle_minutes=self._idle_minutes, down=True)
            await self._ground.launch(*self._task, autostop)
            self.name = self._ground.name
        running = await self._ground.dask()
        n_workers, threads, memory = self._asked
        if running is None:
            await self._ground.until_up(self._progress.say, deadline)
            await self._ground.ask(n_workers, threads, memory)
        elif n_workers is not None and n_workers != running.wanted:
            await self._ground.ask(n_workers, running.threads, running.memory)
        self._dask = await self._ground.until_scheduler(self._progress.say, deadline)
        self.security = _security(self._dask.tls)
        self._dask.tls = {}
        connection_args = self.security.get_connection_args("client")
        self.scheduler_comm = rpc(self._dask.scheduler, connection_args=connection_args)
        theirs = versions.of_scheduler(await self.scheduler_comm.versions())
        if warning := versions.compare(versions.ours(), theirs):
            warnings.warn(warning, stacklevel=2)

    async def _workers_there(self, deadline: float) -> None:
        """Wait for every worker that was asked for; SkynbError with the server's word if they do not come."""
        loop = asyncio.get_running_loop()
        look_at = loop.time() + LOOK_SECONDS
        while missing := set(self.workers) - self.observed:
            here = len(self.workers) - len(missing)
            self._progress.say(f"{self.name}: {here} of {len(self.workers)} workers")
            if loop.time() > look_at:
                await self._ground.living_dask()
                look_at = loop.time() + LOOK_SECONDS
            if loop.time() > deadline:
                found = await self._ground.living_dask()
                raise SkynbError(
                    f"{len(missing)} of {len(self.workers)} workers did not come in time",
                    why=found.reason or None,
                    mend=f"Look at the log of {min(missing)} on its node, or give a longer timeout=",
                    retryable="unknown",
                )
            await asyncio.sleep(0.05)

    async def _scale(self, n: int) -> None:
        retire: list[str] = []
        if fewer := max(0, len(self.workers) - n):
            idle = await self.scheduler_comm.workers_to_close(n=fewer, attribute="name")
            young = sorted(self.workers, key=_number, reverse=True)
            retire = list(dict.fromkeys([*map(str, idle), *young]))[:fewer]
            await self.scheduler_comm.retire_workers(names=retire, remove=True, close_workers=True)
        await self._ask(n, retire)

    async def _let_go(self, names: list[str]) -> None:
        going = [name for name in self.workers if name in names]
        await self._ask(len(self.workers) - len(going), going)

    async def _ask(self, workers: int, retire: list[str]) -> None:
        if self._dask is None:
            raise SkynbError("the cluster is not started yet", mend="Await it first")
        asked = await self._ground.ask(workers, self._dask.threads, self._dask.memory, retire)
        self._dask.names = asked.names

    async def _close(self) -> None:
        if self.status.name == "closed":
            return
        await super()._close()
        _LIVE.discard(self)
        deadline = asyncio.get_running_loop().time() + CLOSE_SECONDS
        try:
            if self.shutdown_on_close and self._ground.name:
                end = self._ground.end_cluster if self._launches else self._ground.end_dask
                await end(deadline)
        finally:
            await self._ground.close()

    def __await__(self) -> Any:
        async def started() -> SkyCluster:
            await self._start()
            return self

        return started().__await__()


_LIVE: weakref.WeakSet[SkyCluster] = weakref.WeakSet()


@atexit.register
def _end_with_the_process() -> None:
    """What was launched here and not closed is given back; an attached cluster lives on."""
    for cluster in list(_LIVE):
        if cluster._launches and cluster.shutdown_on_close:  # noqa: SLF001 - the same module
            try:
                cluster._ground.down_soon()  # noqa: SLF001
            except SkynbError as error:
                warnings.warn(f"cluster {cluster.name!r} is still there: {error}", stacklevel=1)


def _task(nodes: int, infra: str, options: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """The task that is launched, and its secrets: nodes, and nothing to run."""
    more = dict(options)
    resources = {"infra": infra, **more.pop("resources", {})}
    task = Task.from_yaml_config({"num_nodes": nodes, "resources": resources, **more})
    return task.to_wire()


def _security(tls: Mapping[str, str]) -> Security:
    """The client's certificate, kept in memory."""
    return Security(
        tls_ca_file=tls["ca"],
        tls_client_cert=tls["cert"],
        tls_client_key=tls["key"],
        require_encryption=True,
    )


def _number(name: str) -> int:
    return int(name.rpartition("-")[2])
