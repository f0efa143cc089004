"""The table of ops of a run's page."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from npusim.api import Result
from npusim.program import ProgramOp
from npusim.report.blocks import Block, number_column, text_column
from npusim.report.looks import ENGINE_NAMES
from npusim.report.opwork import OpWork
from npusim.text import printable

_NUMBER = re.compile(r"\d+")


def ops_block() -> Block:
    """The block that shows the table ``ops``."""
    lead = "Click a name to see its tasks in the timeline. Times are the union of the op's tasks on an engine kind."
    return {
        "kind": "table",
        "title": "All ops",
        "lead": lead,
        "table": "ops",
        "file": "ops.csv",
        "link": "timeline",
        "choose": "type",
    }


def ops_table(result: Result, work: OpWork) -> dict[str, Any]:
    """One row an op, in Program order."""
    ops, rows = result.program.ops, result.metrics.ops
    total = result.latency_us or 1.0

    def number(key: str, title: str, unit: str, values: Sequence[float], digits: int) -> dict[str, Any]:
        return number_column(key, title, unit, values, digits, blank_zero=True)

    columns = [
        text_column("name", "Op", [op.name for op in ops]),
        text_column("type", "Type", [op.type for op in ops]),
        text_column("engine", "Engine", [ENGINE_NAMES[row.engine] for row in rows]),
        number("exposed_us", "Latency", "µs", [row.exposed_us for row in rows], 2),
        number("share", "Share", "%", [row.exposed_us / total * 100 for row in rows], 2),
        text_column("bound", "Bound by", [row.bound for row in rows]),
        number("guess_us", "Guessed", "µs", [row.guess_us for row in rows], 2),
        text_column("provenance", "Cost is", [row.provenance for row in rows]),
        number("dpu_us", "DPU", "µs", [row.dpu_us for row in rows], 2),
        number("shave_us", "SHAVE", "µs", [row.shave_us for row in rows], 2),
        number("dma_us", "DMA", "µs", [row.dma_us for row in rows], 2),
        number("start_us", "Start", "µs", [row.start_us for row in rows], 2),
        number("end_us", "End", "µs", [row.end_us for row in rows], 2),
        number("tasks", "Tasks", "", work.tasks.tolist(), 0),
        number("mmac", "MACs", "M", (work.macs / 1e6).tolist(), 2),
        number("read", "DDR read", "KiB", (work.ddr_read_bytes / 1024).tolist(), 1),
        number("write", "DDR written", "KiB", (work.ddr_write_bytes / 1024).tolist(), 1),
        text_column("layer", "Layer", [op.layer for op in ops]),
        text_column("shape", "Output", ["×".join(map(str, op.shape)) for op in ops]),
        text_column("strategy", "Split", [op.strategy for op in ops]),
    ]
    fold = {
        "title": "equal layers together",
        "names": [printable(folded_name(op)) for op in ops],
        "apart": ["type", "engine"],
        "how": {"start_us": "min", "end_us": "max"},
    }
    return {"columns": columns, "sort": "exposed_us", "fold": fold}


def folded_name(op: ProgramOp) -> str:
    """The op's name with a star for the number of its layer, the same for all layers."""
    return op.name.replace(op.layer, _NUMBER.sub("*", op.layer), 1) if op.layer else op.name
