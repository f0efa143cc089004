"""Makes the tables of shares of ``npusim.costs.zeros``: ``python -m benchmarks.fit.zeros NETWORK TABLE.csv``.

What a network of Intel's cost model (see ``products``) says of convolutions whose weights are stored without their
zeros, over what it says of the same ones with all weights, in thousandths; fitted to random sizes and images.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.fit.products import MODES, Asked, Floats, answers, described_27, described_51, fitted, layers
from npusim.costs.products import WORK, Sizes
from npusim.costs.zeros import PERCENT, THOUSANDTHS
from npusim.program.work import MpeMode


class Axes(NamedTuple):
    """The points of a grid: rows, hundredths of the weights that are not zero, channels read and written."""

    rows: tuple[int, ...] = (2, 4, 8, 16, 40, 128)
    kept: tuple[int, ...] = (5, 10, 25, 50, 75, 100)
    terms: tuple[int, ...] = (32, 128, 512, 1024)
    channels: tuple[int, ...] = (16, 32, 64, 128, 256, 512)


#: The axis along which a share never falls.
KEPT = 1
KERNELS, TYPES = (1, 3), {"fp16": 16, "int8": 8}
COLUMNS = (4, 8, 14, 16, 20, 28, 32, 40, 56)
#: Columns of 2.7's description: whether the weights are stored sparse, and from its end, which share of them is zero.
_STORED_27, _ZEROS_27 = 10 + 16 + 15, -23
#: That share in 5.1's, from its end.
_ZEROS_51 = -11
#: Where both tell the types of input, weights and result, each a mark among so many columns; 8 bits are the first.
_TYPES_27, _TYPES_51 = ((14, 4), (30, 4), (46, 4)), ((11, 5), (16, 5), (25, 5))
Described = Callable[[int, int, int, int, float], list[float]]


def _typed(described: list[float], types: tuple[tuple[int, int], ...], bits: int) -> list[float]:
    for start, count in types if bits == 8 else ():
        described[start : start + count] = [1.0] + [0.0] * (count - 1)
    return described


def sparse_27(mode: MpeMode, kernel: int, bits: int) -> Described:
    """How 2.7 is asked about rows, columns, channels read and written, and a share of zeros (none: stored whole)."""

    def describe(rows: int, columns: int, terms: int, channels: int, zeros: float) -> list[float]:
        described = described_27(rows, terms, channels, mode, columns, kernel)
        described[_STORED_27], described[_ZEROS_27] = float(zeros > 0), zeros
        return _typed(described, _TYPES_27, bits)

    return describe


def sparse_51(mode: MpeMode, kernel: int, bits: int) -> Described:
    """How 5.1 is."""

    def describe(rows: int, columns: int, terms: int, channels: int, zeros: float) -> list[float]:
        described = described_51(rows, terms, channels, mode, columns, 16, 1)
        described[7], described[8] = columns + kernel - 1, rows + kernel - 1
        described[30], described[31] = kernel, kernel
        described[_ZEROS_51] = zeros
        return _typed(described, _TYPES_51, bits)

    return describe


def shares(network: list[tuple[Floats, Floats]], ways: Sequence[Described]) -> Asked:
    """Thousandths of the dense time, of the fastest of so many ways to compute."""

    def asked(sizes: Sequence[Sizes]) -> Floats:
        columns = np.random.default_rng(1).choice(COLUMNS, len(sizes))

        def least(sparse: bool) -> Floats:
            described = (
                [
                    describe(rows, int(wide), terms, channels, (1 - kept / PERCENT) * sparse)
                    for (rows, kept, terms, channels), wide in zip(sizes, columns, strict=True)
                ]
                for describe in ways
            )
            return np.min([answers(network, np.array(of, np.float32)) for of in described], axis=0)

        return THOUSANDTHS * least(True) / np.maximum(least(False), 1)

    return asked


def main(file: Path, table: Path) -> None:
    """Ask a network, fit and write."""
    network = layers(file.read_bytes())
    by_mode = network[0][0].shape[1] == len(described_27(1, 16, 16, MODES[0]))
    works = {}
    for (name, bits), k in product(TYPES.items(), KERNELS):
        if by_mode:
            works.update(
                {f"{name} {k}x{k} {mode}": shares(network, [sparse_27(mode, k, bits)]) for mode in MODES}
            )
        else:
            works[f"{name} {k}x{k}"] = shares(network, [sparse_51(mode, k, bits) for mode in MODES])
    axes = Axes()
    with table.open("w", newline="", encoding="utf-8") as out:
        out.write(
            f"# Fitted to {file.name} of intel/npu-nn-cost-model by benchmarks.fit.zeros: thousandths of the\n"
        )
        out.write(
            "# dense time, by work, rows, hundredths of weights that are kept, terms and output channels\n"
        )
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow([WORK, *axes._fields[:-1], *axes.channels])
        for work, ask in works.items():
            found = np.exp(fitted(work, ask, axes, rising=[KEPT]))
            for line in product(*map(enumerate, axes[:-1])):
                places, sizes = zip(*line, strict=True)
                writer.writerow([work, *sizes, *(round(float(one)) for one in found[places])])


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
