"""The work queue keeps its four promises."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from hypothesis import given
from hypothesis import strategies as st

from skynb.control.workqueue import WorkQueue


def run(work):
    return asyncio.run(asyncio.wait_for(work, 5))


def test_a_key_is_handed_out_once_however_often_it_is_added():
    """Promise 2."""

    async def work():
        queue = WorkQueue(asyncio.get_running_loop().time)
        for _ in range(5):
            queue.add("a")
        queue.add("b")
        return [await queue.take(), await queue.take()]

    assert run(work()) == ["a", "b"]


def test_a_key_is_never_out_twice_and_comes_again_after():
    """Promises 1 and 3."""

    async def work():
        queue = WorkQueue(asyncio.get_running_loop().time)
        queue.add("a")
        assert await queue.take() == "a"
        queue.add("a")
        second = asyncio.create_task(queue.take())
        await asyncio.sleep(0.02)
        assert not second.done()
        queue.done("a")
        return await second

    assert run(work()) == "a"


def test_a_delay_is_kept_and_can_be_brought_forward():
    """Promise 4, on a clock that the test moves."""

    async def work():
        time = [0.0]
        queue = WorkQueue(lambda: time[0])
        queue.add("slow", 100.0)
        queue.add("soon", 50.0)
        queue.add("slow", 10.0)
        taken = asyncio.create_task(queue.take())
        await asyncio.sleep(0)
        assert not taken.done()
        time[0] = 10.0
        queue.add("now")
        order = [await taken, await queue.take()]
        time[0] = 100.0
        order.append(await queue.take())
        empty = asyncio.create_task(queue.take())
        await asyncio.sleep(0.01)
        assert not empty.done()
        empty.cancel()
        return sorted(order[:2]), order[2]

    assert run(work()) == (["now", "slow"], "soon")


@given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 0.003)), max_size=30))
def test_with_many_workers_no_key_overlaps_and_none_is_forgotten(adds):
    """Whatever is added, four workers never hold one key at once, and every added key is worked on."""
    held: set[str] = set()
    worked: list[str] = []
    wanted = {key for key, _ in adds}
    everything = asyncio.Event()

    async def worker(queue):
        while True:
            key = await queue.take()
            assert key not in held
            held.add(key)
            await asyncio.sleep(0)
            worked.append(key)
            held.discard(key)
            queue.done(key)
            if set(worked) == wanted:
                everything.set()

    async def work():
        if not adds:
            everything.set()
        queue = WorkQueue(asyncio.get_running_loop().time)
        workers = [asyncio.create_task(worker(queue)) for _ in range(4)]
        for key, delay in adds:
            queue.add(key, delay)
            await asyncio.sleep(0)
        with suppress(asyncio.TimeoutError):  # a busy machine is late; a lost key never comes
            await asyncio.wait_for(everything.wait(), 5.0)
        for task in workers:
            assert not task.done() or task.exception() is None
            task.cancel()

    run(work())
    assert set(worked) == wanted


def test_a_cancelled_worker_ends_whatever_comes_in_at_that_moment():
    """A cancel that meets an addition, or a timer, is not lost: a server that is told to stop does stop."""

    async def worker(queue):
        while True:
            queue.done(await queue.take())

    async def ends(steps, delay):
        queue = WorkQueue(asyncio.get_running_loop().time)
        queue.add("later", 10.0)
        task = asyncio.create_task(worker(queue))
        await asyncio.sleep(0.001)
        queue.add("now", delay)
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        ended, left = await asyncio.wait({task}, timeout=0.5)
        for lost in left:
            lost.cancel()
        return bool(ended)

    assert all(run(ends(steps, delay)) for steps in range(6) for delay in (0.0, 1e-6))
