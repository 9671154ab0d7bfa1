"""What a plan needs to know of a task, by shape alone: for type checkers, never imported at run time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class QuantityLike(Protocol):
    """vCPUs or GiB of memory."""

    @property
    def value(self) -> float: ...
    @property
    def at_least(self) -> bool: ...
    @property
    def per_cpu(self) -> bool: ...


class AcceleratorLike(Protocol):
    """A name, or without one a memory size; and how many."""

    @property
    def name(self) -> str | None: ...
    @property
    def count(self) -> float: ...
    @property
    def manufacturer(self) -> str | None: ...
    @property
    def memory_gb(self) -> float | None: ...
    @property
    def memory_at_least(self) -> bool: ...


class InfraLike(Protocol):
    """Where; None means anywhere."""

    @property
    def cloud(self) -> str | None: ...
    @property
    def region(self) -> str | None: ...
    @property
    def zone(self) -> str | None: ...


class ItemLike(Protocol):
    """One alternative of a task's resources."""

    @property
    def infra(self) -> InfraLike: ...
    @property
    def accelerators(self) -> Sequence[AcceleratorLike]: ...
    @property
    def cpus(self) -> QuantityLike | None: ...
    @property
    def memory(self) -> QuantityLike | None: ...
    @property
    def instance_type(self) -> str | None: ...
    @property
    def use_spot(self) -> bool: ...
    @property
    def max_hourly_cost(self) -> float | None: ...
    @property
    def labels(self) -> Mapping[str, str]: ...
    @property
    def local_disk(self) -> str | None: ...


class ResourcesLike(Protocol):
    """A task's resources."""

    def alternatives(self) -> tuple[bool, Sequence[ItemLike]]:
        """Whether their order is a preference, and the alternatives."""
        ...


class TaskLike(Protocol):
    """What a plan needs to know of a task."""

    @property
    def name(self) -> str | None: ...
    @property
    def num_nodes(self) -> int: ...
    @property
    def resources(self) -> ResourcesLike: ...
    @property
    def inputs(self) -> Mapping[str, float] | None: ...
    @property
    def outputs(self) -> Mapping[str, float] | None: ...


class DagLike(Protocol):
    """What a plan needs to know of several tasks."""

    @property
    def name(self) -> str | None: ...
    @property
    def tasks(self) -> Sequence[TaskLike]: ...
    @property
    def edges(self) -> Sequence[tuple[TaskLike, TaskLike]]: ...
    def is_job_group(self) -> bool:
        """Whether the tasks run side by side on one infra."""
        ...
