"""An exploration made by hand: three axes, a failed point, and values from strangers."""

from __future__ import annotations

import pandas as pd

from npusim.explore.axes import Axis
from npusim.explore.results import Explored, explored
from npusim.explore.store import COLUMNS
from tests.report.synthetic import HOSTILE


def synthetic_explored() -> Explored:
    """Tiles × bandwidth × rewrites; one tile with a hostile rewrite does not fit, and says so."""
    axes = (
        Axis("tiles", (1, 2, 4), whole=True),
        Axis("ddr.bandwidth_gbps", (34.0, 68.0, 102.5)),
        Axis("xamba", ("none", HOSTILE)),
    )
    rows = []
    for tiles in (1, 2, 4):
        for gbps in (34.0, 68.0, 102.5):
            for rewrite in ("none", HOSTILE):
                failed = tiles == 1 and rewrite == HOSTILE
                latency = (4000 / tiles + 60_000 / gbps) * (1.0 if rewrite == "none" else 0.7)
                results = {
                    "latency_us": latency, "tokens_per_s": 256e6 / latency, "energy_uj": 800.0 + 90 * tiles + gbps,
                    "dma_us": latency / 2, "dpu_us": latency / 3, "shave_us": latency / 2, "idle_us": 0.0,
                    "bound": "shave", "guess_share": 0.0, "tasks": 100, "macs_per_cycle": 2048.0 * tiles,
                    "cmx_bytes": 1_474_560 * tiles,
                }  # fmt: skip
                wrong = {name: "" if name == "bound" else float("nan") for name in results}
                found = wrong if failed else results
                error = f"does not fit: {HOSTILE}" if failed else ""
                rows.append([tiles, gbps, rewrite, *found.values(), error])
    table = pd.DataFrame(rows, columns=[*(axis.name for axis in axes), *COLUMNS])
    return explored(table, axes, ("latency_us", "energy_uj"))
