"""The page of a validation: predictions against reference schedules, or against what was measured."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import median
from typing import Any, NamedTuple

from npusim.report.blocks import Block, card, command, number_column, plot, tab, text_column
from npusim.report.figures import decades
from npusim.report.looks import PALETTE
from npusim.report.page import plot_text, render
from npusim.report.units import time_text
from npusim.validation.schedules.predict import Prediction
from npusim.validation.schedules.scores import over_tiles, pairs
from npusim.validation.silicon.scores import Scored

_BAND = 0.1
_FAMILY_BARS = 30


class Point(NamedTuple):
    """One prediction beside the truth, µs; ``group`` chooses its colour, ``family`` its box, ``other_us`` is another
    estimate of the same. ``scored`` is False for a truth that shows an order only: its error is in no summary."""

    name: str
    group: str
    family: str
    predicted_us: float
    truth_us: float
    other_us: float | None = None
    details: tuple[str, ...] = ()
    scored: bool = True

    @property
    def error(self) -> float:
        """Signed relative error; -1 where nothing was predicted."""
        return self.predicted_us / self.truth_us - 1


def validate_page(reference: str, predictions: Sequence[Prediction], command_text: str = "") -> str:
    """The page of predicted schedules as HTML text; ``reference`` names what they are compared with."""
    totals = pairs(predictions, "total_us")
    points = [
        Point(one.row.label, one.row.platform, one.row.family, one.predicted, one.truth, None,
              (one.row.case, str(one.row.tiles), str(one.row.dma_engines)))
        for one in totals
    ]  # fmt: skip
    cases = _cases_table(
        points,
        "Platform",
        "reference",
        [("case", "Case", 0), ("tiles", "Tiles", 1), ("dma", "DMA engines", 2)],
    )
    tables = {"cases": cases, "tiles": _tiles_table(predictions), "failed": _failed_table(predictions)}
    tabs = _tabs(points, "reference", "platform")
    tabs[0]["blocks"] += command(command_text, "")
    tabs.append(tab("cases", "Worst cases", _cases_block()))
    if tables["tiles"]["columns"][0]["values"]:
        lead = "How much faster a case is than on the platform's usual number of tiles, predicted and in the reference."
        tabs.append(
            tab(
                "tiles",
                "Tiles",
                plot("Speed-up over tiles", _tiles_figure(predictions), lead),
                _listed("tiles"),
            )
        )
    if tables["failed"]["columns"][0]["values"]:
        tabs.append(tab("failed", "No prediction", _listed("failed")))
    return render("Validation", f"{len(predictions):,} rows of {reference}", {"tabs": tabs, "tables": tables})


def silicon_page(label: str, found: Sequence[Scored], command_text: str = "") -> str:
    """The page of predictions against measurements as HTML text; ``label`` names the measurements."""
    points = [
        Point(one.row.model, f"{one.row.platform} {one.row.precision}", one.row.workload or one.row.model,
              one.predicted_us, one.row.measured_us, one.vendor_us,
              (one.row.metric, one.row.device, one.row.grade, one.row.use, one.row.source),
              one.row.use == "score")
        for one in found if one.row.measured_us > 0
    ]  # fmt: skip
    columns = [
        ("metric", "Metric", 0), ("device", "Device", 1), ("grade", "Grade", 2), ("use", "Use", 3),
        ("source", "Source", 4),
    ]  # fmt: skip
    tables = {"cases": _cases_table(points, "Platform, precision", "measured", columns)}
    tabs = _tabs(points, "measured", "platform and precision")
    tabs[0]["blocks"] += command(command_text, "")
    tabs.append(tab("cases", "All rows", _cases_block()))
    subtitle = f"{len(found):,} measurements: {label}"
    return render("Validation against silicon", subtitle, {"tabs": tabs, "tables": tables})


def _tabs(points: Sequence[Point], truth: str, grouped: str) -> list[dict[str, Any]]:
    band = (
        f"Inside the band the error is at most {_BAND:.0%}. Click {grouped} names in the legend to hide them."
    )
    by_family = "Signed error of every row, by family: the box holds the middle half, its line is the median."
    return [
        tab("scatter", f"Predicted against {truth}", {"kind": "cards", "items": _cards(points)},
            plot(f"Predicted against {truth} latency", _scatter(points, truth), band)),
        tab("errors", "Errors",
            plot("How often which error", _histogram(points),
                 f"Rows by signed error, by {grouped}; errors beyond ±50 % stand in the outermost bins."),
            plot("Errors by family", _boxes(points), by_family)),
    ]  # fmt: skip


def _cards(points: Sequence[Point]) -> list[dict[str, str]]:
    scored = [point for point in points if point.scored]
    if not scored:
        return [card("Rows", "0", "with a latency to compare with", tone="warn")]
    errors = sorted(abs(point.error) for point in scored)
    left_out = len(points) - len(scored)
    rows = f"{len(scored):,} rows" + (f"; {left_out:,} show an order only" if left_out else "")
    cards = [
        card("Median error", _percent(median(errors)), f"of the latency, {rows}", "main"),
        card("90th percentile", _percent(errors[min(len(errors) - 1, int(0.9 * len(errors)))]),
             "nine of ten rows are at most so far off"),
        card("Worst", _percent(errors[-1]), max(scored, key=lambda p: abs(p.error)).name),
        card("Within 10 %", _percent(sum(error <= _BAND for error in errors) / len(errors)), "of the rows"),
        card("Bias", f"{round(median(p.error for p in scored), 3) + 0.0:+.1%}".replace("%", " %"),
             "median of the signed errors"),
    ]  # fmt: skip
    both = [
        (abs(point.other_us / point.truth_us - 1), abs(point.error)) for point in scored if point.other_us
    ]
    if both:
        other, ours = (median(column) for column in zip(*both, strict=True))
        hint = f"median error, {len(both):,} rows; npusim {_percent(ours)} on the same"
        cards.append(card("Vendor's estimate", _percent(other), hint))
    return cards


def _percent(share: float) -> str:
    return f"{share:.1%}".replace("%", " %")


def _groups(points: Iterable[Point]) -> dict[str, list[Point]]:
    found: dict[str, list[Point]] = {}
    for point in points:
        found.setdefault(point.group, []).append(point)
    return dict(sorted(found.items()))


def _scatter(points: Sequence[Point], truth: str) -> dict[str, Any]:
    known = [point for point in points if point.predicted_us > 0]
    values = [value for point in known for value in (point.predicted_us, point.truth_us)] or [1.0]
    low, high = min(values) / 1.5, max(values) * 1.5
    band = {"type": "scatter", "mode": "lines", "hoverinfo": "skip", "x": [low, high]}
    data: list[dict[str, Any]] = [
        {**band, "y": [low * (1 - _BAND), high * (1 - _BAND)], "line": {"width": 0}, "showlegend": False},
        {**band, "y": [low * (1 + _BAND), high * (1 + _BAND)], "line": {"width": 0}, "name": f"within {_BAND:.0%}",
         "fill": "tonexty", "fillcolor": "var:band"},
        {**band, "y": [low, high], "line": {"width": 1, "color": "var:muted", "dash": "dot"}, "name": "equal"},
    ]  # fmt: skip
    symbols = ("circle", "diamond", "square", "triangle-up", "cross", "x", "star")
    for number, (group, members) in enumerate(_groups(known).items()):
        marker = {
            "size": 8, "opacity": 0.75, "color": PALETTE[number % len(PALETTE)],
            "symbol": symbols[number % len(symbols)], "line": {"width": 0.5, "color": "var:panel"},
        }  # fmt: skip
        data.append({
            "type": "scatter", "mode": "markers", "name": plot_text(group), "hoverinfo": "text", "marker": marker,
            "x": [point.truth_us for point in members], "y": [point.predicted_us for point in members],
            "hovertext": [_hover(point, truth) for point in members],
        })  # fmt: skip
    others = [point for point in known if point.other_us]
    if others:
        data.append({
            "type": "scatter", "mode": "markers", "name": "vendor's estimate", "hoverinfo": "text",
            "marker": {"size": 7, "symbol": "circle-open", "color": "var:muted"},
            "x": [point.truth_us for point in others], "y": [point.other_us for point in others],
            "hovertext": [
                f"{plot_text(point.name)}<br>vendor {time_text(point.other_us or 0.0)}, "
                f"{truth} {time_text(point.truth_us)}"
                for point in others
            ],
        })  # fmt: skip
    axis = decades(low, high)
    layout = {
        "xaxis": {**axis, "title": {"text": f"{truth} latency, µs"}},
        "yaxis": {**axis, "title": {"text": "predicted latency, µs"}},
    }
    return {"data": data, "layout": layout, "height": 600, "label": f"Predicted against {truth} latency"}


def _hover(point: Point, truth: str) -> str:
    times = f"predicted {time_text(point.predicted_us)}, {truth} {time_text(point.truth_us)}"
    return f"{plot_text(point.name)}<br>{plot_text(point.family)}<br>{times} ({point.error:+.1%})"


def _histogram(points: Sequence[Point]) -> dict[str, Any]:
    data = [
        {
            "type": "histogram", "name": plot_text(group),
            "x": [max(min(point.error * 100, 49.9), -50.0) for point in members],
            "xbins": {"start": -50, "end": 50, "size": 2.5}, "marker": {"color": PALETTE[number % len(PALETTE)]},
            "hovertemplate": "%{y} rows at %{x} %<extra>" + plot_text(group) + "</extra>",
        }
        for number, (group, members) in enumerate(_groups(points).items())
    ]  # fmt: skip
    layout = {
        "xaxis": {"title": {"text": "signed error of the latency, %"}, "range": [-52, 52]},
        "yaxis": {"title": {"text": "rows"}},
        "bargap": 0.05,
    }
    return {"data": data, "layout": layout, "height": 380, "label": "Histogram of the errors"}


def _boxes(points: Sequence[Point]) -> dict[str, Any]:
    families: dict[str, list[Point]] = {}
    for point in points:
        families.setdefault(point.family, []).append(point)

    def off(members: list[Point]) -> float:
        return sorted(abs(point.error) for point in members)[len(members) // 2]

    order = sorted(families, key=lambda name: (-off(families[name]), name))[:_FAMILY_BARS]
    data = [
        {
            "type": "box", "orientation": "h", "name": plot_text(name[:40]), "boxpoints": "all", "jitter": 0.4,
            "pointpos": 0, "x": [point.error * 100 for point in families[name]], "showlegend": False,
            "marker": {"size": 4, "opacity": 0.55, "color": "var:dma"}, "line": {"width": 1.2, "color": "var:busy"},
            "fillcolor": "rgba(0,0,0,0)", "hoverinfo": "text",
            "hovertext": [f"{plot_text(point.name)}: {point.error:+.1%}" for point in families[name]],
        }
        for name in order
    ]  # fmt: skip
    layout = {
        "xaxis": {"title": {"text": "signed error of the latency, %"}, "zerolinecolor": "var:text"},
        "yaxis": {"autorange": "reversed", "showgrid": False},
        "shapes": [
            {"type": "rect", "xref": "x", "yref": "paper", "x0": -100 * _BAND, "x1": 100 * _BAND, "y0": 0, "y1": 1,
             "fillcolor": "var:band", "line": {"width": 0}, "layer": "below"}
        ],
    }  # fmt: skip
    return {"data": data, "layout": layout, "height": 120 + 26 * len(order), "label": "Errors by family"}


def _cases_table(
    points: Sequence[Point], grouped: str, truth: str, extra: Sequence[tuple[str, str, int]]
) -> dict[str, Any]:
    columns = [
        text_column("name", "Row", [point.name for point in points]),
        text_column("family", "Family", [point.family for point in points]),
        text_column("group", grouped, [point.group for point in points]),
        number_column("off", "Error", "%", [abs(point.error) * 100 for point in points], 1),
        number_column("signed", "Signed", "%", [point.error * 100 for point in points], 1),
        number_column("predicted", "Predicted", "µs", [point.predicted_us for point in points], 2),
        number_column("truth", truth.capitalize(), "µs", [point.truth_us for point in points], 2),
    ]
    if any(point.other_us for point in points):
        others = [point.other_us or float("nan") for point in points]
        columns.append(number_column("other", "Vendor's estimate", "µs", others, 2))
    columns += [
        text_column(key, title, [point.details[place] for point in points]) for key, title, place in extra
    ]
    return {"columns": columns, "sort": "off"}


def _cases_block() -> Block:
    lead = "The largest error first."
    return {"kind": "table", "title": "All rows", "table": "cases", "file": "validation.csv", "choose": "group",
            "lead": lead}  # fmt: skip


def _listed(name: str) -> Block:
    titles = {"tiles": "Speed-ups case by case", "failed": "Rows without a prediction"}
    return {"kind": "table", "title": titles[name], "table": name, "file": f"{name}.csv"}


def _tiles_figure(predictions: Sequence[Prediction]) -> dict[str, Any]:
    rows = over_tiles(pairs(predictions, "total_us"))
    ends = [value for row in rows for value in (row.predicted, row.truth)]
    low, high = min(ends) * 0.9, max(ends) * 1.1
    counts = sorted({row.row.tiles for row in rows})
    line = {"type": "scatter", "mode": "lines", "hoverinfo": "skip", "x": [low, high], "y": [low, high],
            "line": {"width": 1, "color": "var:muted", "dash": "dot"}, "name": "equal"}  # fmt: skip
    data: list[dict[str, Any]] = [line]
    for number, count in enumerate(counts):
        mine = [row for row in rows if row.row.tiles == count]
        data.append({
            "type": "scatter", "mode": "markers", "name": f"{count} tile{'s' if count > 1 else ''}",
            "x": [row.truth for row in mine], "y": [row.predicted for row in mine], "hoverinfo": "text",
            "marker": {"size": 8, "opacity": 0.75, "color": PALETTE[number % len(PALETTE)]},
            "hovertext": [
                f"{plot_text(row.row.label)}<br>predicted {row.predicted:.2f} ×, reference {row.truth:.2f} × "
                f"over {row.usual_tiles} tiles" for row in mine
            ],
        })  # fmt: skip
    layout = {
        "xaxis": {"title": {"text": "reference speed-up, ×"}},
        "yaxis": {"title": {"text": "predicted, ×"}},
    }
    return {"data": data, "layout": layout, "height": 460, "label": "Predicted against reference speed-up"}


def _tiles_table(predictions: Sequence[Prediction]) -> dict[str, Any]:
    rows = over_tiles(pairs(predictions, "total_us"))
    columns = [
        text_column("case", "Case", [row.row.case for row in rows]),
        text_column("platform", "Platform", [row.row.platform for row in rows]),
        number_column("tiles", "Tiles", "", [row.row.tiles for row in rows], 0),
        number_column("usual", "Usual tiles", "", [row.usual_tiles for row in rows], 0),
        number_column("predicted", "Predicted speed-up", "×", [row.predicted for row in rows], 3),
        number_column("truth", "Reference speed-up", "×", [row.truth for row in rows], 3),
        number_column("off", "Error", "%", [row.error * 100 for row in rows], 1),
    ]
    return {"columns": columns, "sort": "off"}


def _failed_table(predictions: Sequence[Prediction]) -> dict[str, Any]:
    failed = [one for one in predictions if one.error]
    columns = [
        text_column("row", "Row", [one.row.label for one in failed]),
        text_column("error", "Why", [one.error for one in failed]),
    ]
    return {"columns": columns}
