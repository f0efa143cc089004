"""Placement: which engine runs a node, and with which plan (facts/vendor_lowering.md section 1.2)."""

from __future__ import annotations

from dataclasses import replace
from math import prod

from npusim.hardware.schema import Hardware
from npusim.lowering.nodes import Node
from npusim.lowering.plan import Plan
from npusim.lowering.plan_cells import (
    plan_add,
    plan_depthwise,
    plan_permute,
    plan_pool,
    plan_quantize,
    plan_reduce_chain,
    plan_reduce_conv,
    plan_scale,
)
from npusim.lowering.plan_conv import CHANNELS, plan_bmm, plan_conv
from npusim.lowering.plan_dma import plan_broadcast, plan_convert, plan_copy, plan_gather
from npusim.lowering.plan_shave import plan_shave
from npusim.lowering.values import Dist, Value


class Placer:
    """Makes plans of nodes in order. ``hints`` are the Dists in which values lie in CMX already, by storage."""

    def __init__(self, hw: Hardware, storages: int, shave_readers: set[int]) -> None:
        self.hw = hw
        self.storages = storages
        self.shave_readers = shave_readers
        self.hints: dict[int, Dist] = {}

    def fresh(self, value: Value) -> Value:
        """The same kind of value in a storage of its own."""
        self.storages += 1
        return replace(value, storage=self.storages - 1, partial=False)

    def place(self, node: Node) -> list[Plan]:
        """The plans of one node, in order."""
        plans = getattr(self, f"_{node.kind}")(node)
        for plan in plans:
            if plan.resident_output:
                self.hints[plan.output.storage] = plan.out_dist
        return plans

    def hint(self, value: Value) -> Dist | None:
        """How a value lies in CMX, if all of it does."""
        return None if value.partial or value.constant else self.hints.get(value.storage)

    # -- DPU ----------------------------------------------------------------------------------------------------

    def _conv(self, node: Node) -> list[Plan]:
        return [plan_conv(node, self.hw, node.output.storage in self.shave_readers)]

    def _dwconv(self, node: Node) -> list[Plan]:
        return [plan_depthwise(node, self.hw)]

    def _scale(self, node: Node) -> list[Plan]:
        value = node.inputs[0]
        axis = node.params.get("axis")
        if axis is not None and value.memory_order and value.memory_order[-1] != axis and value.shape[axis] > 1:
            order = tuple(d for d in (value.order or range(len(value.shape))) if d != axis) + (axis,)
            moved = replace(self.fresh(value), order=order)
            permute = replace(node, kind="transpose", inputs=[value], output=moved)
            scaled = replace(node, inputs=[moved, node.inputs[1]], output=replace(self.fresh(node.output), order=order))
            back = replace(node, kind="transpose", inputs=[scaled.output], output=node.output)
            return [*self.place(permute), plan_scale(scaled, self.hw), *self.place(back)]
        return [plan_scale(node, self.hw)]

    def _bmm(self, node: Node) -> list[Plan]:
        return [plan_bmm(node, self.hw)]

    def _pool(self, node: Node) -> list[Plan]:
        return [plan_pool(node, self.hw)]

    def _transpose(self, node: Node) -> list[Plan]:
        return [plan_permute(node, self.hw)]

    def _reduce(self, node: Node) -> list[Plan]:
        value = node.inputs[0]
        order = value.memory_order
        axes = [order.index(a) for a in node.params["axes"]]
        first, last = min(axes), max(axes)
        shape = [value.shape[d] for d in order]
        view = (prod(shape[:first]), prod(shape[first : last + 1]), prod(shape[last + 1 :]))
        node.params["view"] = view
        kind = node.params["reduce"]
        if kind == "sum" and self.hw.software.reduce_sum_engine == "shave":
            return [plan_shave(node, self.hw, "reduce_sum")]
        if kind == "min":
            return [plan_shave(node, self.hw, "reduce_min")]
        if kind == "sum" and view[2] == 1 and view[1] >= CHANNELS:
            return [plan_reduce_conv(node, self.hw)]
        plans = plan_reduce_chain(node, self.hw, self.storages)
        self.storages += len(plans)
        return plans

    # -- elementwise --------------------------------------------------------------------------------------------

    def _unary(self, node: Node) -> list[Plan]:
        kernel = node.params["kernel"]
        if kernel in ("relu", "leaky_relu", "negative") or (
            kernel == "clamp" and node.params.get("low") == 0.0
        ):
            return [plan_add(node, self.hw, self.hint(node.inputs[0]), operands=1)]
        return [plan_shave(node, self.hw, kernel, self.hint(node.inputs[0]))]

    def _eltwise(self, node: Node) -> list[Plan]:
        kernel = node.params["kernel"]
        same = all(v.elements == node.output.elements for v in node.inputs)
        if kernel == "add" and same:
            return [plan_add(node, self.hw, self.hint(node.inputs[0]))]
        if kernel == "subtract" and same:
            negated = replace(node, inputs=[node.inputs[1]], output=self.fresh(node.inputs[1]))
            total = replace(node, inputs=[node.inputs[0], negated.output])
            return [plan_scale(negated, self.hw), plan_add(total, self.hw)]
        if kernel == "add":
            return self._broadcast_add(node)
        return [plan_shave(node, self.hw, kernel, self._common_hint(node))]

    def _common_hint(self, node: Node) -> Dist | None:
        for value in node.inputs:
            if value.elements == node.output.elements:
                hint = self.hint(value)
                if hint is not None and not hint.whole:
                    return hint
        return None

    def _broadcast_add(self, node: Node) -> list[Plan]:
        small = [v for v in node.inputs if v.elements != node.output.elements and not v.constant]
        if not small or any(v.elements == 1 for v in node.inputs):
            return [plan_shave(node, self.hw, "add", self._common_hint(node))]
        plans = []
        inputs = []
        for value in node.inputs:
            if value.elements != node.output.elements:
                full = self.fresh(node.output)
                plans.append(plan_broadcast(replace(node, inputs=[value], output=full), self.hw))
                value = full
            inputs.append(value)
        return [*plans, plan_add(replace(node, inputs=inputs), self.hw)]

    # -- movement -----------------------------------------------------------------------------------------------

    def _concat(self, node: Node) -> list[Plan]:
        return [plan_copy(node, self.hw)]

    def _copy(self, node: Node) -> list[Plan]:
        return [plan_copy(node, self.hw)]

    def _broadcast(self, node: Node) -> list[Plan]:
        return [plan_broadcast(node, self.hw)]

    def _gather(self, node: Node) -> list[Plan]:
        return [plan_gather(node, self.hw)]

    def _convert(self, node: Node) -> list[Plan]:
        if node.params.get("quantize"):
            return [plan_quantize(node, self.hw)]
        return [plan_convert(node, self.hw)]
