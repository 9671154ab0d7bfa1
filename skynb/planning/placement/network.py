"""The problem as the solvers see it: places as numbers, prices of links by cloud, connected parts."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from skynb.planning.placement.problem import PlacementError, Transfer

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from skynb.planning.placement.problem import Edge, Option
    from skynb.planning.placement.tariffs import Tariff


class Way(NamedTuple):
    """An option worth keeping. place, cloud: numbers, the same for every task. number: in the input."""

    cloud: int
    place: int
    micro: int
    seconds: int
    number: int


class Link(NamedTuple):
    """All edges from one task to another, added up.

    near, away: micro-dollars by the first task's cloud, to another region and to another cloud; near <= away.
    seconds: of the longest of them, between any two places.
    """

    first: int
    then: int
    near: tuple[int, ...]
    away: tuple[int, ...]
    seconds: int

    def micro(self, first: Way, then: Way) -> int:
        """What moving the data costs."""
        if first.place == then.place:
            return 0
        return (self.near if first.cloud == then.cloud else self.away)[first.cloud]

    def delay(self, first: Way, then: Way) -> int:
        """How long it takes."""
        return 0 if first.place == then.place else self.seconds


class Path(NamedTuple):
    """Tasks that wait for each other, last first, and the links between them."""

    tasks: tuple[int, ...]
    links: tuple[int, ...]


class Network(NamedTuple):
    """Tasks in topological order, each with its ways, and the links between them.

    tasks: their numbers in the input. before, after: for each task the numbers of its links.
    """

    tasks: tuple[int, ...]
    ways: tuple[tuple[Way, ...], ...]
    links: tuple[Link, ...]
    before: tuple[tuple[int, ...], ...]
    after: tuple[tuple[int, ...], ...]

    def micro(self, chosen: Sequence[Way]) -> int:
        """The cost of a choice, one way for each task."""
        moved = sum(link.micro(chosen[link.first], chosen[link.then]) for link in self.links)
        return moved + sum(way.micro for way in chosen)

    def ends(self, chosen: Sequence[Way]) -> list[int]:
        """When each task ends, if each starts as soon as its data is there."""
        ends: list[int] = []
        for task, way in enumerate(chosen):
            links = (self.links[number] for number in self.before[task])
            start = max((ends[link.first] + link.delay(chosen[link.first], way) for link in links), default=0)
            ends.append(start + way.seconds)
        return ends

    def tails(self, chosen: Sequence[Way]) -> list[int]:
        """From the start of each task to the last end that waits for it."""
        tails = [0] * len(chosen)
        for task in range(len(chosen) - 1, -1, -1):
            links = (self.links[number] for number in self.after[task])
            rest = (tails[link.then] + link.delay(chosen[task], chosen[link.then]) for link in links)
            tails[task] = chosen[task].seconds + max(rest, default=0)
        return tails

    def seconds(self, chosen: Sequence[Way]) -> int:
        """From the first start to the last end."""
        return max(self.ends(chosen))

    def critical(self, chosen: Sequence[Way]) -> Path:
        """What the last end waited for, from there back to a start."""
        ends = self.ends(chosen)
        task = ends.index(max(ends))
        tasks, links = [task], []
        while self.before[task]:
            start = ends[task] - chosen[task].seconds
            for number in self.before[task]:
                link = self.links[number]
                if ends[link.first] + link.delay(chosen[link.first], chosen[task]) == start:
                    break
            links.append(number)
            task = link.first
            tasks.append(task)
        return Path(tuple(tasks), tuple(links))

    def along(self, path: Path, chosen: Sequence[Way]) -> int:
        """How long the tasks and transfers of a path take, one after the other."""
        links = (self.links[number] for number in path.links)
        moving = sum(link.delay(chosen[link.first], chosen[link.then]) for link in links)
        return moving + sum(chosen[task].seconds for task in path.tasks)


class Found(NamedTuple):
    """A placement of a network. value: its micro or seconds, as was asked; none has less than bound."""

    chosen: list[Way]
    value: int
    bound: int


def networks(
    options: Sequence[Sequence[Option]], edges: Sequence[Edge], tariff: Tariff, *, timed: bool
) -> list[Network]:
    """The connected parts, each by itself: neither cost nor a deadline ties one to another.

    timed: whether a dearer way may be worth keeping because it is quicker.
    """
    places = {place: n for n, place in enumerate(sorted({way[:2] for ways in options for way in ways}))}
    clouds = {cloud: n for n, cloud in enumerate(sorted({cloud for cloud, _ in places}))}
    kept = [_kept(ways, clouds, places, timed=timed) for ways in options]
    links = _links(edges, tuple(clouds), tariff)
    order = _topological(len(options), links)
    return [_network(part, kept, links) for part in _parts(order, links)]


def _kept(
    ways: Sequence[Option],
    clouds: dict[str, int],
    places: dict[tuple[str, str], int],
    *,
    timed: bool,
) -> tuple[Way, ...]:
    """Of each place the cheapest way, and if time counts each that is quicker than all cheaper ones."""
    found = sorted(
        Way(clouds[one.cloud], places[one[:2]], one.micro, one.seconds, index)
        for index, one in enumerate(ways)
    )
    kept: list[Way] = []
    for way in found:
        last = kept[-1] if kept else None
        if last is None or last.place != way.place or (timed and way.seconds < last.seconds):
            kept.append(way)
    return tuple(kept)


def _links(edges: Sequence[Edge], clouds: tuple[str, ...], tariff: Tariff) -> list[Link]:
    joined: dict[tuple[int, int], Link] = {}
    for first, then, gigabytes in edges:
        rates = [tariff.rate(cloud) for cloud in clouds]
        near = [rate.between_micro(gigabytes) for rate in rates]
        away = [rate.internet_micro(gigabytes) for rate in rates]
        seconds = tariff.moving_seconds(gigabytes)
        known = joined.get((first, then))
        if known:
            near = [one + other for one, other in zip(near, known.near, strict=True)]
            away = [one + other for one, other in zip(away, known.away, strict=True)]
            seconds = max(seconds, known.seconds)
        joined[first, then] = Link(first, then, tuple(near), tuple(away), seconds)
    return list(joined.values())


def _topological(count: int, links: Iterable[Link]) -> list[int]:
    waits = [0] * count
    after: list[list[int]] = [[] for _ in range(count)]
    for link in links:
        waits[link.then] += 1
        after[link.first].append(link.then)
    order = [task for task in range(count) if not waits[task]]
    for task in order:  # grows as it goes
        for then in after[task]:
            waits[then] -= 1
            if not waits[then]:
                order.append(then)
    if len(order) < count:
        circle = ", ".join(str(task) for task in range(count) if waits[task])
        raise PlacementError(f"tasks {circle} wait for each other")
    return order


def _parts(order: Sequence[int], links: Iterable[Link]) -> list[tuple[list[int], list[Link]]]:
    part = {task: [task] for task in order}
    links = list(links)
    for link in links:
        one, other = part[link.first], part[link.then]
        if one is not other:
            one.extend(other)
            part.update((task, one) for task in other)
    rank = {task: n for n, task in enumerate(order)}
    mine: dict[int, list[Link]] = {id(found): [] for found in part.values()}
    for link in links:
        mine[id(part[link.first])].append(link)
    seen = {id(found): found for found in part.values()}
    return [(sorted(found, key=rank.__getitem__), mine[key]) for key, found in seen.items()]


def _network(
    part: tuple[list[int], list[Link]], kept: Sequence[tuple[Way, ...]], links: Sequence[Link]
) -> Network:
    tasks, links = part
    at = {task: n for n, task in enumerate(tasks)}
    own = tuple(link._replace(first=at[link.first], then=at[link.then]) for link in links)
    before: list[list[int]] = [[] for _ in tasks]
    after: list[list[int]] = [[] for _ in tasks]
    for number, link in enumerate(own):
        before[link.then].append(number)
        after[link.first].append(number)
    return Network(
        tuple(tasks),
        tuple(kept[task] for task in tasks),
        own,
        tuple(map(tuple, before)),
        tuple(map(tuple, after)),
    )


def transfers(
    options: Sequence[Sequence[Option]], edges: Iterable[Edge], chosen: Sequence[int], tariff: Tariff
) -> tuple[Transfer, ...]:
    """What each edge costs and takes, for the chosen options."""
    ends = (
        (
            options[edge.first][chosen[edge.first]][:2],
            options[edge.then][chosen[edge.then]][:2],
            edge.gigabytes,
        )
        for edge in edges
    )
    return tuple(Transfer(tariff.micro(*end), tariff.seconds(*end)) for end in ends)
