"""How long a model takes on a real device, by OpenVINO: latency, throughput, and its profile layer by layer.

Latency is the wall time of single synchronous inferences with the latency hint; throughput is taken with as many
requests in flight as the device asks for. Inputs stay where they are between inferences. The profile comes from a
compilation of its own, since counting costs time.
"""

from __future__ import annotations

import hashlib
import os
import platform as machine
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import numpy as np

from npusim.errors import UserError
from npusim.source import ModelSource
from npusim.validation.measure.device import device_facts, require
from npusim.validation.measure.file import Hint, LayerFacts, MeasurementFile, ModelFacts, Phase, RunFacts
from npusim.validation.measure.machine import clocks_seen, machine_facts

_PROFILED = 10
_SEED = 0
#: Where a runtime model keeps the names of the ops that a layer stands for (openvino exec_model_info).
_ORIGINAL_NAMES = "originalLayersNames"

Step = Callable[[str], None]


def measure(
    source: ModelSource,
    device: str,
    hints: Sequence[Hint],
    warmup: int,
    runs: int,
    out: Path,
    step: Step = lambda text: None,
) -> MeasurementFile:
    """Run a model on a device of OpenVINO (``NPU``, ``CPU``), ``runs`` times a hint after ``warmup`` inferences.

    ``out`` is where the result will be written: a model file is named relative to its folder. ``step`` is told what is
    going on. Raises UserError where there is no such device, the model cannot be read, or the device refuses it.
    """
    from npusim import __version__

    core = require(device)
    step("reading the model")
    model, notes = source.read()
    _check_static(model, source.name)
    timed, clocks = [], []
    for hint in hints:
        step(f"{hint}: compiling for {device}")
        compiled = _compile(core, model, device, source.name, {"PERFORMANCE_HINT": hint.upper()})
        run = _latency if hint == "latency" else _throughput
        timed.append(run(compiled, warmup, runs, step))
        clocks += clocks_seen() if device.startswith("NPU") else []
    step("profiling")
    compiled = _compile(core, model, device, source.name, {"PERFORMANCE_HINT": "LATENCY", "PERF_COUNT": True})
    layers = _profile(compiled, min(warmup, _PROFILED), min(runs, _PROFILED))
    return MeasurementFile(
        schema="npusim.measurement/1",
        created=datetime.now(UTC).replace(microsecond=0),
        npusim=__version__,
        host=f"{machine.platform()}, {machine.processor() or machine.machine()}",
        model=_model_facts(source, model, out),
        device=device_facts(core, device),
        machine=machine_facts(core).model_copy(update={"clocks_mhz": clocks}),
        runs=timed,
        layers=layers,
        notes=list(notes),
    )


def _check_static(model: Any, name: str) -> None:
    for port in model.inputs:
        if not port.get_partial_shape().is_static:
            tensor = next(iter(sorted(port.get_names())), port.get_node().get_friendly_name())
            raise UserError(
                f"{name}: input '{tensor}' has the dynamic shape {port.get_partial_shape()}: "
                f"give it a static one with --shape {tensor}=[1,256]"
            )


def _compile(core: Any, model: Any, device: str, name: str, config: dict[str, Any]) -> Any:
    try:
        return core.compile_model(model, device, config)
    except RuntimeError as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        said = [line for line in lines if not line.startswith(("Exception from", "Check '"))]
        raise UserError(
            f"{name}: {device} does not take it: {(said or lines or ['no reason given'])[0]}"
        ) from None


def _inputs(compiled: Any) -> list[Any]:
    """A tensor for every input: floats in [0, 1), whole numbers 0 or 1 (valid as token and as mask)."""
    from openvino import Tensor

    random = np.random.default_rng(_SEED)
    tensors = []
    for port in compiled.inputs:
        kind, shape = port.get_element_type().to_dtype(), list(port.get_shape())
        floats = np.issubdtype(kind, np.floating)
        tensors.append(
            Tensor((random.random(shape) if floats else random.integers(0, 2, shape)).astype(kind))
        )
    return tensors


def _fill(request: Any, tensors: Sequence[Any]) -> Any:
    for index, tensor in enumerate(tensors):
        request.set_input_tensor(index, tensor)
    return request


def _latency(compiled: Any, warmup: int, runs: int, step: Step) -> RunFacts:
    request = _fill(compiled.create_infer_request(), _inputs(compiled))
    for _ in range(warmup):
        request.infer(share_outputs=True)
    took = np.empty(runs)
    for number in range(runs):
        began = time.perf_counter_ns()
        request.infer(share_outputs=True)
        took[number] = (time.perf_counter_ns() - began) / 1e3
        step(f"latency: {number + 1} of {runs} runs")
    return _facts("latency", 1, warmup, took, float(took.mean()))


def _throughput(compiled: Any, warmup: int, runs: int, step: Step) -> RunFacts:
    """Several requests in flight; a request is refilled as soon as it is free."""
    from openvino import AsyncInferQueue

    requests = int(compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS"))
    queue = AsyncInferQueue(compiled, requests)
    for request in queue:
        _fill(request, _inputs(compiled))
    took: list[float] = []

    def done(request: Any, _: Any) -> None:
        took.append(request.latency * 1e3)  # of one inference, ms

    queue.set_callback(done)
    for _ in range(warmup):
        queue.start_async()
    queue.wait_all()
    took.clear()
    began = time.perf_counter_ns()
    for number in range(runs):
        queue.start_async()
        step(f"throughput: {number + 1} of {runs} runs")
    queue.wait_all()
    wall_us = (time.perf_counter_ns() - began) / 1e3
    return _facts("throughput", requests, warmup, np.array(took), wall_us / runs)


def _facts(hint: Hint, requests: int, warmup: int, took: np.ndarray, per_inference_us: float) -> RunFacts:
    p5, p25, median, p75, p95 = (round(float(at), 3) for at in np.percentile(took, (5, 25, 50, 75, 95)))
    return RunFacts(
        hint=hint,
        requests=requests,
        warmup=warmup,
        runs=len(took),
        median_us=median,
        p5_us=p5,
        p95_us=p95,
        iqr_us=round(p75 - p25, 3),
        mean_us=round(float(took.mean()), 3),
        per_inference_us=round(per_inference_us, 3),
    )


def _profile(compiled: Any, warmup: int, runs: int) -> list[LayerFacts]:
    """The executed layers, in the device's order: the mean of several inferences."""
    request = _fill(compiled.create_infer_request(), _inputs(compiled))
    for _ in range(warmup):
        request.infer(share_outputs=True)
    sums: dict[str, list[float]] = {}
    infos: dict[str, Any] = {}
    for _ in range(runs):
        request.infer(share_outputs=True)
        for info in request.get_profiling_info():
            if info.status == info.Status.EXECUTED:
                infos.setdefault(info.node_name, info)
                sums.setdefault(info.node_name, [0.0, 0.0])
                sums[info.node_name][0] += info.real_time.total_seconds() * 1e6 / runs
                sums[info.node_name][1] += info.cpu_time.total_seconds() * 1e6 / runs
    originals = _original_names(compiled)
    return [
        LayerFacts(
            name=name,
            type=info.node_type,
            exec_type=info.exec_type,
            real_us=round(sums[name][0], 3),
            cpu_us=round(sums[name][1], 3),
            fused=[original for original in originals.get(name, ()) if original != name],
        )
        for name, info in infos.items()
    ]


def _original_names(compiled: Any) -> dict[str, tuple[str, ...]]:
    """The model's ops that every layer stands for; empty where the device keeps that to itself (the NPU does)."""
    try:
        layers = compiled.get_runtime_model().get_ordered_ops()
    except RuntimeError:
        return {}
    found = {}
    for layer in layers:
        info = layer.get_rt_info()
        if _ORIGINAL_NAMES in info:
            names = info[_ORIGINAL_NAMES].astype(str)
            found[layer.get_friendly_name()] = tuple(filter(None, names.split(",")))
    return found


def _model_facts(source: ModelSource, model: Any, out: Path) -> ModelFacts:
    inputs = {
        next(iter(sorted(port.get_names())), port.get_node().get_friendly_name()): (
            f"{'x'.join(map(str, port.get_shape()))} {port.get_element_type().get_type_name()}"
        )
        for port in model.inputs
    }
    if source.file is None:
        return ModelFacts(
            name=source.workload,
            workload=source.workload,
            phase=cast("Phase", source.phase),
            tokens=source.tokens,
            layers=source.layers,
            batch=source.batch,
            chunk=source.chunk,
            inputs=inputs,
        )
    digest = hashlib.sha256(source.file.read_bytes()).hexdigest() if source.file.is_file() else None
    try:
        file = os.path.relpath(source.file, out.parent)
    except ValueError:  # another drive
        file = str(source.file.absolute())
    resolved = {name: list(port.get_shape()) for name, port in zip(inputs, model.inputs, strict=True)}
    shapes = resolved if source.dims else source.shapes
    return ModelFacts(
        name=source.file.stem, file=Path(file).as_posix(), sha256=digest, shapes=shapes, inputs=inputs
    )
