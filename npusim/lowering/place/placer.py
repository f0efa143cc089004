"""Placement: which engine runs a node, and with which plans (evidence/lowering.md#1.2)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from npusim.lowering.ir.nodes import Node
from npusim.lowering.ir.plan import Plan
from npusim.lowering.ir.values import Value
from npusim.lowering.place.batch import (
    all_images,
    at_once,
    image_a_tile,
    images,
    in_step,
    one_image,
    spread,
)
from npusim.lowering.place.engines import ENGINES, Steps
from npusim.lowering.place.neighbours import Neighbours
from npusim.lowering.place.settle import overlapped, settled
from npusim.program.journal import note, recording
from npusim.program.work import BlockWork, ShaveWork

#: Storages from here on are of values that placement makes.
MADE = 10_000_000


def placed(plan: Plan) -> str:
    """In words: which engine runs a plan, and how it is split and cut."""
    works = [work for part in plan.slices[:1] for _, work in part.computes]
    shave = next((work.kernel for work in works if isinstance(work, ShaveWork)), None)
    block = next((work.block for work in works if isinstance(work, BlockWork)), None)
    if block is not None:
        return f"on {block}: {plan.strategy}"
    engine = "by transfers alone" if not works else f"SHAVE kernel {shave}" if shave else "on the DPU"
    kept = "whole in CMX when it is made" if plan.resident_output else "never whole in CMX"
    return f"{engine}: {plan.strategy or 'one task'}; the result is {kept}"


class Placer:
    """Makes plans of nodes, in order."""

    def __init__(self, near: Neighbours) -> None:
        """Start with nothing placed."""
        self.near = near
        self._storages = MADE

    def fresh(self, value: Value) -> Value:
        """The same kind of value in a storage of its own."""
        self._storages += 1
        return replace(value, storage=self._storages - 1, partial=False)

    def place(self, node: Node) -> list[Plan]:
        """The plans of one node, in order."""
        plans: list[Plan] = []
        for step in self._steps(node):
            if isinstance(step, Node):
                plans += self.place(step)
                continue
            plan = settled(step, self.near)
            if recording():
                note("place", node.name, placed(plan))
            self.near.remember(plan)
            plans.append(plan)
        return plans

    def _steps(self, node: Node) -> Steps:
        count = images(node)
        return self._images(node, count) if count > 1 else ENGINES[type(node)](node, self.near, self.fresh)

    def _images(self, node: Node, count: int) -> Iterator[Plan]:
        """The plans of a batch, image by image; those that find in CMX what the one before makes run in step."""
        if node.each and count == self.near.hw.tiles:
            yield from self._image_a_tile(node, count)
            return
        one, of_one = self.near.of_one_image(), []
        for step in ENGINES[type(node)](one_image(node, count), one, self.fresh):
            assert isinstance(step, Plan)
            of_one.append(replace(overlapped(step, one), gathered=False))
            one.remember(of_one[-1])
        before, hw = self.near.latest, self.near.hw
        made, alone = of_one[:1], len(self.near.read_by(node.inputs[0])) <= 1
        for plan in of_one[1:]:
            made[-1:] = spread(made[-1], plan, hw, self.fresh, alone)
        for plan in made:
            one.remember(plan)
        copied = len(made) < len(of_one)
        for plan in (all_images(plan, count, copied) for plan in made):
            in_turn = before is not None and self._one_by_one(before, plan, count)
            before = replace(plan, chain=before.chain_number) if before is not None and in_turn else plan
            yield before

    def _image_a_tile(self, node: Node, count: int) -> Iterator[Plan]:
        """The plans of a batch of which each tile works on an image, as it would alone."""
        one = self.near.of_one_image()
        one.hw, one.hints = one.hw.model_copy(update={"tiles": 1}), {}
        for step in ENGINES[type(node)](one_image(node, count), one, self.fresh):
            assert isinstance(step, Plan)
            yield image_a_tile(replace(overlapped(step, one), gathered=False), count)

    def _one_by_one(self, before: Plan, plan: Plan, count: int) -> bool:
        """Whether each of so many images passes through both plans before the next one does."""
        hw, alike = self.near.hw, len(plan.slices) == len(before.slices) == count
        alone = len(self.near.read_by(before.output)) <= 1
        return alike and alone and in_step(before, plan, hw) and not at_once(before, plan, hw)
