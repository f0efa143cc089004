"""The scratchpad while a Program is made: a pool of bytes per tile, with what must end before bytes are free again."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field


@dataclass(slots=True)
class Booking:
    """Bytes taken on the fullest tile, from the start of ``writers`` (task numbers) to the end of the groups
    ``release``; ``number`` counts them."""

    bytes: int
    number: int
    writers: list[int] = field(default_factory=list)
    release: tuple[int, ...] = ()


@dataclass(slots=True)
class Pool:
    """CMX of the fullest tile. Bookings whose release is known wait in ``dead``, earliest release first; taking their
    bytes again means waiting for those groups. The sum of live bookings thus never exceeds the capacity."""

    free: int
    dead: list[tuple[float, int, int, tuple[int, ...]]] = field(default_factory=list)
    """(expected end of the release, sequence number, bytes, groups to wait for)."""
    bookings: list[Booking] = field(default_factory=list)
    releases: list[int] = field(default_factory=list)
    """Numbers of the bookings that were released, in order."""
    released: int = 0

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
