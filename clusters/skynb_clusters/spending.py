"""What each day cost: settlements and what runs, shared out over the days they lie in. Reading only."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timezone
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from skynb.errors import SpecError
from skynb.wire import DayInfo
from skynb_clusters.views import running_charge

if TYPE_CHECKING:
    from skynb.control.ledger import Transaction

DAYS = 14
MOST_DAYS = 366
DAY_S = 86400


class Piece(NamedTuple):
    """Micro-dollars for the time between begin and end, in seconds since the epoch."""

    begin: float
    end: float
    micro: int
    cloud: str


def spent_by_day(tx: Transaction, now: float, days: int) -> list[DayInfo]:
    """The last so many days, today last; SpecError unless 1 to 366 are asked for."""
    if not 1 <= days <= MOST_DAYS:
        raise SpecError(f"days is 1 to {MOST_DAYS}, not {days}", where="days")
    first = (int(now // DAY_S) - days + 1) * DAY_S
    pieces = [Piece(begin, end, micro, _cloud(price)) for begin, end, micro, price in tx.settled_since(first)]
    running = [running_charge(node, now) for node in tx.find_all("node")]
    pieces += [
        Piece(one.begin, one.end, one.micro_usd, str(one.price.get("cloud") or ""))
        for one in running
        if one is not None
    ]
    return by_day(pieces, first, days)


def by_day(pieces: Iterable[Piece], first: int, days: int) -> list[DayInfo]:
    """Share pieces out over days of which the earliest begins at `first`; what lies before is left out.

    Every piece that lies within goes to the last micro-dollar: shares are differences of rounded sums.
    """
    found = [DayInfo(day=_name(first + number * DAY_S), micro=0) for number in range(days)]
    for piece in pieces:
        for number, micro in _shares(piece, first, days):
            day = found[number]
            day.micro += micro
            day.clouds[piece.cloud] = day.clouds.get(piece.cloud, 0) + micro
    return found


def _shares(piece: Piece, first: int, days: int) -> Iterable[tuple[int, int]]:
    span = piece.end - piece.begin
    begin = int((piece.begin - first) // DAY_S)
    end = int((piece.end - first) // DAY_S)
    if span <= 0 or begin == end:
        if 0 <= begin < days:
            yield begin, piece.micro
        return
    given = 0
    for number in range(begin, end + 1):
        until = min(piece.end, first + (number + 1) * DAY_S)
        so_far = round(piece.micro * (until - piece.begin) / span)
        if 0 <= number < days and so_far > given:
            yield number, so_far - given
        given = so_far


def _cloud(price: bytes | None) -> str:
    return str(msgspec.json.decode(price).get("cloud") or "") if price else ""


def _name(moment: float) -> str:
    return datetime.fromtimestamp(moment, timezone.utc).date().isoformat()
