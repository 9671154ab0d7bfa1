"""From a plan's candidates to the offers that a cluster tries, and what lies beyond them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from itertools import islice
from typing import TYPE_CHECKING

from skynb_clusters.records import ClusterSpec, Offer
from skynb_clusters.rehearsal import as_played, rehearsed

if TYPE_CHECKING:
    from skynb.planning import Candidate
    from skynb_clusters.reaper import Found

FURTHER = 200


def offer_from(candidate: Candidate) -> Offer:
    """A plan's candidate as the ledger keeps it."""
    return Offer(
        cloud=candidate.cloud,
        instance_type=candidate.instance_type,
        region=candidate.region,
        zone=candidate.zone,
        spot=candidate.spot,
        vcpus=candidate.vcpus,
        memory_gib=candidate.memory_gib,
        accelerator=candidate.accelerator,
        accelerator_count=candidate.accelerator_count or 0,
        hourly_micro=candidate.hourly_micro,
        as_of=candidate.as_of,
        source=candidate.source,
        alternative=candidate.alternative,
    )


def further(spec: ClusterSpec, clouds: Collection[str]) -> Sequence[Offer]:
    """The next offers after those of the plan, in order; reads the catalog."""
    from skynb.errors import SkynbError
    from skynb.planning import plan
    from skynb.planning.ladders import ladder
    from skynb.spec import Task

    try:
        task = Task.from_wire({"resources": spec.resources, "num_nodes": spec.num_nodes, "run": "true"}, {})
        if spec.offers and spec.offers[0].rehearsed:
            rungs: Iterable[Candidate] = map(as_played, ladder(plan(rehearsed(task) or task).tasks[0]))
        else:
            rungs = ladder(plan(task, clouds=clouds).tasks[0])
    except SkynbError:
        return ()  # what there was is used up, and the catalog has nothing more
    known = set(map(_key, spec.offers))
    fresh = (offer_from(rung) for rung in rungs if rung.cloud in clouds)
    return list(islice((offer for offer in fresh if _key(offer) not in known), FURTHER))


def price_of(one: Found) -> int | None:
    """Micro-dollars an hour of a machine by the catalog, where the catalog knows it; reads the catalog."""
    from skynb_catalog import Catalog, Query

    if one.infra in {"local", "sim"}:
        return 0
    query = Query(
        clouds=(one.infra,),
        region=one.machine.place or None,
        instance_type=one.machine.instance_type,
        spot=one.machine.spot,
        limit=1,
    )
    offers = Catalog.open().offers(query) if one.machine.instance_type else []
    if not offers:
        return None
    return offers[0].spot_hourly_micro if one.machine.spot else offers[0].hourly_micro


def _key(offer: Offer) -> tuple[str, str | None, str | None, str, bool]:
    return (offer.cloud, offer.region, offer.zone, offer.instance_type, offer.spot)
