"""How records of a cluster are named: from each name the others follow."""

from __future__ import annotations

import re

_NODE = re.compile(r"node-([0-9a-z]+)-(\d{1,5})(?:r(\d))?")


def cluster_of(child: str) -> str:
    """The cluster's record id, from that of a node, job, kernel or Dask cluster of it."""
    return f"cluster-{child.split('-')[1]}"


def node_id(cluster: str, rank: int, lane: int = 0) -> str:
    """The record id of a node slot."""
    return f"node-{cluster.removeprefix('cluster-')}-{slot_name(rank, lane)}"


def slot_name(rank: int, lane: int) -> str:
    """The name of a node slot: its rank, and its lane where several race."""
    return f"{rank}r{lane}" if lane else str(rank)


def slot_of(record: str) -> tuple[int, int] | None:
    """Rank and lane of a node slot, from its record id; None for what is none."""
    found = _NODE.fullmatch(record)
    return (int(found[2]), int(found[3] or 0)) if found else None


def node_of(agent: str) -> str:
    """The record id behind an agent's name."""
    return agent.rpartition(".")[0]


def job_id(cluster: str, number: int) -> str:
    """The record id of a job."""
    return f"job-{cluster.removeprefix('cluster-')}-{number}"


def kernel_id(cluster: str, number: int) -> str:
    """The record id of the n-th kernel on a cluster."""
    return f"kernel-{cluster.removeprefix('cluster-')}-{number}"


def dask_id(cluster: str, number: int) -> str:
    """The record id of the n-th Dask cluster on a cluster."""
    return f"dask-{cluster.removeprefix('cluster-')}-{number}"
