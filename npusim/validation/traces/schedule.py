"""A schedule that somebody else made, or a profile of a real run, as a Result: every metric and report works on it.

What a trace does not say is inferred or left out. A task waits for its own lane if the task before it there ends when
it starts (within 2.5 ns, the rounding of the vendor's traces), else for the task that ended last before it starts; a
gap after that stays unexplained. Barriers, CMX buffers and what contention costs are not in a trace.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from npusim.analysis.metrics import metrics
from npusim.api import Result
from npusim.costs.energy import dynamic_pj
from npusim.costs.prices import PROVENANCE, Prices
from npusim.engine.timeline import WAIT_REASONS, Timeline
from npusim.errors import UserError
from npusim.hardware import load_hardware, shipped
from npusim.hardware.schema import Hardware
from npusim.program import Program, ProgramOp, Queue, Task, Tasks
from npusim.program.work import DmaWork, ShaveWork
from npusim.validation.traces.file import ENGINE_OF, Event, TraceFile
from npusim.validation.traces.tasks import detail_of, shapes, work_of

#: A task starts "when" another ends if both are so close, µs.
TOLERANCE_US = 0.0025
#: Of a longer number its beginning, which no tile has either.
_NUMBER = re.compile(r"\d{1,9}", re.ASCII)
_NOT_A_MODEL_OP = "<Unknown>"


@dataclass(frozen=True, slots=True)
class Machine:
    """The hardware that a trace is from: the one that it carries, or a file with overrides that fit it to the trace."""

    hardware: Hardware
    file: str = ""
    overrides: tuple[str, ...] = ()


def op_name(task_name: str) -> str:
    """The model's name for what a task belongs to: ``/m/Exp?t_Exp/tile_0/cluster_1`` is of ``/m/Exp``."""
    return task_name.partition("?")[0]


def machine_of(trace: TraceFile, file: str | None = None) -> Machine:
    """``file``, or where none is given the hardware that the trace carries, else the shipped one whose DPU clock is
    nearest to the trace's (the vendor's estimator before others); a file with the trace's clock and as many tiles as
    it shows at work. Raises UserError where it shows more than there can be."""
    if file is None and trace.hardware is not None:
        return Machine(trace.hardware)
    if file is None:
        wanted = trace.dpu_mhz or 0.0
        file = min(
            (abs(hw.clocks.dpu_mhz - wanted), hw.role != "estimator", name) for name, hw in _shipped()
        )[2]
    hw = load_hardware(file)
    clusters = (_NUMBER.search(name) for name in trace.processes.values() if name.startswith("Cluster"))
    tiles = max((int(number[0]) + 1 for number in clusters if number), default=0)
    overrides = [f"tiles={tiles}"] if tiles and tiles != hw.tiles else []
    if trace.dpu_mhz and trace.dpu_mhz != hw.clocks.dpu_mhz:
        overrides.append(f"clocks.dpu_mhz={trace.dpu_mhz:g}")
    try:
        return Machine(load_hardware(file, overrides), file, tuple(overrides))
    except UserError as error:
        raise UserError(f"{trace.name}: is of no machine that can be: {error}") from None


@cache
def _shipped() -> list[tuple[str, Hardware]]:
    return [(name, load_hardware(name)) for name in shipped()]


def import_trace(trace: TraceFile, hw: Hardware, notes: Sequence[str] = ()) -> Result:
    """The Result of a trace. ``hw`` is the machine it is from, for rooflines, energy and the report's facts.

    Statistics equal the trace's own. Costs are ``fitted`` where the trace says that it is simulated (but for tasks
    that name a source of their cost), else ``measured``.
    """
    queues, places = _queues(trace)
    tasks = sorted(trace.tasks, key=lambda task: (task.start_us, places[task.pid, task.tid]))
    ops, op_of = _ops(trace, tasks)
    program = Program(
        name=trace.name,
        queues=tuple(queues),
        tasks=Tasks.of(
            Task(
                places[task.pid, task.tid][0],
                op_of[op_name(task.name)],
                work_of(task),
                detail=detail_of(task),
            )
            for task in tasks
        ),
        ops=tuple(ops),
        barriers=0,
        tiles=hw.tiles,
        notes=(*notes, *_left_out(trace)),
    )
    start = np.array([task.start_us for task in tasks])
    end = start + np.array([task.duration_us for task in tasks])
    lane = np.array([places[task.pid, task.tid] for task in tasks], np.int64)
    reason, cause = infer_waits(start, end, lane)
    timeline = Timeline(
        program=program,
        start_us=start,
        end_us=end,
        wait_reason=reason,
        wait_for=cause,
        contended_us=np.zeros(len(tasks)),
        server=lane[:, 1].astype(np.int8),
        engine="imported",
    )
    prices = _prices(trace, program, tasks, end - start, hw)
    return Result(program, hw, prices, timeline, metrics(timeline, prices, hw))


def infer_waits(
    start: npt.NDArray[np.float64], end: npt.NDArray[np.float64], lane: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.int64]]:
    """``wait_reason`` and ``wait_for`` of tasks in order of their start; ``lane`` has (queue, server) rows.

    ``wait_for`` is -1 for what starts at 0, and otherwise always an earlier task, so that chains end.
    """
    queue_reason, barrier = WAIT_REASONS.index("queue"), WAIT_REASONS.index("barrier")
    reason, cause = np.zeros(len(start), np.int8), np.full(len(start), -1, np.int64)
    by_end = np.argsort(end, kind="stable")
    ends = end[by_end].tolist()
    last_of_lane: dict[tuple[int, ...], int] = {}
    for task, (begin, place) in enumerate(zip(start.tolist(), map(tuple, lane.tolist()), strict=True)):
        previous = last_of_lane.get(place, -1)
        last_of_lane[place] = task
        if begin <= TOLERANCE_US:
            continue
        if previous >= 0 and abs(begin - end[previous]) <= TOLERANCE_US:
            reason[task], cause[task] = queue_reason, previous
            continue
        at = bisect_right(ends, begin + TOLERANCE_US) - 1
        while at >= 0 and by_end[at] >= task:
            at -= 1
        if at >= 0:
            cause[task] = by_end[at]
            if begin - ends[at] <= TOLERANCE_US:
                reason[task] = barrier
    return reason, cause


def _queues(trace: TraceFile) -> tuple[list[Queue], dict[tuple[int, int], tuple[int, int]]]:
    """Queues, and (queue, server) of every lane that has tasks: lanes of one process that bear one name are servers of
    one queue (Shave before 5010)."""
    engines = {(task.pid, task.tid): ENGINE_OF[task.category] for task in trace.tasks}
    groups: dict[tuple[str, int, str], list[tuple[int, int]]] = {}
    for lane in sorted(engines, key=lambda lane: (list(ENGINE_OF.values()).index(engines[lane]), lane)):
        name = trace.threads.get(lane, f"lane {lane[1]}")
        groups.setdefault((engines[lane], lane[0], name), []).append(lane)
    queues: list[Queue] = []
    places: dict[tuple[int, int], tuple[int, int]] = {}
    for (engine, pid, name), lanes in groups.items():
        unit = _NUMBER.search(name if engine == "dma" else trace.processes.get(pid, ""))
        channel = next(
            (memory for memory in ("ddr", "cmx") if engine == "dma" and memory.upper() in name), ""
        )
        title = name if engine == "dma" else f"{name.upper()} {unit[0] if unit else pid}"
        queue = Queue(title, engine, int(unit[0]) if unit else pid, channel, len(lanes))  # type: ignore[arg-type]
        places.update({lane: (len(queues), server) for server, lane in enumerate(lanes)})
        queues.append(queue)
    return queues, places


def _ops(trace: TraceFile, tasks: Sequence[Event]) -> tuple[list[ProgramOp], dict[str, int]]:
    """Ops in the order of their first task: the names of tasks up to the ``?``, with the types of the Layers lane."""
    types = {layer.name: str(layer.args.get("Layer type", "")) for layer in trace.layers}
    ops: list[ProgramOp] = []
    op_of: dict[str, int] = {}
    for task in tasks:
        name = op_name(task.name)
        if name not in op_of:
            kind = types.get(name) or task.name.partition("?t_")[2].partition("/")[0]
            output = shapes(task.args.get("Output tensors") or task.args.get("Output tensor shape"))
            op_of[name] = len(ops)
            ops.append(ProgramOp(name, kind or _NOT_A_MODEL_OP, shape=output[0].dims if output else ()))
    return ops, op_of


def _prices(
    trace: TraceFile,
    program: Program,
    tasks: Sequence[Event],
    duration_us: npt.NDArray[np.float64],
    hw: Hardware,
) -> Prices:
    usual = PROVENANCE.index("fitted" if trace.simulated else "measured")
    sources = [str(task.args.get("Cost source", "")) for task in tasks]
    cycles = (duration_us * hw.clocks.vpu_mhz).tolist()
    works = [program.tasks.works[i] for i in program.tasks.work.tolist()]
    return Prices(
        duration_us=duration_us,
        latency_us=np.zeros(len(tasks)),
        ddr_bytes=np.array(
            [
                work.ddr_read_bytes + work.ddr_write_bytes if isinstance(work, DmaWork) else 0.0
                for work in works
            ]
        ),
        provenance=np.array(
            [PROVENANCE.index(source) if source in PROVENANCE else usual for source in sources], np.int8
        ),
        energy_pj=np.array(
            [
                dynamic_pj(work, hw, count if isinstance(work, ShaveWork) else 0.0)
                for work, count in zip(works, cycles, strict=True)
            ]
        ),
        ddr_gbps=None,
    )


def _left_out(trace: TraceFile) -> list[str]:
    return [
        f"{count} tasks of category {name} are left out" for name, count in sorted(trace.left_out.items())
    ]
