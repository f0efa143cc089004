"""How far single tasks are from Intel's reference cycles: ``python -m benchmarks.fit.tasks --tables DIR``.

The tables (reference cycles in the regression tests of intel/npu-nn-cost-model @ 8a2ae92: gt_dpu_regression.csv and
gt_dma.csv) stay outside the project; ``--write`` keeps what they show, a median a row, in the package's tasks.csv,
from which docs/accuracy.md is made.
"""

from __future__ import annotations

import argparse
import csv
import io
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from npusim.costs import dma, dpu
from npusim.files import new_file
from npusim.program.work import DmaWork, DpuKind, DpuWork, Memory, MpeMode
from npusim.validation.silicon.tasks import FILE, SILICON_OF, TaskScore, costs_of, hardware

_KINDS: Mapping[str, DpuKind] = {
    "CONVOLUTION": "conv",
    "DW_CONVOLUTION": "dwconv",
    "MAXPOOL": "maxpool",
    "ELTWISE": "eltwise",
}
_NAMES = {"conv": "convolution, MatMul", "dwconv": "depth-wise", "maxpool": "max-pool", "eltwise": "eltwise"}
_BITS = {"UINT8": 8, "FLOAT16": 16}


@dataclass(frozen=True, slots=True)
class _Sample:
    platform: str
    kind: str
    predicted: float
    vendor: float
    truth: float


def score_tasks(tables: Path) -> list[TaskScore]:
    """Scores by platform and kind, in the order of the tables. Raises OSError where a table is not there."""
    groups: dict[tuple[str, str], list[_Sample]] = {}
    for sample in (*_dpu(tables / "gt_dpu_regression.csv"), *_dma(tables / "gt_dma.csv")):
        groups.setdefault((sample.platform, sample.kind), []).append(sample)
    return [_score(*key, samples) for key, samples in groups.items()]


def _score(platform: str, kind: str, samples: list[_Sample]) -> TaskScore:
    truth = np.array([one.truth for one in samples])
    ours, vendor = (
        np.abs(np.array([getattr(one, name) for one in samples]) / truth - 1)
        for name in ("predicted", "vendor")
    )
    return TaskScore(
        platform,
        kind,
        len(samples),
        round(float(np.median(ours)), 4),
        round(float(np.percentile(ours, 90)), 4),
        round(float(np.median(vendor)), 4),
        costs_of(platform),
    )


def _dpu(path: Path) -> Iterator[_Sample]:
    for row in _rows(path):
        file, _ = SILICON_OF[row["dev"]]
        hw = hardware(file)
        work = _dpu_work(row)
        yield _Sample(
            hw.platform, _NAMES[work.kind], dpu.cycles(work, hw), float(row["nn_cycles"]), float(row["GT"])
        )


def _dpu_work(row: Mapping[str, str]) -> DpuWork:
    """One workload of the table, on one tile. Sparse weights count as dense: 12.8 % of zeros were measured to save
    nothing (evidence/hardware.md#2)."""
    kind = _KINDS[row["op"]]
    mode: MpeMode = {"CUBOID_16x16": "16x16", "CUBOID_8x16": "8x16", "CUBOID_4x16": "4x16"}[row["mode"]]  # type: ignore[assignment]
    return DpuWork(
        kind=kind,
        height=int(row["OH"]),
        width=int(row["OW"]),
        out_channels=int(row["OC"]),
        in_channels=int(row["IC"]) if kind == "conv" else 1,
        kernel_h=int(row["kh"]),
        kernel_w=int(row["kw"]),
        stride=int(row["sw"]),
        in_bits=_BITS[row["in_dtype"]],
        out_bits=_BITS[row["out_dtype"]],
        weight_bits=_BITS[row["wt_dtype"]],
        mpe_mode=mode,
    )


def _dma(path: Path) -> Iterator[_Sample]:
    """Transfers at the nominal clock of the fabric (3720 was measured at a slower one, too)."""
    for row in _rows(path):
        if row["gear"] not in ("", "nominal"):
            continue
        file, vpu_mhz = SILICON_OF[row["dev"]]
        hw = hardware(file, f"clocks.vpu_mhz={vpu_mhz}")
        source, target = (_memory(name) for name in row["dir"].split("2"))
        moved = int(row["bytes"])
        us = dma.time(DmaWork(source, target, moved, moved), hw)[1]
        yield _Sample(
            hw.platform, "DMA", us * vpu_mhz, float(row["nn_vpu_cycles"]), float(row["gt_vpu_cycles"])
        )


def _memory(name: str) -> Memory:
    return "cmx" if name == "CMX" else "ddr"


def _rows(path: Path) -> Iterator[dict[str, str]]:
    with path.open(newline="") as file:
        yield from (row for row in csv.DictReader(file) if row["dev"] in SILICON_OF)


def scores_csv(scores: list[TaskScore]) -> str:
    """The scores as CSV text."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("platform", "kind", "tasks", "median", "p90", "vendor_median", "costs"))
    for one in scores:
        writer.writerow(
            (one.platform, one.kind, one.tasks, one.median, one.p90, one.vendor_median, one.costs)
        )
    return text.getvalue()


def main() -> None:
    """Print the scores, and keep them where asked to."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tables", type=Path, required=True, help="folder of the two tables")
    parser.add_argument("--write", action="store_true", help=f"write {FILE.name}, too")
    options = parser.parse_args()
    scores = score_tasks(options.tables)
    for one in scores:
        sys.stdout.write(
            f"{one.platform} {one.kind:<20} {one.tasks:>4} tasks  median {one.median:6.1%}  p90 {one.p90:6.1%}  "
            f"vendor's networks {one.vendor_median:6.1%}\n"
        )
    if options.write:
        with new_file(FILE) as write:
            write(scores_csv(scores))


if __name__ == "__main__":
    main()
