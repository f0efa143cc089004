"""Codes of weights: numbers of few bits, the scales or tables that decode them, and their bytes in an OpenVINO file.

A row of terms is coded in groups that share a scale. Symmetric codes have no zero point.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import openvino as ov
from openvino import Type
from openvino.op import Constant

#: The sixteen numbers of NF4, quantiles of a normal distribution (QLoRA, https://arxiv.org/abs/2305.14314, appendix E).
NF4 = np.array(
    [-1.0, -0.6961928, -0.5250731, -0.3949175, -0.2844414, -0.1847734, -0.0910500, 0.0,
     0.0795803, 0.1609302, 0.2461123, 0.3379152, 0.4407098, 0.5626170, 0.7229568, 1.0],
    np.float32,
)  # fmt: skip
#: Rounds of Lloyd's algorithm that fit the table of a row; the numbers hardly move after them.
_ROUNDS = 12


@dataclass(frozen=True, slots=True)
class Code:
    """Numbers ``codes`` (of ``kind``, unpacked, one a byte), of which ``(code - point) * scale`` is the weight;
    ``scale`` broadcasts to them. ``decoded`` is what comes out."""

    kind: Type
    codes: np.ndarray
    scale: np.ndarray
    point: float
    decoded: np.ndarray


def integers(rows: np.ndarray, bits: int) -> Code:
    """Groups [..., terms] as integers of 8 or 4 bits, or of 3 with the middle as their zero point."""
    top = 2 ** (bits - 1) - 1
    scale = _scale(np.abs(rows).max(-1, keepdims=True) / top)
    codes = np.clip(np.rint(rows / scale), -top, top)
    decoded = codes * scale
    if bits == 3:
        return Code(Type.u3, (codes + 4).astype(np.uint8), scale, 4.0, decoded)
    return Code(Type.i8 if bits == 8 else Type.i4, codes.astype(np.int8), scale, 0.0, decoded)


def normal_floats(rows: np.ndarray) -> Code:
    """Groups [..., terms] as the nearest of NF4's sixteen numbers times the largest magnitude."""
    scale = _scale(np.abs(rows).max(-1, keepdims=True))
    codes = np.searchsorted((NF4[1:] + NF4[:-1]) / 2, rows / scale).astype(np.uint8)
    return Code(Type.nf4, codes, scale, 0.0, NF4[codes] * scale)


def signs(rows: np.ndarray) -> Code:
    """Rows as their signs times their mean magnitude (XNOR-Net, https://arxiv.org/abs/1603.05279), in one bit."""
    scale = _scale(2 * np.abs(rows).mean(axis=tuple(range(1, rows.ndim)), keepdims=True))
    codes = (rows >= 0).astype(np.uint8)
    return Code(Type.u1, codes, scale, 0.5, (codes - np.float32(0.5)) * scale)


def tables(rows: np.ndarray, bits: int) -> tuple[np.ndarray, np.ndarray]:
    """The table [rows, 2 ** bits] that fits each of ``rows`` [rows, terms] best, by Lloyd's algorithm from quantiles
    on, as FP16, and the place in it of every weight."""
    levels = 2**bits
    ordered = np.sort(rows, axis=1)
    sums = np.concatenate([np.zeros((len(rows), 1)), ordered.cumsum(1, dtype=np.float64)], 1)
    at = ((np.arange(levels) + 0.5) / levels * rows.shape[1]).astype(int)
    table = ordered[:, at].astype(np.float64)
    for _ in range(_ROUNDS):
        middles = (table[:, 1:] + table[:, :-1]) / 2
        inner = [np.searchsorted(row, middle) for row, middle in zip(ordered, middles, strict=True)]
        ends = np.pad(np.stack(inner), ((0, 0), (1, 1)))
        ends[:, -1] = rows.shape[1]
        counts = np.diff(ends, axis=1)
        totals = np.diff(np.take_along_axis(sums, ends, 1), axis=1)
        table = np.where(counts > 0, totals / np.maximum(counts, 1), table)
    table = table.astype(np.float16)
    middles = (table[:, 1:].astype(np.float32) + table[:, :-1]) / 2
    codes = [np.searchsorted(middle, row) for row, middle in zip(rows, middles, strict=True)]
    return table, np.stack(codes).astype(np.uint8)


def packed(kind: Type, codes: np.ndarray) -> Constant:
    """A Constant of ``codes``, one a number, in the layout of its type."""
    tensor = ov.Tensor(kind, ov.Shape(list(codes.shape)))
    flat, target = codes.reshape(-1), tensor.data.reshape(-1).view(np.uint8)
    match kind:
        case Type.i4 | Type.u4 | Type.nf4:
            pairs = np.pad(flat, (0, flat.size % 2)).view(np.uint8).reshape(-1, 2)
            target[:] = (pairs[:, 0] & 15) | (pairs[:, 1] << 4)
        case Type.u3:
            eights = np.pad(flat, (0, -flat.size % 8)).reshape(-1, 4)
            fours = (eights & 3) @ np.array([64, 16, 4, 1], np.uint8)
            tops = np.packbits(eights >> 2)
            target[:] = np.column_stack([fours.reshape(-1, 2), tops]).reshape(-1)[: target.size]
        case Type.u1:
            target[:] = np.packbits(flat)
        case _:
            target[:] = flat.view(np.uint8)
    return Constant(tensor)


def _scale(wanted: np.ndarray) -> np.ndarray:
    """As FP16 holds it, and 1 for what is all zeros."""
    return np.where(wanted > 0, np.maximum(wanted, 2.0**-24), 1.0).astype(np.float16).astype(np.float32)
