"""Which tensors stay in a tier of memory, and the transfers that reach them there instead of in DDR.

A tensor is named after the op that makes it, weights after the ops that read them. Kept can be weights, inputs of the
model and what ops make, where loads and stores are all that touches it: not what the model returns, what is copied
within DDR, and what a transfer picks from by index.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase

from npusim.errors import UserError
from npusim.hardware.tiers import Tier
from npusim.lowering.ir.nodes import Depthwise, Product
from npusim.lowering.ir.plan import CONSTANT, Load, Plan, Slice, load_bytes
from npusim.lowering.schedule.steps import Residency
from npusim.program.journal import note
from npusim.program.work import DmaWork


@dataclass
class _Tensor:
    """What is known of a storage: the ``names`` it goes by; ``reads``, bytes, of every op that loads it, the first one
    first; bytes ``written``; its ``size``, and what the fullest tile takes of it (``on_tile``)."""

    names: dict[str, None] = field(default_factory=dict)
    weights: bool = False
    reads: dict[str, int] = field(default_factory=dict)
    written: int = 0
    size: int = 0
    on_tile: int = 0

    def saves(self, tier: Tier) -> int:
        """Bytes of DDR traffic that an inference does without where the tier keeps it."""
        return sum(self.reads.values()) + self.written - (0 if self.there(tier) else self.reads[self.first])

    def there(self, tier: Tier) -> bool:
        """Whether the tier has it before any op reads it."""
        return bool(self.written) or (self.weights and tier.holds == "always")

    @property
    def first(self) -> str:
        """The op that reads it first; empty where none does."""
        return next(iter(self.reads), "")

    def takes(self, tier: Tier) -> int:
        """Bytes of the tier, or of each tile's."""
        return self.on_tile if tier.each == "tile" else self.size


def keep(
    found: Residency, tiers: Mapping[str, Tier], apart: Collection[int]
) -> tuple[list[Plan], tuple[str, ...]]:
    """The plans with those transfers that reach tensors in ``tiers``, and a remark on each tier.

    ``apart`` are storages that must be in DDR. Raises UserError where a tensor that is pinned does not fit.
    """
    tensors = _tensors(found)
    for storage in (*apart, *_copied(found.plans)):
        tensors.pop(storage, None)
    homes: dict[int, tuple[str, bool]] = {}
    notes = []
    for name, tier in tiers.items():
        kept = _chosen(name, tier, {s: t for s, t in tensors.items() if s not in homes})
        homes.update({storage: (name, tensor.there(tier)) for storage, tensor in kept.items()})
        notes.append(_remark(name, tier, kept))
    return [_moved(plan, tensors, homes) for plan in found.plans], tuple(notes)


def weights_of(plan: Plan) -> int:
    """The storage of the weights that a plan's loads of constants bring; -1: none of the model's."""
    node = plan.node
    if not isinstance(node, Product | Depthwise) or plan.output.storage != node.output.storage:
        return -1
    return next((v.storage for v in node.inputs[1:] if v.constant and v.storage >= 0), -1)


def _storage(plan: Plan, load: Load) -> int:
    return weights_of(plan) if load.operand == CONSTANT else plan.inputs[load.operand].storage


def _tensors(found: Residency) -> dict[int, _Tensor]:
    """All storages that transfers reach in DDR, as the schedule will have it. A tensor is as large as what the plans of
    one op read of it, as heads do part by part, or write."""
    tensors: dict[int, _Tensor] = defaultdict(_Tensor)
    on_tile: dict[tuple[int, str], int] = defaultdict(int)
    for number, plan in enumerate(found.plans):
        op = plan.node.name
        for storage, loads in _loaded(found, number).items():
            tensor = tensors[storage]
            tensor.reads[op] = tensor.reads.get(op, 0) + sum(load.work.bytes for load in loads)
            on_tile[storage, op] += load_bytes(loads, found.tiles)
            tensor.size = max(tensor.size, tensor.reads[op])
            tensor.on_tile = max(tensor.on_tile, on_tile[storage, op])
            if storage == weights_of(plan):
                tensor.weights = True
                tensor.names[op] = None
        if number in found.stored:
            tensor = tensors[plan.output.storage]
            tensor.written += sum(store.work.bytes for part in plan.slices for store in part.stores)
            tensor.size = max(tensor.size, tensor.written)
            tensor.names[op] = None
    tensors.pop(-1, None)
    return tensors


def _loaded(found: Residency, number: int) -> dict[int, list[Load]]:
    """What a plan loads from DDR, by storage; what it keeps for several slices once."""
    plan, once = found.plans[number], set[tuple[int, ...]]()
    loads: dict[int, list[Load]] = {}
    for load in (load for part in plan.slices for load in part.loads):
        resident = (number, load.operand) in found.resident or (number, load.operand) in found.shared
        shared = load.operand == CONSTANT and number in found.weights
        if resident or shared or load.key in once or load.work.src != "ddr":
            continue
        once |= {load.key} if load.key else set()
        loads.setdefault(_storage(plan, load), []).append(load)
    return loads


def _copied(plans: Sequence[Plan]) -> Iterator[int]:
    """Storages that transfers reach within DDR, or pick from."""
    for plan in plans:
        moves = [work for part in plan.slices for _, work in part.computes if isinstance(work, DmaWork)]
        if plan.ddr_moves or any("ddr" in (work.src, work.dst) for work in moves):
            yield from (plan.output.storage, *(value.storage for value in plan.inputs))


def _chosen(name: str, tier: Tier, tensors: Mapping[int, _Tensor]) -> dict[int, _Tensor]:
    """What a tier keeps: what is pinned to it, then, by its policy, what saves most."""
    left = int(tier.kib * 1024)
    kept: dict[int, _Tensor] = {}
    for storage, tensor in tensors.items():
        if any(fnmatchcase(known, pattern) for known in tensor.names for pattern in tier.pins):
            takes = tensor.takes(tier)
            if takes > left:
                raise UserError(_too_small(name, tier, tensor, left))
            kept[storage], left = tensor, left - takes
    if tier.policy != "pins alone":
        weights = tier.policy == "weights of largest reuse first"
        wanted = [(s, t) for s, t in tensors.items() if t.weights or not weights]
        for storage, tensor in sorted(wanted, key=lambda item: (-item[1].saves(tier), item[0])):
            if storage not in kept and tensor.saves(tier) > 0 and tensor.takes(tier) <= left:
                kept[storage], left = tensor, left - tensor.takes(tier)
    return kept


def _moved(plan: Plan, tensors: Mapping[int, _Tensor], homes: Mapping[int, tuple[str, bool]]) -> Plan:
    """A plan whose transfers reach what tiers keep."""
    if plan.output.storage not in homes and all(
        _storage(plan, load) not in homes for part in plan.slices for load in part.loads
    ):
        return plan

    def load(one: Load) -> Load:
        storage = _storage(plan, one)
        if storage not in homes or one.work.src != "ddr":
            return one
        tier, there = homes[storage]
        brings = not there and tensors[storage].first == plan.node.name
        return replace(one, work=replace(one.work, kept=tier) if brings else replace(one.work, src=tier))

    def changed(part: Slice) -> Slice:
        stores = part.stores
        if plan.output.storage in homes:
            tier = homes[plan.output.storage][0]
            stores = [replace(one, work=replace(one.work, dst=tier)) for one in stores]
        return replace(part, loads=[load(one) for one in part.loads], stores=stores)

    return plan.changed(changed)


def _remark(name: str, tier: Tier, kept: Mapping[int, _Tensor]) -> str:
    """What a tier keeps, for the user; of each tensor in the journal."""
    for tensor in kept.values():
        for op in tensor.names:
            note("tiers", op, f"{name} keeps its {'weights' if tensor.weights else 'result'}")
    takes, saves = (
        sum(of(tensor, tier) for tensor in kept.values()) for of in (_Tensor.takes, _Tensor.saves)
    )
    return (
        f"memory.tiers.{name} keeps {len(kept)} tensor{'s' * (len(kept) != 1)} in {takes / 1024:,.0f} of its "
        f"{tier.kib:,.0f} KiB, which saves {saves / 1024:,.0f} KiB of DDR traffic"
    )


def _too_small(name: str, tier: Tier, tensor: _Tensor, left: int) -> str:
    what = "the weights of" if tensor.weights else "the result of"
    op, others = next(iter(tensor.names)), len(tensor.names) - 1
    return (
        f"memory.tiers.{name}: {what} '{op}'{f' and {others} others' if others else ''}, pinned to it, take "
        f"{tensor.takes(tier) / 1024:,.1f} KiB, and {left / 1024:,.1f} of {tier.kib:,.1f} are left; levers: a larger "
        f"memory.tiers.{name}.kib, fewer pins, weights of fewer bits"
    )
