"""Graph to Graph before fusion: compressed weights that the DPU can not read as they are stored.

It multiplies by weights of 8 bits, and by those of 4 through a table of 16 numbers, that have one scale a channel. What
is stored otherwise the compiler decodes to FP16 (tables of rows, too; numbers of 3 bits and of one it refuses: a
compiler that took them would do the same), and 4-bit weights with a scale for each group of terms it multiplies
group by group where rows are few (``long_sums``). Each rule was tried with models of 512 to 2,048 channels and 1 to 64
rows on 4000 (tests/lowering/test_weights.py).
"""

from __future__ import annotations

from dataclasses import replace
from math import ceil, prod

from npusim.graph.ir import BITS, Graph, Op, Tensor
from npusim.hardware.schema import Hardware
from npusim.hardware.zeros import Sparsity
from npusim.lowering.ir.shapes import CHANNELS
from npusim.lowering.ir.values import round_up

#: Rows of a product up to which its weights of 4 bits are multiplied group by group (16 are, 17 are not).
GROUPED_ROWS = 16
#: Terms from which a product of one row keeps 8-bit weights with a zero point, and takes it off the result.
SHIFTED_TERMS = 1024
#: Numbers up to which 8-bit weights with a zero point are decoded when the model is compiled.
DECODED_NUMBERS = 512 * 512
#: Most input channels of weights that are stored without their zeros (pass SparsifyWeights of npu_compiler, 2024-12).
SPARSE_TERMS = 8192

#: Bytes of which the weights of one sum are a multiple (npu_compiler, nce_sparsity.cpp).
WEIGHTS_ALIGNED = 16

#: Ops that sum products with weights.
_SUMS = ("MatMul", "Convolution", "GroupConvolution")


def sparse_zeros(
    weights: Tensor, terms: int, sums: int, sparsity: Sparsity | None, taps: int = 1, padded: bool = True
) -> float:
    """The share by which weights shrink that are stored without zeros: those of so many ``sums`` over ``terms`` at
    ``taps`` places each, if ``padded`` with the zeros that fill up the last granule of both. 0 where the compiler keeps
    them: where too little is gained, in narrow types, in sums over more terms than a bit map has, and for a DPU that
    skips none."""
    if sparsity is None or sparsity.weights is None:
        return 0.0
    bits, stored = min(BITS[weights.stored_dtype], 16), sparsity.stored_from
    least = {16: stored.fp16, 8: stored.int8}.get(bits, 1.0)
    zeros = weights.coding.zeros if weights.constant else 0.0
    wide, channels = (round_up(n, CHANNELS) if padded else n for n in (terms, sums))
    kept = round_up(ceil((1 - zeros) * terms * taps * bits / 8), WEIGHTS_ALIGNED) * sums
    gained = 1 - 8 * kept / (wide * taps * bits * channels)
    return gained if gained >= least and terms <= SPARSE_TERMS else 0.0


def decode_weights(graph: Graph, hw: Hardware) -> Graph:
    """The Graph with those weights as FP16 that the compiler decodes."""
    decoded = {
        op.inputs[1]
        for op in graph.ops
        if (op.type in _SUMS and _is_foreign(graph.tensors[op.inputs[1]], hw))
        or (op.type == "MatMul" and _is_decoded(graph, op))
    }
    tensors = tuple(
        replace(tensor, stored_dtype="f16", coding=replace(tensor.coding, groups=1))
        if tensor.id in decoded
        else tensor
        for tensor in graph.tensors
    )
    return replace(graph, tensors=tensors) if decoded else graph


def _is_foreign(weights: Tensor, hw: Hardware) -> bool:
    """Whether the DPU does not multiply by weights that are stored so: in tables, or in fewer than 4 bits."""
    bits, tables = BITS[weights.stored_dtype], hw.dpu.weight_tables
    if not weights.constant or not (weights.coding.table or bits < 4):
        return False
    return tables is None or bits not in tables.bits or weights.coding.groups > 1


def _is_decoded(graph: Graph, op: Op) -> bool:
    data, weights = (graph.tensors[id] for id in op.inputs[:2])
    if not weights.constant or data.constant:
        return False
    rows, terms, coding = prod(data.shape[:-1]), data.shape[-1], weights.coding
    match BITS[weights.stored_dtype]:
        case 4:
            by_group = coding.groups > 1 and rows <= GROUPED_ROWS
            return not by_group and (coding.groups > 1 or coding.shift == "each")
        case 8 if coding.shift != "none":
            kept = rows == 1 and terms >= SHIFTED_TERMS
            return not kept and (coding.shift == "each" or weights.elements <= DECODED_NUMBERS)
        case 8:
            return coding.groups > 1
    return False


def join_grouped(graph: Graph) -> Graph:
    """The Graph with products of one activation by weights in groups as one, whose result is taken apart (query, key
    and value; gate and up: each group of terms is then multiplied once for all of them)."""
    siblings: dict[tuple[object, ...], list[Op]] = {}
    for op in graph.ops:
        if op.type == "MatMul" and _joinable(graph, op):
            weights = graph.tensors[op.inputs[1]]
            across = bool(op.attrs.get("transpose_b"))
            key = (
                op.inputs[0],
                across,
                bool(op.attrs.get("transpose_a")),
                groups_of(weights),
                weights.stored_dtype,
            )
            siblings.setdefault(key, []).append(op)
    tensors = list(graph.tensors)
    instead: dict[int, list[Op]] = {}  # id of an op -> what stands for it
    for alike in siblings.values():
        if len(alike) > 1:
            instead.update({id(op): [] for op in alike} | {id(alike[0]): _joined(alike, tensors)})
    ops = [new for op in graph.ops for new in instead.get(id(op), [op])]
    return replace(graph, tensors=tuple(tensors), ops=tuple(ops)) if instead else graph


def _joinable(graph: Graph, op: Op) -> bool:
    data, weights = (graph.tensors[id] for id in op.inputs[:2])
    return weights.constant and not data.constant and len(weights.shape) == 2 and groups_of(weights) > 1


def _joined(alike: list[Op], tensors: list[Tensor]) -> list[Op]:
    """One product for those of ``alike``, and the op that takes its result apart."""
    first = alike[0]
    weights, result = tensors[first.inputs[1]], tensors[first.outputs[0]]
    columns = sum(tensors[op.outputs[0]].shape[-1] for op in alike)
    terms = weights.elements // result.shape[-1]
    shape = (columns, terms) if first.attrs.get("transpose_b") else (terms, columns)
    wide = replace(weights, id=len(tensors), shape=shape)
    whole = replace(result, id=len(tensors) + 1, shape=(*result.shape[:-1], columns))
    tensors += [wide, whole]
    return [
        replace(first, inputs=(first.inputs[0], wide.id), outputs=(whole.id,)),
        Op(first.name, "Split", (whole.id,), tuple(op.outputs[0] for op in alike)),
    ]


def groups_of(weights: Tensor) -> int:
    """Groups of terms that weights are multiplied in, one after the other."""
    return weights.coding.groups if BITS[weights.stored_dtype] == 4 else 1
