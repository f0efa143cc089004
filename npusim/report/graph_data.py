"""The block of a run's page that draws the model: its ops are the rows of the table ``ops``."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from npusim.analysis.wiring import Edge
from npusim.report.blocks import Block
from npusim.report.page import column

_LEAD = (
    "A box is an op as the NPU runs it, with what was fused into it, below what it reads; its colour is the engine "
    "that it keeps busy longest, the stronger the more of the latency it is. Views and constants, which take no time, "
    "are left out."
)


def graph_block(edges: Sequence[Edge]) -> Block:
    """The block; ``edges`` are between rows of the table."""
    ends = np.array(edges, np.uint32).reshape(-1, 2)
    return {
        "kind": "graph",
        "title": "The model, by engine and time",
        "lead": _LEAD,
        "table": "ops",
        "link": "timeline",
        "data": {"columns": {"from": column(ends[:, 0], "u4"), "to": column(ends[:, 1], "u4")}},
    }
