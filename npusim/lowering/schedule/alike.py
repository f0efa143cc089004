"""Which blocks of plans are alike in all that was decided before scheduling."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from npusim.lowering.ir.repeat import Repeat, decisions
from npusim.lowering.schedule.forms import Frame, Groups, Mark, Table, forms_of
from npusim.lowering.schedule.state import Given
from npusim.lowering.schedule.steps import Residency

_NO_GROUPS = Groups(1, 0, {}, (), ())


class Blocks:
    """The blocks of ``repeat``. ``step_of`` is the first step of each; they are ``steps`` long. ``alike`` says of each,
    but for the last, whether the next one is equal but for names."""

    def __init__(self, given: Given, repeat: Repeat, writers: dict[int, int]) -> None:
        """``writers`` is how many plans have to write each home storage."""
        self.given, self.repeat, self.writers = given, repeat, writers
        residency = given.residency
        every = [repeat.block(number) for number in range(repeat.count + 1)]
        own = [[step for number in block for step in residency.steps_of[number]] for block in every]
        self.step_of = [min(steps) for steps in own]
        self.steps = self.step_of[1] - self.step_of[0]
        even = self.steps > given.hw.software.prefetch_slices
        even = even and all(b - a == self.steps for a, b in pairwise(self.step_of))
        even = even and all(max(steps) - min(steps) < self.steps for steps in own)
        self._owners: dict[int, int] = {}
        for number, plan in enumerate(given.plans):
            self._owners.setdefault(given.home(plan.output.storage), number)
        stays = _by_block(residency, repeat, self.step_of)
        self.alike = [even and stays[n] == stays[n + 1] and self._alike(n) for n in range(repeat.count)]

    def like_last(self, number: int) -> int:
        """How many blocks from ``number`` on are like the one before them, and have one that is like them behind."""
        more = 0
        if number < 1 or not self.alike[number - 1]:
            return 0
        while number + more < self.repeat.count and self.alike[number + more]:
            more += 1
        return more

    def _alike(self, number: int) -> bool:
        one, other = self.repeat.block(number), self.repeat.block(number + 1)
        plans, pairs = self.given.plans, list(zip(one, other, strict=True))
        op_of = self.given.accounts
        ops = [op_of[self.repeat.block(n).start] for n in (0, 1, number, number + 1)]
        return (
            ops[1] - ops[0] == ops[3] - ops[2]
            and all(op_of[a] - op_of[one.start] == op_of[b] - op_of[other.start] for a, b in pairs)
            and self._levels(number) == self._levels(number + 1)
            and all(decisions(plans[a]) == decisions(plans[b]) and self._linked_alike(a, b) for a, b in pairs)
        )

    def _levels(self, number: int) -> Sequence[int]:
        first = self.step_of[number]
        return self.given.residency.level[first : first + self.steps]

    def _linked_alike(self, one: int, other: int) -> bool:
        """Whether the operands of two plans come from corresponding plans, or the same one, and so do their homes."""
        plans, home, owners = self.given.plans, self.given.home, self._owners
        for a, b in zip(plans[one].inputs, plans[other].inputs, strict=True):
            mine, theirs = home(a.storage), home(b.storage)
            made = owners.get(mine), owners.get(theirs)
            apart = 0 if made == (None, None) else (made[1] or 0) - (made[0] or 0) - (other - one)
            if not a.constant and mine != theirs and apart:
                return False
        homes = [home(plans[number].output.storage) for number in (one, other)]
        written = [owners[storage] for storage in homes]
        same = self.writers[homes[0]] == self.writers[homes[1]]
        return same and written[1] - written[0] == other - one and written[0] >= self.repeat.start


def _by_block(residency: Residency, repeat: Repeat, step_of: Sequence[int]) -> list[object]:
    """What residency has decided of every block, as it looks from there."""
    frames = [
        Frame(Mark(repeat.block(n).start, step), _NO_GROUPS, 0.0, 0, ()) for n, step in enumerate(step_of)
    ]
    found: list[dict[str, dict[object, object]]] = [{} for _ in frames]
    for name, table in forms_of(Residency):
        assert isinstance(table, Table)
        for key, value in getattr(residency, name).items():
            plan = key[0] if isinstance(key, tuple) else key
            number = (plan - repeat.start) // repeat.period
            if 0 <= number < len(frames):
                place = table.key.relative(key, frames[number])
                found[number].setdefault(name, {})[place] = table.value.relative(value, frames[number])
    steps = [
        [[n - first for n in residency.steps_of[plan]] for plan in repeat.block(number)]
        for number, first in enumerate(step_of)
    ]
    return list(zip(found, steps, strict=True))
