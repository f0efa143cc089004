"""From Graph to nodes: views folded away, groups fused, operands classified. No hardware but the software rules."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import prod

import numpy as np

from npusim.errors import UserError
from npusim.graph.ir import BITS, Graph, Op
from npusim.hardware.schema import Software
from npusim.lowering.attention import PerHead, projections
from npusim.lowering.nodes import Kind, Node
from npusim.lowering.patterns import Match, find
from npusim.lowering.values import Value

#: Ops with one activation operand that a SHAVE kernel of the same name (in lower case) can run.
UNARY_OPS = frozenset(
    {
        "Abs", "Acos", "Acosh", "Asin", "Asinh", "Atan", "Atanh", "Ceiling", "Clamp", "Cos",
        "Cosh", "CumSum", "Elu", "Erf", "Exp", "Floor", "Gelu", "HSigmoid", "HSwish", "HardSigmoid",
        "Log", "LogSoftmax", "LogicalNot", "MVN", "Mish", "Negative", "NormalizeL2", "PRelu", "Relu",
        "LeakyRelu", "Round", "Selu", "Sigmoid", "Sign", "Sin", "Sinh", "SoftMax", "SoftPlus",
        "SoftSign", "Softmax", "Sqrt", "Swish", "Tan", "Tanh", "TopK", "ReduceL1", "ReduceL2",
        "ReduceProd",
    }
)  # fmt: skip
#: Ops with several activation operands, likewise.
ELTWISE_OPS = frozenset(
    {
        "Add", "Subtract", "Multiply", "Divide", "Maximum", "Minimum", "Power", "SquaredDifference",
        "FloorMod", "Mod", "Equal", "NotEqual", "Greater", "GreaterEqual", "Less", "LessEqual",
        "LogicalAnd", "LogicalOr", "LogicalXor",
    }
)  # fmt: skip
_REDUCE = {"ReduceSum": "sum", "ReduceMean": "mean", "ReduceMax": "max", "ReduceMin": "min"}


class _Fuser:
    def __init__(self, graph: Graph, software: Software) -> None:
        self.graph = graph
        self.software = software
        self.index, self.matches, self.covered = find(graph, software.contract_multiply_reduce)
        self.nodes: list[Node] = []
        self.values: dict[int, Value] = {}
        self.made: dict[int, Node] = {}  # storage -> the node that writes it
        self.storages = 0
        self.moved: dict[tuple[int, tuple[int, ...], tuple[int, ...]], Value] = {}
        for tensor in graph.tensors:
            if tensor.constant or tensor.id in graph.inputs:
                self.values[tensor.id] = Value(
                    storage=self.storage(),
                    shape=tensor.shape,
                    bits=BITS[tensor.dtype],
                    stored_bits=BITS[tensor.stored_dtype],
                    constant=tensor.constant,
                )

    # -- small helpers ------------------------------------------------------------------------------------------

    def storage(self) -> int:
        self.storages += 1
        return self.storages - 1

    def fresh(self, op: Op, port: int = 0) -> Value:
        tensor = self.graph.tensors[op.outputs[port]]
        bits = BITS[tensor.dtype]
        return Value(storage=self.storage(), shape=tensor.shape, bits=bits, stored_bits=bits)

    def emit(
        self, kind: Kind, op: Op, inputs: list[Value], output: Value | None = None, **params: object
    ) -> Node:
        output = output if output is not None else self.fresh(op)
        node = Node(kind, op.name, op.type, inputs, output, params)
        self.nodes.append(node)
        self.made[output.storage] = node
        self.values.setdefault(op.outputs[0], output)
        return node

    def constant(self, id: int) -> np.ndarray:
        value = self.graph.tensors[id].value
        if value is None:
            raise UserError(
                f"constant '{self.graph.tensors[id].name}' is needed to lower the model, and it is too large"
            )
        return np.asarray(value)

    def axes(self, id: int, rank: int) -> tuple[int, ...]:
        return tuple(sorted(int(a) % rank for a in self.constant(id).reshape(-1)))

    def plain(self, value: Value, op: Op) -> Value:
        """The value in row-major order, moved there by a transpose where it is not."""
        return value if value.plain else self.move(value, tuple(range(len(value.shape))), op)

    def move(self, value: Value, order: tuple[int, ...], op: Op) -> Value:
        """The value with its dimensions in memory as ``order`` says; one transpose serves all who ask for the same."""
        target = replace(value, order=order)
        if target.memory_order == value.memory_order:
            return value
        key = (value.storage, value.shape, order)
        if key not in self.moved:
            moved = Value(self.storage(), value.shape, value.bits, value.bits, order=order)
            node = Node("transpose", op.name, op.type, [value], moved)
            self.nodes.append(node)
            self.made[moved.storage] = node
            self.moved[key] = moved
        return self.moved[key]

    def write_planes(self, id: int) -> None:
        """Let the convolution or pooling that makes a model output write it as planes itself (the output data unit
        permutes): conv_*, dwconv_*: 12 of 12 cases have no task for it."""
        value = self.values[id]
        node = self.producer(id)
        if (
            node is not None
            and node.kind in ("conv", "dwconv", "pool")
            and node.output == value
            and not value.plain
        ):
            node.output = self.values[id] = replace(value, order=())

    def sole_reader(self, id: int) -> bool:
        return self.index.readers[id] == 1

    # -- the walk -----------------------------------------------------------------------------------------------

    def run(self) -> None:
        for op in self.graph.ops:
            match = self.matches.get(op.outputs[0])
            if match is not None:
                self.matched(match)
            elif id(op) not in self.covered:
                handler = _HANDLERS.get(op.type)
                if handler is None:
                    raise UserError(
                        f"op '{op.name}' has the type {op.type}, which npusim does not know how to lower"
                    )
                handler(self, op)

    def matched(self, match: Match) -> None:
        op = match.root
        values = [self.values[i] for i in match.inputs]
        if match.kind == "rms":
            node = self.emit(
                "unary", op, values, replace(self.fresh(op), order=values[0].order), kernel="rms"
            )
        elif match.kind == "swish":
            node = self.emit(
                "unary", op, values, replace(self.fresh(op), order=values[0].order), kernel="swish"
            )
        elif match.kind == "factor":
            node = self.factor(match)
        else:
            node = self.contract(match)
        node.fused = tuple(o.name for o in match.covered if o is not op)

    def factor(self, match: Match) -> Node:
        """sum(a * b) where b does not vary along the axis: sum(a) * b."""
        product, op = match.covered
        a, b = (self.values[i] for i in match.inputs)
        axis = self.axes(op.inputs[1], len(a.shape))[0]
        shape = tuple(1 if d == axis else s for d, s in enumerate(a.shape))
        order = tuple(d for d in (a.order or ()))
        total = Value(self.storage(), shape, a.bits, a.bits, order=order)
        node = Node("reduce", op.name, op.type, [a], total, {"reduce": "sum", "axes": (axis,)})
        self.nodes.append(node)
        self.made[total.storage] = node
        out = self.fresh(op)
        full = tuple(max(x, y) for x, y in zip(shape, b.shape, strict=True))
        whole = replace(out, shape=full, order=b.order)
        total, b = (
            v if self.same_order(v, b.order) else self.move(v, b.order or tuple(range(len(full))), op)
            for v in (total, b)
        )
        node = self.emit("eltwise", op, [b, total], whole, kernel="multiply")
        node.name, node.type = product.name, product.type
        self.values[op.outputs[0]] = (
            whole.reshaped(out.shape) or self.plain(whole, op).reshaped(out.shape) or out
        )
        return node

    def contract(self, match: Match) -> Node:
        """Broadcast Multiply + ReduceSum as a batched MatMul: lhs [B, M, K], rhs [B, N, K], output [B, M, N]."""
        product, op = match.covered
        shape = self.graph.tensors[product.outputs[0]].shape
        axis = self.axes(op.inputs[1], len(shape))[0]
        a, b = (self.padded(self.values[i], len(shape)) for i in match.inputs)
        dims = range(len(shape))
        batch = [d for d in dims if d != axis and a.shape[d] == b.shape[d] > 1]
        rows = [d for d in dims if a.shape[d] > 1 and b.shape[d] == 1]
        columns = [d for d in dims if b.shape[d] > 1 and a.shape[d] == 1]
        if a.memory_order[-1:] != (axis,):
            a = self.move(a, self.full_order(a, [*batch, *rows, axis]), op)
        if b.memory_order != (*batch, *columns, axis):
            b = self.move(b, self.full_order(b, [*batch, *columns, axis]), op)
        out = self.fresh(op)
        keep = len(out.shape) == len(shape)
        renumber = {d: d if keep or d < axis else d - 1 for d in dims}
        order = [renumber[d] for d in (*batch, *rows, *columns)]
        out = replace(out, order=self.full_order(out, order))
        return self.emit(
            "bmm",
            op,
            [a, b],
            out,
            batch=prod(shape[d] for d in batch),
            m=prod(shape[d] for d in rows),
            n=prod(shape[d] for d in columns),
            k=shape[axis],
        )

    @staticmethod
    def full_order(value: Value, order: list[int]) -> tuple[int, ...]:
        """An order of the non-unit dimensions completed with the unit ones."""
        return tuple(d for d in range(len(value.shape)) if d not in order) + tuple(order)

    @staticmethod
    def padded(value: Value, rank: int) -> Value:
        missing = rank - len(value.shape)
        if not missing:
            return value
        order = tuple(range(missing)) + tuple(d + missing for d in (value.order or range(len(value.shape))))
        return replace(value, shape=(1,) * missing + value.shape, order=order if value.order else ())

    # -- views --------------------------------------------------------------------------------------------------

    def view(self, op: Op) -> None:
        value = self.values[op.inputs[0]]
        shape = self.graph.tensors[op.outputs[0]].shape
        seen = value.reshaped(shape)
        if seen is None:
            seen = self.plain(value, op).reshaped(shape)
        assert seen is not None
        self.values[op.outputs[0]] = seen

    def transpose(self, op: Op) -> None:
        value = self.values[op.inputs[0]]
        perm = (
            tuple(int(p) for p in self.constant(op.inputs[1]).reshape(-1))
            if len(op.inputs) > 1
            else tuple(reversed(range(len(value.shape))))
        )
        self.values[op.outputs[0]] = value.transposed(perm or tuple(reversed(range(len(value.shape)))))

    def slice(self, op: Op) -> None:
        self.values[op.outputs[0]] = self.part(op, self.graph.tensors[op.outputs[0]].shape)

    def part(self, op: Op, shape: tuple[int, ...]) -> Value:
        value = self.values[op.inputs[0]]
        if shape == value.shape:
            return value
        if len(shape) != len(value.shape):
            return replace(self.plain(value, op), shape=shape, order=(), partial=True)
        return replace(value, shape=shape, partial=True)

    def split(self, op: Op) -> None:
        for id in op.outputs:
            self.values[id] = self.part(op, self.graph.tensors[id].shape)

    def strided_slice(self, op: Op) -> None:
        shape = self.graph.tensors[op.outputs[0]].shape
        value = self.values[op.inputs[0]]
        if prod(shape) == value.elements:
            self.view(op)
            return
        self.values[op.outputs[0]] = self.part(op, shape)

    def gather(self, op: Op) -> None:
        data, indices, axis_id = op.inputs[:3]
        value = self.values[data]
        shape = self.graph.tensors[op.outputs[0]].shape
        index = self.graph.tensors[indices]
        if index.constant and index.elements == 1 and not value.constant:
            axis = int(self.constant(axis_id).reshape(-1)[0]) % len(value.shape)
            reduced = tuple(1 if d == axis else s for d, s in enumerate(value.shape))
            part = replace(value, shape=reduced, partial=reduced != value.shape)
            seen = part.reshaped(shape) or replace(part, shape=shape, order=())
            self.values[op.outputs[0]] = seen
            return
        axis = int(self.constant(axis_id).reshape(-1)[0]) % len(value.shape)
        self.emit("gather", op, [self.plain(value, op), self.values[indices]], axis=axis)

    # -- data movement ------------------------------------------------------------------------------------------

    def concat(self, op: Op) -> None:
        parts = [self.plain(self.values[i], op) for i in op.inputs]
        axis = int(op.attrs["axis"])
        self.emit("concat", op, parts, axis=axis % len(parts[0].shape))

    def pad(self, op: Op) -> None:
        value = self.values[op.inputs[0]]
        if self.graph.tensors[op.outputs[0]].shape == value.shape:
            self.view(op)
            return
        value = self.plain(value, op)
        out = self.fresh(op)
        filler = Value(
            self.storage(), (out.elements - value.elements,), value.bits, value.bits, constant=True
        )
        self.emit("concat", op, [value, filler], out, axis=0)

    def broadcast(self, op: Op) -> None:
        value = self.values[op.inputs[0]]
        shape = self.graph.tensors[op.outputs[0]].shape
        if prod(shape) == value.elements:
            self.view(op)
            return
        readers = [o for o in self.graph.ops if op.outputs[0] in o.inputs] if op.type == "Broadcast" else []
        if readers and all(o.type in (*ELTWISE_OPS, "Select") and not self.by_scalar(o) for o in readers):
            self.values[op.outputs[0]] = self.padded(value, len(shape))
            return
        self.emit("broadcast", op, [self.plain(value, op)])

    def result(self, id: int, value: Value) -> Value:
        """A result whose interface is FP32 is converted by a SHAVE kernel of its own (facts 1.6, 43 public traces)."""
        tensor = self.graph.tensors[id]
        if BITS[tensor.stored_dtype] != 32 or value.bits != 16 or tensor.dtype != "f16":
            return value
        wide = Value(self.storage(), value.shape, bits=32, stored_bits=32)
        node = Node("unary", tensor.name, "Result", [value], wide, {"kernel": "convert"})
        self.nodes.append(node)
        self.made[wide.storage] = node
        return wide

    def by_scalar(self, op: Op) -> bool:
        """Arithmetic with one number."""
        split = (
            self.index.split_constant(op) if op.type in ("Add", "Subtract", "Multiply", "Divide") else None
        )
        return split is not None and self.values[split[1]].elements == 1

    def convert(self, op: Op) -> None:
        """A change of type: free between floating types inside the model (it is part of a load or store), a copy where
        an input becomes an output, a SHAVE kernel between others (facts 1.2, 1.4)."""
        value = self.values[op.inputs[0]]
        out = replace(self.fresh(op), order=value.order)
        if value.bits != out.bits:
            self.emit("unary", op, [value], out, kernel="convert")
        elif (
            value.stored_bits != value.bits
            and self.index.readers[op.outputs[0]]
            and op.outputs[0] in self.graph.outputs
        ):
            self.emit("convert", op, [value], out)
        else:
            self.values[op.outputs[0]] = value

    # -- compute ------------------------------------------------------------------------------------------------

    def matmul(self, op: Op) -> None:
        a, b = (self.values[i] for i in op.inputs)
        ta, tb = bool(op.attrs.get("transpose_a")), bool(op.attrs.get("transpose_b"))
        out = self.fresh(op)
        if b.constant and not a.constant and prod(b.shape[:-2]) == 1:
            k = a.shape[-2] if ta else a.shape[-1]
            if ta:
                swapped = tuple(range(len(a.shape) - 2)) + (len(a.shape) - 1, len(a.shape) - 2)
                a = a.transposed(swapped)
            a = self.plain(a, op)
            n = out.shape[-1]
            self.emit("conv", op, [a, b], out, m=out.elements // n, k=k, n=n, bias=False)
            return
        self.batched(op, a, b, ta, tb, out)

    def batched(self, op: Op, a: Value, b: Value, ta: bool, tb: bool, out: Value) -> Node:
        """act x act MatMul (or a constant mask times an activation)."""
        rank = len(out.shape)
        rank = max(rank, 2)
        a, b = self.padded(a, rank), self.padded(b, rank)
        m, n = out.shape[-2], out.shape[-1]
        k = a.shape[-2] if ta else a.shape[-1]
        batch = prod(out.shape[:-2])
        lead = list(range(rank - 2))
        a_axis, b_axis = (rank - 2 if ta else rank - 1), (rank - 1 if tb else rank - 2)
        a_rows, b_columns = (rank - 1 if ta else rank - 2), (rank - 2 if tb else rank - 1)
        if not a.constant and a.memory_order[-1:] != (a_axis,) and k > 1:
            a = self.move(a, self.full_order(a, [*lead, a_rows, a_axis]), op)
        if not b.constant and b.memory_order[-1:] != (b_axis,) and k > 1:
            b = self.move(b, self.full_order(b, [*lead, b_columns, b_axis]), op)
        return self.emit("bmm", op, [a, b], out, batch=batch, m=m, n=n, k=k)

    def attention(self, op: Op) -> None:
        """softmax(Q K^T * scale + mask) V, per head where the compiler cuts it so."""
        out = self.fresh(op)
        operands = [self.values[i] for i in op.inputs[:3]]
        parts = projections(self.index, op, operands, self.made)
        if parts is not None:
            nodes, joined = PerHead(op, parts, operands[0], self.storage).nodes(out)
            kept = [n for n in self.nodes if not any(n is part for part in parts)]
            self.nodes = [*kept, *nodes]
            self.made[joined.storage] = nodes[-1]
            self.values[op.outputs[0]] = joined
            return
        q, k, v = (self.plain(value, op) for value in operands)
        batch = prod(q.shape[:-2])
        scores = Value(self.storage(), (*q.shape[:-1], k.shape[-2]))
        weights = Value(self.storage(), scores.shape)
        name = op.name
        first = self.batched(Op(f"{name}/QK", op.type, (), (op.outputs[0],)), q, k, False, True, scores)
        self.values.pop(op.outputs[0], None)
        self.nodes.append(Node("unary", f"{name}/softmax", op.type, [scores], weights, {"kernel": "softmax"}))
        self.made[weights.storage] = self.nodes[-1]
        first.params["heads"] = batch
        self.batched(Op(f"{name}/PV", op.type, (), op.outputs), weights, v, False, False, out)

    def convolution(self, op: Op) -> None:
        x, w = (self.values[i] for i in op.inputs[:2])
        out = self.fresh(op)
        grouped = op.type == "GroupConvolution"
        strides = tuple(int(s) for s in op.attrs["strides"])
        pads = tuple(int(p) for p in (*op.attrs["pads_begin"], *op.attrs["pads_end"]))
        kernel = w.shape[3:] if grouped else w.shape[2:]
        spatial = len(kernel)
        channels_last = tuple(d for d in range(spatial + 2) if d != 1) + (1,)
        out = replace(out, order=channels_last)
        params = {
            "kernel": (*kernel, 1)[:2] if spatial == 1 else kernel,
            "stride": (*strides, 1)[:2] if spatial == 1 else strides,
            "pads": pads,
        }
        if grouped and w.shape[0] > 1 and w.shape[1] == 1 and w.shape[2] == 1:
            self.emit("dwconv", op, [x, w], out, **params)
            return
        n = out.shape[1]
        m = out.elements // n
        k = x.shape[1]
        self.emit("conv", op, [x, w], out, m=m, k=k, n=n, bias=False, **params)

    def pool(self, op: Op) -> None:
        x = self.values[op.inputs[0]]
        spatial = len(x.shape) - 2
        channels_last = tuple(d for d in range(spatial + 2) if d != 1) + (1,)
        kernel, strides = (tuple(int(v) for v in op.attrs[k]) for k in ("kernel", "strides"))
        pads = tuple(int(p) for p in (*op.attrs["pads_begin"], *op.attrs["pads_end"]))
        self.emit(
            "pool",
            op,
            [x],
            replace(self.fresh(op), order=channels_last),
            pool="max" if op.type == "MaxPool" else "avg",
            kernel=(*kernel, 1)[:2],
            stride=(*strides, 1)[:2],
            pads=pads,
        )

    def absorb(self, op: Op, source: int) -> bool:
        """Fuse an elementwise op into the DPU op that makes its operand, as its post-processing."""
        value = self.values[source]
        node = self.made.get(value.storage)
        if node is None or value.partial or not self.sole_reader(source):
            return False
        node.fused = (*node.fused, op.name)
        node.output = replace(value, shape=self.graph.tensors[op.outputs[0]].shape)
        self.values[op.outputs[0]] = node.output
        return True

    def producer(self, source: int) -> Node | None:
        """The node that makes all of a tensor, if nobody else reads it."""
        value = self.values[source]
        node = self.made.get(value.storage)
        return node if node is not None and not value.partial and self.sole_reader(source) else None

    def unary(self, op: Op) -> None:
        source = op.inputs[0]
        value = self.values[source]
        kernel = op.type.lower()
        node = self.producer(source)
        if (
            node is not None
            and node.kind in ("conv", "dwconv", "scale", "bmm", "eltwise")
            and self.fusable(op, node)
        ):
            self.absorb(op, source)
            node.params["post"] = kernel
            return
        out = replace(self.fresh(op), order=value.order)
        params = self.unary_params(op)
        if node is not None and "batched" in node.params and "axis" not in params:
            params["repeated"] = node.params["batched"]
        self.emit("unary", op, [value], out, kernel=kernel, **params)

    def unary_params(self, op: Op) -> dict[str, object]:
        rank = len(self.graph.tensors[op.inputs[0]].shape)
        if op.type in ("SoftMax", "Softmax", "LogSoftmax"):
            return {"axis": int(op.attrs["axis"]) % rank}
        if op.type in ("CumSum", "MVN", "NormalizeL2", "ReduceL1", "ReduceL2", "ReduceProd"):
            return {"axis": self.axes(op.inputs[1], rank)[-1]}
        if op.type == "Clamp":
            return {"low": float(op.attrs["min"]), "high": float(op.attrs["max"])}
        return {"pwl": op.attrs["pwl"]} if "pwl" in op.attrs else {}

    def fusable(self, op: Op, node: Node) -> bool:
        """Whether the PPE applies this activation behind this node."""
        if "post" in node.params:
            return False
        if node.kind == "eltwise" and (node.type != "Add" or not node.params.get("dpu", True)):
            return False
        if "pwl" in op.attrs:
            return bool(op.attrs["lut"])
        if op.type == "Clamp" and float(op.attrs["min"]) != 0.0:
            return "ClampAny" in self.software.fused_activations
        return op.type in self.software.fused_activations

    def fake_quantize(self, op: Op) -> None:
        source = op.inputs[0]
        value = self.values[source]
        node = self.producer(source)
        if node is not None and node.kind in ("conv", "dwconv", "scale", "bmm", "eltwise", "pool", "unary"):
            node.fused = (*node.fused, op.name)
            node.output = replace(value, bits=8, stored_bits=8)
            self.values[op.outputs[0]] = node.output
            return
        out = replace(self.fresh(op), bits=8, stored_bits=8, order=value.order)
        self.emit("convert", op, [value], out, quantize=True)

    def reduce(self, op: Op) -> None:
        value = self.values[op.inputs[0]]
        axes = tuple(a for a in self.axes(op.inputs[1], len(value.shape)) if value.shape[a] > 1)
        if not axes:
            self.view(op)
            return
        out = self.fresh(op)
        if not value.plain:
            kept = [d for d in value.memory_order if d not in axes]
            if len(out.shape) == len(value.shape):
                out = replace(out, order=self.full_order(out, kept))
            else:
                value = self.plain(value, op)
        self.emit("reduce", op, [value], out, reduce=_REDUCE[op.type], axes=axes)

    def eltwise(self, op: Op) -> None:
        inputs = [self.values[i] for i in op.inputs]
        shape = self.graph.tensors[op.outputs[0]].shape
        if op.type in ("Add", "Subtract", "Multiply", "Divide") and self.with_constant(op, shape):
            return
        exponent = self.index.scalar(op.inputs[1]) if op.type == "Power" else None
        if exponent in (2.0, 3.0):
            out = replace(self.fresh(op), order=inputs[0].order)
            self.emit("eltwise", op, [inputs[0], inputs[0]], out, kernel="square")
            return
        rank = len(shape)
        inputs = [self.padded(v, rank) for v in inputs]
        big = [v for v in inputs if v.elements == prod(shape) and not v.constant]
        order = big[0].order if big else ()
        if any(not v.constant and not self.same_order(v, order) for v in inputs):
            lead = big[0].order if big else ()
            inputs = [
                v if v.constant or self.same_order(v, lead) else self.move(v, lead or tuple(range(rank)), op)
                for v in inputs
            ]
        out = replace(self.fresh(op), order=order)
        self.emit("eltwise", op, inputs, out, kernel=op.type.lower())

    def select(self, op: Op) -> None:
        """Select: a Multiply-like kernel of two operands where a constant mask clears a broadcast value, else a
        kernel of three. A mask that is computed is converted to FP16 first (facts 1.2)."""
        shape = self.graph.tensors[op.outputs[0]].shape
        mask, first, second = (self.padded(self.values[i], len(shape)) for i in op.inputs)
        size = prod(shape)
        if (
            mask.constant
            and self.index.scalar(op.inputs[1]) == 0.0
            and not second.constant
            and second.elements < size
        ):
            self.emit("eltwise", op, [second, mask], kernel="select_2in")
            return
        order = next((v.order for v in (first, second, mask) if v.elements == size and not v.constant), ())
        mask, first, second = (
            v
            if v.constant or self.same_order(v, order)
            else self.move(v, order or tuple(range(len(shape))), op)
            for v in (mask, first, second)
        )
        if not mask.constant and mask.bits == 8:
            wide = Value(self.storage(), mask.shape, order=mask.order)
            node = Node("unary", f"{op.name}/mask", "Convert", [mask], wide, {"kernel": "convert"})
            self.nodes.append(node)
            self.made[wide.storage] = node
            mask = wide
        params: dict[str, object] = {"kernel": "select"}
        batch = shape[-4] if len(shape) > 4 and prod(shape[-4:]) == size else 1
        if mask.constant and batch > 1 and prod(mask.shape[:-2]) == 1 and not order:
            params["batched"] = batch
        self.emit("eltwise", op, [mask, first, second], replace(self.fresh(op), order=order), **params)

    @staticmethod
    def same_order(value: Value, order: tuple[int, ...]) -> bool:
        """The non-unit dimensions of a value lie in memory in the given order of all dimensions."""
        want = tuple(d for d in (order or range(len(value.shape))) if value.shape[d] != 1)
        return value.memory_order == want

    def with_constant(self, op: Op, shape: tuple[int, ...]) -> bool:
        """Bias and scale by a constant: fused behind a DPU op, or a depth-wise 1x1 convolution of its own."""
        split = self.index.split_constant(op)
        if split is None or self.values[split[0]].elements != prod(shape):
            return False
        source, constant = split
        value, factor = (
            self.padded(self.values[source], len(shape)),
            self.padded(self.values[constant], len(shape)),
        )
        if op.type == "Divide" and constant == op.inputs[0]:
            return False
        node = self.producer(source)
        varying = [d for d, s in enumerate(factor.shape) if s > 1]
        if node is not None and node.kind == "broadcast" and not varying:
            return self.before_broadcast(op, node, factor)
        if node is not None and node.kind in ("conv", "dwconv", "bmm") and "post" not in node.params:
            channel = value.memory_order[-1:] if value.memory_order else ()
            bias = op.type in ("Add", "Subtract") and tuple(varying) in ((), channel)
            if (bias and not node.params.get("bias")) or (op.type in ("Multiply", "Divide") and not varying):
                node.params["bias"] = node.params.get("bias") or bias
                return self.absorb(op, source)
        out = replace(self.fresh(op), order=value.order)
        additive = op.type in ("Add", "Subtract")
        if len(varying) <= 1:
            self.emit(
                "scale", op, [value, factor], out, axis=varying[0] if varying else None, additive=additive
            )
        elif additive:
            self.emit("eltwise", op, [value, factor], out, kernel="add")
        else:
            self.emit("eltwise", op, [value, factor], out, kernel="multiply")
        return True

    def before_broadcast(self, op: Op, node: Node, factor: Value) -> bool:
        """Arithmetic with one number behind a Broadcast is done before it, on the small value (bcast_* 3/3)."""
        value = node.inputs[0]
        small = Value(self.storage(), value.shape, value.bits, value.bits, order=value.order)
        self.nodes.remove(node)
        additive = op.type in ("Add", "Subtract")
        scale = Node("scale", op.name, op.type, [value, factor], small, {"axis": None, "additive": additive})
        self.nodes.append(scale)
        self.made[small.storage] = scale
        self.nodes.append(node)
        node.inputs = [small]
        self.values[op.outputs[0]] = node.output
        return True


_HANDLERS: dict[str, Callable[[_Fuser, Op], None]] = {
    **dict.fromkeys(("Reshape", "Squeeze", "Unsqueeze", "Identity"), _Fuser.view),
    **dict.fromkeys(UNARY_OPS, _Fuser.unary),
    **dict.fromkeys(ELTWISE_OPS, _Fuser.eltwise),
    **dict.fromkeys(_REDUCE, _Fuser.reduce),
    "Convert": _Fuser.convert,
    "Select": _Fuser.select,
    "Transpose": _Fuser.transpose,
    "Slice": _Fuser.slice,
    "StridedSlice": _Fuser.strided_slice,
    "Split": _Fuser.split,
    "VariadicSplit": _Fuser.split,
    "Gather": _Fuser.gather,
    "Concat": _Fuser.concat,
    "Pad": _Fuser.pad,
    "Broadcast": _Fuser.broadcast,
    "Tile": _Fuser.broadcast,
    "MatMul": _Fuser.matmul,
    "ScaledDotProductAttention": _Fuser.attention,
    "Convolution": _Fuser.convolution,
    "GroupConvolution": _Fuser.convolution,
    "MaxPool": _Fuser.pool,
    "AvgPool": _Fuser.pool,
    "FakeQuantize": _Fuser.fake_quantize,
}


def fuse(graph: Graph, software: Software) -> tuple[list[Node], list[Value]]:
    """The nodes of a Graph in execution order, and its outputs in row-major memory order.

    Raises UserError naming an op whose type is not known.
    """
    fuser = _Fuser(graph, software)
    fuser.run()
    outputs = []
    for id in graph.outputs:
        op = fuser.index.maker.get(id) or Op(graph.tensors[id].name, "Result", (), ())
        fuser.write_planes(id)
        outputs.append(fuser.result(id, fuser.plain(fuser.values[id], op)))
    return fuser.nodes, outputs
