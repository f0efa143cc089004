"""The page of a sweep or a search: Pareto front, parallel coordinates, heat maps, all points as a table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from npusim.explore.axes import Axis
from npusim.explore.results import Explored
from npusim.report.blocks import Block, card, command, facts, number_column, tab, text_column
from npusim.report.page import render
from npusim.report.units import energy_text, time_text


class _Look(NamedTuple):
    title: str
    unit: str
    scale: float
    digits: int


#: Columns of results (explore.store.COLUMNS) that are numbers: how they are shown.
_RESULTS = {
    "latency_us": _Look("Latency", "ms", 1e-3, 4),
    "energy_uj": _Look("Energy", "mJ", 1e-3, 3),
    "macs_per_cycle": _Look("MACs a cycle", "8 bit", 1, 0),
    "cmx_bytes": _Look("Scratchpad", "KiB", 1 / 1024, 0),
    "tokens_per_s": _Look("Throughput", "tokens/s", 1, 1),
    "dma_us": _Look("DMA busy", "ms", 1e-3, 4),
    "dpu_us": _Look("DPU busy", "ms", 1e-3, 4),
    "shave_us": _Look("SHAVE busy", "ms", 1e-3, 4),
    "idle_us": _Look("Idle", "ms", 1e-3, 4),
    "guess_share": _Look("Guessed", "%", 100, 1),
    "tasks": _Look("Tasks", "", 1, 0),
}
_HIGHER_IS_BETTER = ["tokens_per_s"]
#: Units by the end of an axis' path.
_UNITS = {"_mhz": "MHz", "_gbps": "GB/s", "_ns": "ns", "_us": "µs", "kib_per_tile": "KiB"}
_AXIS_DIGITS = 6


def explore_page(found: Explored, title: str, subtitle: str, command_text: str = "") -> str:
    """The page as HTML text; ``title`` and ``subtitle`` say what was explored and on what."""
    table = _table(found)
    axes = [_key(axis) for axis in found.axes]
    measures = [*found.objectives, *(name for name in _measured(found) if name not in found.objectives)]
    front = [position for position, on in enumerate(found.front) if on]
    shown = {"table": "points", "axes": axes, "measures": measures}
    where = {**shown, "front": front, "knee": found.knee, "label": "Points by two measures"}
    across: Block = {
        "kind": "parallel", "table": "points", "columns": [*axes, *found.objectives], "front": front,
        "label": "Parallel coordinates of all points",
        "title": "Every point a line",
        "lead": "Drag along an axis to keep the points that pass there (or choose an axis with Tab and "
        "use the arrow keys): the other axes, the Pareto plot and the table below follow.",
    }  # fmt: skip
    heat: Block = {
        "kind": "heat", **shown, "higher": _HIGHER_IS_BETTER, "label": "Heat map of two axes",
        "title": "Two axes at a time",
        "lead": "A cell has the best of all points that share its two values; hover to see which. Points that failed "
        "have no figure.",
    }  # fmt: skip
    pareto: Block = {
        "kind": "pareto", **where, "title": "What no other point beats",
        "lead": f"The front is over {_list(found.objectives)}, all of them better when lower. {_compared(found)}",
    }  # fmt: skip
    points: Block = {
        "kind": "table", "title": "All points", "table": "points", "file": "points.csv", "choose": "place",
        "lead": "Points that failed say why in the last column.",
    }  # fmt: skip
    tabs = [
        tab("front", "Pareto front", {"kind": "cards", "items": _cards(found)}, pareto, *_best(found),
            *command(command_text)),
        tab("points", "All points", across, points),
        tab("heat", "Heat maps", heat),
    ]  # fmt: skip
    return render(title, subtitle, {"tabs": tabs, "tables": {"points": table}})


def _key(axis: Axis) -> str:
    """Column of an axis: apart from those of the results, whatever it is called."""
    return f"axis:{axis.name}"


def _measured(found: Explored) -> Iterator[str]:
    """Results that any point has."""
    return (name for name in _RESULTS if found.table[name].notna().any())


def _list(names: Sequence[str]) -> str:
    titles = [_RESULTS[name].title if name in _RESULTS else name for name in names]
    return " and ".join(filter(None, (", ".join(titles[:-1]), titles[-1])))


def _compared(found: Explored) -> str:
    if found.work:
        return f"Only points of equal {' and '.join(found.work)} are compared, as less work would always win."
    return "The knee is the point of the front that is nearest to having the best of everything at once."


def _table(found: Explored) -> dict[str, Any]:
    rows = found.table
    failed = (rows["error"] != "").to_numpy()
    place = [
        "failed" if bad else "front" if on else "beaten" for bad, on in zip(failed, found.front, strict=True)
    ]
    if found.knee is not None:
        place[found.knee] = "knee"
    columns = [text_column("place", "Place", place)]
    for axis in found.axes:
        columns.append(_axis_column(axis, rows[axis.name]))
    for name in _measured(found):
        look = _RESULTS[name]
        values = rows[name].astype(float) * look.scale
        columns.append(number_column(name, look.title, look.unit, values, look.digits))
    columns.append(text_column("bound", "Bound by", rows["bound"]))
    columns.append(text_column("error", "Why it failed", rows["error"]))
    return {"columns": columns, "sort": "latency_us", "up": True}


def _axis_column(axis: Axis, values: Iterable[Any]) -> dict[str, Any]:
    """An axis; its name is its path, which has its unit where it has one."""
    unit = next((unit for end, unit in _UNITS.items() if axis.name.endswith(end)), "")
    if not axis.numeric:
        return text_column(_key(axis), axis.name, values)
    given = list(values)
    digits = max((len(f"{value:.{_AXIS_DIGITS}g}".partition(".")[2]) for value in given), default=0)
    return number_column(_key(axis), axis.name, unit, given, min(digits, _AXIS_DIGITS))


def _cards(found: Explored) -> list[dict[str, str]]:
    good = found.table[found.table["error"] == ""]
    cards = [
        card("Points", f"{len(found.table):,}", " × ".join(axis.name for axis in found.axes), tone="main")
    ]
    if len(good):
        cards.append(card("Fastest", time_text(good["latency_us"].min()), _spread(good["latency_us"])))
        cards.append(card("Least energy", energy_text(good["energy_uj"].min()), _spread(good["energy_uj"])))
    cards.append(card("On the front", f"{int(found.front.sum()):,}", "beaten by no other point"))
    if found.failed:
        cards.append(card("Failed", f"{found.failed:,}", "points have no result; the table says why", "warn"))
    return cards


def _spread(values: Any) -> str:
    return f"the most has {values.max() / values.min():,.3g} times as much" if values.min() > 0 else ""


def _best(found: Explored) -> list[Block]:
    """What the knee and the fastest point are."""
    rows, blocks = found.table, []
    good = rows["latency_us"].where(rows["error"] == "")
    for title, at in (
        ("The knee", found.knee),
        ("The fastest", int(good.argmin()) if good.notna().any() else None),
    ):
        if at is None:
            continue
        row = rows.iloc[at]
        named = [(axis.name, _value(row[axis.name])) for axis in found.axes]
        blocks.append(
            facts(
                title,
                [
                    *named, ("Latency", time_text(row["latency_us"])), ("Energy", energy_text(row["energy_uj"])),
                    ("Bound by", str(row["bound"])),
                ],
            )
        )  # fmt: skip
    return blocks


def _value(value: Any) -> str:
    return str(value) if isinstance(value, str | bool) else f"{value:,.{_AXIS_DIGITS}g}"
