"""The page about language models: curves over prompt and context, where a token's time goes, and every number."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from npusim.llm.predict import Answer, Predictor
from npusim.report.blocks import Block, command, facts, number_column, plot, tab, text_column
from npusim.report.page import plot_text, render

Told = Sequence[tuple[Predictor, Sequence[Answer]]]

_COLOURS = ("var:dma", "var:dpu", "var:shave", "var:warn", "var:text")
_SHARES = (
    ("weights_ms", "weights over DDR", "var:dma"), ("cache_ms", "cache over DDR", "var:shave"),
    ("engines_ms", "engines and latencies", "var:dpu"), ("calls_ms", "calls", "var:warn"),
    ("host_ms", "host", "var:muted"),
)  # fmt: skip


def llm_page(told: Told, documents: Sequence[dict[str, Any]], command_text: str) -> str:
    """The page, as HTML text."""
    names = ", ".join(dict.fromkeys(one["model"].partition(" (")[0] for one in documents))
    blocks: list[Block] = [
        plot(
            "Tokens a second over context",
            over_context(told),
            "Every further token, by the size of the cache that the model is compiled for: all of it is attended to, "
            "whatever is in it. Sizes between the marks are interpolated"
            f" (half-way between the last two they are at most {max(error for _, error in between(told)):.2%} off).",
            "half",
        ),
        plot("Time to the first token", over_prompt(documents), "Prompts are padded to the rows of a pass.", "half"),
        plot("Where the time of a token goes", shares(documents), "The first two are bytes over bandwidth: the floor."),
        *together(documents),
        {"kind": "table", "title": "Every number", "table": "answers", "file": "llm.csv"},
        *command(command_text, ""),
    ]  # fmt: skip
    page = {"tabs": [tab("llm", "Language models", *blocks)], "tables": {"answers": answers_table(documents)}}
    return render(names, f"on {documents[0]['hardware']}", page)


def together(documents: Sequence[dict[str, Any]]) -> list[Block]:
    """What several rows in one call take, and what drafting gives, of the models that were asked for it."""
    found = []
    for one in documents:
        if (rows := one.get("rows")) is not None:
            found.append(facts(f"{one['model']}: {rows['asked']}", _rows(rows)))
        if (drafted := one.get("speculation")) is not None:
            found.append(facts(f"{one['model']}, drafted by {drafted['draft']}", _drafted(drafted)))
    return found


def _rows(one: dict[str, Any]) -> list[tuple[str, str]]:
    return [
        ("one call", f"{one['ms']:.2f} ms, {one['rows']} rows over {one['cache']:,} tokens"),
        ("a row that is wanted", f"{one['us_per_row']:,.0f} µs"),
        ("padding", f"{one['padding']:.0%} of the rows"),
        ("masked", f"{one['masked']:.0%} of the pairs of a row and a token"),
        ("calls of their own", f"{one['alone_ms']:.2f} ms in {one['alone_calls']}"),
    ]


def _drafted(one: dict[str, Any]) -> list[tuple[str, str]]:
    return [
        (
            "a round",
            f"{one['round_ms']:.1f} ms: {one['drafted']} x {one['draft_ms']:.1f} and {one['verify_ms']:.1f}",
        ),
        ("tokens a round", f"{one['tokens_per_round']:.2f}, each accepted with {one['accept']:g}"),
        ("tokens a second", f"{one['tokens_per_s']:.2f}"),
        ("over the model alone", f"{one['speedup']:.2f} ×"),
    ]


#: Height of a figure without its legend, and of a line of that on a narrow screen, pixels.
_HEIGHT, _LINE = 340, 22


def _under(lines: int) -> dict[str, Any]:
    """A legend of so many lines below the figure; none of one line, which needs none."""
    shown = lines if lines > 1 else 0
    legend = {"orientation": "h", "y": -0.3, "yanchor": "top"}
    return {"legend": legend, "showlegend": bool(shown), "margin": {"b": 60 + _LINE * shown}}


#: Sizes of cache that the curve is simulated at, and one between them that says how far interpolation is off.
_MARKS, _HALF_WAY = (128, 1152, 2176, 4224, 8320, 12416, 16512), 14464


def over_context(told: Told) -> dict[str, Any]:
    """Tokens a second over the size of the cache."""
    data = []
    lines = _lines([predictor.model.name for predictor, _ in told])
    for (predictor, _), line in zip(told, lines, strict=True):
        rates = [1e6 / predictor.step(cache).us for cache in _MARKS]
        data.append(
            {
                "type": "scatter", "mode": "lines+markers", "name": plot_text(predictor.model.name), "x": list(_MARKS),
                "y": rates, "line": line,
            }
        )  # fmt: skip
    axes = {
        "xaxis": _axis("tokens of context"),
        "yaxis": _axis("tokens a second") | {"rangemode": "tozero"},
    } | _under(len(data))
    height = _HEIGHT + _LINE * len(data)
    return {"data": data, "layout": axes, "height": height, "label": "Tokens a second over context"}


def between(told: Told) -> list[tuple[str, float]]:
    """Per model, how far the time of a token half-way between two marks is from the line through them."""
    found = []
    for predictor, _ in told:
        low, high = (predictor.step(cache).us for cache in _MARKS[-2:])
        share = (_HALF_WAY - _MARKS[-2]) / (_MARKS[-1] - _MARKS[-2])
        exact = predictor.step(_HALF_WAY).us
        found.append((predictor.model.name, abs((low + share * (high - low)) / exact - 1)))
    return found


def over_prompt(documents: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Time to the first token over the prompt."""
    data = [
        {
            "type": "scatter", "mode": "lines+markers", "name": plot_text(one["model"]),
            "x": [row["prompt"] for row in one["prompts"]], "y": [row["ttft_ms"] for row in one["prompts"]],
            "line": line,
        }
        for one, line in zip(documents, _lines([one["model"] for one in documents]), strict=True)
    ]  # fmt: skip
    axes = {
        "xaxis": _axis("tokens of prompt"),
        "yaxis": _axis("ms to the first token") | {"rangemode": "tozero"},
    } | _under(len(data))
    height = _HEIGHT + _LINE * len(data)
    return {
        "data": data,
        "layout": axes,
        "height": height,
        "label": "Time to the first token over the prompt",
    }


def shares(documents: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Stacked bars, one a model."""
    names = [plot_text(one["model"]) for one in documents]
    data = [
        {
            "type": "bar", "orientation": "h", "name": title, "y": names, "marker": {"color": colour},
            "x": [one["prompts"][-1]["token"][key] for one in documents],
        }
        for key, title, colour in _SHARES
    ]  # fmt: skip
    height = 110 + 40 * len(names) + _LINE * len(_SHARES)
    layout = {"barmode": "stack", "xaxis": _axis("ms a token"), "yaxis": {"automargin": True}}
    layout |= _under(len(_SHARES))
    layout["legend"] = {
        "orientation": "h",
        "y": 0,
        "yref": "container",
        "yanchor": "bottom",
        "traceorder": "normal",
    }
    return {
        "data": data,
        "layout": layout,
        "height": height,
        "label": "Shares of a token's time",
    }


def answers_table(documents: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """A row a model and prompt."""
    rows = [(one["model"], row) for one in documents for row in one["prompts"]]
    numbers = (
        ("prompt", "Prompt", "", 0), ("generate", "Generated", "", 0), ("ttft_ms", "First token", "ms", 1),
        ("tokens_per_s", "Tokens a second", "", 2), ("energy_mj_per_token", "Energy a token", "mJ", 1),
        ("memory_mib", "Memory", "MiB", 0), ("device_ms", "In graphs", "ms", 2), ("host_ms", "Calls and host", "ms", 2),
    )  # fmt: skip
    columns = [text_column("model", "Model", [name for name, _ in rows])]
    columns += [
        number_column(key, title, unit, [row[key] for _, row in rows], digits)
        for key, title, unit, digits in numbers
    ]
    columns += [
        number_column(f"tpot_{key}", f"Token, {key}", "ms", [row["tpot_ms"][key] for _, row in rows], 2)
        for key in ("first", "mean", "last")
    ]
    return {"columns": columns}


def _lines(names: Sequence[str]) -> list[dict[str, str]]:
    """A colour a model, however it is stored or rewritten; dots where it is a further form of one before."""
    models = list(dict.fromkeys(name.partition(" (")[0] for name in names))
    seen: set[str] = set()
    lines = []
    for name in names:
        model = name.partition(" (")[0]
        colour = _COLOURS[models.index(model) % len(_COLOURS)]
        lines.append({"color": colour, "dash": "dot" if model in seen else "solid"})
        seen.add(model)
    return lines


def _axis(title: str) -> dict[str, Any]:
    return {"title": {"text": title}}
