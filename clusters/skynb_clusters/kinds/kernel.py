"""Kernels: each is kept by a service of its node's agent, in the environment that jobs see or another."""

from __future__ import annotations

import hashlib
import io
import zipfile
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import skynb.kernels.node
from skynb.control.records import Decision, Effect, Record
from skynb.errors import ProviderError
from skynb_agent.protocol import Methods
from skynb_clusters.contract import Transport
from skynb_clusters.deciders.kernel import KernelView, decide_kernel, service_name
from skynb_clusters.deploy import put
from skynb_clusters.records import KernelSpec, KernelState, NodeState, StartKernel, agent_name, gang_of

if TYPE_CHECKING:
    from skynb_clusters.core import Core

FOLDER = ".skynb-kernels"  # on the node, below the home
GRACE_S = 3
_ALIVE = {"RUNNING", "STOPPING"}
_MAIN = b"import sys\nfrom skynb_kernel.keeper import main\nsys.exit(main())\n"
# $0 is a word for `ps`, $1 the Python that was asked for. Some systems have no plain `python`. Kernels start
# where jobs do: in the workdir, if one was sent.
_RUN = """p=${1:-$(command -v python || command -v python3)}; shift
case $p in /*) ;; */*) p=$PWD/$p ;; esac
[ ! -d sky_workdir ] || cd sky_workdir
exec "$p" "$@"
"""


class KernelKind:
    """Kind `kernel`, below a cluster; its record's name is its number."""

    name = "kernel"

    def __init__(self, core: Core) -> None:
        self._core = core
        self._equipped: set[str] = set()  # agents that have the keeper

    async def observe(self, record: Record) -> KernelView:
        cluster, node = await self._places(record)
        state = record.state_as(KernelState)
        place: Literal["up", "waiting", "gone"] = "waiting"
        if node.status in {"PENDING", "ENDED", "STOPPED"} and cluster.status != "INIT":
            place = "gone"
        elif node.status == "UP":
            place = "up"
        if place != "up":
            return KernelView(state=state, node=place)
        name = service_name(record)
        try:
            listed = await self._core.hub.call(node.id, Methods.SERVICE_LIST)
            found = next((one for one in listed["services"] if one["name"] == name), None)
            if found is None or found["state"] in _ALIVE:
                return KernelView(state=state, node=place, service="running" if found else "absent")
            words = await self._last_words(node.id, name) if found["exit_code"] else ""
        except ProviderError:
            return KernelView(state=state, node=place)
        return KernelView(state=state, node=place, service="ended", exit_code=found["exit_code"], words=words)

    def decide(self, record: Record, observation: KernelView, now: float) -> Decision:
        return decide_kernel(record, observation, now)

    async def act(self, record: Record, effect: Effect) -> dict[str, Any] | None:
        _, node = await self._places(record)
        name = service_name(record)
        if not isinstance(effect, StartKernel):
            params = {"name": name, "grace_s": GRACE_S}
            await self._core.hub.call(node.id, Methods.SERVICE_STOP, params)
            return None
        state = node.state_as(NodeState)
        transport = self._core.transport(state)
        path, agent = f"{FOLDER}/keeper-{_digest()}.pyz", agent_name(node, state)
        if agent not in self._equipped:
            await self._core.in_cloud(put, transport, path, keeper_zipapp())
            self._equipped.add(agent)
        argv = _command(transport, f"{transport.home}/{path}", name, record.spec_as(KernelSpec))
        params = {"name": name, "argv": argv, "env": {}, "idle_ok": True}
        await self._core.hub.call(node.id, Methods.SERVICE_START, params)
        return None

    async def _places(self, record: Record) -> tuple[Record, Record]:
        """Its cluster and its node."""
        cluster = await self._core.get(str(record.parent))
        node = await self._core.get(gang_of(cluster)[record.spec_as(KernelSpec).rank]) if cluster else None
        if cluster is None or node is None:
            raise ProviderError(f"{record.id} has no cluster in the ledger")
        return cluster, node

    async def _last_words(self, node: str, name: str) -> str:
        answer = await self._core.hub.call(node, Methods.SERVICE_LOG, {"name": name, "limit": 2000})
        lines = [line.strip() for line in str(answer["text"]).splitlines() if line.strip()]
        return lines[-1] if lines else ""


def _command(transport: Transport, keeper: str, name: str, spec: KernelSpec) -> list[str]:
    options = ["--root", transport.root, "--name", name, "--lease", f"{spec.lease_s:g}"]
    return ["/bin/sh", "-c", _RUN, "skynb-kernel", spec.python, keeper, *options]


@cache
def keeper_zipapp() -> bytes:
    """The keeper as one file that any Python runs; the same bytes for the same sources."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr(zipfile.ZipInfo("__main__.py"), _MAIN)
        for path in sorted(Path(skynb.kernels.node.__file__).parent.glob("*.py")):
            archive.writestr(zipfile.ZipInfo(f"skynb_kernel/{path.name}"), path.read_bytes())
    return made.getvalue()


@cache
def _digest() -> str:
    return hashlib.sha256(keeper_zipapp()).hexdigest()[:12]
