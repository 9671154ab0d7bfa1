"""Rehearsals: the same plan from the same catalog, on machines that are played. Pure but for one variable.

A task whose infra begins with `sim/` is rehearsed, and with SKYNB_REHEARSE=1 every task but those on `local`.
Spending of a rehearsal bears the cloud `sim` and is no money.
"""

from __future__ import annotations

import os
from typing import Any

from msgspec import structs

from skynb.errors import SpecError
from skynb.planning import Plan
from skynb.planning.model import Candidate
from skynb.spec import Task
from skynb_clusters.records import Offer

SIM = "sim"
NOTE = "rehearsal: nothing is rented"


def rehearsed(task: Task) -> Task | None:
    """The task as it is planned for a rehearsal, `sim/` taken off; None where it is meant.

    SpecError for a task of which only some alternatives are simulated.
    """
    config, secrets = task.to_wire()
    resources = dict(config.get("resources") or {})
    items = [resources, *(item for name in ("any_of", "ordered") for item in resources.get(name) or ())]
    named = [place for item in items if (place := _place_of(item))]
    played = [place for place in named if place.partition("/")[0] == SIM]
    if not played and (not _asked() or "local" in named):
        return None
    if played and len(played) < len(named):
        raise SpecError(
            "some alternatives are simulated and some are not",
            where="resources.infra",
            mend="Write `sim/` before all of them, or before none",
        )
    for name in ("any_of", "ordered"):
        if resources.get(name):
            resources[name] = [_meant(dict(item)) for item in resources[name]]
    return Task.from_wire({**config, "resources": _meant(resources)}, secrets)


def as_simulated(plan: Plan) -> Plan:
    """The plan with every machine a simulated one; nothing leads from it to a real one."""
    tasks = tuple(
        structs.replace(
            task,
            choice=as_played(task.choice),
            alternatives=tuple(map(as_played, task.alternatives)),
            asks=(),
            more=0,
            stale=(*task.stale, NOTE),
        )
        for task in plan.tasks
    )
    return structs.replace(plan, tasks=tasks)


def played_by(offer: Offer) -> Offer:
    """The offer that a simulated one plays; a real one as it is."""
    if offer.cloud != SIM:
        return offer
    cloud, _, region = (offer.region or "").partition("/")
    return structs.replace(offer, cloud=cloud, region=region or None)


def _asked() -> bool:
    return os.environ.get("SKYNB_REHEARSE", "") not in {"", "0"}


def _place_of(item: dict[str, Any]) -> str:
    return str(item.get("infra") or item.get("cloud") or "")


def _meant(item: dict[str, Any]) -> dict[str, Any]:
    """One alternative without the prefix; `sim` alone is any cloud."""
    for key in ("infra", "cloud"):
        head, _, rest = str(item.get(key) or "").partition("/")
        if head == SIM:
            item.pop(key)
            if rest and rest != "*":
                item[key] = rest
    return item


def as_played(one: Candidate) -> Candidate:
    """The simulated machine that stands for this one."""
    region = f"{one.cloud}/{one.region}" if one.region else one.cloud
    return structs.replace(one, cloud=SIM, region=region)
