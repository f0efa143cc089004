"""Laws of lowering: what holds of a Module after the pass that ensures it, whatever the model and the machine."""

from __future__ import annotations

from npusim.hardware.schema import Hardware
from npusim.lowering.ir.nodes import Copy
from npusim.lowering.ir.plan import booked_bytes, cmx_capacity
from npusim.lowering.passes import Law, Module
from npusim.lowering.rewrite.long_sums import short_parts


def _ops_in_order(module: Module, hw: Hardware) -> str | None:
    graph = module.graph
    known = {*graph.inputs, *(tensor.id for tensor in graph.tensors if tensor.constant)}
    for op in graph.ops:
        missing = [id for id in op.inputs if id not in known]
        if missing:
            return f"op '{op.name}' reads '{graph.tensors[missing[0]].name}', which is made later or never"
        known.update(op.outputs)
    return None


def _types_settled(module: Module, hw: Hardware) -> str | None:
    if hw.dpu.macs_per_cycle.fp8 is not None:
        return None
    wide = [op.name for op in module.graph.ops if op.type == "FakeConvert"]
    return f"op '{wide[0]}' makes 8-bit floats, which this DPU does not have" if wide else None


def _sums_short(module: Module, hw: Hardware) -> str | None:
    long = [op.name for op in module.graph.ops if len(short_parts(hw, module.graph, op)) > 1]
    return f"op '{long[0]}' sums more products than the DPU does at once" if long else None


def _given(module: Module) -> set[int]:
    """Storages that are there before the first node runs: those that no node makes (one that copies a storage to where
    it is makes none)."""
    read = {value.storage for node in module.nodes for value in node.inputs}
    copies = (node for node in module.nodes if all(v.storage != node.output.storage for v in node.inputs))
    return read - {node.output.storage for node in copies}


def _nodes_in_order(module: Module, hw: Hardware) -> str | None:
    known = _given(module)
    for node in module.nodes:
        missing = [value for value in node.inputs if value.storage not in known]
        if missing:
            return f"node '{node.name}' ({type(node).__name__}) reads what a later one makes"
        known.add(node.output.storage)
    return None


def _outputs_made(module: Module, hw: Hardware) -> str | None:
    """A Copy may return several values that no other node makes, each from where it lies."""
    made = {node.output.storage for node in module.nodes}
    made |= {value.storage for node in module.nodes if isinstance(node, Copy) for value in node.inputs}
    lost = [
        module.graph.tensors[id].name
        for id, value in zip(module.graph.outputs, module.outputs, strict=True)
        if value.storage not in made and not value.constant
    ]
    return f"nothing makes the output '{lost[0]}'" if lost else None


def _nodes_planned(module: Module, hw: Hardware) -> str | None:
    planned = {plan.node.name for plan in module.plans}
    lost = [node.name for node in module.nodes if node.name not in planned]
    return f"node '{lost[0]}' has no plan" if lost else None


def _slices_fit(module: Module, hw: Hardware) -> str | None:
    capacity = cmx_capacity(hw)
    for plan in module.plans:
        for part in plan.slices:
            loaded = booked_bytes(part.loads, hw.tiles)
            if loaded > capacity or max(part.out_bytes, default=0) > capacity:
                return f"a slice of '{plan.node.name}' takes more than a tile's scratchpad"
    return None


def _executable(module: Module, hw: Hardware) -> str | None:
    """Every barrier is released by tasks that come before all that wait for it."""
    program = module.program
    if program is None:
        return "no Program was made"
    released: dict[int, int] = {}
    for number, task in enumerate(program.tasks):
        for barrier in task.updates:
            released[barrier] = number
    for number, task in enumerate(program.tasks):
        for barrier in task.waits:
            if released.get(barrier, number) >= number:
                return f"task {number} waits on barrier {barrier}, which a later task or none releases"
    return None


OPS_IN_ORDER = Law("every op comes after what it reads", _ops_in_order)
TYPES_SETTLED = Law("no element type is left that the DPU does not have", _types_settled)
SUMS_SHORT = Law("no product sums more terms than the DPU does at once", _sums_short)
NODES_IN_ORDER = Law("every node comes after what it reads", _nodes_in_order)
OUTPUTS_MADE = Law("every output of the model is made", _outputs_made)
NODES_PLANNED = Law("every node has a plan", _nodes_planned)
SLICES_FIT = Law("every slice fits the scratchpad of a tile", _slices_fit)
EXECUTABLE = Law("no task waits for a later one", _executable)
