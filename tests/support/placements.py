"""Problems of placement: small random ones, larger ones like a catalog's, and trying everything."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

from skynb.planning.placement import Edge, Option, Tariff

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from random import Random

    from skynb.planning.placement import Goal

REGIONS = {"aws": 30, "azure": 44, "gcp": 38, "ibm": 10, "lambda": 16, "oci": 30, "runpod": 12, "vast": 1}


def small(rng: Random) -> tuple[list[list[Option]], list[Edge]]:
    """Up to 5 tasks with up to 4 options: any DAG, parallel edges, equal prices, prices of any size."""
    count = rng.randint(1, 5)
    clouds = ["aws", "gcp", "oci", "runpod", "ibm", "nobody"][: rng.randint(1, 6)]
    regions = ["", "a", "b", "c"][: rng.randint(1, 4)]
    scale = rng.choice([1, 5, 100, 10**6, 10**8, 10**18])
    options = [
        [
            Option(
                rng.choice(clouds),
                rng.choice(regions),
                rng.choice([rng.randint(0, 5) * scale, rng.randint(0, 5 * scale)]),
                rng.choice([0, 1, 10, 100, 1000, 3600]) * rng.randint(0, 3),
            )
            for _ in range(rng.randint(1, 4))
        ]
        for _ in range(count)
    ]
    order = rng.sample(range(count), count)
    density = rng.random()
    edges = [
        Edge(order[first], order[then], rng.choice([0, 1e-4, 1, 10, rng.uniform(0, 1000), 2e4, 1e6]))
        for first in range(count)
        for then in range(first + 1, count)
        for _ in range(rng.choice([1, 1, 2]))
        if rng.random() < density
    ]
    return options, edges


def options_like_a_catalog(rng: Random, count: int) -> list[Option]:
    """Prices that differ by cloud and somewhat by region; dearer machines are faster."""
    places = [(cloud, f"region-{n}") for cloud, regions in REGIONS.items() for n in range(regions)]
    level = {cloud: rng.uniform(0.7, 1.5) for cloud in REGIONS}
    hours, hourly = rng.choice([1, 2, 4, 8, 24]), rng.choice([1, 3, 10, 30])
    found = []
    for _ in range(count):
        cloud, region = rng.choice(places)
        speed = rng.choice([1, 1, 1.3, 2])
        price = hourly * level[cloud] * rng.choice([1, 1, 1.05, 1.1, 1.2]) * speed**0.2
        found.append(Option(cloud, region, round(price * hours * 1e6), round(hours * 3600 / speed)))
    return found


def everything(
    options: Sequence[Sequence[Option]], edges: Sequence[Edge], tariff: Tariff
) -> Iterator[tuple[int, int, tuple[int, ...]]]:
    """Micro-dollars, seconds and choice of each placement there is."""
    for chosen in product(*(range(len(ways)) for ways in options)):
        micro, seconds = worth(options, edges, tariff, chosen)
        yield micro, seconds, chosen


def worth(
    options: Sequence[Sequence[Option]], edges: Sequence[Edge], tariff: Tariff, chosen: Sequence[int]
) -> tuple[int, int]:
    """Micro-dollars and seconds of a placement, added up edge by edge."""
    ways = [mine[one] for mine, one in zip(options, chosen, strict=True)]
    moved = {}
    for number, (first, then, gigabytes) in enumerate(edges):
        ends = ways[first][:2], ways[then][:2], gigabytes
        moved[number] = tariff.micro(*ends), tariff.seconds(*ends)
    done: dict[int, int] = {}

    def end(task: int) -> int:
        if task not in done:
            into = [(number, edge.first) for number, edge in enumerate(edges) if edge.then == task]
            done[task] = ways[task].seconds + max(
                (end(first) + moved[number][1] for number, first in into), default=0
            )
        return done[task]

    return sum(way.micro for way in ways) + sum(micro for micro, _ in moved.values()), max(
        (end(task) for task in range(len(ways))), default=0
    )


def best(
    options: Sequence[Sequence[Option]], edges: Sequence[Edge], goal: Goal, tariff: Tariff
) -> tuple[int, ...] | None:
    """What the goal asks for, by trying everything: (micro,) or (seconds, micro); None if all are late."""
    found = [
        (seconds, micro) if goal.minimize == "time" else (micro,)
        for micro, seconds, _ in everything(options, edges, tariff)
        if goal.deadline_seconds is None or seconds <= goal.deadline_seconds
    ]
    return min(found, default=None)
