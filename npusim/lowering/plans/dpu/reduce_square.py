"""Plans of reductions over the last of two or three dimensions, which the compiler folds to a square image."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from npusim.hardware.schema import Hardware
from npusim.lowering.ir.nodes import Node
from npusim.lowering.ir.plan import Plan
from npusim.lowering.ir.shapes import CHANNELS, pooling_windows
from npusim.lowering.ir.values import WHOLE, Dist, Fresh, Value, even, round_up
from npusim.lowering.plans.dma.permute import plan_permute_dma
from npusim.lowering.plans.dpu.images import assemble, square, workload_channels
from npusim.lowering.plans.dpu.reorder import plan_reorder
from npusim.program.work import DpuKind, DpuWork, Work


@dataclass(frozen=True, slots=True)
class _Stage:
    """One pooling of a chain: its result's rows and columns, and its kernel."""

    rows: int
    columns: int
    kernel: tuple[int, int]


def plan_square(
    node: Node, hw: Hardware, kind: DpuKind, channels: int, length: int, fresh: Fresh
) -> list[Plan]:
    """[channels, length] as an image of ``channels`` planes, near square, that poolings reduce both ways: over
    channels, through DDR from stage to stage, where every tile gets 16 and they are turned so (or rows are few), else
    over rows, then on every tile. A single pooling reads the image whole on every tile, the first of several its own
    channels alone (``convert_reduce_to_pooling.cpp``; [1,1024,384] and [1,16,1536] on three platforms)."""
    value, out = node.inputs[0], node.output
    height, width = square(length)
    wide = round_up(channels, CHANNELS)
    stages = _stages(height, width, hw)
    whole_rows = width % CHANNELS == 0
    turned_by_channels = whole_rows and wide == channels  # as the poolings are then
    over_channels = wide >= CHANNELS * hw.tiles and (turned_by_channels or stages[0].rows < hw.tiles)
    target = replace(fresh(value), shape=(height, width, wide), order=())
    if width == 1 and height % CHANNELS:
        matrix = replace(value, shape=(channels, length), order=())
        turned = replace(matrix, storage=target.storage, order=(1, 0))
        plans = [plan_permute_dma(replace(node, inputs=(matrix,), output=turned), hw)]
    else:
        planes, by_channels = (channels, height, width), over_channels and whole_rows
        plans = plan_reorder(node, hw, value, target, planes, fresh, by_channels=by_channels)
    if over_channels:
        return [*plans, *_over_channels(node, hw, kind, target, stages, fresh)]
    return [*plans, plan_over_rows(node, hw, kind, target, out)]


def _stages(height: int, width: int, hw: Hardware) -> list[_Stage]:
    """The poolings that reduce an image both ways."""
    stages, rows, columns = [], height, width
    for kernel in pooling_windows(height, width, hw.software.pooled_window):
        rows, columns = -(-rows // kernel[0]), -(-columns // kernel[1])
        stages.append(_Stage(rows, columns, kernel))
    return stages


def _pool(kind: DpuKind, stage: _Stage, rows: int, channels: int) -> DpuWork:
    return DpuWork(kind, rows, stage.columns, channels, 1, *stage.kernel, max(stage.kernel),
                   variant_channels=workload_channels(channels))  # fmt: skip


def _over_channels(
    node: Node, hw: Hardware, kind: DpuKind, source: Value, stages: list[_Stage], fresh: Fresh
) -> list[Plan]:
    wide = source.shape[-1]
    cuts = even(wide, hw.tiles, CHANNELS)
    plans = []
    for i, stage in enumerate(stages):
        last = i == len(stages) - 1
        target = node.output if last else replace(fresh(source), shape=(stage.rows, stage.columns, wide))

        def works(tile: int, _: int, stage: _Stage = stage) -> Iterable[Work]:
            yield _pool(kind, stage, stage.rows, cuts[tile])

        in_dist = WHOLE if len(stages) == 1 else Dist(source.elements // wide, cuts)
        plans.append(
            assemble(node, hw, [source], [in_dist], target, WHOLE, 1, works, f"{kind} over channels (SOK)")
        )
        source = target
    return plans


def plan_over_rows(node: Node, hw: Hardware, kind: DpuKind, source: Value, out: Value) -> Plan:
    """An image [H, W, C] reduced both ways, the tiles sharing rows as long as there are enough."""
    tiles, stages = hw.tiles, _stages(source.shape[0], source.shape[1], hw)
    height, per_row = source.shape[0], source.elements // source.shape[0]
    split = stages[0].rows >= tiles
    in_dist = Dist(1, tuple(n * per_row for n in even(height, tiles))) if split else WHOLE

    def works(tile: int, _: int) -> Iterable[Work]:
        for stage in stages:
            rows = even(stage.rows, tiles)[tile] if stage.rows >= tiles else stage.rows
            yield _pool(kind, stage, rows, source.shape[-1])

    return assemble(node, hw, [source], [in_dist], out, WHOLE, 1, works, f"{kind} over rows (SOH)")
