"""Products of matrices as workloads: ``gemm-MxNxK``, or a table of them as users of systolic-array simulators have it.

Each is [M, K] times constant weights [K, N], a MatMul in FP16 with an input of its own.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import openvino

_NAME = re.compile(r"gemm-(\d{1,9})x(\d{1,9})x(\d{1,9})", re.ASCII)
#: Dimensions beyond any that a compiler takes, and rows of a table of layers.
_MOST, _MOST_ROWS, _MOST_DIGITS = 1 << 24, 10_000, 9


@dataclass(frozen=True, slots=True)
class Gemm:
    """One product: ``m`` rows of ``k`` numbers, times ``n`` columns."""

    name: str
    m: int
    n: int
    k: int


def of_name(name: str) -> Gemm | None:
    """The product that a workload's name asks for; None where it asks for none."""
    match = _NAME.fullmatch(name)
    return Gemm("gemm", *map(int, match.groups())) if match else None


def describe(gemm: Gemm) -> str:
    """One line about it."""
    return f"Product of matrices: [{gemm.m}, {gemm.k}] times [{gemm.k}, {gemm.n}], FP16"


def read_table(lines: Iterable[str]) -> list[Gemm]:
    """Products from lines of ``name, M, N, K`` under a header (SCALE-Sim's topologies of products are such files).

    Raises ValueError, with the line, for anything else.
    """
    gemms: list[Gemm] = []
    for number, cells in enumerate(csv.reader(lines), 1):
        row = [cell.strip() for cell in cells if cell.strip()]
        if number == 1 or not row:
            continue
        if len(row) != 4 or not all(cell.isascii() and cell.isdecimal() for cell in row[1:]):
            raise ValueError(
                f"line {number}: must be a name and the whole numbers M, N, K (got {','.join(row):.60})"
            )
        gemms.append(Gemm(row[0], *(int(cell[:_MOST_DIGITS]) for cell in row[1:])))
    if not gemms:
        raise ValueError("has no products: after a header, a line for each must be NAME, M, N, K")
    if len(gemms) > _MOST_ROWS:
        raise ValueError(f"has more than {_MOST_ROWS:,} products")
    return gemms


def build(name: str, gemms: Sequence[Gemm], batch: int = 1) -> openvino.Model:
    """The openvino.Model of some products, in their order; ``batch`` multiplies their rows.

    Raises ValueError for sizes that no product has.
    """
    for gemm in gemms:
        if not all(1 <= size <= _MOST for size in (gemm.m, gemm.n, gemm.k)):
            raise ValueError(f"{gemm.name}: M, N and K must be at least 1 and at most {_MOST:,}")
    from npusim.workloads.nets.maker import Maker

    make = Maker(name, "fp16")
    return make.model(
        *(
            make.linear(gemm.name, make.input(f"{gemm.name}.rows", (batch * gemm.m, gemm.k)), gemm.n)
            for gemm in _distinct(gemms)
        )
    )


def _distinct(gemms: Sequence[Gemm]) -> list[Gemm]:
    """Products with names of their own: the second ``fc`` is ``fc#2``."""
    seen: dict[str, int] = {}
    made = []
    for gemm in gemms:
        seen[gemm.name] = count = seen.get(gemm.name, 0) + 1
        made.append(gemm if count == 1 else Gemm(f"{gemm.name}#{count}", gemm.m, gemm.n, gemm.k))
    return made
