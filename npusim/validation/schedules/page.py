"""docs/validation.md: how far npusim is from the reference, written from one run and nothing else."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

from npusim.text import printable
from npusim.validation.schedules.predict import Prediction
from npusim.validation.schedules.references import SETS
from npusim.validation.schedules.scores import (
    Group,
    Pair,
    Score,
    TilesRow,
    by_set,
    over_tiles,
    pairs,
    same_order,
    table,
    table_of_sets,
    worst,
)

_WORST, _WORST_OF_A_SET = 15, 8


def validation_page(reference: str, predictions: Sequence[Prediction], command: str) -> str:
    """The page as Markdown; ``command`` is what writes it again. Several sets have a section each."""
    totals = pairs(predictions, "total_us")
    failed = [one for one in predictions if one.error]
    sets = by_set(predictions)
    speedups = over_tiles(totals)
    parts = [
        "# How far npusim is from Intel's compiler",
        f"Written by `{command}`: every number on this page comes from that run, over {len(predictions)} rows of "
        f"{reference}. The reference is what the NPU compiler of OpenVINO 2026.4.1 schedules for each model and how "
        "long its estimator expects it to take; npusim sees the model alone, with the estimator's constants in "
        "`hwconfigs/*-vpunn.yaml`. This says how far lowering, scheduling and costs agree with the compiler's; it says "
        "nothing of silicon.",
        "An error is |predicted - reference| / reference; rows without a prediction are counted as missing. p90 is the "
        "error that nine rows of ten stay below; r is the rank correlation of the latency.",
        "## Latency and work of the engines",
    ]
    if len(sets) > 1:
        parts.append("\n".join(f"- `{name}`: {SETS[name]}" for name in sets))
        parts.append(_scores("set", [(one.set, one) for one in table_of_sets(predictions)]))
        for name, members in sets.items():
            parts += [f"## {name}", _families(members), _worst(pairs(members, "total_us"), _WORST_OF_A_SET)]
    else:
        parts.append(_families(predictions))
    if speedups:
        parts += [
            "## More or fewer tiles",
            "Speed-up over the usual number of tiles of the platform, and whether npusim ranks the numbers of tiles of "
            "a case as the compiler's estimate does.",
            _tiles(speedups),
        ]
    if len(sets) == 1:
        parts += ["## Worst cases", _worst(totals, _WORST)]
    if failed:
        parts += ["## Rows without a prediction", _failed(failed)]
    return "\n\n".join(parts) + "\n"


def _families(predictions: Sequence[Prediction]) -> str:
    return _scores("family", [(one.family, one) for one in table(predictions)])


def _scores(title: str, groups: Iterable[tuple[str, Group]]) -> str:
    return markdown_table(
        (title, "platform", "rows", "latency median", "p90", "worst", "r", "missing", "DPU work median",
         "SHAVE work median", "DMA work median"),
        [
            (
                name, group.platform, *_latency(group.scores["total_us"]),
                *(_median(group.scores[name]) for name in ("sum_dpu_us", "sum_shave_us", "sum_dma_us")),
            )
            for name, group in groups
        ],
        left=2,
    )  # fmt: skip


def _tiles(speedups: Sequence[TilesRow]) -> str:
    order = same_order(speedups)
    return markdown_table(
        ("case", "platform", "tiles", "reference", "predicted", "error", "order"),
        [
            (
                f"`{one.row.case}`", one.row.platform, f"{one.row.tiles} / {one.usual_tiles}",
                f"{one.truth:.3f}", f"{one.predicted:.3f}", f"{one.error:.1%}",
                "same" if order[one.row.case, one.row.platform] else "differs",
            )
            for one in speedups
        ],
        left=1,
    )  # fmt: skip


def _worst(totals: Sequence[Pair], count: int) -> str:
    return markdown_table(
        ("case", "platform", "tiles", "reference µs", "predicted µs", "error"),
        [
            (
                f"`{pair.row.case}`", pair.row.platform, str(pair.row.tiles), f"{pair.truth:.1f}",
                f"{pair.predicted:.1f}", f"{pair.error:.1%}",
            )
            for pair in worst(totals, count)
        ],
        left=1,
    )  # fmt: skip


def _failed(failed: Sequence[Prediction]) -> str:
    return markdown_table(
        ("case", "platform", "tiles", "why"),
        [(f"`{one.row.case}`", one.row.platform, str(one.row.tiles), one.error) for one in failed],
        left=4,
    )


def _latency(found: Score | None) -> tuple[str, ...]:
    if found is None:
        return ("",) * 6
    return (
        str(found.rows), f"{found.median:.1%}", f"{found.p90:.1%}", f"{found.worst:.1%}", f"{found.rank:.3f}",
        str(found.missing),
    )  # fmt: skip


def _median(found: Score | None) -> str:
    return "" if found is None else f"{found.median:.1%}"


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]], left: int) -> str:
    """A table whose first ``left`` columns are aligned left, the others right. What cells say is shown as it is, but
    for the backticks around one, which make it code."""
    rows = ([_cell(cell) for cell in row] for row in rows)
    rule = ["---" if number < left else "---:" for number in range(len(header))]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (header, rule, *rows))


def _cell(text: str) -> str:
    """Text that is no HTML and ends no cell, wherever it came from."""
    shown = html.escape(printable(text), quote=False).replace("|", "\\|")
    if len(text) < 2 or not (text.startswith("`") and text.endswith("`")):
        return shown
    inside = shown[1:-1].replace("`", "'")
    return f"`{inside}`"
