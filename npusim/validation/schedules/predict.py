"""Predicting reference rows: every model is loaded once and lowered for all machines of its rows, by workers."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial

import numpy as np

from npusim import api
from npusim.costs.prices import PROVENANCE
from npusim.errors import UserError
from npusim.files import spreadsheet_cell
from npusim.graph import Graph
from npusim.hardware import Hardware, file_of
from npusim.validation.schedules.references import KEY, STATISTICS, Reference, Row
from npusim.workers import Died, Machines, pool_of, run_all


@dataclass(frozen=True, slots=True)
class Prediction:
    """What npusim says of a row: ``statistics`` (empty where it failed, and ``error`` says why) and the numbers of
    tasks by engine. ``guessed`` names the kernels that have no known cost."""

    row: Row
    statistics: Mapping[str, float]
    tasks: Mapping[str, int]
    guessed: tuple[str, ...] = ()
    error: str = ""


@cache
def hardware_of(platform: str, tiles: int, dma_engines: int) -> Hardware:
    """The machine that a row was compiled for, with the vendor estimator's own constants where a hardware file has
    them. Raises HardwareError for a platform that no hardware file is of."""
    file = file_of(platform, "estimator", "silicon")
    return api.load_hardware(file, [f"tiles={tiles}", f"dma.engines={dma_engines}"])


def simulate_row(graph: Graph, row: Row) -> api.Result:
    """The Result of one row, by the path that ``npusim run`` takes. Kernels without a cost are guessed."""
    hw = hardware_of(row.platform, row.tiles, row.dma_engines)
    return api.simulate(api.lower(graph, hw), hw, engine="fast", allow_guess=True)


def predict(
    reference: Reference,
    rows: Sequence[Row],
    workers: int | None = None,
    progress: Callable[[int], None] = lambda done: None,
) -> list[Prediction]:
    """Predictions of ``rows``, in their order, whatever the number of ``workers`` (default: the processors there are).

    A row that fails is a Prediction with its error. ``progress`` is told how many rows are done.
    """
    by_model: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        by_model.setdefault((row.set, row.model), []).append(row)
    workers = max(1, min(workers or os.cpu_count() or 1, len(by_model)))
    made: dict[tuple[str, int], Prediction] = {}
    for batch in _batches(reference, list(by_model.values()), workers):
        made.update(((one.row.set, one.row.line), one) for one in batch)
        progress(len(made))
    return [made[row.set, row.line] for row in rows]


def _batches(reference: Reference, jobs: Sequence[Sequence[Row]], workers: int) -> Iterator[list[Prediction]]:
    """The predictions of every job (the rows of one model), as they are done."""
    by_work = sorted(jobs, key=lambda job: -sum(row.truth.get("total_us", 0.0) for row in job))
    with pool_of(Machines(workers)) as pool:
        for job, made in run_all(partial(_predict_model, reference), by_work, pool):
            yield [_failed(row, UserError(str(made))) for row in job] if isinstance(made, Died) else made


def _predict_model(reference: Reference, rows: Sequence[Row]) -> list[Prediction]:
    try:
        graph = reference.graph(rows[0])
    except Exception as error:  # one bad row must not take the others with it
        return [_failed(row, error) for row in rows]
    return [_predict_row(graph, row) for row in rows]


def _predict_row(graph: Graph, row: Row) -> Prediction:
    try:
        result = simulate_row(graph, row)
    except Exception as error:  # one bad row must not take the others with it
        return _failed(row, error)
    guess = PROVENANCE.index("guess")
    tasks = result.program.tasks
    works = [tasks.works[i] for i in np.unique(tasks.work[result.prices.provenance == guess])]
    kernels = sorted({getattr(work, "kernel", type(work).__name__) for work in works})
    return Prediction(row, dict(result.metrics.statistics), dict(result.metrics.tasks), tuple(kernels))


def _failed(row: Row, error: Exception) -> Prediction:
    message = " ".join(str(error).split())
    kind = "" if isinstance(error, UserError) else f"a bug: {type(error).__name__}: "
    return Prediction(row, {}, {}, error=f"{kind}{message}")


def predictions_csv(predictions: Iterable[Prediction]) -> str:
    """The key and statistics columns as CSV text; the statistics of a row that failed are empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow((*KEY, *STATISTICS))
    for prediction in predictions:
        given = prediction.statistics
        writer.writerow(
            (
                *map(spreadsheet_cell, prediction.row.key),
                *(f"{given[name]:.6f}" if given else "" for name in STATISTICS),
            )
        )
    return text.getvalue()
