"""How records of managed jobs are named: from each name the others follow."""

from __future__ import annotations

import re

TITLE_CHARS = 40  # of a task's name in its clusters' names


def task_id(job: str, index: int) -> str:
    """The record id of a task, from that of its job."""
    return f"task-{job.partition('-')[2]}-{index}"


def cluster_id(task: str, attempt: int) -> str:
    """The record id of the cluster of an attempt at a task."""
    _, token, index = task.split("-")
    return f"cluster-{token}t{index}a{attempt}"


def cluster_name(title: str, job: int, index: int, attempt: int) -> str:
    """What people call that cluster: `train-17`, `train-17-2` for the third task, `-r2` for a second try."""
    plain = re.sub(r"[^a-zA-Z0-9]+", "-", title).strip("-")[:TITLE_CHARS].rstrip("-")
    head = plain if plain[:1].isalpha() else f"job-{plain}".rstrip("-")
    return f"{head}-{job}" + (f"-{index}" if index else "") + (f"-r{attempt}" if attempt > 1 else "")


def pool_id(token: str) -> str:
    """The record id of a pool."""
    return f"pool-{token}"


def worker_id(pool: str, number: int) -> str:
    """The record id of the cluster of a pool's worker."""
    return f"cluster-{pool.partition('-')[2]}w{number}"


def worker_name(pool: str, number: int) -> str:
    """What people call that cluster."""
    return f"{pool}-w{number}"
