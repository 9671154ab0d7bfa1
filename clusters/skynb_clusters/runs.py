"""What past runs took: the history from which times are estimated. Reading only."""

from __future__ import annotations

from collections import defaultdict
from statistics import median
from typing import TYPE_CHECKING

from skynb.wire import RunInfo
from skynb_clusters.records import JobSpec, JobState, offer_of

if TYPE_CHECKING:
    from skynb.control.ledger import Transaction

_LATEST = 1000  # jobs that are looked at; what ran before them says little about today's code


def runs_of(tx: Transaction, title: str) -> list[RunInfo]:
    """Successful runs of the task of that name, by machine and number of nodes; hours are medians."""
    clusters = {record.id: record for record in tx.find_all("cluster", live=False)}
    hours: dict[tuple[str, float, int], list[float]] = defaultdict(list)
    for job in tx.find_all("job", live=False, limit=_LATEST):
        spec, state = job.spec_as(JobSpec), job.state_as(JobState)
        cluster = clusters.get(job.parent or "")
        if spec.title != title or job.status != "SUCCEEDED" or cluster is None:
            continue
        if state.started_at is None or state.ended_at is None:
            continue
        offer = offer_of(cluster)
        accelerator = (offer.accelerator or "") if spec.gpus_per_node else ""
        kind = (accelerator, spec.gpus_per_node if accelerator else 0.0, spec.num_nodes)
        hours[kind].append((state.ended_at - state.started_at) / 3600)
    return [
        RunInfo(
            task=title,
            accelerator=accelerator or None,
            count=count,
            num_nodes=nodes,
            hours=median(taken),
            runs=len(taken),
        )
        for (accelerator, count, nodes), taken in sorted(hours.items())
    ]
