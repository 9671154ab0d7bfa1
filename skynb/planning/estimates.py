"""How long a task will run on which machines: by its user, by what was measured, or one hour. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from math import isfinite
from typing import TypeAlias

import msgspec

from skynb.errors import SpecError
from skynb.planning.amounts import HOUR
from skynb_catalog import UnknownAcceleratorError, resolve

Hours: TypeAlias = "float | Mapping[str, float] | Callable[[str | None, float], float]"
CPU = "cpu"  # a machine without accelerators
ASSUMED = "assumed: 1 h"


class Run(msgspec.Struct, frozen=True):
    """What past runs of a task took on one kind of machine: hours (median), and how many runs there were."""

    task: str
    accelerator: str | None
    count: float
    hours: float
    runs: int


class Estimates:
    """Seconds of a task on an accelerator; the user's word goes over what was measured.

    hours: one number for all; or by `ACCELERATOR`, `ACCELERATOR:COUNT`, `cpu` or a task's name, each also as
    `TASK/...`, the narrowest winning; or a function of (accelerator, count). Where some machines have an
    estimate and others none, the others are not compared: they have no place in the plan.
    """

    def __init__(self, hours: Hours | None = None, measured: tuple[Run, ...] = ()) -> None:
        """SpecError for an estimate that is no positive number, or that names no accelerator nor task."""
        self._function = hours if callable(hours) else None
        if isinstance(hours, Mapping):
            self._given = {_key(key): _hours(value, str(key)) for key, value in hours.items()}
        elif hours is None or callable(hours):
            self._given = {}
        else:
            self._given = {"": _hours(hours, "")}
        self._measured = {(run.task, run.accelerator, run.count): run for run in measured}

    def check(self, tasks: Iterable[str | None]) -> None:
        """SpecError for an estimate of a task that is not among these; it may be a misspelt accelerator."""
        known = set(tasks)
        for key in self._given:
            owner, slash, kind = key.rpartition("/")
            if slash and owner not in known:
                what = f"no task{'' if kind else ' or accelerator'} is called {owner!r}"
                raise SpecError(what, mend="`skynb gpus` lists accelerators", where="hours")

    def seconds(self, task: str | None, accelerator: str | None, count: float | None) -> int | None:
        """Whole seconds, at least one; None where only other machines have an estimate."""
        found = self._hours(task, accelerator, count or 0)
        return None if found is None else max(1, round(found * HOUR))

    def origin(self, task: str | None, accelerator: str | None, count: float | None) -> str:
        """Where that estimate comes from, in a few words."""
        if self._function is not None or self._of_user(task, accelerator, count or 0) is not None:
            return "estimated by the user"
        run = self._measured.get((task or "", accelerator, count or 0))
        return f"median of {run.runs} runs" if run else ASSUMED

    def uniform(self, task: str | None) -> bool:
        """Whether every machine takes the same time for this task."""
        told = {key for key in self._given if _is_about(key, task)}
        measured = any(name == task for name, _, _ in self._measured)
        return self._function is None and not measured and told <= {"", f"{task}/"}

    def _hours(self, task: str | None, accelerator: str | None, count: float) -> float | None:
        if self._function is not None:
            return _hours(self._function(accelerator, count), f"{accelerator or CPU}:{count:g}")
        given = self._of_user(task, accelerator, count)
        if given is not None:
            return given
        run = self._measured.get((task or "", accelerator, count))
        if run is not None:
            return run.hours
        return None if self._knows_others(task) else 1.0

    def _of_user(self, task: str | None, accelerator: str | None, count: float) -> float | None:
        kind = accelerator or CPU
        spellings = (f"{kind}:{count:g}", kind, "")
        prefixes = (f"{task}/", "") if task else ("",)
        for prefix in prefixes:
            for spelling in spellings:
                if prefix + spelling in self._given:
                    return self._given[prefix + spelling]
        return None

    def _knows_others(self, task: str | None) -> bool:
        return any(_is_about(key, task) for key in self._given) or any(
            name == task for name, _, _ in self._measured
        )


def _is_about(key: str, task: str | None) -> bool:
    owner, slash, _ = key.rpartition("/")
    return not slash or owner == task


def _key(written: str) -> str:
    """`train/a100-80gb:8` as `train/A100-80GB:8`; a name that is no accelerator's is a task's."""
    task, slash, kind = written.strip().rpartition("/")
    name, _, count = kind.partition(":")
    prefix = f"{task}/" if slash else ""
    if name in {CPU, ""}:
        return f"{prefix}{kind}"
    try:
        found = resolve(name)
    except UnknownAcceleratorError as error:
        if slash or count:
            raise SpecError(error.what, mend=error.mend, where="hours") from error
        return f"{kind}/"
    if len(found) != 1:
        raise SpecError(f"{name!r} is several accelerators", mend="Name one", where="hours")
    return f"{prefix}{found[0].name}{f':{_count(count):g}' if count else ''}"


def _count(spelling: str) -> float:
    try:
        value = float(spelling)
    except ValueError:
        value = 0
    if not (isfinite(value) and value > 0):
        raise SpecError(f"{spelling!r} is not a count", mend="Write a number, as in `A100:8`", where="hours")
    return value


def _hours(value: float, about: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < 1e6:
        of = f" for {about}" if about else ""
        raise SpecError(
            f"{value!r} is not a number of hours{of}", mend="Write hours above 0, as in 1.5", where="hours"
        )
    return float(value)
