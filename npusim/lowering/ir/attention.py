"""What the kernel that computes a whole attention holds in CMX (npu_compiler: VPU/IR/ops/attention.cpp, 2026)."""

from __future__ import annotations

from npusim.lowering.ir.values import round_up

#: Bytes of the descriptors by which the kernel starts the DPU, and of a column in a table of weights.
DESCRIPTOR_BYTES, COLUMN_BYTES = 2048, 16
#: Granule that columns and widths are padded to.
GRANULE = 32
#: FP16 scores that the kernel holds of a row: all twice, each time with so many more for its sums.
BUFFERS, SUMS = 2, 32


def one_head_bytes(columns: int, depth: int, width: int) -> int:
    """CMX bytes that one row of one head needs: less than a tile has, or the kernel can not run."""
    wide = round_up(columns, GRANULE)
    depth, width = round_up(depth, GRANULE), round_up(width, GRANULE)
    return 2 * (depth + width + wide * (depth + width) + wide) + fixed_bytes(columns, width, 1)


def fixed_bytes(columns: int, width: int, rows: int) -> int:
    """What a tile holds whatever its heads are: descriptors, tables, and scores of its rows."""
    wide = round_up(columns, GRANULE)
    return storage_bytes(columns, width) + rows * BUFFERS * (wide + SUMS) * 2


def storage_bytes(columns: int, width: int) -> int:
    """Descriptors and tables of the kernel's products."""
    return DESCRIPTOR_BYTES + COLUMN_BYTES * (round_up(columns, GRANULE) + round_up(width, GRANULE))
