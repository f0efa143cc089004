"""Warnings about hardware that is valid but unlikely: what a careful colleague would ask about."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from functools import cache
from pathlib import Path

from npusim.hardware.files import find, shipped
from npusim.hardware.load import load_hardware, resolve, validate
from npusim.hardware.nodes import Node
from npusim.hardware.schema import Hardware
from npusim.hwconfigs import FOLDER
from npusim.text import did_you_mean

_RATIO_TOLERANCE = 0.02
#: Activations that the PPE applies without a look-up table (evidence/hardware.md#2).
_WITHOUT_TABLE = {"relu", "clamp", "clampany", "leakyrelu", "prelu"}


def check(
    path_or_name: str | Path, overrides: Sequence[str] = (), kernels: Collection[str] = ()
) -> list[str]:
    """Warnings about a hardware file, each one line with its place; empty if nothing looks wrong.

    ``kernels`` are those that lowering calls, if it is to be said which rows nothing reads. Raises HardwareError where
    the file does not load at all. Of a shipped file as it stands there are none (a test says so).
    """
    if not overrides and find(path_or_name).path.parent in (FOLDER, FOLDER / "whatif"):
        return []
    tree = resolve(path_or_name, overrides)
    hw = validate(tree)
    found = [*_warnings(hw), *(_unread(hw, kernels) if kernels else ())]
    return [f"{_place(tree, path)}: {path}: {words}" for path, words in found]


@cache
def _shipped_machines() -> tuple[Hardware, ...]:
    return tuple(map(load_hardware, shipped()))


def _place(tree: Node, path: str) -> str:
    node = tree
    for key in path.split("."):
        if not isinstance(node.value, dict) or key not in node.value:
            break
        node = node.value[key]
    return str(node.place)


def _warnings(hw: Hardware) -> Iterator[tuple[str, str]]:
    yield from _clocks(hw)
    yield from _compute(hw)
    yield from _memory(hw)
    yield from _tiers(hw)
    yield from _blocks(hw)
    yield from _software(hw)


def _unread(hw: Hardware, kernels: Collection[str]) -> Iterator[tuple[str, str]]:
    """Rows of kernels that lowering never calls, but for those that a shipped file has, too."""
    rows = {name: row for name, row in hw.shave.kernels.items() if name not in kernels}
    shipped_rows = [known.shave.kernels for known in _shipped_machines()] if rows else []
    for name, row in rows.items():
        if all(known.get(name) != row for known in shipped_rows):
            begins = max((known for known in kernels if name.startswith(known)), key=len, default="")
            meant = f"; did you mean '{begins}'?" if begins else did_you_mean(name, kernels)
            yield f"shave.kernels.{name}", f"no run reads it{meant}"


def _clocks(hw: Hardware) -> Iterator[tuple[str, str]]:
    if hw.dvfs is None:
        return
    low, high, ratio = hw.dvfs.lowest_dpu_mhz, hw.dvfs.highest_dpu_mhz, hw.dvfs.vpu_share
    dpu, vpu = hw.clocks.dpu_mhz, hw.clocks.vpu_mhz
    if not low <= dpu <= high:
        yield (
            "clocks.dpu_mhz",
            f"{dpu:g} MHz is outside {low:g} to {high:g}, where platform {hw.platform} runs"
            + (f" ({dpu:g} GHz would be {dpu * 1000:g})" if low <= dpu * 1000 <= high else ""),
        )
    one_clock = vpu == dpu and not hw.ddr.contention  # as Intel's estimator counts all its cycles
    if abs(vpu / dpu - ratio) > _RATIO_TOLERANCE and not one_clock:
        words = f"{vpu:g} MHz is {vpu / dpu:.3f} of the DPU clock; platform {hw.platform} has {ratio:.3f}"
        yield "clocks.vpu_mhz", words


def _compute(hw: Hardware) -> Iterator[tuple[str, str]]:
    most = max((known.tiles for known in _shipped_machines() if known.platform == hw.platform), default=0)
    if 0 < most < hw.tiles:
        words = (
            f"{hw.tiles} are more than an NPU of platform {hw.platform} has ({most}): how ops are split over them is "
            "weighed with the costs that its compiler assumes (scheduled_for), and need not pay; npusim run --explain "
            "OP shows what was weighed"
        )
        yield "tiles", words
    macs = hw.dpu.macs_per_cycle
    if macs.fp16 > macs.int8:
        yield "dpu.macs_per_cycle.fp16", f"{macs.fp16:g} is more than int8 has ({macs.int8:g})"
    yield from _zeros(hw)
    if hw.energy.mac_int8_pj > hw.energy.mac_fp16_pj:
        yield "energy.mac_int8_pj", "an INT8 MAC takes more energy than an FP16 one"
    if hw.energy.cmx_byte_pj > hw.energy.ddr_byte_pj:
        yield "energy.cmx_byte_pj", "a byte of CMX takes more energy than one of DDR"


def _zeros(hw: Hardware) -> Iterator[tuple[str, str]]:
    """Tables and laws by which zeros save more than all products with them."""
    sparsity = hw.dpu.sparsity
    both = () if sparsity is None else (("weights", sparsity.weights), ("activations", sparsity.activations))
    for name, skipping in both:
        for kind, rows in (skipping.table or ()) if skipping else ():
            for zeros, *times in rows:
                if min(times) < 1 - zeros - _RATIO_TOLERANCE:
                    words = (
                        f"{zeros:.0%} of zeros leave {1 - zeros:.0%} of products, {min(times):.0%} of time"
                    )
                    yield f"dpu.sparsity.{name}.table.{kind}", words


def _memory(hw: Hardware) -> Iterator[tuple[str, str]]:
    if not hw.ddr.contention:  # an estimator's figures, not the engine's
        return
    port = hw.dma.bytes_per_cycle
    for name, path in hw.dma.paths:
        if path.bytes_per_cycle > port:
            words = f"{path.bytes_per_cycle:g} is more than an engine's port moves ({port:g})"
            yield f"dma.paths.{name}.bytes_per_cycle", words
    engines_gbps = hw.dma.engines * port * hw.clocks.vpu_mhz / 1000
    # Each engine can read DDR for one transfer and write it for another.
    if hw.ddr.bandwidth_gbps > 2 * engines_gbps:
        words = f"{hw.ddr.bandwidth_gbps:g} GB/s is more than the engines can use ({2 * engines_gbps:.0f} both ways)"
        yield "ddr.bandwidth_gbps", words


def _tiers(hw: Hardware) -> Iterator[tuple[str, str]]:
    """Tiers that are worth nothing, or more than engines can use."""
    port_gbps = hw.dma.bytes_per_cycle * hw.clocks.vpu_mhz / 1000
    for name, tier in hw.memory.tiers.items():
        place = f"memory.tiers.{name}"
        if tier.kib < hw.cmx.kib_per_tile and tier.each == "tile":
            yield (
                f"{place}.kib",
                f"{tier.kib:g} KiB a tile are less than its scratchpad has ({hw.cmx.kib_per_tile:g})",
            )
        if tier.byte_pj > hw.energy.ddr_byte_pj:
            yield f"{place}.byte_pj", f"a byte takes more energy than one of DDR ({hw.energy.ddr_byte_pj:g})"
        if tier.read_gbps < hw.ddr.bandwidth_gbps and tier.each == "npu":
            yield (
                f"{place}.read_gbps",
                f"{tier.read_gbps:g} GB/s is less than DDR has ({hw.ddr.bandwidth_gbps:g})",
            )
        if tier.read_gbps > port_gbps * (hw.dma.engines if tier.each == "npu" else 1):
            yield f"{place}.read_gbps", f"{tier.read_gbps:g} GB/s is more than the engines can use"
        if not tier.pins and tier.policy == "pins alone":
            yield place, "nothing is pinned to it, and its policy keeps nothing else"


def _blocks(hw: Hardware) -> Iterator[tuple[str, str]]:
    """Event-driven adds that take more energy than the products in their place."""
    for name, block in hw.blocks.items():
        events, mac_pj = block.events, hw.energy.mac_int8_pj
        if events is not None and events.steps * events.rate * events.add_pj > mac_pj > 0:
            even = mac_pj / (events.steps * events.add_pj)
            words = f"{events.rate:g} takes more energy than the products of the DPU (INT8); up to {even:.2g} less"
            yield f"blocks.{name}.events.rate", words


def _software(hw: Hardware) -> Iterator[tuple[str, str]]:
    fused = {name.lower() for name in hw.software.fused_activations}
    table = set(hw.dpu.ppe.lut.functions) if hw.dpu.ppe.lut else set()
    if unused := sorted(table - fused):
        words = f"{', '.join(unused)} not in software.fused_activations: the compiler will not use it"
        yield "dpu.ppe.lut.functions", words
    if missing := sorted(fused - table - _WITHOUT_TABLE):
        words = f"{', '.join(missing)} not in dpu.ppe.lut.functions: no table holds it"
        yield "software.fused_activations", words
    for field in ("unsplit_kernels", "single_tile_kernels", "pipelined_kernels"):
        unknown = [name for name in getattr(hw.software, field) if name not in hw.shave.kernels]
        if unknown:
            yield f"software.{field}", f"{', '.join(unknown)}: no such row in shave.kernels"
