"""The section of docs/accuracy.md about language models."""

from __future__ import annotations

from collections.abc import Sequence
from math import isnan

from npusim.validation.schedules.page import markdown_table
from npusim.validation.silicon.llm import METRICS, Heard, lengths, median_of, of_metric, worst_of

_NAMES = {"tpot": "time per token", "ttft": "time to the first token"}


def language_models(found: Sequence[Heard]) -> list[str]:
    """Every row, and medians with and without the model in the fit; nothing where there are no rows."""
    if not found:
        return []
    medians = [
        (
            _NAMES[metric],
            str(len(scored := of_metric(found, metric))),
            _share(median_of([one.error for one in scored])),
            _share(median_of([one.left_out_error for one in scored])),
            _share(worst_of([one.left_out_error for one in scored])),
        )
        for metric in METRICS
    ]
    rows = [
        (
            one.row.model, one.row.weights, f"{one.row.device}, OpenVINO {one.row.openvino}", one.row.metric,
            one.row.grade, one.row.use, f"{one.row.measured_ms:,.1f}", f"{one.predicted_ms:,.1f}", f"{one.error:+.1%}",
            _share(one.left_out_error, "+.1%"), one.row.shows,
        )
        for one in found
    ]  # fmt: skip
    ratios = [
        (what, f"{measured:.2f}", f"{predicted:.2f}", f"{predicted / measured - 1:+.1%}")
        for what, measured, predicted in lengths(found)
    ]
    header = (
        "model", "weights", "measured on", "metric", "grade", "use", "measured ms", "npusim ms", "error", "left out",
        "what it shows",
    )  # fmt: skip
    return [
        "## Language models",
        "Models built by name and run as OpenVINO's pipeline does (`npusim llm`; evidence: "
        "[llm.md](evidence/llm.md)). One figure, the host time of a token, is fitted to the times per token; *left "
        "out* is the error where the model is not among the rows of the fit, *at most* the largest of those. Rows "
        "aside are of another host program; rows of a ratio are only taken over each other. `npusim validate "
        "--against llm` shows this section alone.",
        markdown_table(("metric", "rows", "median error", "left out", "at most"), medians, left=1),
        *(
            [
                markdown_table(
                    ("longer prompts, other releases", "measured", "npusim", "error"), ratios, left=1
                )
            ]
            if ratios
            else []
        ),
        markdown_table(header, rows, left=6),
    ]


def _share(value: float, form: str = ".1%") -> str:
    return "" if isnan(value) else format(value, form)
