"""The plots of a run, as Plotly's JSON: roofline, quantities over time, what the lanes do."""

from __future__ import annotations

from typing import Any

import numpy as np

from npusim.api import Result
from npusim.hardware.schema import Hardware
from npusim.report import series
from npusim.report.opwork import OpWork
from npusim.report.page import plot_text
from npusim.report.queues import STATES, lane_times
from npusim.report.timeline_data import lane_name, lanes
from npusim.report.units import bytes_text, time_text

ENGINE_COLOUR = {"dma": "var:dma", "dpu": "var:dpu", "shave": "var:shave"}
_STATE_COLOURS = ("var:accent", "#d55e00", "#56b4e9", "#e69f00", "#009e73", "#cc79a7", "var:sunk")
_BINS = 800


def lanes_figure(result: Result) -> dict[str, Any]:
    """Stacked bars: the share of the latency that every lane is busy, waits (for what), or has nothing left."""
    total = result.timeline.latency_us or 1.0
    table = lane_times(result)
    names = [lane_name(result.program.queues[queue], server) for queue, server in lanes(result.program)]
    data = [
        {
            "type": "bar", "orientation": "h", "name": state, "y": list(range(len(names))),
            "x": np.round(row / total * 100, 4).tolist(), "marker": {"color": colour}, "hoverinfo": "text",
            "hovertext": [f"{name}<br>{state}: {time_text(us)} ({us / total:.1%})" for name, us in zip(names, row, strict=True)],
        }
        for state, row, colour in zip(STATES, table, _STATE_COLOURS, strict=True)
        if row.sum() > 0
    ]  # fmt: skip
    ticks = {"tickvals": list(range(len(names))), "ticktext": names, "autorange": "reversed", "showgrid": False}
    layout = {
        "yaxis": ticks,
        "xaxis": {"title": {"text": "share of the latency, %"}, "range": [0, 100]},
        "bargap": 0.22,
    }
    return {"data": data, "layout": layout, "height": 120 + 24 * len(names), "label": "Time of every lane by state"}


def over_time_figure(result: Result) -> dict[str, Any]:
    """DDR bandwidth, busy share of the engines, and CMX use of every tile, over the run."""
    hw, timeline = result.hardware, result.timeline
    edges = series.edges_us(timeline, _BINS)
    at = np.round(edges[:-1], 4).tolist()

    def line(values: series.Floats, **more: Any) -> dict[str, Any]:
        style = {"type": "scatter", "mode": "lines", "x": at, "y": np.round(values, 3).tolist()}
        return {**style, **more, "line": {"shape": "hv", "width": 1.4, **more.get("line", {})}}

    data = [
        line(
            series.ddr_gbps(timeline, result.prices, edges), name="DDR", legendgroup="ddr", line={"color": "var:dma"},
            fill="tozeroy", hovertemplate="%{y:.1f} GB/s<extra>DDR</extra>",
        )
    ]  # fmt: skip
    for engine in ("dpu", "shave", "dma"):
        data.append(
            line(
                series.busy_share(timeline, engine, edges) * 100, name=engine.upper(), yaxis="y2",
                line={"color": ENGINE_COLOUR[engine]}, hovertemplate=f"%{{y:.1f}} %<extra>{engine.upper()} busy</extra>",
            )
        )  # fmt: skip
    for tile, use in enumerate(series.cmx_kib(result.program, timeline, edges)):
        data.append(
            line(
                use, name=f"CMX {tile}", yaxis="y3", line={"color": _TILE_COLOURS[tile % len(_TILE_COLOURS)]},
                hovertemplate=f"%{{y:,.0f}} KiB<extra>CMX of tile {tile}</extra>",
            )
        )  # fmt: skip
    limits = []
    if hw.ddr.contention:
        limits.append(("y", hw.ddr.bandwidth_gbps, f"DDR peak {hw.ddr.bandwidth_gbps:g} GB/s"))
    if result.program.cmx_bytes_per_tile:
        capacity = result.program.cmx_bytes_per_tile / 1024
        limits.append(("y3", capacity, f"usable CMX {capacity:,.0f} KiB a tile"))
    layout = {
        "xaxis": {"title": {"text": "time, µs"}, "anchor": "y3", "range": [0, timeline.latency_us]},
        "yaxis": {"title": {"text": "DDR, GB/s"}, "domain": [0.72, 1], "rangemode": "tozero"},
        "yaxis2": {"title": {"text": "busy, %"}, "domain": [0.37, 0.65], "range": [0, 102]},
        "yaxis3": {"title": {"text": "CMX, KiB"}, "domain": [0, 0.3], "rangemode": "tozero"},
        "hovermode": "x",
        "shapes": [
            {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "yref": axis, "y0": value, "y1": value,
             "line": {"color": "var:warn", "width": 1, "dash": "dot"}}
            for axis, value, _ in limits
        ],
        "annotations": [
            {"xref": "paper", "x": 1, "xanchor": "right", "yref": axis, "y": value, "yanchor": "bottom", "text": text,
             "showarrow": False, "font": {"size": 11.5, "color": "var:warn"}}
            for axis, value, text in limits
        ],
    }  # fmt: skip
    return {"data": data, "layout": layout, "height": 640, "label": "DDR bandwidth, engine use and CMX use over time"}


_TILE_COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00")


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
    took = np.array([max(row.dma_us, row.dpu_us, row.shave_us) for row in rows])
    exposed = np.array([row.exposed_us for row in rows])
    computes = (gops > 0) & (took > 0)
    intensity = np.divide(gops * 1e3, traffic, out=np.full(len(rows), np.inf), where=traffic > 0)
    finite = intensity[computes & np.isfinite(intensity)]
    low = 10 ** np.floor(np.log10(finite.min())) if len(finite) else 0.01
    peak, slope = roofs(hw), ddr_peak_gbps(result)
    edge = 10 ** np.ceil(np.log10(max(finite.max() if len(finite) else 1.0, max(peak.values()) / slope) * 3))
    intensity = np.where(np.isfinite(intensity), intensity, edge)
    size = 5 + 26 * np.sqrt(exposed / (exposed.max() or 1.0)) if len(exposed) else exposed

    data: list[dict[str, Any]] = [
        {
            "type": "scatter", "mode": "lines", "name": f"{name} {value / 1000:,.2f} Top/s", "hoverinfo": "name",
            "x": [low, value / slope, edge * 2], "y": [low * slope, value, value],
            "line": {"color": colour, "width": 1.5, "dash": dash}, "showlegend": True,
        }
        for (name, value), colour, dash in zip(peak.items(), ("var:dpu", "var:dpu", "var:shave"), ("dot", "solid", "solid"), strict=True)
    ]  # fmt: skip
    for engine in ("dpu", "shave"):
        mine = [number for number, row in enumerate(rows) if computes[number] and row.engine == engine]
        data.append({
            "type": "scatter", "mode": "markers", "name": f"ops on {engine.upper()}", "hoverinfo": "text",
            "x": [_digits(intensity[n]) for n in mine], "y": [_digits(gops[n] / took[n]) for n in mine],
            "marker": {"size": [round(float(size[n]), 1) for n in mine], "color": ENGINE_COLOUR[engine], "opacity": 0.72,
                       "line": {"width": 0.7, "color": "var:panel"}},
            "hovertext": [
                f"{plot_text(rows[n].name[:80])}<br>{plot_text(rows[n].type)} · {gops[n] / took[n]:,.1f} Gop/s · "
                + (f"{intensity[n]:,.2f} op/B · {bytes_text(traffic[n])} of DDR" if traffic[n] else "no DDR traffic")
                + f"<br>runs {time_text(took[n])}, {time_text(exposed[n])} of the latency, bound by {rows[n].bound}"
                for n in mine
            ],
        })  # fmt: skip
    layout = {
        "xaxis": {"type": "log", "title": {"text": "operations per byte of DDR traffic (right edge: no traffic)"},
                  "range": [float(np.log10(low)), float(np.log10(edge * 2))]},
        "yaxis": {"type": "log", "title": {"text": "Gop/s (a MAC is two operations)"}},
    }  # fmt: skip
    return {"data": data, "layout": layout, "height": 560, "label": "Roofline of all ops"}


def _digits(value: float) -> float:
    return float(f"{value:.5g}")
