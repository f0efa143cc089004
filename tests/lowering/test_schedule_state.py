"""What a schedule in the making consists of is compared and moved by what its fields say of themselves."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Annotated, Any

import numpy as np
import openvino as ov
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openvino import opset15 as op

from npusim.graph import from_openvino
from npusim.hardware import load_hardware
from npusim.lowering import lower
from npusim.lowering.schedule import forms
from npusim.lowering.schedule.emit import Emitter
from npusim.lowering.schedule.forms import Each, Frame, Groups, Mark, Move, Row, Settled, Table, forms_of
from npusim.lowering.schedule.memory import Booking, Pool
from npusim.lowering.schedule.state import State
from npusim.lowering.schedule.steps import Residency
from npusim.program.work import Work


@pytest.mark.parametrize("kind", [State, Emitter, Pool, Residency])
def test_every_field_says_how_it_is_compared(kind: type) -> None:
    assert {name for name, _ in forms_of(kind)} <= {field.name for field in fields(kind)}


def test_a_field_that_says_nothing_is_an_error() -> None:
    @dataclass
    class Silent:
        said: Annotated[int, Settled("constant")]
        forgotten: int

    with pytest.raises(TypeError, match="forgotten"):
        forms_of(Silent)


BLOCKS, PLANS, STEPS, FILLS, TASKS = 6, 5, 7, 2, 11
_STEPS = STEPS * BLOCKS
_FILL, _FREE = 2 * _STEPS, 2 * _STEPS + FILLS * BLOCKS
_LAST = _FREE + TASKS * BLOCKS
BY = Mark(plan=PLANS, step=STEPS, group=TASKS, fill=FILLS, task=20, booking=4, release=3, write=1, us=16.0)
BOOKINGS = [Booking(64, number) for number in range(4 * BLOCKS)]
FILLED = {_FILL + FILLS * block + i: PLANS * block + i for block in range(BLOCKS) for i in range(FILLS)}


def frame(block: int, fixed: frozenset[int] = frozenset()) -> Frame:
    """The start of a block, of which all so far are equal: groups end one by one, 16 µs a block."""
    rates = (_STEPS, STEPS, 0), (_FILL, STEPS, _STEPS), (_FREE, FILLS, _FILL), (_LAST, TASKS, _FREE)
    ends = [
        next(100 + 16.0 * ((g - first) // a_block) for end, a_block, first in rates if g < end)
        for g in range(_LAST)
    ]
    groups = Groups(_STEPS, _FREE, FILLED, ends, [0] * _LAST, fixed)
    mark = BY.times(block)
    return Frame(mark._replace(group=_FREE + mark.group), groups, 0.0, 2, BOOKINGS)


#: A form, and values of it that a block finds at the start of the third.
CASES = {
    "plans": (forms.PLAN, st.integers(0, 20)),
    "steps": (forms.STEP, st.integers(0, 20)),
    "times": (forms.US, st.integers(0, 99)),
    "bookings": (forms.BOOKING, st.sampled_from(BOOKINGS[:8])),
    "lists": (Each(Row((forms.US, forms.PLAIN)), sort=True), st.lists(st.tuples(st.integers(0, 99), st.integers()))),
    "tables": (Table(Row((forms.STEP, forms.PLAIN)), Each(forms.PLAN)),
               st.dictionaries(st.tuples(st.integers(0, 40), st.integers(0, 3)), st.lists(st.integers(0, 9)))),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
@given(data=st.data(), blocks=st.integers(1, 3))
def test_what_is_moved_looks_the_same_from_there(name: str, data: st.DataObject, blocks: int) -> None:
    form, values = CASES[name]
    value = data.draw(values)
    here, there = frame(2), frame(2 + blocks)
    moved = form.moved(value, Move(here, BY.times(blocks)))
    assert form.relative(moved, there) == form.relative(value, here)


@given(st.sampled_from(("loads", "computes", "fills", "tasks")), st.integers(0, 10**6), st.integers(1, 2))
def test_groups_correspond_by_what_makes_them(kind: str, number: int, blocks: int) -> None:
    first, a_block = {"loads": (0, STEPS), "computes": (_STEPS, STEPS), "fills": (_FILL, FILLS),
                      "tasks": (_FREE, TASKS)}[kind]  # fmt: skip
    group = first + number % (3 * a_block)
    here, there = (frame(n) for n in (2, 2 + blocks))
    shifted = [us + 16.0 * blocks for us in here.groups.ends]
    moved = forms.GROUP.moved(group, Move(here, BY.times(blocks)))
    place = forms.GROUP.relative(moved, there)
    assert place == forms.GROUP.relative(group, here)
    assert there.groups.ends[moved] == shifted[group]


@given(st.integers(0, _LAST - 1), st.integers(1, 3))
def test_fixed_groups_stay(group: int, blocks: int) -> None:
    here = frame(2, frozenset({group}))
    assert forms.GROUP.moved(group, Move(here, BY.times(blocks))) == group


def test_loads_do_not_wait_again_for_each_of_many_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is asked of the queues grows with the slices, not with their square: a MatMul of 576 matrices reads
    what one before it has made in as many slices, on tiles of 64 KiB."""
    asked: list[int] = []
    put = Emitter.put

    def counted(
        self: Emitter, queue: int, number: int, work: Work, waits: tuple[int, ...], *rest: Any
    ) -> None:
        asked.append(len(waits))
        put(self, queue, number, work, waits, *rest)

    monkeypatch.setattr(Emitter, "put", counted)
    start = op.parameter([12, 48, 7, 1], np.float16)
    wide = op.matmul(op.tanh(start), np.ones((24, 1), np.float16), False, True)
    model = ov.Model([op.result(op.matmul(wide, np.ones((24, 24), np.float16), False, True))], [start], "m")
    program = lower(from_openvino(model), load_hardware("lunarlake.yaml", ["tiles=2", "cmx.kib_per_tile=64"]))
    assert len(program.tasks) > 10_000
    assert sum(asked) < 8 * len(asked)
