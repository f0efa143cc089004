"""What a model is, before any hardware: parameters, weights, products, element types, and the memory it asks for."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from npusim.graph.ir import BITS, Graph, Tensor
from npusim.lowering.conservation import macs_of_op
from npusim.program import Program
from npusim.program.work import DpuWork

#: Element types of indices, masks and shapes, which nobody counts as parameters.
_NO_PARAMETERS = frozenset({"i64", "u64", "i32", "u32", "i16", "u16", "boolean"})
#: Ops whose output is their first input seen in another shape: it takes no memory of its own.
_VIEWS = frozenset({"Reshape", "Squeeze", "Unsqueeze"})
#: Share below which an element type is not worth naming.
_SEEN = 0.01
_NAMES = {
    "f64": "FP64",
    "f32": "FP32",
    "f16": "FP16",
    "bf16": "BF16",
    "f8e4m3": "FP8",
    "f8e5m2": "FP8",
    "nf4": "NF4",
}


@dataclass(frozen=True, slots=True)
class Footprint:
    """Sizes of one inference of a Graph.

    ``parameters`` are elements of the constants that ops read, ``weight_bytes`` what they take as the NPU stores them
    (never wider than FP16), ``macs`` the multiply-accumulates that are asked for, padding aside. ``computed`` are the
    element types by the share of the Program's products in each, ``stored`` those of the weights in the file by the
    share of parameters, both the largest first. ``activation_bytes`` is the most that inputs, outputs and intermediate
    tensors take at once if none is fused or kept in CMX. ``inputs`` are names and shapes.
    """

    parameters: int
    weight_bytes: int
    macs: int
    computed: tuple[tuple[str, float], ...]
    stored: tuple[tuple[str, float], ...]
    activation_bytes: int
    inputs: tuple[tuple[str, tuple[int, ...]], ...] = ()

    @property
    def ddr_bytes(self) -> int:
        """The most that weights and activations take of DDR."""
        return self.weight_bytes + self.activation_bytes

    @property
    def quantised(self) -> bool:
        """Whether most products are of 8-bit integers."""
        return bool(self.computed) and self.computed[0][0] == "INT8"

    @property
    def precision_text(self) -> str:
        """``FP16``, or ``INT8 and FP16``; with the type of the file's weights where it is another."""
        computed = " and ".join(name for name, share in self.computed if share >= _SEEN) or "no products"
        others = [name for name, share in self.stored if share >= _SEEN and name not in computed]
        return f"{computed} (weights in the file: {' and '.join(others)})" if others else computed


def footprint(graph: Graph, program: Program) -> Footprint:
    """The Footprint of a Graph, and of the Program that was made of it."""
    read = {i for op in graph.ops for i in op.inputs}
    weights = [t for t in graph.tensors if t.constant and t.id in read and t.dtype not in _NO_PARAMETERS]
    stored: Counter[str] = Counter()
    for tensor in weights:
        stored[type_name(tensor.stored_dtype)] += tensor.elements
    return Footprint(
        parameters=sum(tensor.elements for tensor in weights),
        weight_bytes=sum(map(_bytes_on_npu, weights)),
        macs=sum(macs_of_op(graph, op) for op in graph.ops),
        computed=_shares(_computed(program)),
        stored=_shares(stored),
        activation_bytes=_most_alive(graph),
        inputs=tuple((graph.tensors[i].name, graph.tensors[i].shape) for i in graph.inputs),
    )


def _computed(program: Program) -> Counter[str]:
    """Multiply-accumulates of the DPU by the element type of their operands."""
    products: Counter[str] = Counter()
    for work, count in zip(program.tasks.works, program.tasks.count_of_work().tolist(), strict=True):
        if isinstance(work, DpuWork) and work.kind in ("conv", "dwconv"):
            products["FP16" if work.in_bits > 8 else "FP8" if work.fp8 else "INT8"] += count * work.macs
    return products


def type_name(dtype: str) -> str:
    """An element type as people write it: ``FP16``, ``INT8`` (of either sign)."""
    if dtype in _NAMES:
        return _NAMES[dtype]
    return f"INT{dtype[1:]}" if dtype[0] in "iu" else dtype


def _bytes_on_npu(weights: Tensor) -> int:
    return (weights.elements * min(BITS[weights.stored_dtype], BITS[weights.dtype]) + 7) // 8


def _shares(counts: Counter[str]) -> tuple[tuple[str, float], ...]:
    return tuple((name, count / counts.total()) for name, count in counts.most_common() if count)


def _most_alive(graph: Graph) -> int:
    """The largest sum of tensors that are made, or given, and still to be read, op by op."""
    home: dict[int, int] = {}
    for op in graph.ops:
        if op.type in _VIEWS:
            home[op.outputs[0]] = home.get(op.inputs[0], op.inputs[0])
    last = {home.get(i, i): number for number, op in enumerate(graph.ops) for i in op.inputs}
    last |= dict.fromkeys((home.get(i, i) for i in graph.outputs), len(graph.ops))
    frees: dict[int, int] = {}
    for i, number in last.items():
        frees[number] = frees.get(number, 0) + (0 if graph.tensors[i].constant else graph.tensors[i].bytes)
    alive = most = sum(graph.tensors[i].bytes for i in graph.inputs)
    for number, op in enumerate(graph.ops):
        alive += sum(graph.tensors[i].bytes for i in op.outputs if i not in home and i in last)
        most = max(most, alive)
        alive -= frees.get(number, 0)
    return most
