"""Residency: which results stay in CMX for their readers, and which go through DDR (evidence/lowering.md#4)."""

from __future__ import annotations

from collections import defaultdict

from npusim.lowering.ir.nodes import Concat, Conv, Eltwise, Transpose
from npusim.lowering.ir.plan import Plan, held, load_bytes
from npusim.lowering.ir.values import WHOLE, Dist
from npusim.lowering.schedule.steps import Copy, Residency, make_steps
from npusim.program.work import ShaveWork


def decide(plans: list[Plan], outputs: set[int], tiles: int, capacity: int) -> Residency:
    """What stays in CMX. ``outputs`` are the storages that the model returns."""
    steps, steps_of = make_steps(plans, tiles)
    result = Residency(steps, steps_of, level=[s.demand for s in steps])
    _run_in_step(result, plans)
    maker: dict[int, int] = {}
    readers: dict[int, int] = defaultdict(int)
    through_ddr: set[int] = set()
    loaded: dict[tuple[int, Dist], tuple[int, int]] = {}
    copied: dict[int, tuple[int, int]] = {}
    reads: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for index, plan in enumerate(plans):
        for operand, value in enumerate(plan.inputs):
            reads[value.storage].append((index, operand))
    for index, plan in enumerate(plans):
        pieces = [maker[value.storage] for value in plan.inputs if value.storage in maker]
        if plan.output.storage not in outputs and _joins(
            result, plans, index, pieces, reads[plan.output.storage], tiles, capacity
        ):
            result.joined.add(index)
        for operand, value in enumerate(plan.inputs):
            source = maker.get(value.storage)
            if source is None or value.constant:
                continue
            readers[source] += 1
            if index in result.joined or source in result.joined:
                continue
            if _is_copied(plans, source, index, operand, tiles, capacity):
                copied[source] = index, operand
            elif not _stays(result, plans, source, index, operand, tiles, capacity):
                through_ddr.add(source)
                _share(result, plans, loaded, index, operand, tiles, capacity)
        maker[plan.output.storage] = index
    for source, (reader, operand) in copied.items():
        if readers[source] == 1 and plans[source].output.storage not in outputs:
            _copy(result, plans, source, reader, operand, tiles, capacity)
        else:
            through_ddr.add(source)
    for index, plan in enumerate(plans):
        if plan.output.storage in outputs or index in through_ddr or not readers[index]:
            result.stored.add(index)
    return result


def _is_copied(plans: list[Plan], source: int, reader: int, operand: int, tiles: int, capacity: int) -> bool:
    """Whether a SHAVE kernel in slices finds what the DPU has made in CMX, where all of it and its parts fit beside
    each other (Mul_5 of Mamba-2 on 5 and 6 tiles, base and CumBA; on fewer its MatMul is sliced too)."""
    made, plan, value = plans[source], plans[reader], plans[reader].inputs[operand]
    if len(plan.slices) < 2 or len(made.slices) != 1 or made.in_place or plan.chain >= 0 or value.partial:
        return False
    if not _on_shave(plan) or _on_shave(made):
        return False
    if (
        made.out_dist is None
        or plan.in_dists[operand] != made.out_dist
        or made.output.elements != value.elements
    ):
        return False
    loads = [x for part in plan.slices for x in part.loads if x.operand == operand]
    size = max(made.slices[0].out_bytes)
    return not any(x.key for x in loads) and size + load_bytes(loads, tiles) <= capacity


def _copy(
    result: Residency, plans: list[Plan], source: int, reader: int, operand: int, tiles: int, capacity: int
) -> None:
    """Keep copies of a result for the slices of its reader until a step needs their room, the last of them longest."""
    begin, total = result.steps_of[source][-1] + 1, max(plans[source].slices[0].out_bytes)
    copies: list[Copy] = []
    for step in reversed(result.steps_of[reader]):
        size = load_bytes([x for x in result.steps[step].slice.loads if x.operand == operand], tiles)
        until = next((s for s in range(begin, step) if result.level[s] + size > capacity), step)
        for s in range(begin, until):
            result.level[s] += size
        copies.insert(0, Copy(step, operand, size, until))
        total += size
    result.copies[source] = copies
    result.level[begin - 1] = max(result.level[begin - 1], total)


def _run_in_step(result: Residency, plans: list[Plan]) -> None:
    """Plans of a chain find in CMX what the one before them makes; the slice before is still being read and stored."""
    maker: dict[int, int] = {}
    for reader, plan in enumerate(plans):
        for operand, value in enumerate(plan.inputs):
            source = maker.get(value.storage)
            if source is None or value.constant or not 0 <= plans[source].chain == plan.chain:
                continue
            result.resident[reader, operand] = (source,)
            result.chained[source] = reader
            both = max(plans[source].slices[0].out_bytes) + max(plan.slices[0].out_bytes)
            for step in (*result.steps_of[source], *result.steps_of[reader]):
                result.level[step] += both
        maker[plan.output.storage] = reader


def _share(
    result: Residency, plans: list[Plan], loaded: dict[tuple[int, Dist], tuple[int, int]], reader: int, operand: int,
    tiles: int, capacity: int,
) -> None:  # fmt: skip
    """Let a convolution find an activation where one before it has loaded it in the same parts: to the compiler the
    copies are one (the 36 projections per head of bert on 6 tiles load their input once)."""
    plan = plans[reader]
    value, dist = plan.inputs[operand], plan.in_dists[operand]
    if not isinstance(plan.node, Conv) or dist is None or value.partial or len(plan.slices) != 1:
        return
    key = value.storage, dist
    first = loaded.get(key)
    if first is not None:
        size, own = (
            load_bytes([x for x in plans[p].slices[0].loads if x.operand == k], tiles)
            for p, k in (first, (reader, operand))
        )
        begin = result.shared_until.get(first, result.steps_of[first[0]][0])
        end = result.steps_of[reader][0]
        if size == own and all(result.level[s] + size <= capacity for s in range(begin + 1, end)):
            for s in range(begin + 1, end):
                result.level[s] += size
            result.shared[reader, operand] = first
            result.shared_until[first] = end
            return
    loaded[key] = reader, operand


def _on_shave(plan: Plan) -> bool:
    return any(isinstance(work, ShaveWork) for part in plan.slices[:1] for _, work in part.computes)


def _permutes(plan: Plan) -> bool:
    """Whether a plan is a permuting pool, which reads what a SHAVE kernel has made from DDR (evidence/lowering.md#4.2;
    Mul_1 and Mul_7 of Mamba-2, 21 of 21 on 4000 and 5010). A channels-last product is found in CMX by the change of its
    layout."""
    return isinstance(plan.node, Transpose) and not plan.node.reorder


def _stays(
    result: Residency, plans: list[Plan], source: int, reader: int, operand: int, tiles: int, capacity: int
) -> bool:
    """Decide one edge; where it stays in CMX, account for it."""
    value, plan = plans[reader].inputs[operand], plans[reader]
    made = plans[source]
    if (reader, operand) in result.resident:
        return True
    if _converted_by_slice(made, plan) and not value.partial:
        return _slices_stay(result, plans, source, reader, tiles, capacity)
    if value.partial or not made.resident_output or plan.in_dists[operand] != made.out_dist:
        return False
    if made.refolded and not plan.node.runs("convert"):
        return False
    if made.function != plan.function or (_permutes(plan) and _on_shave(made)):
        return False
    loads = [x for part in plan.slices for x in part.loads if x.operand == operand]
    if not plan.slices or (len(plan.slices) > 1 and any(not x.key for x in loads)):
        return False
    if made.output.elements != value.elements:
        return False
    size = result.output_bytes(made, source, made.slices[0])
    if made.in_place or made.gathered:
        size = max(held(made.output, made.out_dist or WHOLE, tiles))
    makers = result.steps_of[source]
    begin = result.keep_until.get(source, makers[-1])
    reading = result.steps_of[reader]
    between = range(begin + 1, reading[0])
    if any(result.level[s] + size > capacity for s in between):
        return False
    more = dict.fromkeys(range(reading[0], reading[-1] + 1), size)  # the steps of others of its chain, too
    for s in reading:
        loads = [x for x in result.steps[s].slice.loads if x.operand == operand]
        more[s] = max(0, size - load_bytes(loads, tiles))
    if any(result.level[s] + extra > capacity for s, extra in more.items()):
        return False
    host = result.hosts.get(source, _host(result, plans, source, size) if made.in_place else None)
    if (made.in_place or made.gathered) and source not in result.widened and host is None:
        extra = size - result.output_bytes(made, source, made.slices[-1]) if made.gathered else size
        if any(result.level[s] + extra > capacity for s in makers):
            return False
        for s in makers:
            result.level[s] += extra
        result.widened[source] = size
    for s in between:
        result.level[s] += size
    for s, extra in more.items():
        result.level[s] += extra
    result.keep_until[source] = max(begin, reading[-1])
    if host is not None:
        result.hosts[source] = host
        result.keep_until[host] = result.keep_until[source]
    result.resident[reader, operand] = (source,)
    return True


def _host(result: Residency, plans: list[Plan], number: int, size: int) -> int | None:
    """The plan in whose room the in-place result of a plan stays: one whose output it alone reads last, as large as its
    own (the sums of resnet50's first stage on 3720)."""
    (step,) = result.steps_of[number]
    for operand in range(len(plans[number].inputs)):
        for source in result.resident.get((number, operand), ()):
            made = plans[source]
            own = max(made.slices[0].out_bytes)
            if own == size and len(made.slices) == 1 and result.keep_until.get(source) == step:
                return source
    return None


def _joins(
    result: Residency, plans: list[Plan], number: int, pieces: list[int], reads: list[tuple[int, int]], tiles: int,
    capacity: int,
) -> bool:  # fmt: skip
    """Let the pieces of a Concat lie side by side in CMX for all its readers, and account for them: the DPU makes every
    piece and reads the whole (squeezenet, 16 of 16 on 3720 and 4000). Their room is taken when the first is made."""
    plan = plans[number]
    made = [plans[piece] for piece in pieces]
    alike = all(one.resident_output and not one.in_place and not one.gathered for one in made)
    if (
        not isinstance(plan.node, Concat)
        or plan.out_dist is None
        or not reads
        or len(set(pieces)) < len(plan.inputs)
        or not alike
    ):
        return False
    if any(_on_shave(one) or one.chain >= 0 or one.function != plan.function for one in made):
        return False
    if not all(_reads_joined(plans[reader], operand, plan) for reader, operand in reads):
        return False
    begin = min(result.steps_of[piece][0] for piece in pieces)
    end = max(result.steps_of[reader][-1] for reader, _ in reads)
    more = [0] * (end + 1 - begin)
    for piece, one in zip(pieces, made, strict=True):
        size, own = max(one.slices[0].out_bytes), result.steps_of[piece]
        kept = range(own[0], max(result.keep_until.get(piece, -1), own[-1]) + 1)
        for step in range(begin, end + 1):
            more[step - begin] += 0 if step in kept else size
    for reader, operand in reads:
        for step in result.steps_of[reader]:
            loads = [x for x in result.steps[step].slice.loads if x.operand == operand]
            more[step - begin] = max(0, more[step - begin] - load_bytes(loads, tiles))
    if any(result.level[begin + i] + extra > capacity for i, extra in enumerate(more)):
        return False
    for i, extra in enumerate(more):
        result.level[begin + i] += extra
    for piece in pieces:
        result.keep_until[piece] = max(result.keep_until.get(piece, -1), end)
    for reader, operand in reads:
        result.resident[reader, operand] = tuple(pieces)
    return True


def _reads_joined(plan: Plan, operand: int, joined: Plan) -> bool:
    """Whether a plan can read a Concat whose pieces lie side by side in CMX."""
    value = plan.inputs[operand]
    if plan.in_dists[operand] != joined.out_dist or value.partial or value.elements != joined.output.elements:
        return False
    loads = [x for part in plan.slices for x in part.loads if x.operand == operand]
    whole = len(plan.slices) == 1 or all(x.key for x in loads)
    return bool(plan.slices) and whole and not _on_shave(plan) and plan.function == joined.function


def _converted_by_slice(made: Plan, plan: Plan) -> bool:
    """Whether a sliced kernel of several operands (a comparison) is read by a conversion in just the parts that it
    would store: less_bcw and select_1x24x256x256 on 3720 and 5010, not less_bcc, whose SHAVEs' parts lie apart."""
    widened = isinstance(made.node, Eltwise) and plan.node.runs("convert")
    if not widened or len(made.slices) == 1:
        return False
    stored = [sorted((x.tile, x.work.bytes) for x in part.stores) for part in made.slices]
    return stored == [sorted((x.tile, x.work.bytes) for x in part.loads) for part in plan.slices]


def _slices_stay(
    result: Residency, plans: list[Plan], source: int, reader: int, tiles: int, capacity: int
) -> bool:
    """Decide whether the slices of a result wait in CMX, each for the slice of the reader that takes it."""
    more: dict[int, int] = defaultdict(int)
    for part, begin, end in zip(
        plans[source].slices, result.steps_of[source], result.steps_of[reader], strict=True
    ):
        size = max(part.out_bytes)
        for step in range(begin + 1, end):
            more[step] += size
        more[end] += max(0, size - load_bytes(result.steps[end].slice.loads, tiles))
    if any(result.level[step] + extra > capacity for step, extra in more.items()):
        return False
    for step, extra in more.items():
        result.level[step] += extra
    result.resident[reader, 0] = (source,)
    result.chained[source] = reader
    return True
