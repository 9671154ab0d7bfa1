"""Small random markets and tasks, and what a plan must find in them, said in the plainest way.

Tasks are SkyPilot's resources as plain dicts, which both sides read: the planner by way of `skynb.spec`, and
the oracle here, which knows no query, no index and no tier but these few lines.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, NamedTuple

from hypothesis import strategies as st

from skynb.planning.terms import Rule, Terms
from skynb.spec import Task
from skynb_catalog import Scope
from skynb_catalog.offers import Fact

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import date

CLOUDS = ("aws", "gcp", "vast")
MEMORY = {"H100": 80.0, "A100": 40.0, "L4": 24.0}
# Within a factor of 5, so that none is set aside for being off its family.
MICRO = st.integers(2, 8).map(lambda number: number * 100_000)

# A type has the same in it everywhere in a cloud; one name means something else in each.
IN_IT = {
    "m.small": None,
    "m.large": None,
    "p.one": ("H100", 1.0),
    "p.ate": ("H100", 8.0),
    "p.l": ("L4", 1.0),
    "p.half": ("A100", 0.5),
}
IN_ODD = {"aws": ("L4", 1.0), "gcp": ("A100", 1.0), "vast": None}


def _filled(row: Fact) -> Fact:
    name, count = (IN_ODD[row.cloud] if row.instance_type == "odd" else IN_IT[row.instance_type]) or (
        None,
        None,
    )
    return row._replace(accelerator=name, accelerator_count=count)


facts = st.builds(
    Fact,
    cloud=st.sampled_from(CLOUDS),
    region=st.sampled_from([None, "east", "west"]),
    zone=st.sampled_from([None, None, "z1", "z2"]),
    instance_type=st.sampled_from([*IN_IT, "odd"]),
    vcpus=st.sampled_from([None, 4.0, 8.0, 16.0]),
    memory_gib=st.sampled_from([None, 16.0, 32.0, 64.0]),
    accelerator=st.none(),
    accelerator_count=st.none(),
    accelerator_memory_gib=st.none(),
    arch=st.sampled_from([None, "x86_64", "x86_64", "arm64"]),
    hourly_micro=MICRO,
    spot_hourly_micro=st.one_of(st.none(), st.just(100_000), st.just(200_000)),
    as_of=st.sampled_from([None, "2026-01-01", "2026-01-20"]),
    spot_as_of=st.sampled_from([None, "2026-01-20"]),
    source=st.just("a test"),
    confidence=st.just("high"),
    local_disk_gib=st.sampled_from([None, None, 93.0, 200.0]),
    local_disk_kind=st.sampled_from(["ssd", "nvme"]),
).map(_filled)

catalogs = st.lists(
    facts,
    min_size=1,
    max_size=24,
    unique_by=lambda row: (row.cloud, row.region, row.zone, row.instance_type),
)

items = st.fixed_dictionaries(
    {},
    optional={
        "infra": st.sampled_from(["aws", "gcp", "vast", "aws/east", "gcp/west/z1", "aws/east/z2"]),
        "accelerators": st.sampled_from(["H100", "H100:8", "L4:1", "A100:0.5", "24GB+", "80GB", "24GB+:8"]),
        "cpus": st.sampled_from(["8", "8+", "4+"]),
        "memory": st.sampled_from(["32", "32+", "4x", "16+"]),
        "use_spot": st.sampled_from([True, False, False]),
        "max_hourly_cost": st.sampled_from([0.1, 0.3, 0.5]),
        "local_disk": st.sampled_from(["ssd:100", "nvme:90+", "ssd:50+"]),
        "labels": st.sampled_from([{"kubernetes.io/arch": "arm64"}, {}, {}]),
    },
)
named = st.fixed_dictionaries(
    {"instance_type": st.sampled_from(["m.small", "p.one", "odd"])},
    optional={"infra": st.sampled_from(["aws", "gcp/west"]), "use_spot": st.booleans()},
)
# Most wishes are wide, so that there is something to choose from.
wide = st.fixed_dictionaries(
    {"accelerators": st.sampled_from(["H100", "L4", "A100", "24GB+", "80GB+"])},
    optional={"infra": st.sampled_from(["aws", "gcp", "vast"]), "use_spot": st.booleans()},
)
wishes = st.one_of(wide, wide, items, named)
tasks = st.builds(
    lambda wanted, ordered, nodes: (wanted, ordered, nodes),
    st.lists(wishes, min_size=1, max_size=3, unique_by=str),
    st.booleans(),
    st.integers(1, 3),
)

scopes = st.builds(
    Scope,
    cloud=st.sampled_from([None, "aws", "gcp", "vast"]),
    region=st.sampled_from([None, None, "east"]),
    zone=st.sampled_from([None, None, "z1"]),
    instance_type=st.sampled_from([None, "p.*", "p.one"]),
    accelerator=st.sampled_from([None, None, "H100"]),
    spot=st.sampled_from([None, True, False, False]),
)
rules = st.one_of(
    st.tuples(scopes, st.sampled_from([10.0, 50.0, 100.0])).map(
        lambda two: Rule(two[0], "off", percent=two[1])
    ),
    st.tuples(scopes, st.sampled_from([0, 150_000, 10**6])).map(
        lambda two: Rule(two[0], "deal", hourly_micro=two[1])
    ),
    st.tuples(scopes, st.sampled_from([0, 100_001]), st.integers(1, 2)).map(
        lambda two: Rule(two[0], "held", hourly_micro=two[1], nodes=two[2])
    ),
)
terms = st.lists(rules, max_size=3).map(lambda found: Terms(tuple(found)))
hours = st.one_of(
    st.none(),
    st.sampled_from([0.5, 3.0]),
    st.dictionaries(
        st.sampled_from(["H100", "H100:8", "L4", "A100", "cpu"]),
        st.sampled_from([0.25, 1.0, 2.0, 7.0]),
        min_size=1,
        max_size=4,
    ),
)


class Way(NamedTuple):
    """A machine that the oracle admits. rank: what orders it, names last; hourly: micro-dollars a node."""

    rank: tuple[Any, ...]
    key: tuple[str, str, str, str, bool]
    alternative: int
    hourly: int
    seconds: int
    hint: bool


class Asked(NamedTuple):
    """All that a plan depends on, besides the rows."""

    wanted: list[dict[str, Any]]
    ordered: bool
    nodes: int
    hours: Any = None
    deadline_hours: float | None = None
    minimize: str = "cost"
    terms: Terms = Terms()
    today: date | None = None


def task_of(asked: Asked, name: str | None = None, **changes: Any) -> Task:
    """The task as SkyPilot's YAML would have it."""
    kind = "ordered" if asked.ordered else "any_of"
    resources = asked.wanted[0] if len(asked.wanted) == 1 else {kind: asked.wanted}
    config = {"name": name, "num_nodes": asked.nodes, "resources": resources, **changes}
    return Task.from_yaml_config({key: value for key, value in config.items() if value is not None})


def ladder(rows: Sequence[Fact], asked: Asked, blocked: Sequence[Scope] = ()) -> list[Way]:
    """Every machine that does, best first, each once."""
    groups = [sorted(_group(rows, wish, number, asked, blocked)) for number, wish in enumerate(asked.wanted)]
    every = [one for group in groups for one in group]
    first: dict[Any, Way] = {}
    for one in every if asked.ordered else sorted(every):
        first.setdefault(one.key, one)
    return list(first.values())


def _group(
    rows: Sequence[Fact], wish: Mapping[str, Any], number: int, asked: Asked, blocked: Sequence[Scope]
) -> list[Way]:
    found = []
    spot = bool(wish.get("use_spot"))
    for row in rows:
        seconds = _seconds(row, asked.hours)
        price = _paid(row, asked, spot=spot)
        limit = wish.get("max_hourly_cost")
        if (
            not fits(row, wish)
            or price is None
            or seconds is None
            or (limit is not None and price > round(limit * 1e6))
            or (asked.deadline_hours is not None and seconds > asked.deadline_hours * 3600)
        ):
            continue
        _, region, zone = _place(wish)
        key = (row.cloud, row.region or region or "", row.zone or zone or "", row.instance_type, spot)
        if any(_within(scope, key, row.accelerator) for scope in blocked):
            continue
        hint = row.cloud == "vast" and _old(row.spot_as_of if spot else row.as_of, asked.today)
        first = (price * seconds, seconds) if asked.minimize == "cost" else (seconds, price)
        found.append(Way((hint, *first, *key[:4], number), key, number, price, seconds, hint))
    return found


def fits(row: Fact, wish: Mapping[str, Any]) -> bool:
    """Whether the machine is what one alternative asks for, whatever it costs."""
    cloud, region, zone = _place(wish)
    kind, _, count = wish.get("accelerators", "").rpartition(":")
    if not kind:
        kind, count = count, "1"
    sized = wish.keys() & {"accelerators", "cpus", "memory", "instance_type"}
    cpus, memory = (wish.get("cpus"), wish.get("memory")) if sized else ("8+", "4x")
    arch = wish.get("labels", {}).get("kubernetes.io/arch")
    if not kind and "instance_type" not in wish:
        arch = arch or "x86_64"
    if kind:
        right = _is_kind(row.accelerator, kind) and row.accelerator_count == float(count)
    else:
        right = row.accelerator is None or "instance_type" in wish
    return (
        right
        and cloud in {None, row.cloud}
        and (region is None or row.region in {None, region})
        and (zone is None or row.zone in {None, zone})
        and wish.get("instance_type") in {None, row.instance_type}
        and _enough(cpus, row.vcpus, row.vcpus)
        and _enough(memory, row.memory_gib, row.vcpus)
        and arch in {None, row.arch or "x86_64"}
        and _disk(wish.get("local_disk"), row)
    )


def _place(wish: Mapping[str, Any]) -> tuple[str | None, str | None, str | None]:
    cloud, region, zone, *_ = [*wish.get("infra", "").split("/"), None, None, None]
    return cloud or None, region, zone


def _is_kind(name: str | None, asked: str) -> bool:
    if not asked.rstrip("+").endswith("GB"):
        return name == asked
    gib, has = float(asked.rstrip("+")[:-2]), MEMORY.get(name or "", 0.0)
    return has >= gib if asked.endswith("+") else has == gib


def _enough(asked: str | None, has: float | None, vcpus: float | None) -> bool:
    if asked is None:
        return True
    if not has:
        return False
    if asked.endswith("x"):
        return bool(vcpus) and has >= float(asked[:-1]) * (vcpus or 0)
    return has >= float(asked[:-1]) if asked.endswith("+") else has == float(asked)


def _disk(asked: str | None, row: Fact) -> bool:
    """GB of the task against GiB of the row; `ssd` admits NVMe."""
    if asked is None:
        return True
    kind, _, size = asked.partition(":")
    has = (row.local_disk_gib or 0) * 2**30 / 1e9
    wanted = float(size.rstrip("+"))
    right = kind == "ssd" or row.local_disk_kind == "nvme"
    return right and (has >= wanted if size.endswith("+") else has == wanted)


def _seconds(row: Fact, hours: Any) -> int | None:
    if hours is None or isinstance(hours, float):
        return round((hours or 1.0) * 3600)
    kind = row.accelerator or "cpu"
    told = hours.get(f"{kind}:{row.accelerator_count or 0:g}", hours.get(kind))
    return None if told is None else round(told * 3600)


def _paid(row: Fact, asked: Asked, *, spot: bool) -> int | None:
    """Micro-dollars an hour of one node after the first rule that fits, the odd micro-dollar rounded up."""
    price = row.spot_hourly_micro if spot else row.hourly_micro
    if price is None:
        return None
    key = (row.cloud, row.region or "", row.zone or "", row.instance_type, spot)
    for rule in asked.terms.rules:
        if not _within(rule.scope, key, row.accelerator):
            continue
        own = rule.hourly_micro if rule.percent is None else round(price * (100 - rule.percent) / 100)
        held = asked.nodes if rule.nodes is None else min(rule.nodes, asked.nodes)
        whole = held * (own or 0) + (asked.nodes - held) * price
        return (whole + asked.nodes - 1) // asked.nodes
    return price


def _within(scope: Scope, key: tuple[str, str, str, str, bool], accelerator: str | None) -> bool:
    cloud, region, zone, kind, spot = key
    return (
        scope.cloud in {None, cloud}
        and scope.region in {None, region}
        and scope.zone in {None, zone}
        and (scope.instance_type is None or fnmatchcase(kind, scope.instance_type))
        and scope.accelerator in {None, accelerator}
        and scope.spot in {None, spot}
    )


def _old(as_of: str | None, today: date | None) -> bool:
    from datetime import date as day

    return as_of is None or today is None or (today - day.fromisoformat(as_of)).days > 1
