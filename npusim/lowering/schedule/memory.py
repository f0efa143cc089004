"""The scratchpad while a Program is made: a pool of bytes per tile, with what must end before bytes are free again."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from typing import Annotated

from npusim.lowering.schedule.forms import DUE_US, GROUP, ORDER, PLAIN, Each, Groups, Mark, Row, Settled


@dataclass(slots=True)
class Booking:
    """Bytes taken on the fullest tile, from the start of ``writers`` (task numbers) to the end of the groups
    ``release``; ``number`` counts them."""

    bytes: int
    number: int
    writers: list[int] = field(default_factory=list)
    release: tuple[int, ...] = ()


#: Expected end of the release, µs, sequence number, bytes, groups to wait for.
_Dead = tuple[float, int, int, tuple[int, ...]]


@dataclass(slots=True)
class Pool:
    """CMX of the fullest tile. Bookings whose release is known wait in ``dead``, earliest release first; taking their
    bytes again means waiting for those groups. The sum of live bookings thus never exceeds the capacity."""

    free: Annotated[int, PLAIN]
    dead: Annotated[list[_Dead], Each(Row((DUE_US, ORDER, PLAIN, Each(GROUP))), sort=True)] = field(
        default_factory=list
    )
    bookings: Annotated[list[Booking], Settled("a record")] = field(default_factory=list)
    releases: Annotated[list[int], Settled("a record")] = field(default_factory=list)
    """Numbers of the bookings that were released, in order."""
    released: Annotated[int, Settled("counts them, and those of copied blocks")] = 0

    def take(self, size: int) -> tuple[int, ...] | None:
        """Groups to wait for before ``size`` bytes are free; None where they can't be."""
        waits: list[int] = []
        needed = max(0, size - self.free)
        self.free -= size - needed
        while needed:
            if not self.dead:
                return None
            end, order, dead, groups = heapq.heappop(self.dead)
            waits.extend(groups)
            if dead > needed:
                heapq.heappush(self.dead, (end, order, dead - needed, groups))
            needed = max(0, needed - dead)
        return tuple(waits)

    def book(self, size: int) -> Booking:
        """Note what was taken; the caller adds the writers."""
        booking = Booking(size, len(self.bookings))
        self.bookings.append(booking)
        return booking

    def release(self, booking: Booking, groups: tuple[int, ...], end_us: float) -> None:
        """A booking's last users are these groups, which are expected to end at ``end_us``."""
        booking.release = tuple(dict.fromkeys(groups))
        self.releases.append(booking.number)
        self.released += 1
        if booking.bytes:
            heapq.heappush(self.dead, (end_us, self.released, booking.bytes, booking.release))

    def repeat(self, start: Mark, end: Mark, blocks: int, groups: Groups) -> None:
        """Book and release what was between two marks so many times more."""
        by = end.minus(start)
        created = self.bookings[start.booking : end.booking]
        for k in range(1, blocks + 1):
            number, task = k * by.booking, k * by.task
            self.bookings.extend(
                [Booking(b.bytes, b.number + number, [w + task for w in b.writers]) for b in created]
            )
        for number in self.releases[start.release : end.release]:
            release = self.bookings[number].release
            apart = [groups.apart(group, by) for group in release]
            for k in range(1, blocks + 1):
                moved = [group + k * more for group, more in zip(release, apart, strict=True)]
                self.bookings[number + k * by.booking].release = tuple(moved)
        self.released += blocks * by.release
