"""The cheapest machine for each accelerator and count: what a person picks from."""

from __future__ import annotations

from collections import defaultdict

import msgspec

from skynb.planning.listing import gpus
from skynb_catalog import Listing


class Cheapest(msgspec.Struct, frozen=True, kw_only=True):
    """The cheapest machine with so many of an accelerator. memory_gib: of one of them.

    hourly_micro, spot_micro: micro-dollars an hour, None where no price is known; cloud and region: where.
    clouds: where it is to be had at all.
    """

    name: str
    count: float
    memory_gib: float | None
    instance_type: str
    cloud: str
    region: str | None
    hourly_micro: int | None
    spot_micro: int | None
    clouds: tuple[str, ...]


def cheapest(cloud: str | None = None) -> list[Cheapest]:
    """One row per accelerator and count that can be rented, by name and count.

    Raises what `gpus` raises.
    """
    kinds: dict[tuple[str, float], list[Listing]] = defaultdict(list)
    for row in gpus(cloud=cloud).rows:
        if row.launchable and row.accelerator_count:
            kinds[row.accelerator, row.accelerator_count].append(row)
    return [
        _best(rows) for _, rows in sorted(kinds.items(), key=lambda kind: (kind[0][0].lower(), kind[0][1]))
    ]


def _best(rows: list[Listing]) -> Cheapest:
    best = min(rows, key=_price)
    return Cheapest(
        name=best.accelerator,
        count=best.accelerator_count or 0,
        memory_gib=best.accelerator_memory_gib,
        instance_type=best.instance_type,
        cloud=best.cloud,
        region=best.region,
        hourly_micro=best.hourly_micro,
        spot_micro=best.spot_hourly_micro,
        clouds=tuple(sorted({row.cloud for row in rows})),
    )


def _price(row: Listing) -> float:
    return float("inf") if row.hourly_micro is None else row.hourly_micro
