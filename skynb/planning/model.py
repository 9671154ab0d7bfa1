"""A plan as it is shown, kept and sent: data only, with one hash that names the decision."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import msgspec
from msgspec import structs

SCHEMA = 1  # of the encoded plan; raise it when a field changes its meaning


class Candidate(msgspec.Struct, frozen=True):
    """A machine that satisfies one alternative of the task's resources.

    alternative: its position among the alternatives. hourly_micro: the price that ranks it (spot if `spot`),
    on_demand_micro and spot_micro: both prices; all in micro-dollars per hour for one node. as_of: ISO date
    of the ranking price at its source.
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

    @property
    def infra(self) -> str:
        """The place as a task writes it: `aws/us-east-1/use1-az4`."""
        return "/".join(part for part in (self.cloud, self.region, self.zone) if part)

    @property
    def rank(self) -> tuple[int, str, str, str, str, int]:
        """What orders candidates: price, then names, so that equal prices never depend on chance."""
        place = (self.cloud, self.region or "", self.zone or "")
        return (self.hourly_micro, *place, self.instance_type, self.alternative)


class Rejection(msgspec.Struct, frozen=True):
    """Why an alternative of the resources, or a cloud within it, has no candidate; cloud None: all of it."""

    alternative: int
    cloud: str | None
    reason: str


class Plan(msgspec.Struct, frozen=True):
    """What a task will run on, what else it could, and how well the price is known.

    alternatives: the next best, in order, without the choice; more: how many further candidates the catalog
    has (an offer that fits two alternatives of the task counts for each). hourly_micro: micro-dollars per
    hour for all nodes. price_age_days: whole days from the price's date to `now`, None if it carries no date.
    hash: sha256 of everything but itself, the age and the notes about it.
    """

    schema: int
    task: str | None
    num_nodes: int
    choice: Candidate
    alternatives: tuple[Candidate, ...]
    more: int
    hourly_micro: int
    source: str
    confidence: str
    price_as_of: str | None
    price_age_days: int | None
    stale: tuple[str, ...]
    snapshot: str
    snapshot_date: str
    rejected: tuple[Rejection, ...]
    hash: str = ""

    def to_dict(self) -> dict[str, Any]:
        """The plan in plain JSON types."""
        return msgspec.to_builtins(self)  # type: ignore[no-any-return]

    def __str__(self) -> str:
        from skynb.planning.display import plan_text

        return plan_text(self)

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        from skynb.planning.display import plan_html

        return {"text/plain": str(self), "text/html": plan_html(self)}


def sealed(plan: Plan) -> Plan:
    """The plan with its hash. Struct fields encode in their order, so equal plans give equal bytes."""
    decided = structs.replace(plan, hash="", price_age_days=None, stale=())
    return structs.replace(plan, hash=sha256(msgspec.json.encode(decided)).hexdigest())
