"""One decision in the making: what the deciders of this floor gather before they answer. Pure."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

import msgspec

from skynb.control.records import Decision, Effect, Event, Move, Record

V = TypeVar("V")
S = TypeVar("S", bound=msgspec.Struct)


class Turn(Generic[V, S]):
    """A record, what is seen of it, and what follows. waits: seconds to a further look; wakes: of others."""

    def __init__(self, record: Record, view: V, state: S, now: float) -> None:
        self.record = record
        self.view = view
        self.now = now
        self.state = state
        self.status = record.status
        self.reason = record.reason
        self.final = False
        self.moves: list[Move] = []
        self.events: list[Event] = []
        self.effects: list[Effect] = []
        self.wakes: list[str] = []
        self.waits: list[float] = []
        self._before = state

    def decision(self) -> Decision:
        """All of it, at once."""
        return Decision(
            status=self.status if self.status != self.record.status else None,
            reason=self.reason if self.reason != self.record.reason else None,
            state=self.state if self.state != self._before else None,
            final=self.final or None,
            moves=tuple(self.moves),
            events=tuple(self.events),
            effects=tuple(self.effects),
            wakes=tuple(self.wakes),
            wake_in=min(self.waits, default=None),
        )

    def error_of(self, effect: str, since: float = 0.0) -> dict[str, Any] | None:
        """Why the last deed, if of this kind and later than `since`, did not succeed; None if it did."""
        outcome = self.record.outcome
        return outcome.error if outcome and outcome.effect == effect and outcome.at > since else None

    def is_done(self, effect: str) -> bool:
        """The last deed was of this kind, and succeeded."""
        outcome = self.record.outcome
        return outcome is not None and outcome.effect == effect and not outcome.error

    def set(self, **changes: Any) -> None:
        """Change the state."""
        self.state = msgspec.structs.replace(self.state, **changes)


def words(error: dict[str, Any]) -> str:
    """An error of a deed in one line."""
    return ". ".join(str(error[key]) for key in ("what", "why", "mend") if error.get(key))
