"""The head's view of its nodes: who may join, who is connected, who is gone. One port to call them all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Dict, List, Optional

from skynb_agent import files
from skynb_agent.config import Config, Slots
from skynb_agent.protocol import Codes, RemoteError
from skynb_agent.queue import Node

if TYPE_CHECKING:
    from pathlib import Path

    from skynb_agent.peer import Peer
    from skynb_agent.ranks import RankHost


class NodeBook:
    """Known nodes by rank, durable in R/nodes.json; connections are not."""

    def __init__(self, config: Config, host: RankHost) -> None:
        self.config = config
        self.links: Dict[int, Peer] = {}
        self._host = host
        self._path: Path = config.root / "nodes.json"
        stored = files.read_json(self._path) or {"nodes": {}, "gone": []}
        self._known: Dict[int, Dict[str, Any]] = {int(rank): facts for rank, facts in stored["nodes"].items()}
        self._gone: List[str] = list(stored["gone"])

    def admit(self, facts: dict[str, Any]) -> str | None:
        """Let a worker in by what it says of itself, or raise `refused`/`gone`.

        The caller has checked the certificate. The answer is the id of the node it replaces, if any.
        """
        rank, generation, node_id = int(facts["rank"]), int(facts["generation"]), str(facts["node_id"])
        if facts.get("cluster_id") != self.config.cluster_id:
            raise RemoteError(Codes.REFUSED, "the worker belongs to another cluster")
        if node_id in self._gone:
            raise RemoteError(Codes.GONE, f"node {node_id} was declared lost")
        if not 0 < rank < self.config.num_nodes:
            raise RemoteError(Codes.REFUSED, f"this cluster has no worker of rank {rank}")
        known = self._known.get(rank)
        newest = max(self.config.generation, int(known["generation"]) if known else 0)
        if generation < newest:
            raise RemoteError(Codes.REFUSED, f"generation {generation} is stale; this cluster is at {newest}")
        replaced = known["node_id"] if known and known["node_id"] != node_id else None
        if replaced and known and generation == int(known["generation"]):
            raise RemoteError(Codes.REFUSED, f"rank {rank} of generation {generation} is node {replaced}")
        slots = Slots.read(facts.get("slots") or {}).to_json()
        record = {"node_id": node_id, "generation": generation, "slots": slots}
        if record != known:
            self._known[rank] = record
            self._save()
        return str(replaced) if replaced else None

    def declare_gone(self, rank: int, node_id: str) -> None:
        """The server says that this machine will not come back; it may never join again."""
        if node_id not in self._gone:
            self._gone.append(node_id)
        if self._known.get(rank, {}).get("node_id") == node_id:
            del self._known[rank]
            link = self.links.pop(rank, None)
            if link is not None:
                link.close()
        self._save()

    def node_id(self, rank: int) -> str | None:
        """Who sits at `rank`, if that is known."""
        if rank == self.config.rank:
            return self.config.node_id
        return self._known.get(rank, {}).get("node_id")

    def connected(self, rank: int) -> bool:
        """True if it can be asked right now."""
        return rank == self.config.rank or rank in self.links

    def ip(self, rank: int) -> str:
        """Its address as the server listed it."""
        ips = self.config.node_ips
        return ips[rank] if rank < len(ips) else "127.0.0.1"

    def queue_view(self) -> list[Node]:
        """Every node for the queue; one that never joined is taken to be like the head."""
        return [self._view(rank) for rank in range(self.config.num_nodes)]

    def _view(self, rank: int) -> Node:
        own = rank == self.config.rank
        stored = None if own else self._known.get(rank)
        slots = Slots.read(stored["slots"]) if stored else self.config.slots
        return Node(
            rank, slots.cpus, tuple(slots.gpus), reachable=own or (stored is not None and rank in self.links)
        )

    async def ask(self, rank: int, method: str, params: dict[str, Any]) -> Any:
        """Call a method of worker.py on a node; RemoteError `disconnected` if it is away."""
        if rank == self.config.rank:
            return call_host(self._host, method, params)
        link: Optional[Peer] = self.links.get(rank)
        if link is None:
            raise RemoteError(Codes.DISCONNECTED, f"node {rank} is not connected")
        return await link.call(method, params)

    def _save(self) -> None:
        files.write_json(self._path, {"nodes": self._known, "gone": self._gone})


def call_host(host: RankHost, method: str, params: dict[str, Any]) -> Any:
    """The rank methods that a head may call on a node, itself included."""
    if method == "rank_prepare":
        return host.prepare(params["job"], int(params["rank"]), list(params["ips"]), list(params["gpus"]))
    job, rank = int(params["job"]), int(params["rank"])
    if method == "rank_launch":
        return host.launch(job, rank, str(params["phase"]))
    if method == "rank_stop":
        return host.stop(job, rank, float(params.get("grace_s") or 0.0))
    if method == "rank_forget":
        return host.forget(job, rank)
    raise RemoteError(Codes.UNKNOWN_METHOD, f"no method {method}")
