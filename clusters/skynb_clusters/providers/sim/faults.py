"""Faults put into a simulated cloud: which, where, how often and when.

Written as `name key=value ...`, several on lines of their own or with `;` between them:

    no-capacity-zone place=aws/us-east-1 times=2
    preempted-30s-notice type=g5.* chance=0.25 after=60 until=600 value=120
"""

from __future__ import annotations

from difflib import get_close_matches
from fnmatch import fnmatchcase

import msgspec

from skynb.errors import SpecError
from skynb_clusters.providers.sim.fault_names import FAULTS, Moment, Sort

_WHERE = "SKYNB_REHEARSE_FAULTS"


class Fault(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One fault as it was put.

    place: a cloud, region or zone as infra writes it, without `sim/`; empty is everywhere. type, machine: a
    name or a shell pattern. times: how often it strikes, None for ever. after, until: seconds since the
    world began. value: instead of the fault's own.
    """

    name: str
    place: str = ""
    type: str = "*"
    machine: str = "*"
    times: int | None = None
    chance: float = 1.0
    after: float = 0.0
    until: float | None = None
    value: float | None = None

    def __post_init__(self) -> None:
        if self.name not in FAULTS:
            near = get_close_matches(self.name, FAULTS, n=2, cutoff=0.5)
            mend = f"Did you mean {' or '.join(near)}?" if near else f"There are {len(FAULTS)} names"
            raise SpecError(f"no fault is called {self.name!r}", mend=mend, where=_WHERE)
        if not 0 < self.chance <= 1:
            raise SpecError(f"{self.name}: a chance is above 0 and at most 1", where=_WHERE)
        if self.times is not None and self.times < 1:
            raise SpecError(f"{self.name}: it strikes at least once, or is left out", where=_WHERE)

    @property
    def sort(self) -> Sort:
        """What it does, with its own value."""
        sort = FAULTS[self.name]
        return sort if self.value is None else msgspec.structs.replace(sort, value=self.value)

    def concerns(self, moment: Moment, spot: Spot, age: float) -> bool:
        """Whether it may strike at this moment, there, `age` seconds after the world began."""
        in_time = self.after <= age and (self.until is None or age < self.until)
        return (
            FAULTS[self.name].on == moment
            and in_time
            and (not self.place or f"{spot.place}/".startswith(f"{self.place}/"))
            and fnmatchcase(spot.type, self.type)
            and fnmatchcase(spot.machine, self.machine)
        )


class Spot(msgspec.Struct, frozen=True):
    """Where something happens: `aws/us-east-1/us-east-1a`, an instance type, a machine's id."""

    place: str = ""
    type: str = ""
    machine: str = ""


def parse_faults(text: str) -> tuple[Fault, ...]:
    """The faults that a text puts. SpecError for an unknown name, key or value."""
    lines = [part.partition("#")[0].strip() for line in text.splitlines() for part in line.split(";")]
    return tuple(_fault(line) for line in lines if line)


def _fault(line: str) -> Fault:
    name, *words = line.split()
    given: dict[str, str] = {"name": name}
    for word in words:
        key, _, value = word.partition("=")
        if key not in Fault.__struct_fields__ or key == "name" or not value:
            known = ", ".join(field for field in Fault.__struct_fields__ if field != "name")
            raise SpecError(f"{word!r} is not understood", mend=f"Write key=value of {known}", where=_WHERE)
        given[key] = value.removeprefix("sim/") if key == "place" else value
    try:
        return msgspec.convert(given, Fault, strict=False)
    except msgspec.ValidationError as error:
        raise SpecError(f"{line!r} is not understood", why=str(error), where=_WHERE) from None
