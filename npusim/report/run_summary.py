"""The Summary tab of a run: latency, what it goes to, how far it can be trusted, and what was run."""

from __future__ import annotations

import platform
from importlib.metadata import version
from typing import Any

from npusim import __version__
from npusim.api import Result
from npusim.program.work import DpuWork
from npusim.report.advice import advice_blocks
from npusim.report.blocks import Block, card, command, facts, notes
from npusim.report.figures import ddr_peak_gbps
from npusim.report.looks import ENGINE_NAMES, KINDS, PROVENANCE
from npusim.report.model_facts import band_text, latency_facts, memory_text, rate_text, slow_paths, under_hint
from npusim.report.opwork import OpWork
from npusim.report.queues import engine_partition
from npusim.report.subject import Subject, imported
from npusim.report.units import bytes_text, count_text, energy_text, time_text

_PLURAL = {"measured": "measured", "fitted": "fitted", "roofline": "rooflines", "guess": "guesses"}
#: What a trace does not say, and import_trace therefore infers or leaves out.
_IMPORTED = (
    "A trace names neither barriers nor CMX buffers: what a task waited for is inferred from its times, and the "
    "start-up of transfers, what they lost by sharing DDR, and CMX use are unknown."
)


def summary_tab(result: Result, subject: Subject, work: OpWork) -> list[Block]:
    """The blocks of the tab."""
    return [
        {"kind": "cards", "items": _cards(result, subject, work)},
        {
            "kind": "split", "width": "half", "title": "What the latency goes to", "label": "Critical path by kind",
            "lead": "The critical path: the chain of tasks in which each starts the moment the one before it ends.",
            "parts": [
                {"label": label, "value": us, "text": time_text(us), "colours": [colour]}
                for us, label, colour in sorted(
                    ((result.metrics.exposed_us.get(kind, 0.0), *look) for kind, look in KINDS.items()), reverse=True
                )
            ],
        },
        {
            "kind": "split", "width": "half", "title": "Which engines are busy at once",
            "label": "Latency by busy engines",
            "lead": "Every moment of the latency, by the set of engine kinds that run anything at it.",
            "parts": [
                {
                    "label": " + ".join(ENGINE_NAMES[engine] for engine in engines) or "idle",
                    "value": us, "text": time_text(us),
                    "colours": [f"var:{engine}" for engine in engines] or ["var:idle"],
                }
                for engines, us in engine_partition(result).items()
            ],
        },
        {
            "kind": "split", "width": "half", "title": "How far the costs can be trusted",
            "label": "Latency by provenance",
            "lead": "The critical path by where the cost of its tasks comes from.",
            "parts": [
                {
                    "label": name, "value": share, "text": time_text(share * result.latency_us),
                    "colours": [PROVENANCE[name]],
                }
                for name, share in result.metrics.provenance_share.items()
            ],
        },
        *advice_blocks(subject),
        *command(subject.command),
        facts("Model", _model_facts(result, subject)),
        facts("Hardware, assumed" if imported(result) else "Hardware", _hardware_facts(result, subject)),
        facts("Run", _run_facts(result, subject)),
        *notes([*result.program.notes, *([_IMPORTED] if imported(result) else [])]),
    ]  # fmt: skip


def _cards(result: Result, subject: Subject, work: OpWork) -> list[dict[str, Any]]:
    hw, metrics = result.hardware, result.metrics
    latency = metrics.latency_us or 1.0
    tasks = f"{sum(metrics.tasks.values()):,} tasks"
    (what, asked), *others = latency_facts(result, subject)
    cards = [card(_capital(what), asked, under_hint(subject.seen) if subject.seen else tasks, tone="main")]
    cards += [card(_capital(label), text, tasks) for label, text in others if label == "inside the NPU"]
    if not imported(result):
        rate, unit = subject.rate(metrics.latency_us)
        cards.append(card("Throughput", f"{rate_text(rate)} {unit}", _per_inference(subject.tokens)))
    if subject.interval is not None:
        band = subject.interval
        like = f"{band.level:.0%} of {band.rows} measured rows lie so near: {band.like}"
        cards.append(card("Error bar", band_text(band), like))
    exposed = metrics.exposed_us
    groups = {"SHAVE": ("shave",), "DPU": ("dpu",), "BLOCK": ("block",), "DMA": ("start-up", "dma", "ddr")}
    shares = {name: sum(exposed.get(kind, 0.0) for kind in kinds) / latency for name, kinds in groups.items()}
    binding = max(shares, key=lambda name: shares[name])
    cards.append(card("Bound by", binding, f"{shares[binding]:.0%} of the critical path"))
    mac_us = _mac_roof_us(result)
    cards.append(
        card(
            "MAC use",
            f"{mac_us / latency * 100:.1f} %",
            f"{work.macs.sum() / 1e9:,.2f} GMAC, padding included",
        )
    )
    traffic = metrics.ddr_bytes["read"] + metrics.ddr_bytes["write"]
    gbps = traffic / latency / 1000
    peak = ddr_peak_gbps(result)
    cards.append(
        card("DDR use", f"{gbps / peak * 100:.1f} %", f"{gbps:.1f} of {peak:g} GB/s, {bytes_text(traffic)}")
    )
    watts = metrics.energy_uj / latency
    cards.append(
        card(
            "Energy",
            energy_text(metrics.energy_uj),
            f"{watts:.2f} W; by constants that are {_PLURAL[hw.energy.provenance]}",
        )
    )
    package = subject.package_energy(result)
    if package is not None:
        rest = f"the NPU's own and {energy_text(package.system_uj)} of the rest of the package, above idle"
        cards.append(card("Package energy", energy_text(package.package_uj), rest))
    guessed = metrics.provenance_share.get("guess", 0.0)
    if guessed > 0:
        cards.append(
            card(
                "Guessed",
                f"{guessed * 100:.1f} %",
                "of the latency: column Guessed of the Ops tab",
                tone="warn",
            )
        )
    return cards


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _per_inference(tokens: int | None) -> str:
    if not tokens:
        return "one after another"
    return "one token an inference" if tokens == 1 else f"{tokens:,} tokens an inference"


def _mac_roof_us(result: Result) -> float:
    """How long all MACs would take at the peak rate of their type on all tiles."""
    hw = result.hardware
    peak = hw.dpu.macs_per_cycle
    cycles = 0.0
    tasks = result.program.tasks
    for work, count in zip(tasks.works, tasks.count_of_work().tolist(), strict=True):
        if isinstance(work, DpuWork) and work.kind in ("conv", "dwconv"):
            cycles += count * work.macs / (peak.int8 if work.in_bits <= 8 else peak.fp16)
    return cycles / (hw.tiles * hw.clocks.dpu_mhz)


def _hardware_facts(result: Result, subject: Subject) -> list[tuple[str, str]]:
    hw = result.hardware
    share = "shared by all transfers" if hw.ddr.contention else "for every engine alone"
    return [
        ("File", subject.hardware_file or "-"),
        *([("Changed", ", ".join(subject.overrides))] if subject.overrides else []),
        ("Platform", hw.platform),
        (
            "Tiles",
            f"{hw.tiles}, each 1 DPU, {hw.shave.per_tile} SHAVEs, {hw.cmx.kib_per_tile:,.0f} KiB of CMX",
        ),
        ("Clocks", f"DPU {hw.clocks.dpu_mhz:g} MHz; SHAVE, CMX, DMA {hw.clocks.vpu_mhz:g} MHz"),
        (
            "MACs a cycle",
            f"{hw.dpu.macs_per_cycle.int8:,.0f} INT8, {hw.dpu.macs_per_cycle.fp16:,.0f} FP16, a tile",
        ),
        ("DMA", f"{hw.dma.engines} engines, {hw.dma.bytes_per_cycle:g} B a cycle each"),
        ("DDR", f"{hw.ddr.bandwidth_gbps:g} GB/s {share}, {hw.ddr.latency_ns:g} ns"),
        ("Software", hw.software.name),
    ]


def _model_facts(result: Result, subject: Subject) -> list[tuple[str, str]]:
    model, memory = subject.model, memory_text(result, subject)
    slow = ", ".join(f"{kind} {share:.0%}" for kind, share in slow_paths(result))
    known = [] if model is None else [
        ("Parameters", f"{count_text(model.parameters)}, {bytes_text(model.weight_bytes)} as the NPU stores them"),
        ("Work", f"{count_text(model.macs, 'MAC')}, costed as {model.precision_text}"),
    ]  # fmt: skip
    return [
        ("Model", subject.workload),
        *known,
        *([("Memory", memory)] if memory else []),
        ("On SHAVE", f"{slow} of the latency" if slow else "nothing that costs 2 % of the latency"),
    ]


def _run_facts(result: Result, subject: Subject) -> list[tuple[str, str]]:
    metrics = result.metrics
    stretched = "unknown" if imported(result) else f"{time_text(metrics.contended_us)} in all, by sharing DDR"
    tasks = ", ".join(f"{count:,} {ENGINE_NAMES[engine]}" for engine, count in metrics.tasks.items())
    return [
        ("Ops", f"{len(result.program.ops):,} {'in the trace' if imported(result) else 'after fusion'}"),
        ("Tasks", tasks),
        (
            "DDR read, written",
            f"{bytes_text(metrics.ddr_bytes['read'])}, {bytes_text(metrics.ddr_bytes['write'])}",
        ),
        *(
            (f"{name} read, written", f"{bytes_text(moved['read'])}, {bytes_text(moved['write'])}")
            for name, moved in metrics.tier_bytes.items()
        ),
        ("Transfers stretched", stretched),
        ("Engine", result.timeline.engine),
        (
            "Versions",
            f"npusim {__version__}, OpenVINO {version('openvino')}, Python {platform.python_version()}",
        ),
    ]
