"""Products of matrices as workloads: ``gemm-MxNxK``, or a table of them as users of systolic-array simulators have it.

Each is [M, K] times constant weights [K, N], a MatMul with an input of its own, in FP16 or another precision of the
networks (``gemm-MxNxK-int8``). Inputs and outputs are FP16, so that nothing but the product is timed (and,
in INT8, the quantisation of its input).
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from npusim.workloads.nets import PRECISIONS, Precision

if TYPE_CHECKING:
    import openvino

    from npusim.workloads.nets.maker import Maker
    from npusim.workloads.scope import Value

_NAME = re.compile(rf"gemm-(\d{{1,9}})x(\d{{1,9}})x(\d{{1,9}})(?:-({'|'.join(PRECISIONS)}))?", re.ASCII)
#: Dimensions beyond any that a compiler takes, and rows of a table of layers.
_MOST, _MOST_ROWS, _MOST_DIGITS = 1 << 24, 10_000, 9
_SIZES = ("m", "n", "k")
#: Columns of a table that has no header.
_WITHOUT_HEADER = {"name": 0, "m": 1, "n": 2, "k": 3}


@dataclass(frozen=True, slots=True)
class Gemm:
    """One product: ``m`` rows of ``k`` numbers, times ``n`` columns."""

    name: str
    m: int
    n: int
    k: int
    precision: Precision = "fp16"


def of_name(name: str) -> Gemm | None:
    """The product that a workload's name asks for; None where it asks for none."""
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    m, n, k, precision = match.groups()
    return Gemm("gemm", int(m), int(n), int(k), next((one for one in PRECISIONS if one == precision), "fp16"))


def describe(gemm: Gemm) -> str:
    """One line about it."""
    return (
        f"Product of matrices: [{gemm.m}, {gemm.k}] times [{gemm.k}, {gemm.n}], {PRECISIONS[gemm.precision]}"
    )


def read_table(lines: Iterable[str]) -> list[Gemm]:
    """Products from lines of numbers under a header that says which column is ``M``, ``N`` and ``K``, and which, if
    there is a fourth, the name (SCALE-Sim's topologies of products are such files); without a header, of name, M, N, K.

    Raises ValueError, with the line, for anything else: a column of another kind is refused, as it would not be heeded.
    """
    gemms: list[Gemm] = []
    columns: dict[str, int] | None = None
    for number, cells in _rows(lines):
        row = [cell.strip() for cell in cells]
        while row and not row[-1]:
            row.pop()
        if not row:
            continue
        if columns is None:
            columns = _WITHOUT_HEADER if _is_data(row) else _columns(row, number)
            if columns is not _WITHOUT_HEADER:
                continue
        sizes = [row[columns[key]] for key in _SIZES] if len(row) == len(columns) else []
        if not sizes or not all(cell.isascii() and cell.isdecimal() for cell in sizes):
            raise ValueError(
                f"line {number}: must be {', '.join(columns)}, the sizes whole numbers (got {','.join(row):.60})"
            )
        name = row[columns["name"]] if "name" in columns else f"product{len(gemms) + 1}"
        m, n, k = (int(cell[:_MOST_DIGITS]) for cell in sizes)
        gemms.append(Gemm(name, m, n, k))
    if not gemms:
        raise ValueError("has no products: after a header, a line for each must be NAME, M, N, K")
    if len(gemms) > _MOST_ROWS:
        raise ValueError(f"has more than {_MOST_ROWS:,} products")
    return gemms


def _rows(lines: Iterable[str]) -> Iterator[tuple[int, list[str]]]:
    try:
        yield from enumerate(csv.reader(lines), 1)
    except csv.Error as error:
        raise ValueError(f"is not a CSV file: {error}") from None


def _is_data(row: Sequence[str]) -> bool:
    return len(row) == len(_WITHOUT_HEADER) and all(cell.isdecimal() for cell in row[1:])


def _columns(header: Sequence[str], number: int) -> dict[str, int]:
    """Where a table has the sizes and the name, in the order of its columns. Raises ValueError for other columns."""
    columns: dict[str, int] = {}
    for index, title in enumerate(header):
        key = title.casefold()
        key = key if key in _SIZES else "name"
        if key in columns:
            raise ValueError(
                f"line {number}: the columns must be a name, M, N and K, and not '{title:.40}' too"
            )
        columns[key] = index
    missing = [key.upper() for key in _SIZES if key not in columns]
    if missing:
        raise ValueError(
            f"line {number}: no column is called {' or '.join(missing)} (got {','.join(header):.60})"
        )
    return columns


def build(name: str, gemms: Sequence[Gemm], batch: int = 1) -> openvino.Model:
    """The openvino.Model of some products, in their order; ``batch`` multiplies their rows.

    Raises ValueError for sizes that no product has.
    """
    for gemm in gemms:
        if not all(1 <= size <= _MOST for size in (gemm.m, gemm.n, gemm.k)):
            raise ValueError(f"{gemm.name}: M, N and K must be at least 1 and at most {_MOST:,}")
    from npusim.workloads.nets.maker import Maker

    make = Maker(name, gemms[0].precision)
    return make.model(*(_product(make, gemm, batch * gemm.m) for gemm in _distinct(gemms)))


def _product(make: Maker, gemm: Gemm, rows: int) -> Value:
    import numpy as np
    from openvino import opset15 as op

    x = op.convert(make.input(f"{gemm.name}.rows", (rows, gemm.k), np.float16), "f32")
    return op.convert(make.linear(gemm.name, make.quantised(gemm.name, x), gemm.n), "f16")


def _distinct(gemms: Sequence[Gemm]) -> list[Gemm]:
    """Products with names of their own: the second ``fc`` is ``fc#2``."""
    seen: dict[str, int] = {}
    made = []
    for gemm in gemms:
        seen[gemm.name] = count = seen.get(gemm.name, 0) + 1
        made.append(gemm if count == 1 else Gemm(f"{gemm.name}#{count}", gemm.m, gemm.n, gemm.k))
    return made
