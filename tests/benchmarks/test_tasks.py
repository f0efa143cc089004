"""Single tasks against reference cycles: errors are those of the tables."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from benchmarks.fit.tasks import score_tasks
from npusim.costs import dpu
from npusim.hardware import load_hardware
from npusim.program.work import DpuWork


def write_table(path: Path, header: str, *rows: tuple[object, ...]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header.split(","))
        writer.writerows(rows)


def test_tasks_are_scored_by_what_a_task_costs(tmp_path: Path) -> None:
    """Tables that hold npusim's own answers have no error; answers that are 20 % off are found to be."""
    hw = load_hardware("lunarlake.yaml", ["clocks.vpu_mhz=971"])
    path = hw.dma.paths.cmx_to_cmx
    transfers = [(moved, path.startup_cycles + moved / path.bytes_per_cycle) for moved in (64, 4096, 65536)]
    write_table(
        tmp_path / "gt_dma.csv",
        "dev,gear,dir,bytes,gt_vpu_cycles,nn_vpu_cycles",
        *(("VPU_4_0", "", "CMX2CMX", moved, cycles, cycles * 1.5) for moved, cycles in transfers),
        ("VPU_2_7", "gear4", "CMX2CMX", 64, 1, 1),
    )
    work = DpuWork(
        kind="conv", height=14, width=28, out_channels=64, in_channels=96, kernel_h=3, kernel_w=1, stride=2,
        in_bits=8, out_bits=16, weight_bits=8, mpe_mode="8x16",
    )  # fmt: skip
    cycles = dpu.cycles(work, hw) / 0.8
    write_table(
        tmp_path / "gt_dpu_regression.csv",
        "dev,op,in_dtype,out_dtype,wt_dtype,mode,OH,OW,OC,IC,kh,kw,sw,GT,nn_cycles",
        (
            "VPU_4_0",
            "CONVOLUTION",
            "UINT8",
            "FLOAT16",
            "UINT8",
            "CUBOID_8x16",
            14,
            28,
            64,
            96,
            3,
            1,
            2,
            cycles,
            cycles,
        ),
    )
    by_kind = {one.kind: one for one in score_tasks(tmp_path)}
    assert set(by_kind) == {"DMA", "convolution, MatMul"}
    assert by_kind["DMA"].median == pytest.approx(0, abs=1e-4)
    assert by_kind["DMA"].vendor_median == pytest.approx(0.5)
    assert by_kind["convolution, MatMul"].median == pytest.approx(0.2, abs=1e-4)
    assert by_kind["convolution, MatMul"].vendor_median == 0
