"""Makes the tables of ``npusim.costs.products``: ``python -m benchmarks.fit.products NETWORK TABLE.csv [windows]``.

NETWORK is a trained network of Intel's public cost model (intel/npu-nn-cost-model, models/, which the project does not
carry): layers that are fully connected, with ReLU, over a description of one workload. The table is fitted to its
answers for random 1x1 convolutions of FP16 (``windows``: for those of images by 3x3), and made monotone: a larger
workload never costs less.
"""

from __future__ import annotations

import csv
import struct
import sys
from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from npusim.costs.products import WORK, Sizes
from npusim.program.work import MpeMode

MODES: tuple[MpeMode, ...] = ("16x16", "8x16", "4x16")


class Axes(NamedTuple):
    """The points of a grid: rows of an image (close where a stencil of 4, 8 or 16 rows ends), terms and channels, which
    are close below what a tile computes of most slices."""

    rows: tuple[int, ...]
    terms: tuple[int, ...]
    channels: tuple[int, ...]


AXES_27 = Axes(
    (1, 3, 4, 5, 7, 8, 9, 12, 16, 17, 32, 64, 128, 256),
    tuple(16 * 2**i for i in range(11)),
    tuple(16 * 2**i for i in range(8)),
)
#: The stencil that is cheapest changes more often: with a grid as of 2.7 a tenth of all workloads is 8 % off and more.
AXES_51 = Axes(
    (1, 2, 3, 4, 5, 6, 8, 9, 12, 16, 17, 24, 32, 33, 48, 64, 128, 256),
    (16, 32, 64, 128, 256, 512, 768, 1024, 1536, 2048, 3072, 4096, 6144, 8192, 16384),
    (*range(16, 145, 16), 160, 192, 224, 256, 320, 384, 512, 768, 1024, 2048),
)
#: Of images four pixels wide, which few products of 5010 are.
AXES_51_NARROW = Axes(
    (1, 2, 4, 6, 8, 9, 12, 16, 17, 32, 64, 256), tuple(16 * 2**i for i in range(11)), AXES_51.channels
)
WIDTH_27 = 4


class ImageAxes(NamedTuple):
    """The points of a grid of images: rows and columns, close where a stencil ends, and channels read and written."""

    rows: tuple[int, ...]
    columns: tuple[int, ...]
    terms: tuple[int, ...]
    channels: tuple[int, ...]


IMAGES_27 = ImageAxes(
    (1, 2, 4, 5, 8, 9, 12, 16, 17, 24, 32, 64),
    (4, 8, 9, 16, 17, 24, 32, 48, 64, 100, 160),
    (16, 32, 64, 128, 256, 512, 1024, 1536),
    (16, 32, 48, 64, 96, 128, 256, 384),
)
WINDOW = 3
#: Workloads that a grid is fitted to, and the share of their sizes that are those of the grid, as most models' are.
SHAPES, USUAL_SHARE = 60_000, 0.7
#: Tiles that the 5.1 network is told of where a result is written to all of them, however many they are.
SEVERAL = 2
_LEAST_CYCLES, _DAMPING, _STEPS = 10.0, 0.01, 300
Floats = npt.NDArray[np.float32]
Asked = Callable[[Sequence[Sizes]], Floats]


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


def described_27(
    rows: int, terms: int, channels: int, mode: MpeMode, width: int = WIDTH_27, kernel: int = 1
) -> list[float]:
    """A convolution of FP16 as the network of 2.7 is asked (interface 11): device, op, input, weights and result
    with type and layout, window, stencil, zeros, swizzling, and how the tiles share the work (not at all)."""
    half, layout, swizzled = _one(2, 4), _one(4, 7), _one(5, 6)
    more = kernel - 1
    read, weights = (width + more, rows + more, terms), (1, 1, terms * kernel**2, channels)
    sizes: tuple[tuple[int, ...], ...] = (read, weights, (width, rows, channels))
    tensors = [
        [*size, *([1] if len(size) == 3 else []), *half, *layout, 0]
        for size in sizes  # four sizes, then the rest
    ]
    window = [kernel, kernel, 1, 1, 0, 0, 0, 0]
    return [
        *(*_one(2, 4), *_one(0, 6)),
        *(number for tensor in tensors for number in tensor),
        *(*window, *_one(MODES.index(mode), 3), 0, 0),
        *(*swizzled, *swizzled, *swizzled, 1, *_one(0, 3)),
    ]


def described_51(
    rows: int, terms: int, channels: int, mode: MpeMode, width: int, bits: int, tiles: int
) -> list[float]:
    """The same, of any width, by weights of so many bits and written to so many tiles, as the network of 5.1 is asked
    (interface 14)."""
    half, weights = _one(1, 5), _one({16: 1, 8: 0, 4: 4}[bits], 5)
    return [
        *(*_one(0, 7), width, rows, terms, 1, *half, *weights, width, rows, channels, 1, *half),
        *(1, 1, 1, 1, 0, 0, 0, 0, *_one(MODES.index(mode), 3), 0, 0, tiles),
        *(*_one(4, 6), 0, 0, 0),
    ]


def _one(place: int, of: int) -> list[int]:
    return [int(i == place) for i in range(of)]


def asked_of(network: list[tuple[Floats, Floats]]) -> dict[str, tuple[Asked, Axes]]:
    """What is asked about each work of a table, and at which points. About 5.1 the estimator takes the stencil that is
    cheapest, and tells apart results that stay on their tile and those that are written to all."""

    def stencil(mode: MpeMode) -> Asked:
        return lambda sizes: answers(
            network, np.array([described_27(*one, mode) for one in sizes], np.float32)
        )

    def least(*told: int) -> Asked:
        def cycles(sizes: Sequence[Sizes]) -> Floats:
            described = ([described_51(*one, mode, *told) for one in sizes] for mode in MODES)
            return np.min([answers(network, np.array(of, np.float32)) for of in described], axis=0)

        return cycles

    if network[0][0].shape[1] == len(described_27(1, 16, 16, MODES[0])):
        return {f"fp16 {WIDTH_27} {mode}": (stencil(mode), AXES_27) for mode in MODES}
    widths, written = {8: AXES_51, 4: AXES_51_NARROW}, {"": 1, " to all": SEVERAL}
    return {
        f"fp16 by {bits} {width}{to}": (least(width, bits, tiles), axes)
        for (width, axes), bits, (to, tiles) in product(widths.items(), (16, 8, 4), written.items())
    }


def asked_of_images(network: list[tuple[Floats, Floats]]) -> dict[str, tuple[Asked, ImageAxes]]:
    """What is asked about convolutions of images, by their windows."""

    def stencil(mode: MpeMode) -> Asked:
        def cycles(sizes: Sequence[Sizes]) -> Floats:
            described = [described_27(rows, *of, mode, width, WINDOW) for rows, width, *of in sizes]
            return answers(network, np.array(described, np.float32))

        return cycles

    return {f"fp16 {WINDOW}x{WINDOW} {mode}": (stencil(mode), IMAGES_27) for mode in MODES}


def fitted(
    work: str, ask: Asked, axes: tuple[tuple[int, ...], ...], rising: Sequence[int] | None = None
) -> Floats:
    """Logarithms of the cycles at the points of the grid that come nearest to the answers for random workloads, made
    monotone along all axes or those that are ``rising``. The last two axes are channels, whole granules of 16."""
    from scipy.sparse import csr_matrix
    from scipy.sparse.linalg import lsqr

    generator = np.random.default_rng(0)
    ends = np.log([(axis[0], axis[-1]) for axis in axes])
    anywhere = np.exp(generator.uniform(ends[:, 0], ends[:, 1], (SHAPES, len(axes))))
    usual = np.column_stack([generator.choice(axis, SHAPES) for axis in axes])
    sizes = np.where(generator.uniform(0, 1, usual.shape) < USUAL_SHARE, usual, anywhere)
    sizes = np.column_stack((np.round(sizes[:, :-2]), 16 * np.round(sizes[:, -2:] / 16)))
    cycles = np.log(np.maximum(ask([tuple(map(int, one)) for one in sizes]), _LEAST_CYCLES))
    weights, points = np.ones((SHAPES, 1)), np.zeros((SHAPES, 1), int)
    for axis, size in zip(axes, np.log(sizes).T, strict=True):
        knots = np.log(axis)
        below = np.clip(np.searchsorted(knots, size, side="right") - 1, 0, len(axis) - 2)
        part = (size - knots[below]) / (knots[below + 1] - knots[below])
        points = np.hstack([points * len(axis) + (below + step)[:, None] for step in (0, 1)])
        weights = np.hstack([weights * of[:, None] for of in (1 - part, part)])
    lines = np.repeat(np.arange(SHAPES), points.shape[1])
    matrix = csr_matrix((weights.ravel(), (lines, points.ravel())))
    grid = lsqr(matrix, cycles, damp=_DAMPING, iter_lim=_STEPS)[0].reshape([len(axis) for axis in axes])
    for axis in range(len(axes)) if rising is None else rising:
        grid = np.maximum.accumulate(grid, axis)
    print(work, "median error", np.median(np.abs(np.exp(matrix @ grid.ravel() - cycles) - 1)))
    return grid.astype(np.float32)


def main(network: Path, table: Path, windows: str = "") -> None:
    """Ask a network for many workloads, fit all grids to the answers and write them."""
    asked = layers(network.read_bytes())
    works: dict[str, tuple[Asked, Axes]] | dict[str, tuple[Asked, ImageAxes]]
    works, of = (asked_of_images(asked), "by windows") if windows else (asked_of(asked), "of 1x1")
    with table.open("w", newline="", encoding="utf-8") as file:
        file.write(
            f"# Fitted to {network.name} of intel/npu-nn-cost-model by benchmarks.fit.products: DPU cycles of\n"
        )
        file.write(f"# convolutions {of}, by work, sizes and (columns) output channels\n")
        writer = csv.writer(file, lineterminator="\n")
        first = next(iter(works.values()))[1]
        writer.writerow([WORK, *first._fields[:-1], *first.channels])
        for work, (ask, axes) in works.items():
            cycles = np.exp(fitted(work, ask, axes))
            for line in product(*map(enumerate, axes[:-1])):
                places, sizes = zip(*line, strict=True)
                writer.writerow([work, *sizes, *(int(float(f"{one:.4g}")) for one in cycles[places])])


if __name__ == "__main__":
    network, table, *windows = sys.argv[1:4]
    main(Path(network), Path(table), *windows)
