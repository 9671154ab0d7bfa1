"""Spot markets: a price for each zone and type that wanders, and the moments at which machines are taken.

The price is a factor of the usual one. It is a walk that is drawn back to 1, the same for the same seed, so
the past can be asked again. Above `limit` the cloud takes its machines back.
"""

from __future__ import annotations

from math import exp

from skynb_clusters.providers.sim.chance import normal

STEP_S = 300.0
_PULL = 0.02
_SEARCH = 12 * 24 * 30  # steps of a month: who is not taken in that time is left alone


class Market:
    """Prices since `origin`, in seconds. swing: how far one step goes, 0 for prices that stand still."""

    def __init__(self, seed: str, origin: float, *, swing: float = 0.03, limit: float = 1.5) -> None:
        self._seed = seed
        self._origin = origin
        self._swing = swing
        self._limit = limit
        self._walks: dict[str, list[float]] = {}

    def factor(self, what: str, now: float) -> float:
        """The price of `what` (`aws/us-east-1/us-east-1a g5.xlarge`) as a factor of the usual one."""
        return exp(self._level(what, int(max(0.0, now - self._origin) // STEP_S)))

    def taken_at(self, what: str, since: float) -> float | None:
        """When a machine that begins at `since` is taken back; None if it is not for a month."""
        if not self._swing:
            return None
        first = int(max(0.0, since - self._origin) // STEP_S) + 1
        for step in range(first, first + _SEARCH):
            if exp(self._level(what, step)) > self._limit:
                return self._origin + step * STEP_S
        return None

    def _level(self, what: str, step: int) -> float:
        walk = self._walks.setdefault(what, [0.0])
        while len(walk) <= step:
            drawn = normal(self._seed, what, len(walk)) * self._swing
            walk.append(walk[-1] * (1 - _PULL) + drawn)
        return walk[step]
