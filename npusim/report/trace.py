"""The trace: Chrome JSON in the dialect of Intel's compiler, for Perfetto and chrome://tracing.

Processes are ``DMA`` (a lane a queue), ``Cluster (i)`` (one DPU and two Shave lanes), ``Layers`` (an event an op) and
``Counters`` (DDR bandwidth, CMX use). Times are microseconds. What SQL is likely to group or sum by are arguments of
their own: an op's exposed time, its engine, the type of a task's op.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from npusim import __version__
from npusim.analysis import series
from npusim.api import Result
from npusim.costs.prices import PROVENANCE
from npusim.engine.timeline import WAIT_REASONS
from npusim.program.work import BlockWork, DmaWork, DpuWork, Work

_CATEGORY = {"dma": "DMA", "dpu": "DPU", "shave": "Shave", "block": "Block"}
_COUNTER_BINS = 2000


def trace_text(result: Result) -> str:
    """The whole trace as JSON text, an event a line."""
    encode = json.JSONEncoder(ensure_ascii=False, separators=(", ", ": ")).encode
    lanes = _Lanes(result)
    events = ",\n".join(
        map(
            encode,
            [
                *lanes.metadata,
                *_tasks(result, lanes),
                *_layers(result, lanes),
                *_counters(result, lanes),
            ],
        )
    )
    tail = {
        "taskStatistics": _statistics(result.metrics.statistics),
        "workpoint": {"freq": result.hardware.clocks.dpu_mhz, "status": "SIM"},
        "hardware": result.hardware.model_dump(mode="json"),
        "otherData": {
            "npusim": __version__,
            "hardware": result.hardware.name,
            "software": result.hardware.software.name,
            "workload": result.program.name,
        },
        "displayTimeUnit": "ns",
    }
    return f'{{"traceEvents": [\n{events}\n],\n{encode(tail)[1:]}\n'


class _Lanes:
    """Process and thread numbers, as the vendor counts them: threads are numbered across processes."""

    def __init__(self, result: Result) -> None:
        self.metadata: list[dict[str, Any]] = []
        self.of: dict[tuple[int, int], tuple[int, int]] = {}
        self._tid = 0
        queues = list(enumerate(result.program.queues))
        dma = self.process("DMA")
        for index, queue in queues:
            if queue.engine == "dma":
                self.of[index, 0] = (
                    dma,
                    self.thread(dma, f"DMA {queue.unit} {queue.channel.upper()}".rstrip()),
                )
        for tile in sorted({queue.unit for _, queue in queues if queue.engine in ("dpu", "shave")}):
            cluster = self.process(f"Cluster ({tile})")
            for engine, name in (("dpu", "DPU"), ("shave", "Shave")):
                for index, queue in queues:
                    if queue.engine == engine and queue.unit == tile:
                        for server in range(queue.servers):
                            self.of[index, server] = cluster, self.thread(cluster, name)

        for index, queue in queues:
            if queue.engine == "block":
                self.of[index, 0] = (unit := self.process(queue.name)), self.thread(unit, queue.name)

    def process(self, name: str) -> int:
        pid = sum(event["name"] == "process_name" for event in self.metadata)
        self.metadata.append({"name": "process_name", "ph": "M", "pid": pid, "args": {"name": name}})
        self.metadata.append(
            {"name": "process_sort_index", "ph": "M", "pid": pid, "args": {"sort_index": str(pid)}}
        )
        return pid

    def thread(self, pid: int, name: str) -> int:
        tid, self._tid = self._tid, self._tid + 1
        self.metadata.append(
            {"name": "thread_name", "ph": "M", "pid": pid, "tid": tid, "args": {"name": name}}
        )
        return tid


def _tasks(result: Result, lanes: _Lanes) -> Iterator[dict[str, Any]]:
    program, timeline = result.program, result.timeline
    start = np.round(timeline.start_us, 3)
    duration = np.round(np.round(timeline.end_us, 3) - start, 3).tolist()
    columns = zip(
        program.tasks,
        start.tolist(),
        duration,
        timeline.server.tolist(),
        timeline.wait_reason.tolist(),
        result.prices.provenance.tolist(),
        strict=True,
    )
    for task, ts, dur, server, reason, provenance in columns:
        queue, op = program.queues[task.queue], program.ops[task.op]
        pid, tid = lanes.of[task.queue, server]
        where = "" if queue.engine == "dma" else f"/cluster_{queue.unit}"
        yield {
            "name": f"{op.name}?t_{op.type}{where}",
            "cat": _CATEGORY[queue.engine],
            "ph": "X",
            "ts": ts,
            "dur": dur,
            "pid": pid,
            "tid": tid,
            "args": {
                "Op type": op.type,
                **_arguments(task.work),
                "Detail": task.detail,
                "Waited for": WAIT_REASONS[reason],
                "Cost source": PROVENANCE[provenance],
            },
        }


def _arguments(work: Work) -> dict[str, str]:
    """What the vendor's trace says of a task of this kind."""
    if isinstance(work, DmaWork):
        shape = f"[{work.bytes}xui8]"
        return {
            "Source memory:": work.src.upper(),
            "Destination memory:": work.dst.upper(),
            "Input tensor shape": shape,
            "Output tensor shape": shape,
        }
    if isinstance(work, DpuWork):
        channels = work.in_channels if work.kind == "conv" else work.out_channels
        height, width = work.height * work.stride, work.width * work.stride
        return {
            "Input tensors": f"[1x{channels}x{height}x{width}x{_type(work.in_bits)}]",
            "Output tensors": f"[1x{work.out_channels}x{work.height}x{work.width}x{_type(work.out_bits)}]",
        }
    if isinstance(work, BlockWork):
        return {"Unit": work.block, "Products": str(work.macs), "Levels": str(work.levels)}
    return {
        "Kernel": work.kernel,
        "Output elements": str(work.out_elements),
        "Output bytes": str(work.out_bytes),
    }


def _type(bits: int) -> str:
    return f"f{bits}" if bits > 8 else f"ui{bits}"


def _layers(result: Result, lanes: _Lanes) -> Iterator[dict[str, Any]]:
    """An event an op, in as many lanes as ops overlap."""
    pid = lanes.process("Layers")
    free: list[tuple[float, int]] = []
    events = []
    rows = zip(result.metrics.ops, result.program.ops, strict=True)
    for row, op in sorted(rows, key=lambda pair: pair[0].start_us):
        start, end = round(row.start_us, 3), round(row.end_us, 3)
        lane = next((index for index, (until, _) in enumerate(free) if until <= start), len(free))
        if lane == len(free):
            free.append((end, lanes.thread(pid, "Layers")))
        free[lane] = (end, free[lane][1])
        busy = {"DMA": row.dma_us, "DPU": row.dpu_us, "Shave": row.shave_us}
        times = {f"{engine} time": _duration(us) for engine, us in busy.items() if us > 0}
        events.append(
            {
                "name": row.name,
                "cat": "Layer",
                "ph": "X",
                "ts": start,
                "dur": round(end - start, 3),
                "pid": pid,
                "tid": free[lane][1],
                "args": {
                    "Layer type": row.type,
                    **times,
                    "Engine": _CATEGORY[row.engine],
                    "exposed_us": round(row.exposed_us, 6),
                    "guess_us": round(row.guess_us, 6),
                    "Bound by": row.bound,
                    "Shape": "x".join(map(str, op.shape)),
                    "Fused ops": list(op.fused),
                },
            }
        )
    yield from [event for event in lanes.metadata if event["pid"] == pid]
    yield from events


def _duration(us: float) -> str:
    whole, ns = divmod(round(us * 1000), 1000)
    return f"{whole}us {ns}ns"


def _counters(result: Result, lanes: _Lanes) -> Iterator[dict[str, Any]]:
    """DDR bandwidth and CMX use; a sample where the value changes."""
    pid = lanes.process("Counters")
    yield from [event for event in lanes.metadata if event["pid"] == pid]
    edges = series.edges_us(result.timeline, _COUNTER_BINS)
    curves = {"DDR bandwidth": ("GB/s", series.ddr_gbps(result.timeline, result.prices, edges))}
    curves["CMX use, fullest tile"] = ("KiB", series.cmx_kib(result.timeline, edges).max(axis=0))
    for name, (unit, values) in curves.items():
        last = None
        for ts, value in zip(np.round(edges[:-1], 3).tolist(), np.round(values, 2).tolist(), strict=True):
            if value != last:
                yield {"name": name, "ph": "C", "ts": ts, "pid": pid, "args": {unit: value}}
            last = value
        yield {"name": name, "ph": "C", "ts": round(float(edges[-1]), 3), "pid": pid, "args": {unit: 0}}


def _statistics(ours: Mapping[str, float]) -> dict[str, float]:
    """The statistics under the vendor's keys, µs."""
    shave_alone = ours["shave_us"] - ours["shave_dpu_overlap_us"]
    return {
        "total duration": round(ours["total_us"], 3),
        "DMA duration": round(ours["dma_us"], 3),
        "DPU duration": round(ours["dpu_us"], 3),
        "SW duration": round(ours["shave_us"], 3),
        "DMA-DPU overlap": round(ours["dma_dpu_overlap_us"], 3),
        "DMA-SW overlap": round(ours["dma_shave_overlap_us"], 3),
        "SW-DPU overlap": round(ours["shave_dpu_overlap_us"], 3),
        "all tasks union": round(ours["total_us"] - ours["idle_us"], 3),
        "total idle": round(ours["idle_us"], 3),
        "SW duration without DPU overlap": round(shave_alone, 3),
        "Sum of DMA task durations": round(ours["sum_dma_us"], 3),
        "Sum of DPU task durations": round(ours["sum_dpu_us"], 3),
        "Sum of SW task durations": round(ours["sum_shave_us"], 3),
    }
