"""A plan as it is shown, kept and sent: data only, with one hash that names the decision."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import structs

from skynb.planning.amounts import HOUR

if TYPE_CHECKING:
    from collections.abc import Iterator

SCHEMA = 2  # of the encoded plan; raise it when a field changes its meaning


class Candidate(msgspec.Struct, frozen=True):
    """A machine that satisfies one alternative of the task's resources.

    alternative: its position among the alternatives. hourly_micro: the price that ranks it (spot if `spot`,
    and after the user's own terms), on_demand_micro and spot_micro: the catalog's prices; all in
    micro-dollars per hour for one node. as_of: ISO date of the ranking price at its source. seconds: how long
    the task is expected to run on it. terms: the reservation or discount that made the price, if one did.
    hint: a marketplace's price that is too old to be more than that; such candidates stand behind all others.
    """

    alternative: int
    cloud: str
    region: str | None
    zone: str | None
    instance_type: str
    spot: bool
    hourly_micro: int
    on_demand_micro: int
    spot_micro: int | None
    vcpus: float | None
    memory_gib: float | None
    accelerator: str | None
    accelerator_count: float | None
    accelerator_memory_gib: float | None
    arch: str | None
    as_of: str | None
    source: str
    confidence: str
    local_disk_gib: float | None = None
    local_disk_kind: str | None = None
    seconds: int = HOUR
    terms: str = ""
    hint: bool = False

    @property
    def infra(self) -> str:
        """The place as a task writes it: `aws/us-east-1/use1-az4`."""
        return "/".join(part for part in (self.cloud, self.region, self.zone) if part)

    @property
    def key(self) -> tuple[str, str, str, str, bool]:
        """What makes it this machine and no other."""
        return (self.cloud, self.region or "", self.zone or "", self.instance_type, self.spot)

    def cost_micro(self, nodes: int = 1) -> int:
        """What the task is expected to cost on so many of it, in micro-dollars."""
        return (nodes * self.hourly_micro * self.seconds + HOUR // 2) // HOUR


class Rejection(msgspec.Struct, frozen=True):
    """Why an alternative of the resources, or a cloud within it, has no candidate; cloud None: all of it."""

    alternative: int
    cloud: str | None
    reason: str


class Transfer(msgspec.Struct, frozen=True):
    """Data that moves: from a task's output (or, first None, from `source`) into a task, by their positions.

    micro: micro-dollars of egress; seconds: how long it takes.
    """

    first: int | None
    then: int
    gigabytes: float
    source: str
    target: str
    micro: int
    seconds: int


class TaskPlan(msgspec.Struct, frozen=True):
    """One task's machines: the choice, what else it could be, and how well the price is known.

    alternatives: the next best, in order, without the choice; more: how many further candidates there are (an
    offer that fits two alternatives of the task counts for each). estimate: where the hours come from. asks:
    the alternatives as queries of the catalog (`asks.to_plain`), with which `ladder` goes on where
    `alternatives` ends. stale: notes on prices that are too old to rely on.
    """

    task: str | None
    num_nodes: int
    choice: Candidate
    alternatives: tuple[Candidate, ...]
    more: int
    rejected: tuple[Rejection, ...]
    estimate: str
    asks: tuple[dict[str, Any], ...]
    ordered: bool
    stale: tuple[str, ...] = ()

    @property
    def hourly_micro(self) -> int:
        """Micro-dollars per hour of all nodes."""
        return self.choice.hourly_micro * self.num_nodes

    @property
    def cost_micro(self) -> int:
        """What the task is expected to cost, without transfers, in micro-dollars."""
        return self.choice.cost_micro(self.num_nodes)


class Plan(msgspec.Struct, frozen=True):
    """What the tasks will run on, what else they could, and what that is expected to cost and to take.

    edges: (first, then) by position. minimize: `cost`, or `time` and then cost; deadline_seconds limits the
    time. cost_micro: micro-dollars of all tasks and transfers; seconds: until the last task ends, those that
    may run side by side doing so. today: the ISO date from which the age of prices counts. bound: None if
    this is proved to be the best; else no plan has less of what is minimized (micro-dollars, or seconds).
    blocks: what failures had disproved.
    """

    schema: int
    name: str | None
    tasks: tuple[TaskPlan, ...]
    edges: tuple[tuple[int, int], ...]
    transfers: tuple[Transfer, ...]
    minimize: str
    deadline_seconds: int | None
    cost_micro: int
    seconds: int
    bound: int | None
    snapshot: str
    snapshot_date: str
    today: str
    blocks: tuple[str, ...] = ()

    @property
    def hash(self) -> str:
        """sha256 of everything but the notes on the prices' age: the same decision has the same, on any day.

        Struct fields encode in their order, so equal plans give equal bytes.
        """
        from hashlib import sha256  # slow to load, and not every plan is named

        ageless = tuple(structs.replace(task, stale=()) for task in self.tasks)
        return sha256(msgspec.json.encode(structs.replace(self, today="", tasks=ageless))).hexdigest()

    def age_days(self, one: Candidate) -> int | None:
        """Whole days from the date of a candidate's price to the plan's, None if it carries no date."""
        return days_between(one.as_of, self.today)

    @property
    def choice(self) -> Candidate:
        """The machine of the first task: of a plan for one task, the machine."""
        return self.tasks[0].choice

    @property
    def alternatives(self) -> tuple[Candidate, ...]:
        """What else the first task could run on, in order."""
        return self.tasks[0].alternatives

    @property
    def hourly_micro(self) -> int:
        """Micro-dollars per hour while every task runs at once."""
        return sum(task.hourly_micro for task in self.tasks)

    def ladder(self, task: int = 0, **options: Any) -> Iterator[Candidate]:
        """Every candidate of a task, best first; options: those of `skynb.planning.ladder`."""
        from skynb.planning.ladders import ladder

        return ladder(self.tasks[task], **options)

    def to_dict(self) -> dict[str, Any]:
        """The plan in plain JSON types, and its hash."""
        return {**msgspec.to_builtins(self), "hash": self.hash}

    def to_yaml(self) -> str:
        """The plan as YAML; `Plan.from_yaml` gives an equal plan."""
        from skynb.spec.documents import write_documents

        return write_documents([self.to_dict()])

    @classmethod
    def from_yaml(cls, text: str) -> Plan:
        """The plan that a YAML or JSON text holds. SpecError for anything else, or for a changed plan."""
        from skynb.planning.reading import read_plan

        return read_plan(text)

    def __str__(self) -> str:
        from skynb.planning.display import plan_text

        return plan_text(self)

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        from skynb.planning.display import plan_html

        return {"text/plain": str(self), "text/html": plan_html(self)}


def days_between(earlier: str | None, later: str) -> int | None:
    """Whole days between two ISO dates, at least 0; None without the first."""
    if earlier is None:
        return None
    return max(0, (date.fromisoformat(later) - date.fromisoformat(earlier)).days)
