"""Element types that the DPU computes in: what a quantised or compressed model asks for, and what the engine has."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

from npusim.errors import UserError
from npusim.graph.ir import BITS, Graph, Op, Tensor
from npusim.hardware.schema import Hardware
from npusim.lowering.ir.optypes import WEIGHTED

#: OpenVINO's 8-bit floats.
_FP8 = ("f8e4m3", "f8e5m2")


def settle(graph: Graph, hw: Hardware) -> Graph:
    """The Graph with the types that this DPU computes in.

    FakeConvert (8-bit floats) stays where ``dpu.macs_per_cycle.fp8`` gives a rate. Elsewhere it does nothing, FP8
    weights are widened to FP16 when the model is compiled, and a note says so.
    A FakeQuantize whose result meets FP16 weights alone does nothing either: the DPU multiplies FP16 by narrower
    weights but not 8-bit activations by FP16 weights (valid types of VPUNN's device_valid_values).
    Changes between floating types inside the model are gone: the compiler computes both in FP16, and finds patterns
    across them (a norm in FP32 whose gain is behind a Convert).
    Raises UserError for an op that makes BF16: the compiler takes that type as an input or weights that are converted,
    and nowhere else.
    """
    for op in graph.ops:
        if any(graph.tensors[id].stored_dtype == "bf16" for id in op.outputs):
            raise UserError(
                f"op '{op.name}' ({op.type}) makes BF16, which the NPU compiler takes only as inputs and weights "
                "that are converted; convert the model to FP16"
            )
    graph = _without_idle(_without_fp8(graph) if hw.dpu.macs_per_cycle.fp8 is None else graph)
    readers: dict[int, list[Op]] = defaultdict(list)
    for op in graph.ops:
        for id in set(op.inputs):
            readers[id].append(op)
    return replace(graph, ops=tuple(_settled(op, graph, readers) for op in graph.ops))


def _without_idle(graph: Graph) -> Graph:
    """The Graph without the Converts inside it that change nothing of how a tensor is computed."""
    same: dict[int, int] = {}
    ops = []
    for op in graph.ops:
        inputs = tuple(same.get(id, id) for id in op.inputs)
        if op.type == "Convert" and _idle(op, graph):
            same[op.outputs[0]] = inputs[0]
        else:
            ops.append(replace(op, inputs=inputs))
    return replace(graph, ops=tuple(ops)) if same else graph


def _idle(op: Op, graph: Graph) -> bool:
    source, made = op.inputs[0], op.outputs[0]
    inside = source not in graph.inputs and made not in graph.outputs
    return inside and graph.tensors[source].dtype == graph.tensors[made].dtype


def _settled(op: Op, graph: Graph, readers: dict[int, list[Op]]) -> Op:
    if op.type not in ("FakeQuantize", "FakeConvert"):
        return op
    after = readers[op.outputs[0]]
    if after and all(wide_weights(reader, graph.tensors) for reader in after):
        return replace(op, type="Identity", inputs=op.inputs[:1])
    return op


def wide_weights(op: Op, tensors: tuple[Tensor, ...]) -> bool:
    """Whether an op multiplies by constant weights of more than 8 bits."""
    if op.type not in WEIGHTED:
        return False
    weights = tensors[op.inputs[1]]
    return weights.constant and BITS[weights.stored_dtype] > 8


def _without_fp8(graph: Graph) -> Graph:
    found = any(t.stored_dtype in _FP8 for t in graph.tensors) or any(
        op.type == "FakeConvert" for op in graph.ops
    )
    if not found:
        return graph
    tensors = tuple(
        replace(t, dtype="f16", stored_dtype="f16") if t.stored_dtype in _FP8 else t for t in graph.tensors
    )
    ops = tuple(
        replace(op, type="Identity", inputs=op.inputs[:1]) if op.type == "FakeConvert" else op
        for op in graph.ops
    )
    note = "this DPU has no FP8 (dpu.macs_per_cycle.fp8 is null): computed and stored as FP16"
    return replace(graph, tensors=tensors, ops=ops, notes=(*graph.notes, note))
