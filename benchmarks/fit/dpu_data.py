"""What the DPU tables are fitted to and judged by: DPU workloads with the cycles that Intel's cost model gives them.

Three sources: vendor schedules (per variant), the answers of its networks on grids of shapes, and random shapes priced
by rows that were fitted to them (evidence/costs.md#4.3). The last two are read from a folder of cost tables that the
project does not carry; schedules alone are enough to judge.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks.fit import variants
from npusim.costs import dpu
from npusim.hardware.schema import Hardware
from npusim.program.work import DpuKind, DpuWork, MpeMode

#: Rows of the cost tables that speak for a platform's estimator (evidence/costs.md#4.1: 3720 and 4000 share one).
TABLE_OF_PLATFORM: Mapping[str, str] = {"3720": "VPU_2_7", "4000": "VPU_2_7", "5010": "NPU_5_0"}
_BITS = {"FLOAT16": 16, "UINT8": 8}
_KINDS: Mapping[str, DpuKind] = {
    "DW_CONVOLUTION": "dwconv",
    "AVEPOOL": "avgpool",
    "MAXPOOL": "maxpool",
    "ELTWISE": "eltwise",
    "ELTWISE_permute_YZX(weightless)": "permute",
}
_PREFIXES = ("resnet50", "mobilenet", "bert", "mamba2", "mamba", "matmul", "bmm", "cumba", "chain")
_POOL_ROW = re.compile(
    r"(DW_CONVOLUTION|AVEPOOL|MAXPOOL) (FLOAT16|UINT8) (\d+)x(\d+)(?:s(\d))? C=(\d+) W(<=2|>2)"
)
_CMX_BYTES = 1.4e6
#: Answers below this are failures of a network or of a formula outside its range.
_LEAST_CYCLES = 20
_CONV_SHAPES = 500
_POOL_SHAPES = 12


@dataclass(frozen=True, slots=True)
class Point:
    """One workload and its cycles. ``count`` is how often a case has it; ``fitted`` whether fits may use it."""

    work: DpuWork
    cycles: float
    source: str
    platform: str
    case: str = ""
    family: str = ""
    count: int = 1
    fitted: bool = True


def schedule_points(reference: Path, hardware: Mapping[str, Hardware]) -> list[Point]:
    """The DPU variants of all schedules below ``reference`` (its index.csv lists them), equal ones counted.

    Convolutions with padded or constant 0/1 weights are priced as sparse by the estimator, and 5010 charges for
    outputs that are written transposed: a trace shows neither, so those are judged and not fitted.
    """
    points = []
    models: dict[str, Mapping[str, variants.ModelOp]] = {}
    with (reference / "index.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            if row["model"] not in models:
                models[row["model"]] = variants.model_ops(reference / row["model"])
            ops = models[row["model"]]
            trace = variants.load_trace(reference / row["trace"])
            platform, case = row["platform"], row["case"]
            samples = variants.dpu_samples(trace, ops, hardware[platform])
            found = Counter((one.work, one.cycles, _is_dense(one, case, platform)) for one in samples)
            for (work, cycles, dense), count in found.items():
                if cycles:
                    tiles = f"{case} on {row['tiles']} tiles"
                    points.append(
                        Point(work, cycles, "schedule", platform, tiles, _family(case), count, fitted=dense)
                    )
    return points


def table_points(tables: Path, platform: str, hw: Hardware) -> list[Point]:
    """Grid and random points that speak for the estimator of ``platform``."""
    device = TABLE_OF_PLATFORM[platform]
    rows = [
        *_conv_grid(_rows(tables / "dpu_conv.csv", device)),
        *_conv_grid(_rows(tables / "dpu_matmul.csv", device)),
        *_pool_grid(_rows(tables / "dpu_dw_pool.csv", device)),
        *_pool_grid(_rows(tables / "dpu_dwconv1d_k4.csv", device)),
        *_eltwise_grid(_rows(tables / "dpu_eltwise.csv", device)),
    ]
    published = _published(tables / "vendor_costs.csv", "4000" if device == "VPU_2_7" else platform)
    generator = np.random.default_rng(0)
    drawn = [*_random_convs(published, hw, generator), *_random_pools(published, generator)]
    return [
        Point(work, cycles, source, platform)
        for source, points in (("grid", rows), ("random", drawn))
        for work, cycles in points
        if cycles >= _LEAST_CYCLES
    ]


def _is_dense(sample: variants.Sample, case: str, platform: str) -> bool:
    if sample.work.kind != "conv":
        return True
    padded = sample.folded or (sample.work.in_channels <= 16 and "expand" in sample.name)
    ones = "Reduce" in sample.name or "gconv" in sample.name
    return not padded and not ones and not (platform == "5010" and case.startswith("conv_"))


def _family(case: str) -> str:
    for prefix in _PREFIXES:
        if case.startswith(prefix):
            return prefix
    return case.split("_", maxsplit=1)[0]


def _rows(path: Path, device: str) -> Iterator[dict[str, str]]:
    with path.open(newline="") as file:
        yield from (row for row in csv.DictReader(file) if row["dev"] == device and not row["err"])


def _conv_grid(rows: Iterable[Mapping[str, str]]) -> Iterator[tuple[DpuWork, float]]:
    """Convolutions (and MatMuls as 1x1 ones), all MPE modes of a shape, and the part of a split MatMul."""
    for row in rows:
        matmul = "K" in row
        height, width = (row["H"], row["W"]) if matmul else (row["OH"], row["OW"])
        base = _conv(
            row["dtype"],
            (int(float(height)), int(float(width)), int(float(row["K" if matmul else "IC"]))),
            int(float(row["N" if matmul else "OC"])),
            1 if matmul else int(row["k"]),
        )
        for mode in dpu.STENCIL_PIXELS:
            answer = row[f"nn_{mode}"]
            if answer:
                yield replace(base, mpe_mode=mode), float(answer)
        if row.get("sub_nn_cycles"):
            yield (
                replace(
                    base,
                    height=int(float(row["sub_H"])),
                    width=int(float(row["sub_W"])),
                    out_channels=int(float(row["sub_N"])),
                    mpe_mode=_mode(row["sub_mode"]),
                ),
                float(row["sub_nn_cycles"]),
            )


def _mode(text: str) -> MpeMode:
    return next(mode for mode in dpu.STENCIL_PIXELS if text.endswith(f"_{mode}"))


def _conv(dtype: str, shape: tuple[int, int, int], out_channels: int, kernel: int) -> DpuWork:
    height, width, in_channels = shape
    bits = _BITS[dtype]
    return DpuWork(
        "conv",
        height,
        width,
        out_channels,
        in_channels,
        kernel,
        kernel,
        in_bits=bits,
        out_bits=bits,
        weight_bits=bits,
    )


def _pool(kind: DpuKind, dtype: str, shape: tuple[int, int, int], window: tuple[int, int, int]) -> DpuWork:
    height, width, channels = shape
    kernel_h, kernel_w, stride = window
    bits = _BITS[dtype]
    return DpuWork(
        kind,
        height,
        width,
        channels,
        kernel_h=kernel_h,
        kernel_w=kernel_w,
        stride=stride,
        in_bits=bits,
        out_bits=bits,
    )


def _pool_grid(rows: Iterable[Mapping[str, str]]) -> Iterator[tuple[DpuWork, float]]:
    for row in rows:
        channels = int(row["C"])
        if channels not in (16, 32, 64):
            continue
        if "L" in row:
            width = int(row["W"])
            shape, window = (-(-int(row["L"]) // width), width, channels), (int(row["kh"]), int(row["kw"]), 1)
            yield _pool("dwconv", row["dtype"], shape, window), float(row["nn_cycles"])
        else:
            shape, size = (int(row["OH"]), int(row["OW"]), channels), int(row["k"])
            yield (
                _pool(_KINDS[row["op"]], row["dtype"], shape, (size, size, int(row["s"]))),
                float(row["nn_cycles"]),
            )


def _eltwise_grid(rows: Iterable[Mapping[str, str]]) -> Iterator[tuple[DpuWork, float]]:
    for row in rows:
        if row["op"] in _KINDS and row["nn_cycles"]:
            shape = (int(row["H"]), int(row["W"]), int(row["C"]))
            yield _pool(_KINDS[row["op"]], row["dtype"], shape, (1, 1, 1)), float(row["nn_cycles"])


def _published(path: Path, platform: str) -> dict[str, dict[str, float]]:
    """Rows of vendor_costs.csv of a platform's DPU: name to term to value."""
    found: dict[str, dict[str, float]] = {}
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            if row["platform"] == platform and row["engine"] == "DPU":
                found.setdefault(row["kernel/op"], {})[row["term"]] = float(row["value"])
    return found


def _random_convs(
    published: Mapping[str, Mapping[str, float]], hw: Hardware, generator: np.random.Generator
) -> Iterator[tuple[DpuWork, float]]:
    """Shapes that fill at most a tile's CMX, priced by the published seven terms (evidence/costs.md#4.3)."""
    widths = {"W1": (1, 2), "W4": (3, 4, 4, 4, 5), "W8": (6, 7, 8, 8, 10)}
    for width_class in ("W1", "W4", "W8", "img1", "img3"):
        for dtype, bits in _BITS.items():
            made = 0
            while made < _CONV_SHAPES:
                wide = width_class.startswith("img")
                width = (
                    int(2 ** generator.uniform(3.5, 7))
                    if wide
                    else int(generator.choice(widths[width_class]))
                )
                height = int(2 ** generator.uniform(0, 6 if wide else 8))
                reduced, out = (16 * int(2 ** generator.uniform(0, top)) for top in (8, 6))
                kernel = 3 if width_class == "img3" else 1
                elements = height * width * (reduced + out) + reduced * out * kernel**2
                if elements * bits / 8 > _CMX_BYTES:
                    continue
                made += 1
                mode = dpu.choose_mode(height, width, out, hw)
                work = replace(_conv(dtype, (height, width, reduced), out, kernel), mpe_mode=mode)
                yield work, _seven_terms(work, published[f"CONV {dtype} {width_class} {mode}"], hw)


def _seven_terms(work: DpuWork, row: Mapping[str, float], hw: Hardware) -> float:
    """The published formula, whose stencils are whole ones."""
    terms = dpu.conv_terms(work, work.out_channels, hw)
    grid_x, grid_y = dpu.STENCIL_PIXELS[work.mpe_mode]
    stencils_z = -(-work.out_channels // hw.dpu.costs.stencil_channels[work.mpe_mode])
    stencils_xy = -(-work.width // grid_x) * -(-work.height // grid_y)
    inputs = work.height * work.width * work.in_channels * work.kernel_h * work.kernel_w * work.in_bits / 8
    return (
        row["c0"]
        + row["mac"] * terms.mac
        + row["act"] * stencils_z * inputs / 100
        + row["wt"] * stencils_xy * terms.weight_bytes / 100
        + row["stencils"] * terms.stencils
        + row["out"] * terms.out_bytes / 100
        + row["drain"] * max(0.0, terms.drain - terms.mac)
    )


def _random_pools(
    published: Mapping[str, Mapping[str, float]], generator: np.random.Generator
) -> Iterator[tuple[DpuWork, float]]:
    """Shapes priced by the published rows ``a + b*cells`` (evidence/costs.md#4.4)."""
    for name, row in published.items():
        match = _POOL_ROW.fullmatch(name)
        if match is None or not {"a", "b"} <= row.keys():
            continue
        narrow = match[7] == "<=2"
        kernel_h, kernel_w, channels = int(match[3]), int(match[4]), int(match[6])
        for _ in range(_POOL_SHAPES):
            width = (
                int(generator.choice((1, 2)))
                if narrow
                else int(np.exp(generator.uniform(np.log(3), np.log(200))))
            )
            height = int(np.exp(generator.uniform(0, np.log(128))))
            stride = int(match[5] or 1)
            if 4 * height * width * channels * stride**2 > _CMX_BYTES:
                continue
            work = _pool(_KINDS[match[1]], match[2], (height, width, channels), (kernel_h, kernel_w, stride))
            yield work, row["a"] + row["b"] * (-(-width // 4)) * (-(-height // 4))
