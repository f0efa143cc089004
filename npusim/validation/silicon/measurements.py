"""What real NPUs were measured to do: the rows that the package carries, with source and grade.

``data/measured/measured.csv`` has latencies and throughputs, ``operator_shares.csv`` which engine kept an operator
busy. Every row says where it was published, how far to trust it, and what it can and cannot show.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal, cast

from npusim.hardware.schema import ClientName
from npusim.hints import DEFAULT_CLIENT
from npusim.source import ModelSource

Metric = Literal["latency", "throughput"]
Precision = Literal["FP16", "INT8", "INT8 weights", "INT4", "FP8"]

#: Columns of measured.csv.
COLUMNS = (
    "model", "workload", "tokens", "batch", "shape", "platform", "device", "precision", "metric", "measured_us",
    "grade", "use", "kind", "openvino", "driver", "client", "shows", "source",
)  # fmt: skip
PACKAGED = Path(__file__).resolve().parents[1] / "data" / "measured"
"""The folder with the tables."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """One published figure of one model on one NPU.

    ``model`` is the source's name and ``workload`` the built-in one of the same network, empty where the project
    carries none; ``tokens`` the sequence length where there is one, ``batch`` the sequences or images run together.
    ``metric`` says what ``measured_us`` is: the wall time of one synchronous inference (host included), or the time
    between results with several requests in flight. ``client`` asked for the inference, ``kind`` is what sort of model
    it is (``mlp``, ``detector``).
    ``grade`` is the trust in the source, A to C. ``use`` says what the row is for: ``score`` (absolute error),
    ``trend`` (order only), ``steps`` (how much longer than the smallest of its family it takes), ``contradicts``
    (other rows of the same machine; shown, not scored), ``aside`` (a model that the project does not carry), or why it
    is of no use.
    """

    model: str
    workload: str
    tokens: int | None
    shape: str
    platform: str
    device: str
    precision: Precision
    metric: Metric
    measured_us: float
    grade: str
    use: str
    openvino: str
    shows: str
    source: str
    batch: int = 1
    kind: str = ""
    driver: str = ""
    client: ClientName = DEFAULT_CLIENT
    given: ModelSource | None = None
    """The model of a row that a user measured; None of the published rows, which have a workload."""

    def on(self, machines: Iterable[str]) -> bool:
        """Whether it was measured on one of ``machines`` (of a hardware file)."""
        said = f"{self.device} {self.openvino}"
        return any(all(word in said for word in words.split()) for words in machines)

    @property
    def label(self) -> str:
        """The row in one line, as calibrations name it."""
        release = f", OpenVINO {self.openvino}" if self.openvino else ""
        return f"{self.workload} {self.precision} {self.metric} ({self.device}{release})"

    @property
    def model_source(self) -> ModelSource:
        """The model that was measured: as given, or the built-in workload in the row's precision.

        Raises ValueError where the project carries none.
        """
        if self.given is not None:
            return self.given
        if not self.workload:
            raise ValueError(f"{self.model} is not among the workloads")
        suffix = "" if self.precision == "FP16" else f"-{self.precision.lower().replace(' ', '-')}"
        return ModelSource(self.workload + suffix, tokens=self.tokens, batch=self.batch)


@dataclass(frozen=True, slots=True)
class Shares:
    """Percent of its busy time that an operator kept every engine busy, as measured."""

    workload: str
    tokens: int
    dpu: float
    dma: float
    shave: float
    source: str
    platform: str = "3720"
    """Platform that was profiled."""

    @property
    def bottleneck(self) -> str:
        """The engine with the largest share: ``dpu``, ``dma`` or ``shave``."""
        return max(("dpu", "dma", "shave"), key=lambda engine: getattr(self, engine))


@cache
def measurements() -> tuple[Measurement, ...]:
    """All measured rows, in the order of the file."""
    return tuple(
        Measurement(
            model=row["model"],
            workload=row["workload"],
            tokens=int(row["tokens"]) if row["tokens"] else None,
            shape=row["shape"],
            platform=row["platform"],
            device=row["device"],
            precision=cast("Precision", row["precision"]),
            metric=cast("Metric", row["metric"]),
            measured_us=float(row["measured_us"]),
            grade=row["grade"],
            use=row["use"],
            openvino=row["openvino"],
            shows=row["shows"],
            source=row["source"],
            batch=int(row["batch"]),
            kind=row["kind"],
            driver=row["driver"],
            client=cast("ClientName", row["client"]),
        )
        for row in _table("measured.csv")
    )


@cache
def operator_shares() -> tuple[Shares, ...]:
    """Engine shares of the operator-level study, in the order of the file."""
    return tuple(
        Shares(
            row["workload"],
            int(row["tokens"]),
            float(row["dpu_percent"]),
            float(row["dma_percent"]),
            float(row["shave_percent"]),
            row["source"],
        )
        for row in _table("operator_shares.csv")
    )


def _table(name: str) -> Iterator[dict[str, str]]:
    with (PACKAGED / name).open(encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file)
