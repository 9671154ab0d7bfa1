"""A look at the infra because somebody asks for one: what is seen is written, what differs is looked into."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from skynb.control.records import Record
from skynb.errors import AuthError, ProviderError
from skynb_clusters.contract import MachineState
from skynb_clusters.records import NodeState

if TYPE_CHECKING:
    from skynb_clusters.core import Core
    from skynb_clusters.sightings import Sighting

LOOK_S = 30.0
SETTLE_S = 3.0
_EXPECTED: dict[str, tuple[MachineState, ...]] = {"UP": ("running",), "STOPPED": ("stopped",)}

Place = tuple[str, str | None]


class Refresher:
    """One for a core. A refresh changes nothing that a decider would not change by itself a little later."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def run(self, nodes: Sequence[Record]) -> list[str]:
        """Look at the machines of these slots now, and answer when what was seen has been dealt with.

        The answer is what could not be seen, and why; what is there is unknown.
        """
        machines = {node.id: node.state_as(NodeState) for node in nodes}
        sought = {_place(state) for state in machines.values() if state.offer is not None and state.token}
        looks = dict(zip(sought, await asyncio.gather(*map(self._look, sought)), strict=True))
        agrees = {node.id: _agrees(node, machines[node.id], looks) for node in nodes}
        await self._core.reconciler.in_ledger(self._write, [key for key, same in agrees.items() if same])
        for node in nodes:
            self._core.wake(node.id)
        await self._settle([node for node in nodes if agrees[node.id] is False])
        return [look for look in looks.values() if isinstance(look, str)]

    async def _look(self, place: Place) -> Sighting | str:
        cloud, region = place
        try:
            look = self._core.sightings.of(self._core.providers[cloud], region)
            return await asyncio.wait_for(look, LOOK_S)
        except KeyError:
            return f"{cloud}: this server has no such provider"
        except asyncio.TimeoutError:
            return f"{cloud}: no answer in {LOOK_S:g} s"
        except (ProviderError, AuthError) as error:
            return f"{cloud}: {error}"

    async def _settle(self, nodes: Sequence[Record]) -> None:
        """Give the deciders a moment for what was not as the ledger had it."""
        loop = asyncio.get_running_loop()
        end = loop.time() + SETTLE_S
        waiting = {node.id: node.version for node in nodes if not node.final}
        while waiting and loop.time() < end:
            await asyncio.sleep(0.05)
            for key, version in list(waiting.items()):
                now = await self._core.get(key)
                if now is None or now.version != version:
                    del waiting[key]

    def _write(self, seen: Sequence[str]) -> None:
        with self._core.ledger.transaction() as tx:
            tx.saw(seen)


def _place(state: NodeState) -> Place:
    assert state.offer is not None  # noqa: S101 - the caller asked for it
    return state.offer.cloud, state.offer.region


def _agrees(node: Record, state: NodeState, looks: dict[Place, Sighting | str]) -> bool | None:
    """The infra shows this slot's machine as the ledger has it; None where it has none, or cannot be seen."""
    if state.offer is None or not state.token:
        return None
    look = looks[_place(state)]
    if isinstance(look, str):
        return None
    found = [machine for machine in look.by_record.get(node.id, ()) if machine.token == state.token]
    return any(machine.state in _EXPECTED.get(node.status, ()) for machine in found)
