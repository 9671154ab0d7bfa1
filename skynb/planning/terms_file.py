"""Reading `offers.yaml`: the user's reservations, discounts and own machines."""

from __future__ import annotations

from datetime import date
from typing import Any

from skynb.errors import SpecError
from skynb.planning.terms import Rule, Terms
from skynb.spec.accelerators import Accelerator
from skynb.spec.checks import boolean, choice, fail, filled, integer, list_of, number, show
from skynb.spec.documents import read_documents, read_file
from skynb.spec.infra import Infra
from skynb.spec.records import Field, Record
from skynb_catalog import Offer, Scope, UnknownAcceleratorError, resolve

_DOLLARS = number(0)


def _day(value: Any, where: str) -> date:
    if isinstance(value, date):
        return value
    try:
        return date.fromisoformat(str(value))
    except ValueError:
        fail(where, f"{show(value)} is not a date", mend="Write it as 2027-03-31")


def _percent(value: Any, where: str) -> float:
    percent = number(above=0)(value, where)
    if percent > 100:
        fail(where, "a discount is at most 100 %")
    return percent


class Reservation(Record):
    """Machines that are held: one more hour costs `hourly_cost` dollars, 0 if they are paid for."""

    name = Field(filled, required=True)
    infra = Field(Infra.parse, Infra(), required=True)
    instance_type = Field(filled, required=True)
    nodes = Field(integer(1), 1)
    hourly_cost = Field(_DOLLARS, 0.0)
    until = Field(_day)


class Discount(Record):
    """`percent` off the catalog's price, or `hourly_cost` dollars instead of it."""

    name = Field(filled, required=True)
    infra = Field(Infra.parse, Infra())
    instance_type = Field(filled)
    accelerator = Field(filled)
    spot = Field(boolean, default=False)
    percent = Field(_percent)
    hourly_cost = Field(_DOLLARS)
    until = Field(_day)

    def _check(self, where: str) -> None:
        if (self.percent is None) == (self.hourly_cost is None):
            fail(where, "a discount has either `percent` or `hourly_cost`", mend="Keep one of them")
        if self.hourly_cost is not None and not (self.instance_type or self.accelerator):
            mend = "Name `instance_type` or `accelerator`, or write `percent`"
            fail(where, "one price for machines of every kind", mend=mend)


class OwnOffer(Record):
    """A machine that no catalog knows. Dollars an hour; GiB of memory, of each accelerator, of local disk."""

    infra = Field(Infra.parse, Infra(), required=True)
    instance_type = Field(filled, required=True)
    cpus = Field(number(above=0), required=True)
    memory = Field(number(above=0), required=True)
    accelerators = Field(Accelerator.parse)
    hourly_cost = Field(_DOLLARS, 0.0, required=True)
    spot_hourly_cost = Field(_DOLLARS)
    arch = Field(choice("x86_64", "arm64"), "x86_64")
    local_disk = Field(number(above=0))
    as_of = Field(_day)


class Page(Record):
    """The whole file."""

    reservations = Field(list_of(Reservation.parse), ())
    discounts = Field(list_of(Discount.parse), ())
    offers = Field(list_of(OwnOffer.parse), ())


def read_terms(path: str) -> Terms:
    """The terms in a file. SpecError names the file, the field and the mend."""
    try:
        documents = read_documents(read_file(path))
        page = Page.parse(documents[0] if documents else {}, "") if len(documents) < 2 else None
        if page is None:
            fail("", "one document is expected", mend="Drop the `---` between them")
        # A reservation is paid for whether or not it is used, so it goes before every discount.
        rules = (*map(_reserved, page.reservations), *map(_discounted, page.discounts))
        return Terms(rules, tuple(map(_offered, page.offers)))
    except SpecError as error:
        where = path if error.where in {None, "", path} else f"{path}: {error.where}"
        raise SpecError(error.what, why=error.why, mend=error.mend, where=where) from None


def _reserved(one: Reservation) -> Rule:
    place = _placed(one.infra, "reservations.infra")
    scope = place._replace(instance_type=one.instance_type, spot=False)
    return Rule(scope, one.name or "", hourly_micro=_micro(one.hourly_cost), nodes=one.nodes, until=one.until)


def _discounted(one: Discount) -> Rule:
    scope = Scope(
        one.infra.cloud,
        one.infra.region,
        one.infra.zone,
        one.instance_type,
        _accelerator(one.accelerator) if one.accelerator else None,
        one.spot,
    )
    own = None if one.hourly_cost is None else _micro(one.hourly_cost)
    return Rule(scope, one.name or "", percent=one.percent, hourly_micro=own, until=one.until)


def _offered(one: OwnOffer) -> Offer:
    place = _placed(one.infra, "offers.infra")
    kind = one.accelerators
    found = resolve(_accelerator(kind.kind))[0] if kind else None
    return Offer(
        cloud=place.cloud or "",
        region=place.region,
        zone=place.zone,
        instance_type=one.instance_type or "",
        vcpus=one.cpus,
        memory_gib=one.memory,
        accelerator=found.name if found else None,
        accelerator_count=float(kind.count) if kind else None,
        accelerator_memory_gib=found.memory_gib if found else None,
        arch=one.arch,
        hourly_micro=_micro(one.hourly_cost or 0),
        spot_hourly_micro=None if one.spot_hourly_cost is None else _micro(one.spot_hourly_cost),
        as_of=one.as_of.isoformat() if one.as_of else None,
        spot_as_of=one.as_of.isoformat() if one.as_of else None,
        source="offers.yaml",
        confidence="high",
        local_disk_gib=one.local_disk,
        local_disk_kind="nvme" if one.local_disk else None,
    )


def _placed(infra: Infra, where: str) -> Scope:
    if infra.cloud is None:
        fail(where, "no cloud is named", mend="Write cloud, cloud/region or cloud/region/zone")
    return Scope(infra.cloud, infra.region, infra.zone)


def _accelerator(name: str) -> str:
    try:
        found = resolve(name)
    except UnknownAcceleratorError as error:
        fail("accelerator", error.what, mend=error.mend)
    if len(found) != 1:
        fail("accelerator", f"{show(name)} is several accelerators", mend="Name one")
    return found[0].name


def _micro(dollars: float) -> int:
    return round(dollars * 1_000_000)
