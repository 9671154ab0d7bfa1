"""Why nothing fits, and the nearest thing that exists."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from skynb.planning.amounts import dollars
from skynb.planning.model import Rejection
from skynb_catalog import Query

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from skynb_catalog import Catalog, Offer


def explain(catalog: Catalog, query: Query) -> tuple[str, str | None]:
    """Why a query finds nothing, and what would do, found by leaving out one limit at a time."""
    return (
        _unknown_type(catalog, query)
        or _wrong_kind(catalog, query)
        or _unknown_region(catalog, query)
        or _one_limit(catalog, query)
        or ("No single limit is the cause", "Relax more than one of region, size, price and spot")
    )


def rejected_clouds(
    catalog: Catalog, query: Query, alternative: int, feasible: Collection[str]
) -> Iterator[Rejection]:
    """One reason for each cloud that has the asked kind of machine and yet no candidate."""
    left = set(_clouds_with(catalog, query)) - set(feasible)
    if query.accelerators:
        for cloud, counts in catalog.counts_of(query.accelerators).items():
            if cloud in left and query.count not in counts and query.count == int(query.count):
                left.discard(cloud)
                yield Rejection(alternative, cloud, f"has {_kind(query)} in counts {_numbers(counts)} only")
    relaxed = query
    changes: tuple[tuple[str, dict[str, Any]], ...] = (
        ("blocked by failures", {"without": ()}),
        ("above max_hourly_cost", {"max_hourly_micro": None}),
        ("no spot price known", {"spot": False}),
        ("no local disk of that kind and size known", {"local_disk": None, "local_disk_kind": None}),
        ("no machine of that size", {"cpus": None, "memory": None}),
        (f"none with {query.arch}", {"arch": None}),
    )
    for reason, change in changes:
        if not left:
            return
        looser = relaxed._replace(**change)
        if looser == relaxed:
            continue
        relaxed = looser
        for cloud in sorted(left & catalog.count(relaxed).keys()):
            left.discard(cloud)
            yield Rejection(alternative, cloud, reason)


def described(query: Query) -> str:
    """What was asked for, in a few words: `H100:3 on aws/us-east-1, spot, up to $2.00/h`."""
    kind = query.instance_type or (f"{_kind(query)}:{query.count:g}" if query.accelerators else "a machine")
    sizes = [
        f"{amount.value:g}{'x' if amount.per_cpu else ''}{'+' if amount.at_least else ''} {unit}"
        for amount, unit in ((query.cpus, "vCPUs"), (query.memory, "GiB"))
        if amount is not None
    ]
    place = "/".join([*(query.clouds or ("any cloud",))[:1], *filter(None, (query.region, query.zone))])
    where = f" on {place}" if query.clouds and len(query.clouds) == 1 else ""
    limit = [] if query.max_hourly_micro is None else [f"up to {dollars(query.max_hourly_micro)}/h"]
    return ", ".join([kind + where, *sizes, *(["spot"] if query.spot else []), *limit])


def _unknown_type(catalog: Catalog, query: Query) -> tuple[str, str | None] | None:
    if query.instance_type is None:
        return None
    known = catalog.instance_types(query.clouds[0] if query.clouds and len(query.clouds) == 1 else None)
    if query.instance_type in known:
        return None
    near = _nearest(query.instance_type, known)
    return f"No instance type is called {query.instance_type!r} there", _did_you_mean(near)


def _wrong_kind(catalog: Catalog, query: Query) -> tuple[str, str | None] | None:
    """The accelerator is rented nowhere, not in these clouds, or not in this count."""
    if not query.accelerators:
        return None
    everywhere = catalog.counts_of(query.accelerators)
    here = everywhere if query.clouds is None else {c: everywhere[c] for c in query.clouds if c in everywhere}
    if not everywhere:
        return f"No launchable {_kind(query)} with a known price is in the catalog", None
    if not here:
        return f"{_kind(query)} is not rented there", f"It is on {', '.join(everywhere)}"
    counts = sorted({count for found in here.values() for count in found})
    if query.count not in counts and query.count == int(query.count):
        return f"{_kind(query)} comes in counts {_numbers(counts)}", None
    return None


def _unknown_region(catalog: Catalog, query: Query) -> tuple[str, str | None] | None:
    if query.region is None or not query.clouds or len(query.clouds) != 1:
        return None
    known = catalog.regions(query.clouds[0])
    if query.region in known:
        return None
    return f"{query.clouds[0]} has no region {query.region!r}", _did_you_mean(_nearest(query.region, known))


def _has_spot_prices(catalog: Catalog, query: Query) -> bool:
    """False for one cloud alone, whose spot prices nobody has fetched."""
    one = query.clouds is not None and len(query.clouds) == 1
    return not one or bool(catalog.offers(Query(clouds=query.clouds, spot=True, limit=1)))


def _one_limit(catalog: Catalog, query: Query) -> tuple[str, str | None] | None:
    limits: tuple[tuple[str, dict[str, bool | None]], ...] = (
        ("max_hourly_cost", {"max_hourly_micro": None}),
        ("use_spot", {"spot": False}),
        ("local_disk", {"local_disk": None, "local_disk_kind": None}),
        ("the architecture", {"arch": None}),
        ("zone", {"zone": None}),
        ("region", {"region": None, "zone": None}),
        ("memory", {"memory": None}),
        ("cpus", {"cpus": None}),
        ("cpus and memory", {"cpus": None, "memory": None}),
        ("infra", {"clouds": None, "region": None, "zone": None}),
    )
    for name, change in limits:
        looser = query._replace(**change, limit=1)  # type: ignore[arg-type]
        found = catalog.offers(looser) if looser._replace(limit=query.limit) != query else []
        if not found:
            continue
        nearest = f"Without it the nearest is {_machine(found[0], looser)}"
        if name == "use_spot" and not _has_spot_prices(catalog, query):
            cloud = found[0].cloud
            why = f"use_spot is what nothing meets: the catalog has no spot prices of {cloud}"
            return why, f"`skynb catalog refresh {cloud}` may fetch them. {nearest}"
        return f"{name} is what nothing meets", nearest
    return None


def _machine(offer: Offer, query: Query) -> str:
    price = offer.spot_hourly_micro if query.spot and offer.spot_hourly_micro else offer.hourly_micro
    place = "/".join(part for part in (offer.cloud, offer.region, offer.zone) if part)
    size = f"{offer.vcpus or 0:g} vCPUs, {offer.memory_gib or 0:g} GiB"
    return f"{offer.instance_type} on {place} ({size}) at {dollars(price)}/h{' spot' if query.spot else ''}"


def _clouds_with(catalog: Catalog, query: Query) -> Sequence[str]:
    """The clouds, of those asked, that rent this kind of machine at all."""
    if query.accelerators:
        have = list(catalog.counts_of(query.accelerators))
    else:
        bare = query._replace(cpus=None, memory=None, max_hourly_micro=None, spot=False)
        have = list(catalog.count(bare))
    return have if query.clouds is None else [cloud for cloud in have if cloud in query.clouds]


def _nearest(name: str, known: Sequence[str]) -> list[str]:
    from difflib import get_close_matches  # only a mistake pays for it

    return get_close_matches(name, known, n=3, cutoff=0.5)


def _did_you_mean(near: Sequence[str]) -> str | None:
    return f"Did you mean {' or '.join(near)}?" if near else None


def _kind(query: Query) -> str:
    names = query.accelerators
    return names[0] if len(names) == 1 else f"{names[0]} (or {len(names) - 1} like it)"


def _numbers(counts: Sequence[float]) -> str:
    return ", ".join(f"{count:g}" for count in counts)
