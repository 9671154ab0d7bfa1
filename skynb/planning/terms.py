"""The user's own prices: reservations, discounts, and machines that no catalog knows.

They stand in `offers.yaml` in skynb's home. A plan that uses one says so.
"""

from __future__ import annotations

import os
from datetime import date
from typing import TYPE_CHECKING, NamedTuple

from skynb_catalog import Offer, Scope

if TYPE_CHECKING:
    from collections.abc import Sequence

FILE = "offers.yaml"


class Rule(NamedTuple):
    """A price that replaces the catalog's for a scope.

    percent off the catalog's price, or hourly_micro instead of it (micro-dollars per hour and node). nodes:
    how many a reservation holds, None for a discount, which has no end of nodes.
    """

    scope: Scope
    name: str
    percent: float | None = None
    hourly_micro: int | None = None
    nodes: int | None = None
    until: date | None = None

    def price(self, listed_micro: int, nodes: int) -> int:
        """Micro-dollars per hour of one of `nodes` nodes, the unreserved ones at the catalog's price."""
        if self.percent is not None:
            own = round(listed_micro * (100 - self.percent) / 100)
        else:
            own = self.hourly_micro or 0
        held = nodes if self.nodes is None else min(nodes, self.nodes)
        return -(-(held * own + (nodes - held) * listed_micro) // nodes)

    def note(self, nodes: int) -> str:
        """What the plan says of it."""
        if self.nodes is None:
            off = f"{self.percent:g} % off" if self.percent is not None else "own price"
            return f"{off}: {self.name}"
        return f"reservation {self.name}, {min(nodes, self.nodes)} of {nodes} nodes"


class Terms(NamedTuple):
    """All of a user's own prices. Of the rules, the first that fits an offer holds."""

    rules: tuple[Rule, ...] = ()
    offers: tuple[Offer, ...] = ()

    def on(self, today: date) -> Sequence[Rule]:
        """The rules that hold on this day."""
        return [rule for rule in self.rules if rule.until is None or rule.until >= today]


NO_TERMS = Terms()
_kept: dict[str, tuple[tuple[int, int], Terms]] = {}


def own_terms() -> Terms:
    """The terms in `offers.yaml` of skynb's home, read anew when it has changed.

    SpecError says what is wrong.
    """
    path = os.path.expanduser(os.path.join(os.environ.get("SKYNB_HOME") or "~/.skynb", FILE))  # noqa: PTH111, PTH118 - pathlib is slow to load, and most have no such file
    try:
        state = os.stat(path)  # noqa: PTH116 - as above
    except OSError:
        return NO_TERMS
    mark = (state.st_mtime_ns, state.st_size)
    if path not in _kept or _kept[path][0] != mark:
        from skynb.planning.terms_file import read_terms

        _kept[path] = (mark, read_terms(path))
    return _kept[path][1]
