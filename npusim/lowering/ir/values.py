"""Values as lowering sees them: storage, the views that reshapes, transposes and slices make of it, and how it lies
over the tiles."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import accumulate, pairwise
from math import isqrt, prod

#: Storage of constants that the compiler adds itself (the gamma of an RMS norm, the ones of a sum).
ADDED_CONSTANT = -1
#: Bits of an integer that a kernel writes.
INDEX_BITS = 32


@dataclass(frozen=True, slots=True)
class Value:
    """A view of a storage.

    ``storage`` identifies the memory. ``shape`` is the logical shape; ``order`` lists its dimensions as they lie in
    memory, outermost first (empty: as in ``shape``), so that a Transpose costs nothing until somebody needs the data
    moved. ``partial`` marks a view of a part of its storage (a Slice): it is read with strides from DDR and never
    found in CMX. ``constant`` values are weights. ``stored_bits`` is the width in DDR, ``bits`` the executed one;
    ``fp8``: its 8 bits are a float.
    """

    storage: int
    shape: tuple[int, ...]
    bits: int = 16
    stored_bits: int = 16
    constant: bool = False
    order: tuple[int, ...] = ()
    partial: bool = False
    fp8: bool = False

    @property
    def elements(self) -> int:
        """Number of elements."""
        return prod(self.shape)

    @property
    def bytes(self) -> int:
        """Bytes in CMX, as executed."""
        return (self.elements * self.bits + 7) // 8

    @property
    def memory_order(self) -> tuple[int, ...]:
        """Dimensions as they lie in memory, unit dimensions left out."""
        order = self.order or tuple(range(len(self.shape)))
        return tuple(d for d in order if self.shape[d] != 1)

    @property
    def physical(self) -> tuple[int, ...]:
        """The shape in memory order."""
        return tuple(self.shape[d] for d in self.order) if self.order else self.shape

    @property
    def plain(self) -> bool:
        """Memory order and logical order are the same, apart from unit dimensions."""
        return not self.order or list(self.memory_order) == sorted(self.memory_order)

    def transposed(self, perm: tuple[int, ...]) -> Value:
        """The same memory seen with permuted dimensions (``numpy.transpose`` semantics)."""
        old = self.order or tuple(range(len(self.shape)))
        place = {d: i for i, d in enumerate(perm)}
        return replace(self, shape=tuple(self.shape[d] for d in perm), order=tuple(place[d] for d in old))

    def reshaped(self, shape: tuple[int, ...]) -> Value | None:
        """The same memory under another shape, or None where that would need the data moved."""
        if self.plain:
            return replace(self, shape=shape, order=())
        groups = _reshape_groups(self.shape, shape)
        position = {d: i for i, d in enumerate(self.memory_order)}
        blocks = []
        for old, new in groups:
            places = [position[d] for d in old if d in position]
            if any(b != a + 1 for a, b in pairwise(places)):
                return None
            blocks.append((places[0] if places else -1, new))
        order = tuple(d for _, new in sorted(blocks, key=lambda b: b[0]) for d in new)
        return replace(self, shape=shape, order=order)


#: Gives a value a storage of its own.
Fresh = Callable[[Value], Value]


def _reshape_groups(old: tuple[int, ...], new: tuple[int, ...]) -> list[tuple[list[int], list[int]]]:
    """The finest pairing of consecutive old dimensions with consecutive new ones of the same product."""
    groups: list[tuple[list[int], list[int]]] = []
    i = j = 0
    while i < len(old) or j < len(new):
        left, right = [], []
        a = b = 1
        if i < len(old):
            left.append(i)
            a, i = old[i], i + 1
        if j < len(new):
            right.append(j)
            b, j = new[j], j + 1
        while a != b:
            if a < b:
                left.append(i)
                a, i = a * old[i], i + 1
            else:
                right.append(j)
                b, j = b * new[j], j + 1
        groups.append((left, right))
    return groups


@dataclass(frozen=True, slots=True)
class Dist:
    """How a value lies over the tiles' CMX: whole on every tile (``cuts`` empty), or cut along one dimension.

    In memory order the value is ``outer`` rows of ``sum(cuts)`` elements, and tile i holds ``cuts[i]`` consecutive
    elements of each row. Two ops can hand a value over in CMX exactly if their Dists are equal, whatever they call
    the dimension.
    """

    outer: int = 1
    cuts: tuple[int, ...] = ()

    @property
    def whole(self) -> bool:
        """Every tile holds everything."""
        return not self.cuts

    def elements(self, tile: int, total: int) -> int:
        """Elements that a tile holds of a value with ``total``; 0 on tiles beyond the cuts."""
        if not self.cuts:
            return total
        return self.outer * self.cuts[tile] if tile < len(self.cuts) else 0


WHOLE = Dist()


@lru_cache(maxsize=4096)
def even(total: int, parts: int, granule: int = 1) -> tuple[int, ...]:
    """``total`` cut in at most ``parts`` pieces, as even as whole granules allow, larger pieces first."""
    units = -(-total // granule)
    parts = min(parts, units) or 1
    base, extra = divmod(units, parts)
    pieces = [(base + (i < extra)) * granule for i in range(parts)]
    pieces[-1] -= units * granule - total
    return tuple(pieces)


def piece(total: int, parts: int, i: int) -> tuple[int, int]:
    """Where piece ``i`` of ``even`` begins and how large it is, 0 beyond the last."""
    parts = min(parts, total) or 1
    if i >= parts:
        return total, 0
    base, extra = divmod(total, parts)
    return i * base + min(i, extra), base + (i < extra)


def row_dist(value: Value, rows: int, tiles: int) -> Dist:
    """A value cut along its outermost memory dimension, which has ``rows`` parts: equal ones, or the last is shorter by
    what it is padded with on the DPU."""
    row = ceil_div(value.elements, rows)
    ends = accumulate((row * r for r in even(rows, tiles)), initial=0)
    return Dist(1, tuple(b - a for a, b in pairwise(min(end, value.elements) for end in ends)))


def along(shape: tuple[int, ...], axis: int, cuts: tuple[int, ...]) -> Dist:
    """The Dist of a row-major shape cut along an axis into pieces of ``cuts`` indices."""
    inner = prod(shape[axis + 1 :])
    return Dist(prod(shape[:axis]), tuple(c * inner for c in cuts))


def ceil_div(a: int, b: int) -> int:
    """a / b, rounded up."""
    return -(-a // b)


def fewest_parts(whole: int) -> Iterator[int]:
    """For every size that the largest of equal parts can have, the fewest parts of it: 1, 2 .. ``whole``, some
    2 sqrt(``whole``)."""
    parts = 1
    while parts < whole:
        yield parts
        parts = ceil_div(whole, ceil_div(whole, parts) - 1)
    yield whole


def divisors(whole: int) -> list[int]:
    """What divides it, smallest first."""
    small = [n for n in range(1, isqrt(whole) + 1) if whole % n == 0]
    return small + [whole // n for n in reversed(small) if n * n != whole]


def round_up(a: int, b: int) -> int:
    """The next multiple of b."""
    return -(-a // b) * b


def canonical4(shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    """A shape of any rank as NCHW (evidence/lowering.md#1.1): short ones padded in front, long ones without unit
    dimensions and, if still too long, with their leading dimensions merged."""
    if len(shape) > 4:
        shape = tuple(d for d in shape if d != 1) or (1,)
    if len(shape) > 4:
        shape = (prod(shape[:-3]), *shape[-3:])
    n, c, h, w = (1,) * (4 - len(shape)) + tuple(shape)
    return n, c, h, w
