"""`SkyCluster`: a Dask cluster that lives on skynb's nodes and not in the process that uses it."""

from __future__ import annotations

import asyncio
import atexit
import os
import warnings
import weakref
from collections.abc import Collection, Mapping, Sequence
from operator import attrgetter
from typing import Any

from distributed.core import rpc
from distributed.deploy.cluster import Cluster
from distributed.protocol.pickle import dumps
from distributed.security import Security
from distributed.utils import format_dashboard_link

from skynb.client.words import micro
from skynb.dask import versions
from skynb.dask.ground import Ground
from skynb.dask.progress import Progress
from skynb.environment import Environment
from skynb.errors import ConflictError, SkynbError, SpecError
from skynb.spec import Task
from skynb.wire import AutostopRequest, DaskInfo, LaunchRequest

CLOSE_SECONDS = 60.0
HOLD_SECONDS = 3600.0  # a node's money at a time: one alone must not hold what others come for
LOOK_SECONDS = 1.0  # between two looks whether the Dask that is waited for lives


class SkyCluster(Cluster):
    """A `distributed` cluster whose scheduler and workers are services of the nodes' agents.

    `SkyCluster("c")` attaches to cluster `c` and brings Dask up on it if it is not; it rents nothing unless
    `workers_per_node` is given. Without a name, a cluster is launched, and taken down again on `close()`, at
    the end of the process, or when nobody has used it for `idle_minutes`. Its nodes are rented as workers
    need them and given back as these go, by `scale`, by `adapt` or one by one; with `nodes` there are so many
    from the first to the last, which the workers share.

    n_workers: default one a node, or as many as run already. gpus: of each node that is launched, as
    `"A100:1"`; each worker gets its own. workers_per_node: default one for each GPU, else one. adapt: the
    least and the most workers, `(0, 20)`, or the options of `distributed`'s `Adaptive`. threads, memory: of
    each worker; those of a Dask that runs already win. infra: where to launch. budget: US dollars that the
    launched cluster may cost in all. env_sync: Dask runs in this Python's environment, or the one given, made
    anew on each node; env_without: its distributions that are left out. setup: shell that each node runs once
    before Dask begins there. task_options: more fields of the task, as in its YAML
    (`{"resources": {"cpus": "8+"}}`). shutdown_on_close: whether `close()` ends what is there (the cluster if
    it was launched here, else Dask); default: only if it was launched here. timeout: seconds until nodes,
    scheduler and workers must be there. Raises SkynbError; what was launched, or begun, is ended then.
    """

    def __init__(
        self,
        name: str | None = None,
        *,
        n_workers: int | None = None,
        gpus: str | None = None,
        adapt: tuple[int, int] | Mapping[str, Any] | None = None,
        nodes: int | None = None,
        workers_per_node: int | None = None,
        threads: int = 1,
        memory: str = "auto",
        infra: str = "local",
        budget: float | None = None,
        env_sync: bool | Environment = False,
        env_without: Sequence[str] = (),
        setup: str | None = None,
        task_options: Mapping[str, Any] | None = None,
        idle_minutes: float | None = 30.0,
        shutdown_on_close: bool | None = None,
        timeout: float = 300.0,
        asynchronous: bool = False,
        loop: Any = None,
        quiet: bool = False,
    ) -> None:
        self._launches = name is None
        if not self._launches:
            _check_attached(nodes=nodes, gpus=gpus, budget=budget, task_options=task_options)
        self._task = _task(nodes, gpus, infra, task_options or {}) if self._launches else None
        self._budget_micro = None if budget is None else micro(budget, "budget")
        self._idle_minutes = idle_minutes
        self._adapt = _adaptive(adapt)
        if n_workers is None:
            n_workers = self._adapt.get("minimum")
        if self._task is not None and nodes is None and workers_per_node is None:
            workers_per_node = _workers_on(self._task)
        self._environment = (env_sync, tuple(env_without), setup)
        self._asked = (n_workers, threads, memory, workers_per_node)
        self._timeout = timeout
        self.shutdown_on_close = self._launches if shutdown_on_close is None else shutdown_on_close
        self.security: Security | None = None
        self._ground = Ground(name)
        self._dask: DaskInfo | None = None
        self._began = False  # this Dask, where none ran
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
        """Where the dashboard is, by way of the Jupyter server where this is one of its notebooks.

        Elsewhere as Dask's setting `distributed.dashboard.link` has it, on the head node's loopback.
        """
        if self._dask is None or not self._dask.dashboard:
            return ""
        if "JPY_SESSION_NAME" in os.environ:
            base = os.environ.get("JUPYTERHUB_SERVICE_PREFIX", "/")
            return f"{base}skynb/dask/{self._dask.cluster}/status"
        host, _, port = self._dask.dashboard.split("/")[2].partition(":")
        return str(format_dashboard_link(host, port))

    def scale(self, n: int) -> Any:
        """Ask for `n` workers in all, and return. Those that go hand over their data first."""
        return self.sync(self._scale, n)

    def adapt(self, *args: Any, **options: Any) -> Any:
        """Let Dask ask for workers by load, from `minimum` to `maximum`; a node goes when all on it may."""
        if self._dask is not None and self._dask.per_node:
            options.setdefault("worker_key", attrgetter("host"))
        return super().adapt(*args, **options)

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
            self.shutdown_on_close = self._launches or self._began
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
        if self._adapt:
            self.adapt(**self._adapt)
        self._progress.end(f"{self.name}: Dask is up with {len(self.workers)} workers")

    async def _bring_up(self, deadline: float) -> None:
        """Nodes, then the scheduler, then a connection to it that is known to be good."""
        await self._carry()
        if self._task is not None:
            autostop = None
            if self._idle_minutes is not None:
                autostop = AutostopRequest(idle_minutes=self._idle_minutes, down=True)
            config, secrets = self._task.to_wire()
            await self._ground.launch(self._request(config, secrets, autostop))
            self.name = self._ground.name
        running = await self._ground.dask()
        n_workers, threads, memory, per_node = self._asked
        if running is None:
            await self._ground.until_up(self._progress.say, deadline)
            first = 0 if per_node else n_workers  # no more is rented for a Dask that cannot be worked with
            self._began = True
            await self._ground.ask(first, threads, memory, per_node=per_node, begin=True)
            n_workers = 1 if per_node and n_workers is None else n_workers
        self._dask = dask = await self._ground.until_scheduler(self._progress.say, deadline)
        await self._meet(dask)
        unlike = per_node not in {None, dask.per_node}  # the server says why that cannot be
        if unlike or n_workers not in {None, dask.wanted}:
            await self._ask(dask.wanted if n_workers is None else n_workers, [])

    async def _carry(self) -> None:
        """What nodes need before Dask begins there is found, or missed, before any is rented."""
        env_sync, without, setup = self._environment
        if env_sync is False and setup is None:
            return
        if self._task is None:
            if await self._ground.dask() is not None:
                raise ConflictError(
                    f"Dask runs on {self.name!r}, in the environment that it began with",
                    mend="Take it as it is, or end it first: its shutdown(), or `skynb dask down`",
                )
            there = await self._ground.cluster()
            config = {"resources": {"infra": there.infra, "instance_type": there.instance_type}}
        else:
            config, _ = self._task.to_wire()
        task = Task.from_wire({**config, **({"setup": setup} if setup else {}), "run": ":"}, {})
        await self._ground.carry(task, env_sync, without)

    def _request(
        self, config: dict[str, Any], secrets: dict[str, str], autostop: AutostopRequest | None
    ) -> LaunchRequest:
        return LaunchRequest(
            task=config,
            secrets=secrets,
            autostop=autostop,
            budget_micro=self._budget_micro,
            hold_s=HOLD_SECONDS if self._asked[-1] else None,
        )

    async def _meet(self, dask: DaskInfo) -> None:
        """A connection to the scheduler; ConflictError where this process cannot work with it."""
        self.security = _security(dask.tls)
        dask.tls = {}
        connection_args = self.security.get_connection_args("client")
        self.scheduler_comm = rpc(dask.scheduler, connection_args=connection_args)
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
            retire = await self._going(fewer)
            await self.scheduler_comm.retire_workers(names=retire, remove=True, close_workers=True)
        await self._ask(n, retire)

    async def _going(self, count: int) -> list[str]:
        """Names of the workers to let go: the idle, then the young; first those whose going ends a node."""
        per_node = self._dask.per_node if self._dask else None
        key = dumps(attrgetter("host")) if per_node else None  # a node goes when it is empty
        idle = await self.scheduler_comm.workers_to_close(n=count, key=key, attribute="name")
        young = sorted(self.workers, key=_number, reverse=True)
        going = list(dict.fromkeys([*map(str, idle), *young]))
        if per_node:
            going.sort(key=lambda name: _number(name) < per_node)  # the head stays in any case
        return going[:count]

    async def _let_go(self, names: list[str]) -> None:
        going = [name for name in self.workers if name in names]
        await self._ask(len(self.workers) - len(going), going)

    async def _ask(self, workers: int, retire: list[str]) -> None:
        if self._dask is None:
            raise SkynbError("the cluster is not started yet", mend="Await it first")
        dask = self._dask
        asked = await self._ground.ask(workers, dask.threads, dask.memory, retire, per_node=self._asked[-1])
        dask.names, dask.wanted = asked.names, asked.wanted

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


def _task(nodes: int | None, gpus: str | None, infra: str, options: Mapping[str, Any]) -> Task:
    """The task that is launched: nodes, and nothing to run."""
    more = dict(options)
    resources = {"infra": infra, **({"accelerators": gpus} if gpus else {}), **more.pop("resources", {})}
    return Task.from_yaml_config({"num_nodes": nodes or 1, "resources": resources, **more})


def _check_attached(**asked: Any) -> None:
    """SpecError for what only a cluster that is launched here can be given."""
    for option, value in asked.items():
        if value is not None:
            raise SpecError(
                "this is for a cluster that is launched here", where=option, mend="Leave the name out, or it"
            )


def _workers_on(task: Task) -> int:
    """Workers on a node: one for each GPU, by the alternative with the fewest, or one."""
    _, items = task.resources.alternatives()
    counts = [item.accelerators[0].count if item.accelerators else 0 for item in items]
    return max(1, int(min(counts)))


def _adaptive(asked: tuple[int, int] | Mapping[str, Any] | None) -> dict[str, Any]:
    """The options of Dask's adaptive scaling; SpecError for what is none."""
    if asked is None or isinstance(asked, Mapping):
        return dict(asked or {})
    least, most = asked
    if not 0 <= least <= most:
        raise SpecError(
            f"{asked} is not the least and the most workers", where="adapt", mend="As adapt=(0, 20)"
        )
    return {"minimum": least, "maximum": most}


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
