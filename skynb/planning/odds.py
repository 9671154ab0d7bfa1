"""What preemptions do to a job: how long it may take, what that costs, and the chance to be done in time.

The model: each node is taken away at random moments, at the same rate whatever has happened before, and when
one goes all wait. What was done since the last checkpoint is lost. A checkpoint takes no time, a restart is
not itself interrupted, and all nodes are paid until the end, restarts included.
"""

from __future__ import annotations

from math import ceil, exp, expm1, floor, inf, isfinite, log, log1p, sqrt
from random import Random
from typing import NamedTuple

TRIALS = 2_000
_MANY = 12.0  # expected preemptions above which their sum is drawn from a normal distribution
_RARE = 1e-4  # below it the first terms of a series are nearer than the formula
_NONE = 1e-12  # preemptions expected in all: none
_LEAST_MINUTES = 0.01
_NEVER = 500.0  # preemptions expected within one stretch: nobody lives to see its end


class Work(NamedTuple):
    """A job and where it runs.

    hours: of work without a preemption. preemptions: expected for each node and hour, 0 if not spot.
    checkpoint_minutes: between checkpoints, None to start over each time. restart_minutes: from a preemption
    to work again. hourly_micro: micro-dollars an hour for all nodes. deadline_hours: from the start, None for
    none.
    """

    hours: float
    nodes: int = 1
    preemptions: float = 0.0
    checkpoint_minutes: float | None = None
    restart_minutes: float = 0.0
    hourly_micro: int = 0
    deadline_hours: float | None = None


class Odds(NamedTuple):
    """What to expect. in_time: the chance to be done by the deadline, None without one.

    expected_micro is exact, the rest comes from trials. Hours and money are None where it hardly ever ends.
    """

    p50_hours: float | None
    p90_hours: float | None
    expected_micro: int | None
    p90_micro: int | None
    in_time: float | None


class _Stretch(NamedTuple):
    """Work from one checkpoint to the next. times: how many there are of this length."""

    hours: float
    times: int


def odds(work: Work, *, trials: int = TRIALS, seed: int = 0) -> Odds:
    """The odds of some work; the same for the same seed. Raises ValueError for numbers that cannot be."""
    hours = simulated_hours(work, trials=trials, seed=seed)
    mean = expected_hours(work)
    deadline = work.deadline_hours
    in_time = None if deadline is None else sum(one <= deadline for one in hours) / trials
    if not isfinite(mean):
        return Odds(None, None, None, None, in_time)
    p50, p90 = hours[ceil(0.5 * trials) - 1], hours[ceil(0.9 * trials) - 1]
    return Odds(p50, p90, round(mean * work.hourly_micro), round(p90 * work.hourly_micro), in_time)


def expected_hours(work: Work) -> float:
    """The exact mean; without checkpoints and delay it is (exp(rate x hours) - 1) / rate. inf for never."""
    rate, restart = _rate(work), work.restart_minutes / 60
    return work.hours + sum(
        one.times * _lost(rate, one.hours) * (_mean_loss(rate, one.hours) + restart)
        for one in _stretches(work)
        if rate
    )


def simulated_hours(work: Work, *, trials: int = TRIALS, seed: int = 0) -> list[float]:
    """The hours of so many trials, in rising order.

    How often a stretch is lost before it is done is geometric, so over equal stretches negative binomial: a
    Poisson number whose mean is gamma distributed. That needs no walk through every checkpoint.
    """
    rate = _rate(work)
    if not rate:
        return [work.hours] * trials
    rng = Random(seed)  # noqa: S311 - a simulation
    hours = [work.hours] * trials
    for one in _stretches(work):
        delays = _delays(one, rate, work.restart_minutes / 60, rng, trials)
        hours = [sum(pair) for pair in zip(hours, delays, strict=True)]
    return sorted(hours)


def _delays(stretch: _Stretch, rate: float, restart: float, rng: Random, trials: int) -> list[float]:
    """What is added by the lost attempts at all stretches of one length, by trial."""
    each = _lost(rate, stretch.hours)
    if each * stretch.times < _NONE:
        return [0.0] * trials
    if not isfinite(each):
        return [inf if rng.random() > exp(-rate * stretch.hours) else 0.0 for _ in range(trials)]
    mean = _mean_loss(rate, stretch.hours) + restart
    square = _mean_square(rate, stretch.hours, restart)
    ended = -expm1(-rate * stretch.hours)  # the chance of a preemption within the stretch
    random = rng.random
    delays = []
    for _ in range(trials):
        expected = rng.gammavariate(stretch.times, each)
        if expected > _MANY:
            delays.append(max(0.0, rng.gauss(expected * mean, sqrt(expected * square))))
            continue
        delay = 0.0
        expected += log(1 - random())
        while expected > 0:
            delay += restart - log1p(-random() * ended) / rate
            expected += log(1 - random())
        delays.append(delay)
    return delays


def _rate(work: Work) -> float:
    """Preemptions an hour, of any node."""
    if min(work.hours, work.nodes, work.preemptions, work.restart_minutes) < 0:
        raise ValueError(f"work has no numbers below 0: {work}")
    if work.checkpoint_minutes is not None and work.checkpoint_minutes < _LEAST_MINUTES:
        raise ValueError(f"a checkpoint every {work.checkpoint_minutes} minutes is too often to be meant")
    return work.nodes * work.preemptions


def _stretches(work: Work) -> list[_Stretch]:
    length = inf if work.checkpoint_minutes is None else work.checkpoint_minutes / 60
    times = floor(work.hours / length)
    rest = work.hours - times * length if times else work.hours
    return [_Stretch(hours, count) for hours, count in ((length, times), (rest, 1)) if count and hours > 0]


def _lost(rate: float, hours: float) -> float:
    """How many attempts are lost on average before one stretch is done."""
    return expm1(rate * hours) if rate * hours < _NEVER else inf


def _mean_loss(rate: float, hours: float) -> float:
    """The mean length of a lost attempt: of an exponential time that is shorter than the stretch."""
    losses = rate * hours
    if losses < _RARE:
        return hours * (1 / 2 - losses / 12)
    return 1 / rate - hours / expm1(min(losses, _NEVER))


def _mean_square(rate: float, hours: float, restart: float) -> float:
    """The mean square of a lost attempt and the restart after it."""
    losses = rate * hours
    mean = _mean_loss(rate, hours)
    if losses < _RARE:
        square = hours * hours * (1 / 3 - losses / 12)
    else:
        square = 2 / rate * mean - hours * hours / expm1(min(losses, _NEVER))
    return square + 2 * restart * mean + restart * restart
