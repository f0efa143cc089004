"""What the page's timeline shows: lanes, and the columns of all tasks in binary."""

from __future__ import annotations

from typing import Any

import numpy as np

from npusim.analysis.bottleneck import critical_path
from npusim.api import Result
from npusim.costs.prices import PROVENANCE
from npusim.engine.timeline import WAIT_REASONS
from npusim.program import ENGINES, Program, Queue
from npusim.program.tasks import numbered
from npusim.program.work import BlockWork, DmaWork, DpuWork, Work
from npusim.report.page import column
from npusim.text import printable


def lanes(program: Program) -> list[tuple[int, int]]:
    """(queue, server) of every lane: DMA first, then tile by tile."""

    def place(lane: tuple[int, int]) -> tuple[object, ...]:
        number, server = lane
        queue = program.queues[number]
        tile = {"dma": -1, "block": len(program.queues)}.get(queue.engine, queue.unit)
        return tile, ENGINES.index(queue.engine), queue.channel != "ddr", queue.unit, number, server

    return sorted(((q, s) for q, queue in enumerate(program.queues) for s in range(queue.servers)), key=place)


def lane_name(queue: Queue, server: int) -> str:
    """What a lane is called: ``DMA 0 · DDR``, ``Tile 1 · SHAVE 0``."""
    if queue.engine == "dma":
        return f"DMA {queue.unit} · {queue.channel.upper()}".rstrip(" ·")
    if queue.engine == "block":
        return queue.name
    number = f" {server}" if queue.servers > 1 else ""
    return f"Tile {queue.unit} · {queue.engine.upper()}{number}"


def lane_of_task(result: Result) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Index into lanes() of every task."""
    program = result.program
    servers = max((queue.servers for queue in program.queues), default=1)
    lookup = np.zeros((len(program.queues), servers), np.int64)
    for index, lane in enumerate(lanes(program)):
        lookup[lane] = index
    return lookup[program.tasks.queue, result.timeline.server]


def timeline_data(result: Result, types: list[str]) -> dict[str, Any]:
    """The ``data`` of a timeline block; ``types`` are the op types, those that get the first colours first."""
    program, timeline = result.program, result.timeline
    clocks = result.hardware.clocks
    mhz = {"dma": clocks.vpu_mhz, "dpu": clocks.dpu_mhz, "shave": clocks.vpu_mhz, "block": clocks.vpu_mhz}
    work_text_of, works = numbered(map(work_text, program.tasks.works))
    return {
        "latency": timeline.latency_us,
        "lanes": [
            {
                "name": lane_name(program.queues[queue], server),
                "group": "dma" if program.queues[queue].engine == "dma" else program.queues[queue].unit,
                "engine": program.queues[queue].engine,
                "mhz": mhz[program.queues[queue].engine],
            }
            for queue, server in lanes(program)
        ],
        "columns": {
            "lane": column(lane_of_task(result), "u1" if len(lanes(program)) < 256 else "u2"),
            "op": column(program.tasks.op, "u4"),
            "start": column(timeline.start_us, "f8"),
            "duration": column(timeline.end_us - timeline.start_us, "f4"),
            "contended": column(timeline.contended_us, "f4"),
            "bytes": column(result.prices.ddr_bytes, "f4"),
            "waitFor": column(timeline.wait_for, "i4"),
            "reason": column(timeline.wait_reason, "u1"),
            "source": column(result.prices.provenance, "u1"),
            "work": column(work_text_of[program.tasks.work], "u4"),
            "detail": column(program.tasks.detail, "u4"),
            "path": column(critical_path(timeline, result.prices).tasks, "u4"),
        },
        "works": [printable(text) for text in works],
        "details": [printable(text) for text in program.tasks.details],
        "ops": {
            "name": [printable(op.name) for op in program.ops],
            "type": [printable(op.type) for op in program.ops],
            "layer": [printable(op.layer) for op in program.ops],
            "shape": [" × ".join(map(str, op.shape)) for op in program.ops],
            "strategy": [printable(op.strategy) for op in program.ops],
            "fused": [printable(", ".join(op.fused)) for op in program.ops],
        },
        "types": [printable(kind) for kind in types],
        "reasons": list(WAIT_REASONS),
        "provenance": list(PROVENANCE),
    }


def work_text(work: Work) -> str:
    """One line about the work of a task."""
    if isinstance(work, DmaWork):
        return f"{work.kind} {work.src.upper()} → {work.dst.upper()}, {work.bytes:,} B"
    if isinstance(work, BlockWork):
        return f"{work.block}, {work.macs:,} MAC in {work.levels} levels, {work.io_bytes:,} B in and out"
    if isinstance(work, DpuWork):
        window = f", {work.kernel_h}×{work.kernel_w} window" if work.kernel_h * work.kernel_w > 1 else ""
        reduced = f" from {work.in_channels} channels" if work.kind == "conv" else ""
        size = f"{work.height}×{work.width}×{work.out_channels}{reduced}{window}, {work.in_bits} bit"
        return f"{work.kind} {size}, {work.macs:,} {'MAC' if 'conv' in work.kind else 'elements'}"
    return f"kernel {work.kernel}, {work.out_elements:,} elements out, {work.io_bytes:,} B in and out"
