"""ops.csv: a row an op, in Program order."""

from __future__ import annotations

import csv
import io

from npusim.api import Result
from npusim.files import spreadsheet_cell
from npusim.report.opwork import op_work

COLUMNS = (
    "name", "type", "layer", "shape", "fused", "strategy", "engine", "start_us", "end_us", "dma_us", "dpu_us",
    "shave_us", "exposed_us", "bound", "provenance", "tasks", "macs", "elements", "ddr_read_bytes", "ddr_write_bytes",
    "guess_us",
)  # fmt: skip


def ops_csv(result: Result) -> str:
    """The table as CSV text with a header. Times are µs; ``macs`` and ``elements`` are those of OpWork."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    work = op_work(result.program)
    for number, (op, row) in enumerate(zip(result.program.ops, result.metrics.ops, strict=True)):
        times = (row.start_us, row.end_us, row.dma_us, row.dpu_us, row.shave_us, row.exposed_us)
        start, end, dma, dpu, shave, exposed = (f"{time:.6f}" for time in times)
        shape = "x".join(map(str, op.shape))
        writer.writerow(
            (
                *map(spreadsheet_cell, (op.name, op.type, op.layer, shape, ";".join(op.fused), op.strategy)),
                row.engine,
            )
            + (start, end, dma, dpu, shave, exposed, row.bound, row.provenance)
            + tuple(int(column[number]) for column in work.columns())
            + (f"{row.guess_us:.6f}",)
        )
    return text.getvalue()
