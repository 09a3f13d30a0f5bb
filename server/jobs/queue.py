"""Who is next: jobs wait in a queue that is fair by picture and takes the cheap ones first.

Self-clocked fair queueing (Golestani, "A self-clocked fair queueing scheme for broadband applications", INFOCOM 1994): a job's tag is its
cost beyond the later of the present and its picture's last tag, and the least tag is next. So 200 requests for one picture wait for each
other and not before those for others, a cheap job passes an expensive one, and none waits for ever.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeVar

Result = TypeVar("Result")


class QueueFullError(Exception):
    """There is no place: more jobs wait than may, and none of a picture that holds more places."""


@dataclass(order=True)
class _Waiting:
    tag: float
    number: int
    group: str = field(compare=False)
    turn: asyncio.Future[None] = field(compare=False)


class FairQueue:
    """`count` jobs at a time, at most `places` more that wait. For one event loop."""

    def __init__(self, count: int, places: int) -> None:
        self.count = count
        self.places = places
        self._running = 0
        self._waiting: list[_Waiting] = []
        self._last: dict[str, float] = {}
        self._now = 0.0
        self._number = 0

    async def run(self, group: str, cost: float, perform: Callable[[], Awaitable[Result]]) -> Result:
        """What `perform` returns, when the job's turn has come. `group` is whom it is fair to, `cost` above 0 in any unit.

        Raises QueueFullError at once, or when a job of a group with fewer in the queue needs the place.
        """
        place = self._enter(group, cost)
        try:
            await place.turn
        except BaseException:
            if place in self._waiting:
                self._waiting.remove(place)
            elif place.turn.done() and not place.turn.cancelled() and place.turn.exception() is None:
                self._leave()
            raise
        try:
            return await perform()
        finally:
            self._leave()

    def _enter(self, group: str, cost: float) -> _Waiting:
        if self._running >= self.count and len(self._waiting) >= self.places:
            self._make_room(group)
        tag = max(self._now, self._last.get(group, 0.0)) + cost
        self._last[group] = tag
        self._number += 1
        place = _Waiting(tag, self._number, group, asyncio.get_running_loop().create_future())
        self._waiting.append(place)
        self._start()
        return place

    def _make_room(self, group: str) -> None:
        """Sends away the last job of the group that has the most waiting, unless that would be no fairer."""
        held = Counter(place.group for place in self._waiting)
        largest, most = held.most_common(1)[0] if held else (group, 0)
        if most <= held[group] + 1:
            raise QueueFullError
        last = max(place for place in self._waiting if place.group == largest)
        self._waiting.remove(last)
        last.turn.set_exception(QueueFullError())

    def _start(self) -> None:
        while self._waiting and self._running < self.count:
            place = min(self._waiting)
            self._waiting.remove(place)
            self._running += 1
            self._now = place.tag
            place.turn.set_result(None)

    def _leave(self) -> None:
        self._running -= 1
        self._start()
        if self._running == 0:
            self._now, self._last = 0.0, {}
        else:
            self._last = {group: tag for group, tag in self._last.items() if tag > self._now}
