"""The pictures of scenarios: one that answers the question of each operator, and one that says why."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

from npusim.explore.pareto import pareto_front
from npusim.report.page import plot_text
from npusim.scenarios.budget import Limited
from npusim.scenarios.mix import Mixed
from npusim.scenarios.rows import Served
from npusim.scenarios.split import Parted, SplitPoint
from npusim.scenarios.together import Company

Figure = dict[str, Any]
_COLOURS = ("var:dma", "var:dpu", "var:shave", "var:warn", "var:text", "var:muted")
_LEGEND: dict[str, Any] = {"legend": {"orientation": "h", "y": -0.25, "yanchor": "top"}, "margin": {"b": 110}}


def over_probability(mixed: Mixed) -> Figure:
    """Expected latency over the probability of each part or outcome, the others as they are; where it stops paying, or
    begins to, is marked, and the whole in one call drawn across."""
    data: list[Figure] = []
    for number, (name, without, with_it, even) in enumerate(_knobs(mixed)):
        colour = {"color": _COLOURS[number % len(_COLOURS)]}
        data.append(_line(name, [0, 1], [without / 1e3, with_it / 1e3], colour))
        if even is not None:
            at = (without + even * (with_it - without)) / 1e3
            data.append(_marks(f"{name}: even at {even:.2f}", [even], [at], colour))
    data.append(_across("the whole in one call", [0, 1], mixed.whole.us / 1e3))
    return _figure(data, "probability that it runs", "ms expected", "Expected latency over each probability")


def _knobs(mixed: Mixed) -> list[tuple[str, float, float, float | None]]:
    """Names, expected µs if it never and if it always runs, and the break-even."""
    expected = mixed.expected_us
    if any(part.break_even is not None for part in mixed.parts):
        return [
            (
                part.name,
                expected - part.probability * us,
                expected + (1 - part.probability) * us,
                part.break_even,
            )
            for part in mixed.parts
            for us in [part.device_us + part.call_us]
            if part.break_even is not None
        ]
    return [
        (
            " + ".join(case.runs),
            (expected - case.probability * case.us) / (1 - case.probability),
            case.us,
            case.break_even,
        )
        for case in mixed.cases
        if case.probability < 1
    ]


def distribution(mixed: Mixed) -> Figure:
    """The share of inferences that take no longer."""
    ordered = sorted(mixed.cases, key=lambda case: case.us)
    shares = list(accumulate(case.probability for case in ordered))
    times = [case.us / 1e3 for case in ordered]
    step = _line("mixed", [times[0], *times], [0.0, *shares], {"color": "var:dma", "shape": "hv"})
    data = [step]
    for name, us, colour in (
        ("expected", mixed.expected_us, "var:warn"),
        ("the whole in one call", mixed.whole.us, "var:muted"),
    ):
        data.append(_line(name, [us / 1e3, us / 1e3], [0, 1], {"color": colour, "dash": "dot"}))
    return _figure(data, "ms", "share of inferences", "Distribution of the latency")


def over_bandwidth(parted: Parted, gbps: float) -> Figure:
    """Latency over the link's bandwidth: the best cut, and nothing and everything sent."""
    here = [point for point in parted.points if point.last][-1]
    far = [point for point in parted.points if point.position == 0]
    rates = [rate for rate, _ in parted.over]
    best = _line(
        "the best cut", rates, [point.us / 1e3 for _, point in parted.over], {"color": "var:dma", "width": 3}
    )
    best["text"] = [plot_text(f"{point.place}, {point.bits} bits") for _, point in parted.over]
    data = [best, _across("all here", [rates[0], rates[-1]], here.us / 1e3)]
    data += [
        _line(
            f"all far, {point.bits} bits",
            rates,
            [point.at(rate, gbps).us / 1e3 for rate in rates],
            {"dash": "dot"},
        )
        for point in far
    ]
    changes = [i for i in range(1, len(rates)) if _which(parted.over[i][1]) != _which(parted.over[i - 1][1])]
    if changes:
        data.append(
            _marks(
                "the best cut moves",
                [rates[i] for i in changes],
                [parted.over[i][1].us / 1e3 for i in changes],
                {"color": "var:warn"},
                [plot_text(parted.over[i][1].place) for i in changes],
            )
        )
    figure = _figure(data, "Gbit/s of the link", "ms", "Latency over bandwidth")
    figure["layout"]["xaxis"]["type"] = figure["layout"]["yaxis"]["type"] = "log"
    figure["layout"]["yaxis"].pop("rangemode")
    return figure


def cuts_and_bits(parted: Parted) -> Figure:
    """Bytes that are sent against the time on both sides, each cut at each number of bits; the front stands out."""
    points = [point for point in parted.points if not point.last]
    front = pareto_front([(point.sent_bytes, point.head_us + point.far_us) for point in points])
    data = [
        _marks(
            f"{bits} bits",
            [point.sent_bytes / 1e3 for point in points if point.bits == bits],
            [(point.head_us + point.far_us) / 1e3 for point in points if point.bits == bits],
            {"color": _COLOURS[number % len(_COLOURS)]},
            [plot_text(point.place) for point in points if point.bits == bits],
        )
        for number, bits in enumerate(dict.fromkeys(point.bits for point in points))
    ]
    best = sorted((point.sent_bytes / 1e3, (point.head_us + point.far_us) / 1e3)
                  for point, on in zip(points, front, strict=True) if on)  # fmt: skip
    data.append(
        _line(
            "Pareto front", [x for x, _ in best], [y for _, y in best], {"color": "var:warn", "dash": "dot"}
        )
    )
    figure = _figure(data, "kB sent", "ms here and there, without the link", "Cuts and bits")
    figure["layout"]["xaxis"]["type"] = "log"
    return figure


def gantt(company: Company) -> Figure:
    """Inferences of every program over time."""
    names = [each.name for each in company.each]
    end = min(each.runs[-1][1] for each in company.each)
    data = []
    for number, each in enumerate(company.each):
        runs = [(start, stop) for start, stop in each.runs if start < end]
        data.append({
            "type": "bar", "orientation": "h", "name": plot_text(each.name), "y": [plot_text(each.name)] * len(runs),
            "base": [start / 1e3 for start, _ in runs], "x": [(stop - start) / 1e3 for start, stop in runs],
            "marker": {"color": _COLOURS[number % len(_COLOURS)], "line": {"color": "var:sunk", "width": 2}},
        })  # fmt: skip
    layout = {
        "barmode": "overlay", "showlegend": False, "xaxis": {"title": {"text": "ms"}},
        "yaxis": {"autorange": "reversed", "automargin": True},
    }  # fmt: skip
    return {"data": data, "layout": layout, "height": 130 + 46 * len(names), "label": "Inferences over time"}


def slowdowns(company: Company) -> Figure:
    """Inferences a second of every program, alone and beside the others."""
    names = [plot_text(each.name) for each in company.each]
    bars = (
        ("alone", [1e6 / each.alone_us for each in company.each], "var:muted"),
        (f"together, by {company.by}", [1e6 / each.period_us for each in company.each], "var:dma"),
    )
    data = [
        {"type": "bar", "name": name, "x": names, "y": y, "marker": {"color": colour}}
        for name, y, colour in bars
    ]
    figure = _figure(data, "", "inferences a second", "Throughput alone and together")
    figure["layout"]["barmode"] = "group"
    return figure


def over_rate(served: Sequence[Served]) -> Figure:
    """Time to the first token and to the last over the arrival rate."""
    rates = [each.requests_per_s for each in served]
    lines = (
        ("first token, median", [each.first_ms[0] for each in served], "var:dma", "solid"),
        ("first token, 95 %", [each.first_ms[1] for each in served], "var:dma", "dot"),
        ("whole answer, median", [each.done_ms[0] for each in served], "var:dpu", "solid"),
        ("whole answer, 95 %", [each.done_ms[1] for each in served], "var:dpu", "dot"),
    )
    data = [
        _line(name, rates, y, {"color": colour, "dash": dash}, "lines+markers")
        for name, y, colour, dash in lines
    ]
    return _figure(data, "requests a second", "ms", "Latency over the arrival rate")


def padding(served: Sequence[Served]) -> Figure:
    """Tokens a second, and the share of computed rows that nobody asked for."""
    rates = [each.requests_per_s for each in served]
    data = [
        _line(
            "tokens a second", rates, [e.tokens_per_s for e in served], {"color": "var:dma"}, "lines+markers"
        )
    ]
    shares = (
        ("padding, share of rows", [100 * e.padding for e in served], "var:warn"),
        ("busy, share of time", [100 * e.busy for e in served], "var:muted"),
    )
    data += [_line(name, rates, y, {"color": colour, "dash": "dot"}, "lines+markers") | {"yaxis": "y2"}
             for name, y, colour in shares]  # fmt: skip
    figure = _figure(
        data, "requests a second", "tokens a second", "Throughput and padding over the arrival rate"
    )
    figure["layout"]["yaxis2"] = {
        "title": {"text": "%"},
        "overlaying": "y",
        "side": "right",
        "range": [0, 100],
    }
    return figure


def over_limit(fits: Sequence[Limited]) -> Figure:
    """Time and DDR traffic over the limit."""
    kib = [each.limit_kib for each in fits]
    data = [
        _line("latency", kib, [each.us / 1e3 for each in fits], {"color": "var:dma"}, "lines+markers"),
        _line("DDR traffic", kib, [each.ddr_bytes / 1e6 for each in fits], {"color": "var:dpu", "dash": "dot"},
              "lines+markers") | {"yaxis": "y2"},
    ]  # fmt: skip
    figure = _figure(data, "KiB a tile at most", "ms", "Time over memory")
    figure["layout"]["xaxis"]["type"] = "log"
    figure["layout"]["yaxis2"] = {
        "title": {"text": "MB"},
        "overlaying": "y",
        "side": "right",
        "rangemode": "tozero",
    }
    return figure


def _which(point: SplitPoint) -> tuple[int, int]:
    return point.position, point.bits


def _line(name: str, x: Sequence[float], y: Sequence[float], line: Figure, mode: str = "lines") -> Figure:
    return {
        "type": "scatter",
        "mode": mode,
        "name": plot_text(name),
        "x": list(x),
        "y": list(y),
        "line": line,
    }


def _across(name: str, x: Sequence[float], y: float) -> Figure:
    return _line(name, x, [y] * len(x), {"color": "var:muted", "dash": "dash"})


def _marks(
    name: str, x: Sequence[float], y: Sequence[float], marker: Figure, text: Sequence[str] | None = None
) -> Figure:
    found: Figure = {
        "type": "scatter", "mode": "markers", "name": plot_text(name), "x": list(x), "y": list(y),
        "marker": {"size": 9, **marker},
    }  # fmt: skip
    return found | ({"text": list(text)} if text else {})


def _figure(data: list[Figure], x: str, y: str, label: str) -> Figure:
    layout = {
        "xaxis": {"title": {"text": x}},
        "yaxis": {"title": {"text": y}, "rangemode": "tozero"},
    } | _LEGEND
    return {"data": data, "layout": layout, "height": 420, "label": label}
