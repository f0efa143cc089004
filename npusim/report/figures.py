"""The plots of a run, as Plotly's JSON: roofline, quantities over time, what the lanes do."""

from __future__ import annotations

from typing import Any

import numpy as np

from npusim.analysis import series
from npusim.api import Result
from npusim.hardware.schema import Hardware
from npusim.program import engines_of
from npusim.report.looks import ENGINE_COLOUR, KINDS
from npusim.report.opwork import OpWork
from npusim.report.page import plot_text
from npusim.report.queues import STATES, lane_times
from npusim.report.timeline_data import lane_name, lanes
from npusim.report.units import bytes_text, time_text, time_unit

_STATE_COLOURS = ("var:busy", "#d55e00", "#56b4e9", "#e69f00", "#009e73", "#cc79a7", "var:sunk")
_BINS, _MOST_TYPES = 800, 16


def lanes_figure(result: Result) -> dict[str, Any]:
    """Stacked bars: the share of the latency that every lane is busy, waits (for what), or has nothing left."""
    total = result.timeline.latency_us or 1.0
    table = lane_times(result)
    names = [lane_name(result.program.queues[queue], server) for queue, server in lanes(result.program)]
    data = [
        {
            "type": "bar", "orientation": "h", "name": state, "y": list(range(len(names))),
            "x": np.round(row / total * 100, 4).tolist(), "marker": {"color": colour}, "hoverinfo": "text",
            "hovertext": [
                f"{name}<br>{state}: {time_text(us)} ({us / total:.1%})" for name, us in zip(names, row, strict=True)
            ],
        }
        for state, row, colour in zip(STATES, table, _STATE_COLOURS, strict=True)
        if row.sum() > 0
    ]  # fmt: skip
    ticks = {
        "tickvals": list(range(len(names))),
        "ticktext": names,
        "autorange": "reversed",
        "showgrid": False,
    }
    layout = {
        "yaxis": ticks,
        "xaxis": {"title": {"text": "share of the latency, %"}, "range": [0, 100]},
        "bargap": 0.22,
    }
    return {
        "data": data,
        "layout": layout,
        "height": 120 + 24 * len(names),
        "label": "Time of every lane by state",
    }


def types_figure(result: Result) -> dict[str, Any]:
    """A bar an op type, the costliest on top: its time on the critical path by what that goes to."""
    parts: dict[str, dict[str, float]] = {}
    for row in result.metrics.ops:
        mine = parts.setdefault(row.type, {})
        mine[row.bound] = mine.get(row.bound, 0.0) + row.exposed_us
    shown = sorted(parts, key=lambda kind: -sum(parts[kind].values()))[:_MOST_TYPES]
    scale, unit = time_unit(sum(parts[shown[0]].values()) if shown else 1.0)
    data = [
        {
            "type": "bar", "orientation": "h", "name": title, "y": [plot_text(kind) for kind in shown],
            "x": [parts[kind].get(bound, 0.0) / scale for kind in shown], "marker": {"color": colour},
        }
        for bound, (title, colour) in KINDS.items()
        if any(parts[kind].get(bound) for kind in shown)
    ]  # fmt: skip
    layout = {
        "barmode": "stack", "yaxis": {"autorange": "reversed"},
        "xaxis": {"title": {"text": f"time on the critical path, {unit}"}},
    }  # fmt: skip
    return {"data": data, "layout": layout, "height": 140 + 26 * len(shown), "label": "Latency by op type"}


def over_time_figure(result: Result) -> dict[str, Any]:
    """DDR bandwidth, busy share of the engines, and CMX use of every tile, over the run: a strip each."""
    hw, timeline = result.hardware, result.timeline
    edges = series.edges_us(timeline, _BINS)
    scale, unit = time_unit(timeline.latency_us)
    at = np.round(edges[:-1] / scale, 4).tolist()
    strips: list[_Strip] = []

    def curve(values: series.Floats, name: str, colour: str, hover: str) -> dict[str, Any]:
        return {
            "type": "scatter", "mode": "lines", "x": at, "y": np.round(values, 3).tolist(), "name": name,
            "line": {"shape": "hv", "width": 1.2, "color": colour}, "fill": "tozeroy",
            "hovertemplate": f"{hover}<extra>{name}</extra>", "showlegend": False,
        }  # fmt: skip

    gbps = series.ddr_gbps(timeline, result.prices, edges)
    limit = (hw.ddr.bandwidth_gbps, f"peak {hw.ddr.bandwidth_gbps:g} GB/s") if hw.ddr.contention else None
    strips.append(("DDR, GB/s", 1.6, [curve(gbps, "DDR", "#56b4e9", "%{y:.1f} GB/s")], limit))
    for engine in engines_of(result.program):
        name = f"{engine.upper()} busy"
        busy = series.busy_share(timeline, engine, edges) * 100
        strips.append(
            (f"{engine.upper()}, %", 1.0, [curve(busy, name, ENGINE_COLOUR[engine], "%{y:.1f} %")], None)
        )
    if result.program.buffers:
        kib = result.program.cmx_bytes_per_tile / 1024
        use = series.cmx_kib(timeline, edges)
        held = [curve(use.max(axis=0), "CMX of the fullest tile", "#cc79a7", "%{y:,.0f} KiB")]
        strips.append(("CMX, KiB", 1.6, held, (kib, f"usable {kib:,.0f} KiB a tile") if kib else None))
        if len(use) > 1:
            strips.append(("CMX by tile", 0.9, [_tiles_map(use, at, kib or float(use.max()))], None))
    return {
        **_stacked(strips, timeline.latency_us / scale, unit),
        "label": "DDR bandwidth, engine use and CMX use over time",
    }


def _tiles_map(use_kib: series.Floats, at: list[float], most_kib: float) -> dict[str, Any]:
    """CMX use by tile (downwards) and time as a heat map, from nothing to ``most_kib``."""
    names = [f"tile {tile}" for tile in range(len(use_kib))]
    return {
        "type": "heatmap", "x": at, "y": names, "z": use_kib.round().astype(int).tolist(), "zmin": 0, "zmax": most_kib,
        "colorscale": [[0, "var:sunk"], [1, "#cc79a7"]], "showscale": False, "ygap": 1,
        "hovertemplate": "%{z:,} KiB<extra>%{y}</extra>",
    }  # fmt: skip


#: Title with unit, relative height, curves, and the limit to mark with its text.
_Strip = tuple[str, float, list[dict[str, Any]], tuple[float, str] | None]


def _stacked(strips: list[_Strip], end: float, unit: str) -> dict[str, Any]:
    """Strips above one another on one time axis."""
    gap, whole = 0.035, sum(height for _, height, _, _ in strips)
    top, data = 1.0, []
    layout: dict[str, Any] = {"hovermode": "x", "shapes": [], "annotations": []}
    for number, (title, height, curves, limit) in enumerate(strips, 1):
        axis = f"y{number}" if number > 1 else "y"
        bottom = max(top - height / whole + gap, 0.0)
        if title.endswith("%"):
            span: dict[str, Any] = {"range": [0, 105], "tickvals": [0, 50, 100]}
        elif curves[0]["type"] == "heatmap":
            span = {"autorange": "reversed", "showgrid": False, "nticks": 7}
        else:
            span = {"rangemode": "tozero", "nticks": 5}
        layout[f"yaxis{axis[1:]}"] = {"title": {"text": title}, "domain": [bottom, top], **span}
        data += [{**each, "yaxis": axis} for each in curves]
        top = bottom - gap
        if limit:
            where = {"xref": "paper", "yref": axis}
            line = {"color": "var:warn", "width": 1.2, "dash": "dot"}
            layout["shapes"].append(
                {"type": "line", **where, "x0": 0, "x1": 1, "y0": limit[0], "y1": limit[0], "line": line}
            )
            text = {"text": limit[1], "showarrow": False, "font": {"size": 12, "color": "var:warn"}}
            layout["annotations"].append(
                {**where, **text, "x": 1, "xanchor": "right", "y": limit[0], "yanchor": "bottom"}
            )
    layout["xaxis"] = {"title": {"text": f"time, {unit}"}, "anchor": axis, "range": [0, end]}
    return {"data": data, "layout": layout, "height": round(80 + 112 * whole)}


_ROOF_STYLES = (("var:dpu", "dot"), ("var:dpu", "solid"), ("var:shave", "solid"))
_NO_TRAFFIC = "operations per byte of DDR traffic (triangles at the right edge: no traffic)"


def roofs(hw: Hardware) -> dict[str, float]:
    """Peak rates of the whole NPU, Gop/s (a MAC is two operations, a SHAVE element one)."""
    mac = hw.tiles * hw.clocks.dpu_mhz * 2e-3
    lanes_16_bit = hw.shave.vector_bits / 16
    return {
        "DPU, INT8": mac * hw.dpu.macs_per_cycle.int8,
        "DPU, FP16": mac * hw.dpu.macs_per_cycle.fp16,
        "SHAVE, FP16": hw.tiles * hw.shave.per_tile * lanes_16_bit * hw.clocks.vpu_mhz * 1e-3,
    }


def ddr_peak_gbps(result: Result) -> float:
    """What all transfers together can have of DDR, GB/s; without contention every DMA queue has it to itself."""
    ddr = result.hardware.ddr
    queues = sum(queue.engine == "dma" for queue in result.program.queues)
    return ddr.bandwidth_gbps * (1 if ddr.contention else queues)


def roofline_figure(result: Result, work: OpWork) -> dict[str, Any]:
    """Every op that computes: operations per DDR byte against operations per second, under the roofs."""
    hw, rows = result.hardware, result.metrics.ops
    gops = (2.0 * work.macs + work.elements) * 1e-3  # operations a µs, in G/s
    traffic = (work.ddr_read_bytes + work.ddr_write_bytes).astype(float)
    took = np.array([max(row.dma_us, row.dpu_us, row.shave_us, row.block_us) for row in rows])
    exposed = np.array([row.exposed_us for row in rows])
    computes = (gops > 0) & (took > 0)
    intensity = np.divide(gops * 1e3, traffic, out=np.full(len(rows), np.inf), where=traffic > 0)
    finite = intensity[computes & np.isfinite(intensity)]
    low = 10 ** np.floor(np.log10(finite.min())) if len(finite) else 0.01
    peak, slope = roofs(hw), ddr_peak_gbps(result)
    edge = 10 ** np.ceil(np.log10(max(finite.max() if len(finite) else 1.0, max(peak.values()) / slope) * 3))
    intensity = np.where(np.isfinite(intensity), intensity, edge)
    size = 5 + 26 * np.sqrt(exposed / (exposed.max() or 1.0)) if len(exposed) else exposed

    def roof(
        name: str, x: tuple[float, float], y: tuple[float, float], colour: str, dash: str
    ) -> dict[str, Any]:
        return {
            "type": "scatter", "mode": "lines", "name": name, "hoverinfo": "name", "x": x, "y": y,
            "line": {"color": colour, "width": 1.8, "dash": dash},
        }  # fmt: skip

    top = max(peak.values())
    data = [roof(f"DDR {slope:,.4g} GB/s", (low, top / slope), (low * slope, top), "var:dma", "solid")]
    data += [
        roof(f"{name} {value / 1000:,.2f} Top/s", (value / slope, edge * 2), (value, value), colour, dash)
        for (name, value), (colour, dash) in zip(peak.items(), _ROOF_STYLES, strict=True)
    ]
    for engine in engines_of(result.program)[1:]:
        mine = [number for number, row in enumerate(rows) if computes[number] and row.engine == engine]
        marker = {
            "color": ENGINE_COLOUR[engine],
            "opacity": 0.72,
            "line": {"width": 0.7, "color": "var:panel"},
        }
        data.append({
            "type": "scatter", "mode": "markers", "name": f"ops on {engine.upper()}", "hoverinfo": "text",
            "x": [_digits(intensity[n]) for n in mine], "y": [_digits(gops[n] / took[n]) for n in mine],
            "marker": {
                **marker, "size": [round(float(size[n]), 1) for n in mine],
                "symbol": ["circle" if traffic[n] else "triangle-right" for n in mine],
            },
            "customdata": mine,
            "hovertext": [
                f"{plot_text(rows[n].name[:80])}<br>{plot_text(rows[n].type)} · {gops[n] / took[n]:,.1f} Gop/s · "
                + (f"{intensity[n]:,.2f} op/B · {bytes_text(traffic[n])} of DDR" if traffic[n] else "no DDR traffic")
                + f"<br>runs {time_text(took[n])}, {time_text(exposed[n])} of the latency, bound by {rows[n].bound}"
                for n in mine
            ],
        })  # fmt: skip
    layout = {
        "xaxis": {
            **decades(low, edge),
            "title": {"text": _NO_TRAFFIC},
            "range": [float(np.log10(low)), float(np.log10(edge * 2))],
        },
        "yaxis": {**decades(1e-6, 1e9), "title": {"text": "Gop/s (a MAC is two operations)"}},
    }
    return {"data": data, "layout": layout, "height": 560, "label": "Roofline of all ops", "link": "timeline"}


def decades(low: float, high: float) -> dict[str, Any]:
    """A logarithmic axis with a tick a decade from ``low`` to ``high``, written out."""
    powers = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
    texts = [f"{10.0**power:,.0f}" if power >= 0 else f"{10.0**power:.{-power}f}" for power in powers]
    return {"type": "log", "tickvals": [10.0**power for power in powers], "ticktext": texts}


def _digits(value: float) -> float:
    return float(f"{value:.5g}")
