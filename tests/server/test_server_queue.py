"""The order of jobs: fair by picture, cheap ones first, and who has to leave a full queue."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from sdz.server.jobs.queue import FairQueue, QueueFullError


def order(places: int, jobs: list[tuple[str, float]]) -> tuple[list[int], list[int]]:
    """The numbers of jobs (group, cost) in the order in which one at a time was done, all of them asked for at once while a first one
    (number -1) is under way; and the numbers of those sent away."""

    async def scenario() -> tuple[list[int], list[int]]:
        queue = FairQueue(1, places)
        done: list[int] = []
        may = asyncio.Event()

        def job(number: int) -> Callable[[], Awaitable[None]]:
            async def perform() -> None:
                if number < 0:
                    await may.wait()
                done.append(number)

            return perform

        tasks = [asyncio.create_task(queue.run("first", 1.0, job(-1)))]
        await asyncio.sleep(0)
        for number, (group, cost) in enumerate(jobs):
            tasks.append(asyncio.create_task(queue.run(group, cost, job(number))))
            await asyncio.sleep(0)
        may.set()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        refused = [number for number, error in enumerate(ended[1:]) if isinstance(error, QueueFullError)]
        assert len(done) + len(refused) == len(tasks)
        return done[1:], refused

    return asyncio.run(scenario())


def test_the_cheap_ones_first_and_equal_ones_as_they_came() -> None:
    assert order(9, [("a", 3.0), ("b", 1.0), ("c", 2.0), ("d", 1.0)])[0] == [1, 3, 2, 0]


def test_many_of_one_picture_do_not_crowd_out_others() -> None:
    jobs = [("one", 1.0)] * 6 + [("other", 1.0), ("third", 2.5)]
    assert order(9, jobs) == ([0, 6, 1, 7, 2, 3, 4, 5], [])


def test_an_expensive_one_does_not_wait_for_ever() -> None:
    """Cheap ones of one picture come without end: each is later in turn than the last."""
    done, _ = order(99, [("vast", 10.0)] + [("small", 1.0)] * 30)
    assert done.index(0) == 9


def test_a_full_queue_sends_away_the_last_of_whoever_has_most() -> None:
    done, refused = order(3, [("one", 1.0)] * 5 + [("other", 1.0)])
    # the fourth and fifth found no place; the third gave its own to the other
    assert (done, refused) == ([0, 5, 1], [2, 3, 4])
    assert order(2, [("a", 1.0), ("b", 1.0), ("c", 0.1)]) == ([0, 1], [2])


def test_who_leaves_while_waiting_gives_the_place_back() -> None:
    async def scenario() -> list[str]:
        queue = FairQueue(1, 1)
        may = asyncio.Event()
        done: list[str] = []

        async def slow() -> None:
            await may.wait()
            done.append("slow")

        async def quick() -> None:
            done.append("quick")

        first = asyncio.create_task(queue.run("a", 1.0, slow))
        await asyncio.sleep(0)
        second = asyncio.create_task(queue.run("b", 1.0, quick))
        await asyncio.sleep(0)
        with pytest.raises(QueueFullError):
            await queue.run("c", 1.0, quick)
        second.cancel()
        await asyncio.sleep(0)
        third = asyncio.create_task(queue.run("c", 1.0, quick))
        await asyncio.sleep(0)
        may.set()
        await asyncio.gather(first, third)
        await queue.run("d", 1.0, quick)
        return done

    assert asyncio.run(scenario()) == ["slow", "quick", "quick"]
