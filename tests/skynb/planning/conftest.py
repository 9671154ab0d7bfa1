"""The least of a task that a plan looks at (the real one lives in skynb.spec), and catalogs to plan with."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest

from skynb_catalog import Offer
from tests.support.catalogs import cache_folder, catalog_of, shipped  # noqa: F401 - fixtures
from tests.support.facts import fact


@dataclass(frozen=True)
class Infra:
    cloud: str | None = None
    region: str | None = None
    zone: str | None = None


@dataclass(frozen=True)
class Accelerator:
    name: str | None = None
    count: float = 1
    manufacturer: str | None = None
    memory_gb: float | None = None
    memory_at_least: bool = False


@dataclass(frozen=True)
class Quantity:
    value: float
    at_least: bool = False
    per_cpu: bool = False


@dataclass(frozen=True)
class Item:
    infra: Infra = Infra()
    accelerators: tuple[Accelerator, ...] = ()
    cpus: Quantity | None = None
    memory: Quantity | None = None
    instance_type: str | None = None
    use_spot: bool = False
    max_hourly_cost: float | None = None
    labels: dict[str, str] = field(default_factory=dict)
    local_disk: str | None = None


@dataclass(frozen=True)
class Resources:
    items: tuple[Item, ...]
    ordered: bool = False

    def alternatives(self):
        return self.ordered, self.items


@dataclass(frozen=True)
class Task:
    resources: Resources
    name: str | None = "train"
    num_nodes: int = 1
    inputs: dict[str, float] | None = None
    outputs: dict[str, float] | None = None


def task(*items: Item, ordered: bool = False, **changes) -> Task:
    return Task(Resources(items or (Item(),), ordered=ordered), **changes)


def gpu(name: str, count: float = 1, infra: str = "", **changes) -> Item:
    return Item(infra=at(infra), accelerators=(Accelerator(name, count),), **changes)


def at(infra: str) -> Infra:
    return Infra(*infra.split("/")) if infra else Infra()


def offer(**changes) -> Offer:
    return Offer(**fact(**changes)._asdict())


@pytest.fixture(scope="session")
def say():
    """The words to write tasks and offers with: `say.task(say.gpu("H100", 8, "aws"))`."""
    words = {"task": task, "gpu": gpu, "at": at, "fact": fact, "offer": offer}
    return SimpleNamespace(**words, Infra=Infra, Item=Item, Quantity=Quantity, Accelerator=Accelerator)
