"""Scores against silicon: medians over the same rows for both, ratios of matching rows, a page with every row."""

from __future__ import annotations

from dataclasses import replace

from npusim.validation.silicon.measurements import Measurement, Shares
from npusim.validation.silicon.page import accuracy_page
from npusim.validation.silicon.scores import Bottleneck, Scored
from npusim.validation.silicon.tasks import read_scores

ROW = Measurement(
    model="net", workload="resnet-50", tokens=None, shape="1x3x224x224", platform="4000", device="a laptop",
    precision="FP16", metric="throughput", measured_us=1000.0, grade="A", use="score", openvino="2025.1",
    shows="throughput | not latency", source="somewhere",
)  # fmt: skip
INT8 = replace(ROW, precision="INT8", measured_us=500.0)
OLD = replace(ROW, platform="3720", device="an older laptop", measured_us=3000.0)


def test_the_page_has_every_row() -> None:
    rows = [Scored(ROW, 1100.0, 2000.0), Scored(OLD, 2400.0, None), Scored(INT8, 600.0, None)]
    trend = replace(ROW, use="trend", workload="scan", platform="3720", metric="latency", grade="B+")
    operators = [
        Scored(replace(trend, tokens=128 * n, measured_us=float(n)), 2.0 * n, None) for n in (1, 2, 3)
    ]
    bound = [
        Bottleneck(Shares("scan", 128, 70, 20, 10, "a study"), "dpu", {}),
        Bottleneck(Shares("scan", 256, 10, 20, 70, "a study"), "dma", {}),
    ]
    page = accuracy_page([*rows, *operators], bound, read_scores(), [], "npusim validate")
    assert page == accuracy_page([*rows, *operators], bound, read_scores(), [], "npusim validate")
    every = page.partition("## Every row")[2]
    assert every.count("| net |") == len(rows)
    assert "+10.0%" in every
    assert "throughput \\| not latency" in page
    assert "rank correlation is 1.000" in page
    assert "right for 1 of 2" in page
    widths = [line.replace("\\|", "").count("|") for line in every.partition("##")[0].splitlines() if line]
    assert set(widths) == {12}
    for title, part in (("## Operators", operators), ("## Networks", rows)):
        left = [one for one in (*rows, *operators) if one not in part]
        assert title not in accuracy_page(left, [], [], [], "npusim validate")


def test_both_are_judged_by_the_same_rows() -> None:
    """npusim's 10 % and the vendor's 100 % on the row that both have, 15 % for npusim's alone."""
    page = accuracy_page(
        [Scored(ROW, 1100.0, 2000.0), Scored(INT8, 600.0, None)], [], [], [], "npusim validate"
    )
    assert "| all |  |  | 2 | 15.0% | 1 | 10.0% | 100.0% |" in page


def test_the_page_tells_what_was_fitted() -> None:
    fitted = {
        "command": "npusim calibrate --hw lunarlake",
        "rows": [
            {
                "row": ROW.label,
                "model": "net",
                "measured_us": 1000.0,
                "base_us": 1100.0,
                "left_out_us": 1210.0,
            },
            {"row": "another", "model": "other", "measured_us": 10.0, "base_us": 9.0, "left_out_us": None},
        ],
        "median_error": {"base": 0.5, "fitted": 0.05, "left_out": None},
        "parameters": [
            {
                "path": "ddr.bandwidth_gbps",
                "value": 71.5,
                "interval": [60, 90.5],
                "verdict": "identified",
                "tied_to": [],
            },
            {
                "path": "a.b",
                "value": 1,
                "interval": None,
                "verdict": "flat",
                "tied_to": ["ddr.bandwidth_gbps"],
            },
        ],
    }
    page = accuracy_page([Scored(ROW, 1100.0, None)], [], [], [fitted], "npusim validate")
    assert "2 rows of net, other: median error 5.0%, and unknown where" in page
    assert "| `ddr.bandwidth_gbps` | 71.5 | 60 to 90.5 | identified |  |" in page
    assert "| a laptop | 1 | 10.0% | 10.0% | 21.0% | 21.0% |" in page
    assert "the median error is 21.0%, and nine of ten are within 21.0%." in page
    assert "| `a.b` | 1 |  | flat | `ddr.bandwidth_gbps` |" in page


def test_the_carried_scores_are_read() -> None:
    scores = read_scores()
    assert {(one.platform, one.kind) for one in scores} >= {("4000", "DMA"), ("4000", "depth-wise")}
    assert all(0 <= one.median <= one.p90 and one.tasks > 0 for one in scores)
