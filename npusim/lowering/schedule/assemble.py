"""Assembly: what the scheduler has emitted becomes a Program: fetches are added, groups become barriers."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

import numpy as np

from npusim.hardware.schema import Hardware
from npusim.lowering.ir.plan import cmx_capacity
from npusim.lowering.schedule.drafts import Drafts
from npusim.lowering.schedule.emit import Emitter, queues
from npusim.lowering.schedule.fetch import Fetched, add_fetches
from npusim.lowering.schedule.memory import Booking
from npusim.program import CmxBuffer, Indices, Lists, Program, ProgramOp, Tasks
from npusim.program.tasks import first_used, grouped


def finish(
    out: Emitter,
    bookings: Sequence[Booking],
    ops: Sequence[ProgramOp],
    name: str,
    hw: Hardware,
    notes: tuple[str, ...],
) -> Program:
    """The Program of all that ``out`` has emitted; ``bookings`` are the CMX that it takes."""
    out.close()
    fetched = add_fetches(Drafts.joined(out.parts), out, hw)
    drafts = fetched.drafts
    task, group = _memberships(fetched)
    waited = np.intersect1d(drafts.waits.values, group)
    barrier = np.full(1 + max(drafts.waits.values.max(initial=0), group.max(initial=0)), -1, np.int32)
    barrier[waited] = np.arange(len(waited), dtype=np.int32)
    work, works = first_used(drafts.work, tuple(out.works))
    detail, details = first_used(drafts.detail, tuple(out.details))
    awaited = barrier[drafts.waits.values]
    tasks = Tasks(
        queue=drafts.queue,
        op=drafts.op,
        work=work,
        detail=detail,
        waits=_known(drafts.waits.owner, awaited, len(work)),
        updates=_known(task, barrier[group], len(work)),
        works=works,
        details=details,
    )
    return Program(
        name=name,
        queues=queues(hw),
        tasks=tasks,
        ops=tuple(ops),
        barriers=len(waited),
        buffers=_buffers(bookings, drafts, fetched.position),
        cmx_bytes_per_tile=cmx_capacity(hw),
        tiles=hw.tiles,
        notes=notes,
    )


def _memberships(fetched: Fetched) -> tuple[Indices, Indices]:
    """(task, group) of every membership: all tasks are in one group, some in a second one."""
    group = fetched.drafts.group
    task = np.arange(len(group), dtype=np.int32)
    more = np.array(list(fetched.also.items()), np.int32).reshape(-1, 2)
    return np.concatenate([task, more[:, 0]]), np.concatenate([group, more[:, 1]])


def _known(owner: Indices, barrier: Indices, count: int) -> Lists:
    """Lists of barriers, without groups that are none (-1)."""
    known = barrier >= 0
    return grouped(owner[known], barrier[known], count)


def _buffers(bookings: Sequence[Booking], drafts: Drafts, position: Indices) -> tuple[CmxBuffer, ...]:
    """Bookings in terms of the final task numbers."""
    members = grouped(drafts.group, np.arange(len(drafts.group), dtype=np.int32), 0)
    of_group = members.tuples()
    used = [booking for booking in bookings if booking.bytes and booking.writers]
    written = Lists.of([booking.writers for booking in used])
    buffers = []
    for booking, writers in zip(used, Lists(position[written.values], written.at).tuples(), strict=True):
        using = [of_group[group] for group in booking.release if group < len(of_group)]
        readers = using[0] if len(using) == 1 else tuple(sorted(chain.from_iterable(using)))
        buffers.append(CmxBuffer(booking.bytes, writers, readers))
    return tuple(buffers)
