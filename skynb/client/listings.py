"""What commands return: lists of wire structs that terminals, notebooks and JSON show each in its way."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any, ClassVar, Generic, TypeVar

import msgspec

from skynb.client.words import ago, dollars, hourly, moment, span
from skynb.tables import Paint, html_table, text_table
from skynb.wire import (
    AutostopRequest,
    BudgetInfo,
    ChargeInfo,
    CheckInfo,
    ClusterInfo,
    CostInfo,
    DaskInfo,
    DayInfo,
    EventInfo,
    JobInfo,
    MachineInfo,
    ServerInfo,
)

T = TypeVar("T")


class Listing(list[T], Generic[T]):
    """A list of structs. Subclasses name the columns and give a row's cells, and notes below the table."""

    head: ClassVar[tuple[str, ...]] = ()
    empty: ClassVar[str] = "Nothing."

    def cells(self, item: T, now: float) -> list[str]:
        raise NotImplementedError

    def note(self, item: T) -> str:
        """What does not fit a column; empty for nothing."""
        return ""

    def to_text(self, paint: Paint | None = None) -> str:
        """The table as plain text; `paint` may colour its cells."""
        if not self:
            return self.empty
        return "\n".join([*text_table(self.head, self._rows(), paint), *self._notes()])

    def to_dict(self) -> list[dict[str, Any]]:
        """The items in plain JSON types."""
        return [msgspec.to_builtins(item) for item in self]

    def __str__(self) -> str:
        return self.to_text()

    __repr__ = __str__

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        if not self:
            return {"text/plain": self.empty, "text/html": f"<p>{escape(self.empty)}</p>"}
        notes = "".join(f"<li>{escape(note)}</li>" for note in self._notes())
        html = html_table(self.head, self._rows()) + (f"<ul>{notes}</ul>" if notes else "")
        return {"text/plain": self.to_text(), "text/html": html}

    def _rows(self) -> list[list[str]]:
        now = time.time()
        return [self.cells(item, now) for item in self]

    def _notes(self) -> list[str]:
        return [note for item in self if (note := self.note(item))]


class Clusters(Listing[ClusterInfo]):
    """Clusters, with the age of what is known of them. blind: what a look could not see, and why."""

    head = ("NAME", "INFRA", "MACHINES", "STATUS", "PRICE", "LAUNCHED", "AUTOSTOP", "SEEN")
    empty = "No clusters."

    def __init__(self, found: Iterable[ClusterInfo] = (), blind: Sequence[str] = ()) -> None:
        super().__init__(found)
        self.blind = tuple(blind)

    def cells(self, item: ClusterInfo, now: float) -> list[str]:
        machines = f"{item.num_nodes}x {item.instance_type}"
        moving = not item.final and item.target != item.status
        return [
            item.name,
            item.infra,
            f"{machines} ({item.accelerators})" if item.accelerators else machines,
            f"{item.status} -> {item.target}" if moving else item.status,
            hourly(item.hourly_micro),
            ago(item.created_at, now),
            autostop_words(item.autostop),
            ago(item.observed_at, now),
        ]

    def note(self, item: ClusterInfo) -> str:
        return f"{item.name}: {item.reason}" if item.reason else ""

    def _notes(self) -> list[str]:
        unseen = [f"Could not be seen: {place}. What is there is unknown." for place in self.blind]
        return [*super()._notes(), *unseen]


class Jobs(Listing[JobInfo]):
    """Jobs of clusters."""

    head = ("ID", "CLUSTER", "NAME", "STATUS", "NODES", "SUBMITTED", "DURATION", "EXIT CODES")
    empty = "No jobs."

    def cells(self, item: JobInfo, now: float) -> list[str]:
        ran = None if item.started_at is None else (item.ended_at or now) - item.started_at
        codes = ["?" if code is None else str(code) for code in item.exit_codes]
        return [
            str(item.id),
            item.cluster,
            item.name or "-",
            item.status,
            str(item.num_nodes),
            ago(item.created_at, now),
            "-" if ran is None else span(ran),
            " ".join(codes) if item.final and codes else "-",
        ]

    def note(self, item: JobInfo) -> str:
        return f"{item.cluster} {item.id}: {item.reason}" if item.reason else ""


class Costs(Listing[CostInfo]):
    """The bill, a line a cluster."""

    head = (
        "CLUSTER",
        "INFRA",
        "MACHINES",
        "STATUS",
        "LAUNCHED",
        "MACHINE TIME",
        "PRICE",
        "SPENT",
        "RESERVED",
    )
    empty = "No costs."

    def cells(self, item: CostInfo, now: float) -> list[str]:
        return [
            item.cluster,
            item.infra,
            f"{item.num_nodes}x {item.instance_type}",
            item.status,
            ago(item.created_at, now),
            span(item.node_seconds),
            hourly(item.hourly_micro),
            dollars(item.settled_micro),
            dollars(item.reserved_micro),
        ]

    def _notes(self) -> list[str]:
        spent, reserved = sum(item.settled_micro for item in self), sum(item.reserved_micro for item in self)
        return [f"Spent {dollars(spent)} in all, {dollars(reserved)} reserved."]


class Days(Listing[DayInfo]):
    """What each day cost (UTC), today last."""

    head = ("DAY", "SPENT", "ON")
    empty = "No days."

    def cells(self, item: DayInfo, now: float) -> list[str]:
        places = [f"{cloud or 'other'} {dollars(micro)}" for cloud, micro in sorted(item.clouds.items())]
        return [item.day, dollars(item.micro), ", ".join(places) or "-"]

    def _notes(self) -> list[str]:
        return [f"Spent {dollars(sum(item.micro for item in self))} in {len(self)} days."]


class Charges(Listing[ChargeInfo]):
    """The bill of one cluster, a line for each node and price."""

    head = ("NODE", "INFRA", "MACHINE", "FROM", "MACHINE TIME", "PRICE", "AS OF", "SPENT", "SOURCE")
    empty = "Nothing was spent."

    def cells(self, item: ChargeInfo, now: float) -> list[str]:
        machine = f"{item.instance_type} (spot)" if item.spot else item.instance_type
        spent = dollars(item.micro) if item.settled else f"{dollars(item.micro)} so far"
        price, as_of = hourly(item.hourly_micro), item.as_of or "-"
        begun, time_spent = moment(item.begin), span(item.seconds)
        place = (item.node, item.infra, machine)
        return [*place, begun, time_spent, price, as_of, spent, item.source or "-"]

    def _notes(self) -> list[str]:
        return [f"Spent {dollars(sum(item.micro for item in self))} in all."]


class Budgets(Listing[BudgetInfo]):
    """Caps on a month's spending."""

    head = ("WHOSE", "CAP A MONTH", "SPENT", "RESERVED", "FREE")
    empty = "No budget is set: nothing caps what is spent. `skynb budget 100` sets one of $100 a month."

    def cells(self, item: BudgetInfo, now: float) -> list[str]:
        whose = "everybody" if item.account == "all" else item.account.removeprefix("user:")
        amounts = (item.cap_micro, item.settled_micro, item.reserved_micro, item.free_micro)
        return [whose, *map(dollars, amounts)]


class Checks(Listing[CheckInfo]):
    """Which infra may be used, and how to mend what may not."""

    head = ("INFRA", "STATUS", "DETAIL")
    empty = "No infra is known to the server."

    def cells(self, item: CheckInfo, now: float) -> list[str]:
        return [item.infra, "enabled" if item.ok else "disabled", item.detail]

    def note(self, item: CheckInfo) -> str:
        return f"{item.infra}: {item.mend}" if item.mend else ""


class Machines(Listing[MachineInfo]):
    """Machines with skynb's tags. blind, disabled: what the look could not see, and did not ask."""

    head = ("MACHINE", "CLUSTER", "PLACE", "TYPE", "STATE", "CREATED", "A DAY", "CLAIM")
    empty = "No machine is forgotten."

    def __init__(
        self, found: Iterable[MachineInfo] = (), blind: Sequence[str] = (), disabled: Sequence[str] = ()
    ) -> None:
        super().__init__(found)
        self.blind, self.disabled = tuple(blind), tuple(disabled)

    def cells(self, item: MachineInfo, now: float) -> list[str]:
        return [
            item.name,
            item.cluster or "-",
            item.place or "-",
            f"{item.instance_type or '-'}{' (spot)' if item.spot else ''}",
            item.state,
            ago(item.created_at, now),
            "?" if item.hourly_micro is None else dollars(item.hourly_micro * 24),
            item.claim,
        ]

    def note(self, item: MachineInfo) -> str:
        return f"{item.name}: {item.why}"

    def to_text(self, paint: Paint | None = None) -> str:
        return "\n".join([super().to_text(paint), *([] if self else self._unseen())])

    def _notes(self) -> list[str]:
        return [*super()._notes(), *self._unseen()]

    def _unseen(self) -> list[str]:
        unseen = [f"Could not be seen: {place}. What is there is unknown." for place in self.blind]
        if self.disabled:
            unseen.append(f"Not asked, because not enabled: {', '.join(self.disabled)} (`skynb check`).")
        return unseen


class Dasks(Listing[DaskInfo]):
    """Dask clusters. They carry no keys: `skynb.client` users who connect ask the server for them."""

    head = ("CLUSTER", "STATUS", "WORKERS", "WANTED", "SCHEDULER", "DASHBOARD")
    empty = "No Dask."

    def cells(self, item: DaskInfo, now: float) -> list[str]:
        return [
            item.cluster,
            item.status,
            str(len(item.workers)),
            str(item.wanted),
            item.scheduler or "-",
            item.dashboard or "-",
        ]

    def note(self, item: DaskInfo) -> str:
        return f"{item.cluster}: {item.reason}" if item.reason else ""


class Events(Listing[EventInfo]):
    """The causal history: what was decided, when, from what."""

    head = ("SEQ", "AT", "EVENT", "RECORD", "DATA")
    empty = "Nothing happened yet."

    def cells(self, item: EventInfo, now: float) -> list[str]:
        data = " ".join(f"{key}={value}" for key, value in item.data.items())
        shown = data if len(data) <= 100 else data[:99] + "…"
        return [str(item.seq), moment(item.at), item.name, item.record or "-", shown]


class Servers(Listing[ServerInfo]):
    """The server of this home, if one runs."""

    head = ("STATUS", "HOME", "VERSION", "API", "PID", "STARTED")
    empty = "No server runs; the next command that needs one starts it."

    def cells(self, item: ServerInfo, now: float) -> list[str]:
        place = [item.home, item.version, str(item.api_version), str(item.pid)]
        return ["UP", *place, ago(item.started_at, now)]


def autostop_words(wish: AutostopRequest | None) -> str:
    """`10 min`, `10 min, down`; `-` when it is off."""
    if wish is None or wish.idle_minutes is None:
        return "-"
    details = (["down"] if wish.down else []) + ([wish.wait_for] if wish.wait_for != "jobs_and_ssh" else [])
    return ", ".join([f"{wish.idle_minutes:g} min", *details])
