"""The file of ``npusim measure``: one model on one device, when, with what software, how long it took, layer by layer.

Written as YAML or JSON, read back with every key checked. ``schema`` names the version; the number grows when a key
changes its meaning or goes.
"""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from npusim.errors import UserError
from npusim.files import parse_json, read_text
from npusim.hardware.base import Count, NonNegative, Positive
from npusim.hardware.errors import HardwareError
from npusim.hardware.nodes import parse as parse_yaml
from npusim.source import ModelSource

SCHEMA = "npusim.measurement/1"
Hint = Literal["latency", "throughput"]
Phase = Literal["prefill", "decode"]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class ModelFacts(_Part):
    """What was run: either ``file`` or ``workload``, as the options of ``npusim run`` name it."""

    name: str
    """What reports call it."""
    file: str | None = None
    """Model file, relative to the folder of the measurement, or absolute."""
    sha256: str | None = None
    """Digest of the model file."""
    shapes: dict[str, list[Count]] = {}
    """Static shapes that were given to inputs."""
    workload: str | None = None
    """Built-in workload."""
    phase: Phase = "prefill"
    tokens: Count | None = None
    layers: Count | None = None
    batch: Count = 1
    chunk: Count | None = None
    inputs: dict[str, str] = {}
    """Shape and element type of every input as it was run, ``1x3x224x224 f32``."""


class DeviceFacts(_Part):
    """Where it was run."""

    name: str
    """OpenVINO's name of the device: NPU, CPU."""
    full_name: str = ""
    architecture: str = ""
    """What the device calls itself; 3720, 4000 or 5010 on an NPU."""
    driver: str = ""
    openvino: str = ""
    clock_mhz: Positive | None = None
    """Highest DPU clock, where the device tells it; null elsewhere."""
    properties: dict[str, str] = {}
    """What else the device tells of itself."""


class MachineFacts(_Part):
    """What is around the device and decides how fast it may be; what the system does not tell is empty or null."""

    processor: str = ""
    """The processor by its name, which says the SKU."""
    power_mode: str = ""
    """The system's power profile or plan."""
    mains: bool | None = None
    """Whether it runs on mains power."""
    memory_mts: Count | None = None
    """Configured speed of the memory, million transfers a second."""
    clocks_mhz: list[Positive] = []
    """Clocks of the NPU that were seen while it was measured (Linux)."""


class RunFacts(_Part):
    """Timing of one performance hint, µs. Of ``latency``, the wall time of single inferences, one after the other; of
    ``throughput``, the time between results with ``requests`` inferences in flight (``per_inference_us``), while the
    percentiles are of each inference from its start to its end."""

    hint: Hint
    requests: Count
    warmup: Annotated[int, Field(ge=0)]
    runs: Count
    median_us: Positive
    p5_us: Positive
    p95_us: Positive
    iqr_us: NonNegative
    mean_us: Positive
    per_inference_us: Positive
    """Wall time of all runs over their number."""

    @property
    def measured_us(self) -> float:
        """The figure that a prediction is compared with: the median latency, or the time between results."""
        return self.median_us if self.hint == "latency" else self.per_inference_us


class LayerFacts(_Part):
    """One executed layer, as get_profiling_info tells it: the mean over the profiled inferences."""

    name: str
    type: str
    exec_type: str
    real_us: NonNegative
    cpu_us: NonNegative
    fused: list[str] = []
    """Ops of the model that it stands for, where the device tells them."""


class MeasurementFile(_Part):
    """One measurement."""

    schema_: Literal["npusim.measurement/1"] = Field(alias="schema")
    created: datetime
    """When, UTC."""
    npusim: str
    host: str = ""
    """Operating system and processor."""
    model: ModelFacts
    device: DeviceFacts
    machine: MachineFacts = MachineFacts()
    runs: list[RunFacts] = Field(min_length=1)
    layers: list[LayerFacts] = []
    notes: list[str] = []


def json_schema() -> dict[str, Any]:
    """JSON schema of the file, with what every key means."""
    return MeasurementFile.model_json_schema(by_alias=True)


def measurement_text(found: MeasurementFile, as_json: bool) -> str:
    """The file's text: JSON, or YAML with a layer a line."""
    plain = found.model_dump(mode="json", by_alias=True)
    if as_json:
        return json.dumps(plain, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    layers = plain.pop("layers")
    text = yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, width=110)
    rows = "".join(
        "- " + yaml.safe_dump(row, sort_keys=False, default_flow_style=True, allow_unicode=True, width=10**6)
        for row in layers
    )
    return text + (f"layers:\n{rows}" if rows else "layers: []\n")


def read_measurement(path: Path) -> MeasurementFile:
    """The measurement in a file. Raises UserError, in one line, where it is none."""
    return parse_measurement(read_text(path), str(path))


def parse_measurement(text: str, label: str) -> MeasurementFile:
    """The measurement in a YAML or JSON text; ``label`` is what messages call it. Raises UserError where it is none."""
    in_json = text.lstrip().startswith("{")
    document = parse_json(text, label, "a measurement") if in_json else _yaml(text, label)
    if not isinstance(document, dict) or not str(document.get("schema", "")).startswith(
        "npusim.measurement/"
    ):
        raise UserError(f"{label}: is not a measurement: no 'schema: {SCHEMA}'")
    try:
        return MeasurementFile.model_validate(document)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(step) for step in first["loc"])
        raise UserError(f"{label}: {where}: {first['msg']} (got {first['input']!r:.60})") from None


def _yaml(text: str, label: str) -> Any:
    try:
        return parse_yaml(text, label).plain()
    except HardwareError as error:
        raise UserError(f"{label}: is not a measurement: {error}") from None


def model_source(found: MeasurementFile, folder: Path) -> ModelSource:
    """The model that was measured; a relative file is looked for in ``folder``. Raises UserError if none is named."""
    model = found.model
    if model.file is not None:
        return ModelSource(file=folder / model.file, shapes={k: list(v) for k, v in model.shapes.items()})
    if model.workload is None:
        raise UserError(f"{model.name}: the measurement names neither a model file nor a workload")
    return ModelSource(
        model.workload,
        phase=model.phase,
        tokens=model.tokens,
        layers=model.layers,
        batch=model.batch,
        chunk=model.chunk,
    )
