"""Which MatMuls of many activations run as one: their groups shared by the tiles, or one convolution after the other
(npu_compiler: IE/utils/matmul.cpp, 2025)."""

from __future__ import annotations

from npusim.hardware.schema import Hardware
from npusim.lowering.ir.convolution import TABLE_BYTES, fold_rows
from npusim.lowering.ir.plan import cmx_capacity
from npusim.lowering.ir.shapes import CHANNELS
from npusim.lowering.ir.values import round_up

#: FP16 bytes of one group's result from which the spill that follows a grouped MatMul costs more than it saves.
RESULT_BYTES = 200_000
#: Share of a tile's CMX that one group may take.
CMX_SHARE = 0.9


def group_bytes(m: int, k: int, n: int) -> int:
    """CMX bytes of one group: both operands, the weight table and the result, channels padded."""
    k16, n16 = round_up(k, CHANNELS), round_up(n, CHANNELS)
    return (m * k16 + n16 * k16 + m * n16) * 2 + n16 * TABLE_BYTES


def grouped(batch: int, m: int, k: int, n: int, hw: Hardware) -> bool:
    """Whether ``batch`` products of [m, k] by [k, n] run as one op: of small results, each fitting a tile, and as many
    as tiles (of three tiles more than that)."""
    enough = batch > hw.tiles if hw.tiles == 3 else batch >= hw.tiles
    small = group_bytes(m, k, n) < CMX_SHARE * cmx_capacity(hw)
    return hw.software.grouped_matmul and enough and small and not is_large(m, n)


def is_large(m: int, n: int) -> bool:
    """Whether a result of [m, n] is too large for one of many groups."""
    return m * n * 2 >= RESULT_BYTES


def fold_group(m: int) -> tuple[int, int]:
    """The rows of one group as height and width: fours beside each other, else as those of one product, but never
    padded."""
    if m % 4 == 0:
        return m // 4, 4
    height, width = fold_rows(m, 4)
    return (height, width) if height * width == m else (m, 1)
