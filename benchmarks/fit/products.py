"""Makes the tables of ``npusim.costs.products``: ``python -m benchmarks.fit.products NETWORK.vpunn TABLE.csv``.

NETWORK is a trained network of Intel's public cost model (intel/npu-nn-cost-model, models/, which the project does not
carry): layers that are fully connected, with ReLU, over a description of one workload. The table is fitted to its
answers for random 1x1 convolutions of FP16, and made monotone: a larger workload never costs less.
"""

from __future__ import annotations

import csv
import struct
import sys
from itertools import product
from pathlib import Path

import numpy as np
import numpy.typing as npt

from npusim.costs.products import KEYS
from npusim.program.work import MpeMode

#: Rows of an image four pixels wide: close where a stencil of 4, 8 or 16 rows ends.
ROWS = (1, 3, 4, 5, 7, 8, 9, 12, 16, 17, 32, 64, 128, 256)
TERMS = tuple(16 * 2**i for i in range(11))
CHANNELS = tuple(16 * 2**i for i in range(8))
MODES: tuple[MpeMode, ...] = ("16x16", "8x16", "4x16")
WIDTH = 4
#: Workloads that a grid is fitted to, and the share of their sizes that are those of the grid, as most models' are.
SHAPES, USUAL_SHARE = 40_000, 0.7
_LEAST_CYCLES, _DAMPING = 10.0, 0.01
Floats = npt.NDArray[np.float32]


class _Buffer:
    """A FlatBuffer: tables whose fields are found through a table of offsets, and vectors."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def int(self, at: int, code: str = "<i") -> int:
        return int(struct.unpack_from(code, self.data, at)[0])

    def follow(self, at: int) -> int:
        return at + self.int(at)

    def field(self, table: int, number: int) -> int | None:
        offsets = table - self.int(table)
        if 4 + 2 * number >= self.int(offsets, "<H"):
            return None
        offset = self.int(offsets + 4 + 2 * number, "<H")
        return table + offset if offset else None

    def vector(self, table: int, number: int) -> tuple[int, int]:
        """Where the items of a vector begin, and how many they are."""
        at = self.field(table, number)
        if at is None:
            return 0, 0
        start = self.follow(at)
        return start + 4, self.int(start)

    def ints(self, table: int, number: int) -> list[int]:
        start, count = self.vector(table, number)
        return [self.int(start + 4 * i) for i in range(count)]

    def tables(self, table: int, number: int) -> list[int]:
        start, count = self.vector(table, number)
        return [self.follow(start + 4 * i) for i in range(count)]


def layers(data: bytes) -> list[tuple[Floats, Floats]]:
    """Weights (outputs by inputs) and bias of every layer of a network file."""
    buffer = _Buffer(data)
    model = buffer.follow(0)
    tensors, operators, stored = (buffer.tables(model, number) for number in (1, 4, 5))

    def numbers(tensor: int) -> Floats:
        at = buffer.field(tensors[tensor], 3)
        start, count = buffer.vector(stored[buffer.int(at) if at else 0], 0)
        return np.frombuffer(data[start : start + count], np.float32)

    made = []
    for operator in operators:
        _, weights, bias = buffer.ints(operator, 1)
        outputs = numbers(bias)
        made.append((numbers(weights).reshape(len(outputs), -1), outputs))
    return made


def answers(network: list[tuple[Floats, Floats]], described: Floats) -> Floats:
    """Cycles of the workloads described, a row each."""
    for weights, bias in network:
        described = np.maximum(described @ weights.T + bias, 0)
    return described[:, 0]


def described_27(rows: int, terms: int, channels: int, mode: MpeMode) -> list[float]:
    """A 1x1 convolution of FP16 as the network of 2.7 is asked (interface 11): device, op, input, weights and result
    with type and layout, window, stencil, zeros, swizzling, and how the tiles share the work (not at all)."""
    half, layout, swizzled = _one(2, 4), _one(4, 7), _one(5, 6)
    sizes = ((WIDTH, rows, terms), (1, 1, terms, channels), (WIDTH, rows, channels))
    tensors = [
        [*size, *([1] if len(size) == 3 else []), *half, *layout, 0]
        for size in sizes  # four sizes, then the rest
    ]
    window = [1, 1, 1, 1, 0, 0, 0, 0]
    return [
        *(*_one(2, 4), *_one(0, 6)),
        *(number for tensor in tensors for number in tensor),
        *(*window, *_one(MODES.index(mode), 3), 0, 0),
        *(*swizzled, *swizzled, *swizzled, 1, *_one(0, 3)),
    ]


def _one(place: int, of: int) -> list[int]:
    return [int(i == place) for i in range(of)]


def fitted(network: list[tuple[Floats, Floats]], mode: MpeMode) -> Floats:
    """Logarithms of the cycles at the points of the grid that come nearest to the answers for random workloads, made
    monotone."""
    from scipy.sparse import csr_matrix
    from scipy.sparse.linalg import lsqr

    axes = (ROWS, TERMS, CHANNELS)
    generator = np.random.default_rng(0)
    ends = np.log([(axis[0], axis[-1]) for axis in axes])
    anywhere = np.exp(generator.uniform(ends[:, 0], ends[:, 1], (SHAPES, 3)))
    usual = np.column_stack([generator.choice(axis, SHAPES) for axis in axes])
    sizes = np.where(generator.uniform(0, 1, (SHAPES, 3)) < USUAL_SHARE, usual, anywhere)
    sizes = np.column_stack((np.round(sizes[:, 0]), 16 * np.round(sizes[:, 1:] / 16)))
    asked = np.array([described_27(*(int(one) for one in size), mode) for size in sizes], np.float32)
    cycles = np.log(np.maximum(answers(network, asked), _LEAST_CYCLES))
    weights, points = np.ones((SHAPES, 1)), np.zeros((SHAPES, 1), int)
    for axis, size in zip(axes, np.log(sizes).T, strict=True):
        knots = np.log(axis)
        below = np.clip(np.searchsorted(knots, size, side="right") - 1, 0, len(axis) - 2)
        part = (size - knots[below]) / (knots[below + 1] - knots[below])
        points = np.hstack([points * len(axis) + (below + step)[:, None] for step in (0, 1)])
        weights = np.hstack([weights * of[:, None] for of in (1 - part, part)])
    lines = np.repeat(np.arange(SHAPES), points.shape[1])
    matrix = csr_matrix((weights.ravel(), (lines, points.ravel())))
    grid = lsqr(matrix, cycles, damp=_DAMPING)[0].reshape([len(axis) for axis in axes])
    for axis in range(3):
        grid = np.maximum.accumulate(grid, axis)
    print(mode, "median error", np.median(np.abs(np.exp(matrix @ grid.ravel() - cycles) - 1)))
    return grid.astype(np.float32)


def main(network: Path, table: Path) -> None:
    """Ask a network for many workloads, fit all grids to the answers and write them."""
    asked = layers(network.read_bytes())
    with table.open("w", newline="", encoding="utf-8") as file:
        file.write(
            f"# Fitted to {network.name} of intel/npu-nn-cost-model by benchmarks.fit.products: DPU cycles of 1x1\n"
        )
        file.write("# convolutions, by rows of 4 pixels, terms and (columns) output channels\n")
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*KEYS, *CHANNELS])
        for mode in MODES:
            cycles = np.exp(fitted(asked, mode))
            for (i, rows), (j, terms) in product(enumerate(ROWS), enumerate(TERMS)):
                numbers = (int(float(f"{one:.4g}")) for one in cycles[i, j])
                writer.writerow([f"fp16 {WIDTH} {mode}", rows, terms, *numbers])


if __name__ == "__main__":
    main(*(Path(one) for one in sys.argv[1:3]))
