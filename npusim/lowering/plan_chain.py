"""Plans cut together with the sliced convolution before them (vertical fusion, facts/vendor_lowering.md 4.3).

While a SHAVE kernel works on slice i from CMX, the DPU computes slice i+1 and the weights of slice i+2 are loaded
(chain_ffn256, chain_4matmul_swish on 4000 and 3720, the FFN of bert-base).
"""

from __future__ import annotations

from dataclasses import replace
from itertools import count, pairwise

from npusim.costs.work import DmaWork, ShaveWork, Work
from npusim.hardware.schema import Hardware
from npusim.lowering.nodes import Node
from npusim.lowering.plan import Plan, Slice
from npusim.lowering.values import ceil_div, even

#: Elements of one granule of a SHAVE's share.
GRANULE = 16
#: Rows of a MatMul up to which a kernel joins it although it is cut by channels alone.
FEW_ROWS = 64


def joins(node: Node, producer: Plan, sole: bool) -> bool:
    """Whether an elementwise kernel runs slice by slice behind the plan that makes its operand.

    A convolution whose tiles or slices are rows carries its kernel along (chain_ffn256, chain_4matmul_swish); one that
    both tiles and slices cut by output channels only if its rows are few (Mamba's gates of 4 and 64 tokens, 10 of 10;
    not of one token, 3 of 3; not the Gelu of bert's 128, 48 of 48 on 4 and 6 tiles).
    """
    few = 1 < producer.node.params.get("m", 0) <= FEW_ROWS
    rows = bool(producer.in_dists) and producer.in_dists[0] is not None and not producer.in_dists[0].whole
    keys = [{x.key for x in part.loads if x.operand == 0} for part in producer.slices]
    rows = few or rows or any(a != b for a, b in pairwise(keys))
    return (
        sole
        and rows
        and producer.node.kind == "conv"
        and len(producer.slices) > 1
        and producer.chain < 0
        and node.params.get("axis") is None
        and node.params["kernel"] != "convert"
        and node.inputs[0].elements == producer.output.elements
    )


def plan_joined(node: Node, hw: Hardware, kernel: str, producer: Plan, numbers: count[int]) -> Plan:
    """The slices of an elementwise kernel over those of ``producer``, which it is chained to."""
    producer.chain = next(numbers)
    shaves = 1 if kernel in hw.software.unsplit_kernels else hw.shave.per_tile
    output, read = node.output, producer.output.bits
    parts = []
    for part in producer.slices:
        computes: list[tuple[int, Work]] = []
        for tile, held in enumerate(part.out_bytes):
            elements = held * 8 // read
            for share in even(elements, shaves, GRANULE) if elements else ():
                size = ceil_div(share * output.bits, 8)
                computes.append((tile, ShaveWork(kernel, share, size, size + ceil_div(share * read, 8))))
        stores = [replace(store, work=_as_wide(store.work, output.bits, read)) for store in part.stores]
        held_bytes = tuple(ceil_div(held * output.bits, read) for held in part.out_bytes)
        parts.append(Slice([], computes, stores, held_bytes, part.detail))
    strategy = f"{kernel}, cut with the op before it in {len(parts)} slices"
    return Plan(node, [node.inputs[0]], [None], output, None, parts, strategy, chain=producer.chain)


def _as_wide(work: DmaWork, bits: int, was: int) -> DmaWork:
    """The transfer of as many elements of ``bits`` as ``work`` has of ``was``."""
    if bits == was:
        return work
    return replace(
        work, bytes=ceil_div(work.bytes * bits, was), counted_bytes=ceil_div(work.counted_bytes * bits, was)
    )
