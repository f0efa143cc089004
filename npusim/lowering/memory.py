"""The scratchpad while a Program is made: a pool of bytes per tile, with what must end before bytes are free again."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field


@dataclass(slots=True)
class Booking:
    """Bytes taken on the fullest tile, from the tasks ``first`` (a range of task numbers) to the groups ``release``."""

    bytes: int
    first: tuple[int, int]
    release: tuple[int, ...] = ()


@dataclass(slots=True)
class Pool:
    """CMX of the fullest tile. Bookings whose release is known wait in ``dead``, earliest release first; taking their
    bytes again means waiting for those groups. The sum of live bookings thus never exceeds the capacity."""

    free: int
    dead: list[tuple[float, int, Booking]] = field(default_factory=list)
    bookings: list[Booking] = field(default_factory=list)
    released: int = 0

    def take(self, size: int) -> tuple[int, ...] | None:
        """Groups to wait for before ``size`` bytes are free; None where they can't be."""
        waits: list[int] = []
        while self.free < size:
            if not self.dead:
                return None
            booking = heapq.heappop(self.dead)[2]
            self.free += booking.bytes
            waits.extend(booking.release)
        self.free -= size
        return tuple(waits)

    def book(self, size: int, first: tuple[int, int]) -> Booking:
        """Note what was taken, and by which tasks."""
        booking = Booking(size, first)
        self.bookings.append(booking)
        return booking

    def release(self, booking: Booking, groups: tuple[int, ...], end_us: float) -> None:
        """A booking's last users are these groups, which are expected to end at ``end_us``."""
        booking.release = tuple(dict.fromkeys(groups))
        self.released += 1
        heapq.heappush(self.dead, (end_us, self.released, booking))
