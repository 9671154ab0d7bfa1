"""The deciders over a cloud of two nodes, walked whole: every step from every state, each state once."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterator

import pytest

from tests.support.world import World, copy_of

HOUR = 3_600_000
FORGOTTEN_S = 300.0  # times further apart than this differ no more
DOWN_EVERY = 20  # from so many states one is taken down, to its end


def ask(target: str) -> Callable[[World], object]:
    return lambda world: world.ask(target) if world.cluster.target != "TERMINATED" else None


def on(name: str, rank: int, **how: bool) -> Callable[[World], object]:
    return lambda world: getattr(world, name)(rank, **how)


def steps(world: World) -> Iterator[tuple[str, Callable[[World], object]]]:
    """All that may happen next, of a person, the server, the infra and time."""
    yield from ((f"ask {target}", ask(target)) for target in ("UP", "STOPPED", "TERMINATED"))
    yield "cluster", World.step_cluster
    for rank in range(len(world.nodes)):
        yield f"node {rank}", on("step_node", rank)
        yield f"node {rank}, killed before the deed", on("step_node", rank, act=False)
        yield f"node {rank}, answer lost", on("step_node", rank, lose_outcome=True)
        yield f"lose {rank}", on("lose_machine", rank)
        yield f"crash {rank}", on("crash_machine", rank)
        yield f"agent {rank}", on("kill_agent", rank)
    yield "blind", lambda one: setattr(one, "unseen", not one.unseen)
    yield "refuse", lambda one: one.refuse.symmetric_difference_update({"CreateMachine"})
    yield "time", lambda one: setattr(one, "now", one.now + 30)


def face(world: World) -> str:
    """What tells two states apart: names by order of appearance, times by how long ago."""
    seen: dict[str, str] = {}
    text = repr(
        (
            [(one.status, one.target, one.final, one.outcome, one.state) for one in world.nodes],
            (world.cluster.status, world.cluster.target, world.cluster.outcome, world.cluster.state),
            [(token, machine.id, machine.state) for token, machine in world.machines.items()],
            sorted(world.agents),
            sorted(world.refuse),
            world.unseen,
        )
    )
    for token in world.created:
        text = text.replace(token, seen.setdefault(token, f"t{len(seen)}"))
    return re.sub(r"\d{4}\.\d+", lambda at: str(min(world.now - float(at[0]), FORGOTTEN_S)), text)


def check(world: World, path: tuple[str, ...]) -> None:
    """G1, G2, G3, G7 in this state."""
    claimed = {world.state(rank).token for rank in range(len(world.nodes))}
    assert set(world.machines) <= claimed, ("G1: nobody claims a machine", path)
    assert len(world.machines) <= len(world.nodes), ("G2: more machines than slots", path)
    assert not (world.cluster.final and world.machines), ("G3: ended with machines", path)
    assert world.money["settle"] + world.money["release"] <= world.money["reserve"], ("G7", path)
    assert world.cap is None or world.committed <= world.cap, ("G7: past the cap", path)


def ends(world: World, path: tuple[str, ...]) -> None:
    """G6: `down` leads to nothing from here."""
    world = copy_of(world)
    world.unseen = False
    world.refuse.clear()
    world.ask("TERMINATED")
    world.settle(200)
    assert world.cluster.final, path
    assert world.machines == {}, path
    assert world.money["reserve"] == world.money["settle"] + world.money["release"], path


def walk(begin: World, most: int) -> tuple[int, int]:
    """How many states were seen, and after how many steps the last one is."""
    seen, ahead = {face(begin)}, deque([(begin, ())])
    deepest = 0
    while ahead and len(seen) < most:
        world, path = ahead.popleft()
        for name, step in steps(world):
            then, further = copy_of(world), (*path, name)
            step(then)
            check(then, further)
            if (known := face(then)) in seen:
                continue
            seen.add(known)
            ahead.append((then, further))
            deepest = max(deepest, len(further))
            if len(seen) % DOWN_EVERY == 0:
                ends(then, further)
    return len(seen), deepest


def settled(**options) -> World:
    world = World(**options)
    world.settle()
    return world


def stopped() -> World:
    world = settled()
    world.ask("STOPPED")
    world.settle()
    return world


BEGINNINGS: dict[str, Callable[[], World]] = {
    "a launch": World,
    "a cluster that is up": settled,
    "a cluster that is stopped": stopped,
    "a race of two": lambda: World(lanes=2),
    "a budget that ends": lambda: settled(cap=HOUR),
}


@pytest.mark.parametrize("name", BEGINNINGS)
def test_every_state_near_a_beginning_keeps_the_promises(name):
    """G1, G2, G3, G6, G7 in 6,000 states around each beginning."""
    states, depth = walk(BEGINNINGS[name](), 6_000)
    print(f"{name}: {states} states, up to {depth} steps away")
    assert states >= 6_000


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", BEGINNINGS)
def test_every_state_far_from_a_beginning_keeps_the_promises(name):
    """The same in 100,000 states."""
    states, depth = walk(BEGINNINGS[name](), 100_000)
    print(f"{name}: {states} states, up to {depth} steps away")
