"""What is said of the model itself, beside its times: in the terminal, on the page and in run.json."""

from __future__ import annotations

from typing import Any

from npusim.analysis.footprint import Footprint
from npusim.analysis.series import cmx_kib, edges_us
from npusim.api import Result
from npusim.hints import Seen
from npusim.report.subject import Subject, imported
from npusim.report.units import bytes_text, count_text, energy_text, time_text, times_text
from npusim.validation.silicon.intervals import Interval

#: Share of the latency from which on an op type that keeps it on SHAVE is named, and how many are.
_SLOW, _MOST_SLOW = 0.02, 4


def latency_facts(result: Result, subject: Subject) -> list[tuple[str, str]]:
    """What was asked for, first: the latency, or what is seen from outside under a hint; and how often a second."""
    inside = time_text(result.latency_us)
    rate, unit = subject.rate(result.latency_us)
    facts = [("latency", inside)]
    if subject.seen is not None:
        what = "wall time" if subject.seen.hint == "latency" else "time between results"
        facts = [(what, time_text(subject.seen.us)), ("inside the NPU", inside)]
    if subject.interval is not None:
        facts.append((f"{subject.interval.level:.0%} within", band_text(subject.interval)))
    return facts if imported(result) else [*facts, (unit, rate_text(rate))]


def band_text(interval: Interval) -> str:
    """The band of a time, to the two digits that a band has."""
    return times_text(interval.low_us, interval.high_us)


def energy_facts(result: Result, subject: Subject) -> list[tuple[str, str]]:
    """The NPU's own energy, and the package's where it is known: never one for the other."""
    package = subject.package_energy(result)
    own = ("NPU energy" if package else "energy", energy_text(result.metrics.energy_uj))
    return [own, *([("package energy", energy_text(package.package_uj))] if package else [])]


def rate_text(rate: float) -> str:
    """A rate a second with three digits."""
    return f"{rate:,.0f}" if rate >= 100 else f"{rate:.3g}"


def under_hint(seen: Seen) -> str:
    """How inferences run under a hint."""
    at_once = (
        f"{seen.streams} at a time on {seen.tiles} tiles each"
        if seen.streams > 1
        else f"on {seen.tiles} tiles"
    )
    calls = f" in {seen.segments} segments" if seen.segments > 1 else ""
    host = f"{time_text(seen.host_us)} of host and driver, {seen.client} asking{calls}"
    return f"{seen.hint}: {at_once}, seen from outside · {host}"


def model_text(model: Footprint) -> str:
    """One line about the model: parameters, weights, products, element types."""
    parts = [count_text(model.macs, "MAC"), f"costed as {model.precision_text}"]
    if model.parameters:
        weights = f"{bytes_text(model.weight_bytes)} of weights"
        parts = [f"{count_text(model.parameters)} parameters", weights, *parts]
    return " · ".join(parts)


def peak_cmx_kib(result: Result) -> float:
    """The most that any tile's scratchpad holds at any moment, KiB."""
    return float(cmx_kib(result.timeline, edges_us(result.timeline, 1)).max(initial=0.0))


def memory_text(result: Result, subject: Subject) -> str:
    """One line about the memory that the run takes, at its peak; empty of a trace, which does not say it."""
    parts = []
    if not imported(result):
        have = result.program.cmx_bytes_per_tile / 1024
        parts.append(f"CMX {peak_cmx_kib(result):,.0f} of {have:,.0f} KiB a tile at the peak")
    if subject.model is not None:
        parts.append(f"DDR {bytes_text(subject.model.ddr_bytes)} at most")
    return " · ".join(parts)


def slow_paths(result: Result) -> list[tuple[str, float]]:
    """Op types that keep the critical path on SHAVE, the vector processors, with their share of the latency; ``beside``
    one that runs on the DPU is what SHAVE does for it, such as converting its output."""
    shares: dict[str, float] = {}
    for row in result.metrics.ops:
        if row.bound == "shave":
            kind = row.type if row.engine == "shave" else f"beside {row.type}"
            shares[kind] = shares.get(kind, 0.0) + row.exposed_us / (result.latency_us or 1.0)
    named = sorted(shares.items(), key=lambda item: -item[1])[:_MOST_SLOW]
    return [(kind, share) for kind, share in named if share >= _SLOW]


def model_document(model: Footprint, result: Result) -> dict[str, Any]:
    """The same for programs."""
    return {
        "parameters": model.parameters,
        "weight_bytes": model.weight_bytes,
        "macs": model.macs,
        "computed_as": {name: round(share, 6) for name, share in model.computed},
        "stored_as": {name: round(share, 6) for name, share in model.stored},
        "ddr_bytes_at_most": model.ddr_bytes,
        "cmx_kib_at_peak": round(peak_cmx_kib(result), 3),
    }
