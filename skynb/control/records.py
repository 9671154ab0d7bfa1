"""Records, events and decisions: the nouns of the control core.

A record carries where it is (`status`), where it should be (`target`) and which incarnation it is
(`generation`). A request only moves the target; the reconciler moves the status.
"""

from __future__ import annotations

from typing import Any, Literal, TypeVar

import msgspec

T = TypeVar("T")


class Outcome(msgspec.Struct, frozen=True, omit_defaults=True):
    """What came of the last effect of a record; the next decision reads it.

    error: an error's `to_dict()`, or None when the effect succeeded. value: what it returned.
    """

    effect: str
    at: float
    error: dict[str, Any] | None = None
    value: dict[str, Any] | None = None


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """One thing the core looks after. `spec` and `state` are JSON of the kind's own structs.

    title: what a person calls it, which need not be unique. nice: of what waits, lower goes first.
    """

    id: str
    kind: str
    name: str
    parent: str | None
    owner: str
    status: str
    target: str
    generation: int = 1
    final: bool = False
    reason: str = ""
    spec: bytes = b"{}"
    state: bytes = b"{}"
    outcome: Outcome | None = None
    observed_at: float | None = None
    wake_at: float | None = None
    version: int = 1
    created_at: float = 0.0
    updated_at: float = 0.0
    title: str = ""
    nice: int = 0

    def spec_as(self, kind: type[T]) -> T:
        """The spec, decoded; unknown fields of a newer writer are tolerated."""
        return msgspec.json.decode(self.spec, type=kind)

    def state_as(self, kind: type[T]) -> T:
        """The state, decoded."""
        return msgspec.json.decode(self.state, type=kind)


class Effect(msgspec.Struct, frozen=True, tag=True):
    """A deed to do, as data. It must be safe to do again."""


class Event(msgspec.Struct, frozen=True):
    """One line of the causal history: what was decided, and the inputs that decided it."""

    name: str
    data: dict[str, Any] = {}


class SpendEntry(msgspec.Struct, frozen=True, kw_only=True):
    """Money, in integer micro-dollars.

    price: the catalog row behind a settled second. owed: a reservation for what is spent already, which no
    cap can refuse. rehearsed: nobody pays it.
    """

    entry: Literal["reserve", "settle", "release"]
    micro_usd: int
    begin: float | None = None
    end: float | None = None
    price: dict[str, Any] | None = None
    owed: bool = False
    rehearsed: bool = False


class Charge(msgspec.Struct, frozen=True):
    """Settled micro-dollars of one record at one price: for `seconds` between begin and end."""

    record: str
    price: dict[str, Any]
    begin: float
    end: float
    seconds: float
    micro_usd: int


class Move(msgspec.Struct, frozen=True):
    """Another record's target, moved in the same transaction. Its final state is never reopened.

    unless: a target that is left as it is.
    """

    record: str
    target: str
    reason: str = ""
    unless: str = ""


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """What a decider answers. None leaves a field as it is; all is committed at once, before any effect.

    wake_in: seconds until the record is looked at again without other cause. wakes: other records to look
    at now. seen: this decision stands on a real look at the world. state: the kind's own struct. inserts:
    new records; one that is there already stays as it is.
    """

    status: str | None = None
    target: str | None = None
    generation: int | None = None
    final: bool | None = None
    reason: str | None = None
    state: msgspec.Struct | None = None
    effects: tuple[Effect, ...] = ()
    events: tuple[Event, ...] = ()
    moves: tuple[Move, ...] = ()
    inserts: tuple[Record, ...] = ()
    spend: tuple[SpendEntry, ...] = ()
    wake_in: float | None = None
    wakes: tuple[str, ...] = ()
    seen: bool = False
