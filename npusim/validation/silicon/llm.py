"""Language models as they were measured on real NPUs, beside what `npusim.llm` says of them.

One figure of the runtime is fitted to these rows: ``software.runtime.token_us``, what the host takes for a token beside
graphs, calls and copies. A time per token is what the simulation gives without it, and it on top; so the figure that
all rows but those of one model ask for, and what it makes of that model, are had at once.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from math import isnan, log, nan
from statistics import median
from typing import Any, Literal, cast

from npusim.errors import UserError
from npusim.hardware import load_hardware
from npusim.llm.built import Built
from npusim.llm.predict import Predictor
from npusim.validation.silicon.measurements import PACKAGED
from npusim.workers import Died, Machines, pool_of, run_all

Metric = Literal["ttft", "tpot"]
METRICS: tuple[Metric, ...] = ("tpot", "ttft")
_FILE = PACKAGED / "llm.csv"
_TRUSTED = ("A", "B")
#: What is tried for ``token_us``.
_TRIED_US = tuple(range(0, 30_001, 250))


@dataclass(frozen=True, slots=True)
class Spoken:
    """One published figure of one language model on one NPU, ms: time to the first token, or of a further one.

    ``config`` and ``weights`` build the model, ``hardware`` is the shipped file of the machine, ``settings`` what else
    is known of how it was run. ``use`` is ``score``, ``ratio`` (only over the other rows of its model, machine and
    metric) or ``aside`` (another program than the one that is modelled).
    """

    model: str
    config: str
    weights: str
    hardware: str
    device: str
    metric: Metric
    prompt: int
    generate: int
    measured_ms: float
    grade: str
    use: str
    openvino: str
    settings: tuple[str, ...]
    shows: str
    source: str


@dataclass(frozen=True, slots=True)
class Heard:
    """A row with its prediction, and with that of a fit that has not seen its model (nan where it is not scored)."""

    row: Spoken
    predicted_ms: float
    left_out_ms: float

    @property
    def error(self) -> float:
        """Signed relative error."""
        return self.predicted_ms / self.row.measured_ms - 1

    @property
    def left_out_error(self) -> float:
        """The same of the fit without this model."""
        return self.left_out_ms / self.row.measured_ms - 1


@cache
def spoken() -> tuple[Spoken, ...]:
    """All rows, in the order of the file."""
    with _FILE.open(encoding="utf-8", newline="") as file:
        return tuple(
            Spoken(
                row["model"], row["config"], row["weights"], row["hardware"], row["device"],
                cast("Metric", row["metric"]), int(row["prompt"]), int(row["generate"]), float(row["measured_ms"]),
                row["grade"], row["use"], row["openvino"], tuple(row["settings"].split()), row["shows"], row["source"],
            )
            for row in csv.DictReader(file)
        )  # fmt: skip


def hear(
    rows: Sequence[Spoken], workers: int | None = None, progress: Callable[[int], None] = lambda _: None
) -> list[Heard]:
    """The rows with their predictions, in order; models are shared among ``workers``. ``progress`` hears how many rows
    are done. Raises UserError where a model takes its process down."""
    groups: dict[tuple[str, str, str, tuple[str, ...]], list[int]] = {}
    for number, row in enumerate(rows):
        groups.setdefault((row.config, row.weights, row.hardware, row.settings), []).append(number)
    calls = [tuple((i, rows[i]) for i in members) for members in groups.values()]
    said: dict[int, tuple[float, float]] = {}
    with pool_of(Machines(max(1, min(workers or os.cpu_count() or 1, len(calls))))) as pool:
        for call, answer in run_all(_answers, calls, pool):
            if isinstance(answer, Died):
                raise UserError(f"{call[0][1].model}: {answer}")
            said |= answer
            progress(len(said))
    without = [said[i][1] for i in range(len(rows))]
    return [
        Heard(
            row, said[i][0], without[i] + _left_out(rows, without, row) / 1e3 if row.use == "score" else nan
        )
        for i, row in enumerate(rows)
    ]


def _answers(rows: Sequence[tuple[int, Spoken]]) -> dict[int, tuple[float, float]]:
    """Of numbered rows of one model on one machine: the prediction, ms, and the same without ``token_us``."""
    predictor = _predictor(rows[0][1])
    found = {}
    for number, row in rows:
        answer = predictor.answer(row.prompt, row.generate)
        us = answer.first.us if row.metric == "ttft" else answer.token_us["last"]
        found[number] = us / 1e3, (us - predictor.runtime.token_us) / 1e3
    return found


def fitted_us(rows: Sequence[Spoken], without_ms: Sequence[float]) -> int:
    """``token_us`` that brings times per token of grades A and B nearest: least squares of the logarithms of their
    ratios. Rows of grade C are scored, and tell nothing."""
    pairs = [
        (row.measured_ms, base)
        for row, base in zip(rows, without_ms, strict=True)
        if row.use == "score" and row.metric == "tpot" and row.grade in _TRUSTED
    ]
    return min(
        _TRIED_US, key=lambda us: sum(log((base + us / 1e3) / measured) ** 2 for measured, base in pairs)
    )


def _left_out(rows: Sequence[Spoken], without: Sequence[float], row: Spoken) -> int:
    others = [i for i, other in enumerate(rows) if other.config != row.config]
    return fitted_us([rows[i] for i in others], [without[i] for i in others])


def _predictor(row: Spoken) -> Predictor:
    import npusim.workloads.llm

    model = Built(npusim.workloads.llm.published(row.config), row.weights)
    return Predictor(model, load_hardware(row.hardware, row.settings), allow_guess=True)


def section(found: Sequence[Heard]) -> dict[str, Any]:
    """The rows and what they add up to, for documents."""
    metrics: dict[str, Any] = {}
    for metric in METRICS:
        scored = of_metric(found, metric)
        metrics[metric] = {
            "rows": len(scored),
            "median_error": _number(median_of([one.error for one in scored])),
            "median_error_left_out": _number(median_of([one.left_out_error for one in scored])),
            "worst_error_left_out": _number(worst_of([one.left_out_error for one in scored])),
        }
    return {
        "rows": [
            {
                "model": one.row.model, "config": one.row.config, "precision": one.row.weights,
                "hardware": one.row.hardware, "device": one.row.device, "metric": one.row.metric,
                "prompt": one.row.prompt, "grade": one.row.grade, "use": one.row.use, "openvino": one.row.openvino,
                "measured_us": one.row.measured_ms * 1e3, "predicted_us": round(one.predicted_ms * 1e3, 3),
                "left_out_us": _number(one.left_out_ms * 1e3), "error": round(one.error, 6),
                "shows": one.row.shows, "source": one.row.source,
            }
            for one in found
        ],
        **metrics,
        "lengths": [{"what": what, "measured": a, "predicted": b} for what, a, b in lengths(found)],
    }  # fmt: skip


def _number(value: float) -> float | None:
    return None if isnan(value) else round(value, 6)


def of_metric(found: Sequence[Heard], metric: Metric) -> list[Heard]:
    """The scored rows of one metric."""
    return [one for one in found if one.row.use == "score" and one.row.metric == metric]


def median_of(errors: Sequence[float]) -> float:
    """Median of absolute values; nan of none."""
    return median(map(abs, errors)) if errors else nan


def worst_of(errors: Sequence[float]) -> float:
    """The largest absolute value; nan of none."""
    return max(map(abs, errors), default=nan)


def lengths(found: Sequence[Heard]) -> list[tuple[str, float, float]]:
    """How much longer a longer prompt takes, or another release, measured and predicted, by model and machine."""
    groups: dict[tuple[str, str, str], list[Heard]] = {}
    for one in found:
        if one.row.use == "ratio":
            groups.setdefault((one.row.model, one.row.device, one.row.metric), []).append(one)
    ratios = []
    for (model, _, metric), members in groups.items():
        first, *others = sorted(members, key=lambda one: (one.row.prompt, one.row.measured_ms))
        ratios += [
            (
                f"{model}, {metric}: {_differs(first.row, one.row)}",
                one.row.measured_ms / first.row.measured_ms,
                one.predicted_ms / first.predicted_ms,
            )
            for one in others
        ]
    return ratios


def _differs(one: Spoken, other: Spoken) -> str:
    if one.prompt != other.prompt:
        return f"{other.prompt:,} tokens over {one.prompt:,}"
    return f"OpenVINO {other.openvino} over {one.openvino}"
