"""What the simulated cloud charges: whole micro-dollars for the seconds a machine was billed.

Billing begins when the cloud takes the order and ends when it takes the order to stop or to end; a machine
says both (`Machine.billed_from`, `billed_to`). Each span is rounded up to a whole micro-dollar once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec


class Span(msgspec.Struct, frozen=True, omit_defaults=True):
    """Seconds of one machine at one price; end None while it runs. hourly_micro: micro-dollars an hour."""

    begin: float
    hourly_micro: int
    end: float | None = None


class Charge(msgspec.Struct, frozen=True):
    """A line of the bill. owner, record: what the machine's tags say of both, or empty."""

    machine: str
    owner: str
    record: str
    seconds: float
    micro_usd: int


def charge(span: Span, now: float) -> int:
    """Micro-dollars of a span until its end, or until now."""
    seconds = (now if span.end is None else span.end) - span.begin
    whole, rest = divmod(span.hourly_micro * max(0.0, seconds), 3600)
    return int(whole) + (1 if rest else 0)


def lines(machine: str, tags: Mapping[str, str], spans: Iterable[Span], now: float) -> list[Charge]:
    """The bill of one machine."""
    owner, record = tags.get("skynb-owner", ""), tags.get("skynb-record", "")
    return [
        Charge(
            machine, owner, record, (now if span.end is None else span.end) - span.begin, charge(span, now)
        )
        for span in spans
    ]
