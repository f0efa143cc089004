"""The tasks of a vendor schedule as work and the time that the vendor's estimator gives them.

A trace prints the shapes of a DPU task and the output box of each of its variants, but neither kernel nor stride nor
MPE mode: kernels come from the weights or from the model, the mode from the rule that the compiler follows.
"""

from __future__ import annotations

import gzip
import json
import math
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from npusim.costs import dpu
from npusim.hardware.schema import Hardware
from npusim.program.work import DpuKind, DpuWork

_TENSOR = re.compile(r"(?P<dims>(?:\d+x)*)(?P<type>\w+)")
_CLUSTER = re.compile(r"/cluster_\d+")
_TYPE_BITS = {"f16": 16, "bf16": 16, "f32": 32, "i8": 8, "ui8": 8, "si8": 8, "i4": 4, "si32": 32}


@dataclass(frozen=True, slots=True)
class TensorShape:
    """A tensor as a trace prints it: ``[1x192x16x4xf16]``."""

    dims: tuple[int, ...]
    bits: int


@dataclass(frozen=True, slots=True)
class Sample:
    """One DPU variant of a trace: its work and the cycles that the estimator gives it. ``name`` is the task's.

    ``folded``: a stem with pixels folded into its channels, whose weights are mostly zeros.
    """

    name: str
    work: DpuWork
    cycles: int
    folded: bool = False


@dataclass(frozen=True, slots=True)
class ModelOp:
    """What an op of the model tells about the tasks made from it: type, (height, width) of kernel and stride, output
    channels (those of a MatMul are its columns; 0 where the model does not say)."""

    type: str
    kernel: tuple[int, int] = (1, 1)
    stride: tuple[int, int] = (1, 1)
    channels: int = 0


@dataclass(frozen=True, slots=True)
class _Variant:
    box: tuple[int, int, int]
    first_channel: int
    cycles: int


@dataclass(frozen=True, slots=True)
class _Task:
    name: str
    tile: int
    inputs: tuple[TensorShape, ...]
    output: TensorShape
    variants: tuple[_Variant, ...]


def load_trace(path: Path) -> dict[str, Any]:
    """The JSON document of a gzipped trace."""
    with gzip.open(path) as file:
        return json.load(file)


def model_ops(path: Path) -> dict[str, ModelOp]:
    """Ops of an OpenVINO model file by name, with kernels and strides as (height, width)."""
    ops = {}
    for layer in ElementTree.parse(path).getroot().iterfind("./layers/layer"):
        data = layer.find("data")
        attributes = data.attrib if data is not None else {}
        kernel = _pair(attributes.get("kernel", ""))
        if layer.get("type") == "GroupConvolution":
            weights = layer.findall("./input/port")[1]
            kernel = _pair(",".join(dim.text or "" for dim in weights.findall("dim")[3:]))
        kind = layer.get("type", "")
        shape = [int(dim.text or 0) for dim in layer.findall("./output/port[1]/dim")]
        channels = (shape[-1] if kind == "MatMul" else shape[1]) if len(shape) > 1 else 0
        ops[layer.get("name", "")] = ModelOp(kind, kernel, _pair(attributes.get("strides", "")), channels)
    return ops


def dpu_samples(trace: Mapping[str, Any], ops: Mapping[str, ModelOp], hw: Hardware) -> Iterator[Sample]:
    """Every DPU variant of a trace as work. ``ops`` are those of the model it was compiled from."""
    layers = defaultdict(list)
    for task in _tasks(trace):
        layers[_CLUSTER.sub("", task.name)].append(task)
    for tasks in layers.values():
        for task in tasks:
            op = ops.get(task.name.split("?t_")[0].split("/output tile")[0], ModelOp(""))
            work, folded = _work(task, tasks, op), False
            if work.kind == "conv":
                channels, height, width = task.output.dims[-3:]
                work = replace(work, mpe_mode=dpu.choose_mode(height, width, channels, hw))
                folded = op.type == "Convolution" and task.inputs[1].dims[0] > max(op.channels, 16)
            for variant in task.variants:
                across, down, deep = variant.box
                done = replace(work, height=down, width=across, out_channels=deep)
                yield Sample(task.name, done, variant.cycles, folded)


def _tasks(trace: Mapping[str, Any]) -> Iterator[_Task]:
    mhz = trace["workpoint"]["freq"]
    variants = defaultdict(list)
    tasks = []
    for event in trace["traceEvents"]:
        if event.get("cat") != "DPU":
            continue
        if "outStart" in event["args"]:
            variants[event["pid"], event["name"].rsplit("/variant_", 1)[0]].append(event)
        else:
            tasks.append(event)
    for event in tasks:
        start, end = event["ts"] - 0.002, event["ts"] + event["dur"] + 0.003
        own = [
            _variant(found, mhz)
            for found in variants[event["pid"], event["name"]]
            if start <= found["ts"] and found["ts"] + found["dur"] <= end
        ]
        inputs = _tensors(event["args"]["Input tensors"])
        outputs = _tensors(event["args"]["Output tensors"])
        yield _Task(event["name"], event["pid"], inputs, outputs[0], tuple(own))


def _variant(event: Mapping[str, Any], mhz: float) -> _Variant:
    first = json.loads(event["args"]["outStart"])
    last = json.loads(event["args"]["outEnd"])
    across, down, deep = (end - begin + 1 for begin, end in zip(first, last, strict=True))
    return _Variant((across, down, deep), first[2], round(event["dur"] * mhz))


def _tensors(text: str) -> tuple[TensorShape, ...]:
    found = [match for match in map(_TENSOR.fullmatch, text.strip("[]").split(", ")) if match]
    return tuple(
        TensorShape(
            tuple(int(dim) for dim in match["dims"].split("x") if dim), _TYPE_BITS.get(match["type"], 32)
        )
        for match in found
    )


def _work(task: _Task, tiles: Sequence[_Task], op: ModelOp) -> DpuWork:
    """Work of the whole task, but for the box of a variant and the MPE mode."""
    kind = _kind(task)
    kernel, stride, reduced = (1, 1), 1, 1
    if kind == "conv":
        weights = task.inputs[1].dims
        kernel, reduced = (weights[2], weights[3]), weights[1]
    elif kind in ("dwconv", "maxpool", "avgpool"):
        kernel, stride = _window(task, tiles, op)
    return DpuWork(
        kind=kind,
        height=1,
        width=1,
        out_channels=16,
        in_channels=reduced,
        kernel_h=kernel[0],
        kernel_w=kernel[1],
        stride=stride,
        in_bits=task.inputs[0].bits,
        out_bits=task.output.bits,
        weight_bits=task.inputs[-1].bits,
    )


def _kind(task: _Task) -> DpuKind:
    name = task.name
    if len(task.inputs) == 1:
        return "maxpool" if "maxpool" in name.lower() else "avgpool"
    data, weights = (tensor.dims for tensor in task.inputs[:2])
    if weights == data and weights[0] == 1:
        moves = ("PermuteQuantize", "expand_input", "reorder", "memperm")
        return "permute" if any(word in name for word in moves) else "eltwise"
    if "GroupConvolution" in name or "scaleshift" in name or weights[1] != data[1]:
        return "dwconv"
    if "negative" in name.lower() and weights[1] == 16:
        return "dwconv"
    return "conv"


def _window(task: _Task, tiles: Sequence[_Task], op: ModelOp) -> tuple[tuple[int, int], int]:
    """Kernel (height, width) and stride: the model's for its own poolings, else what turns input into output.

    A tile at the edge may be given more input than it needs, so the least of the layer's tiles counts.
    """
    if op.type in ("MaxPool", "AvgPool", "GroupConvolution") and "identity" not in task.name:
        return op.kernel, max(op.stride)
    windows = [_reads(tile) for tile in tiles if tile.variants] or [_reads(task)]
    kernel = (min(down for down, _ in windows), min(across for _, across in windows))
    return kernel, max(kernel)


def _reads(task: _Task) -> tuple[int, int]:
    """Input rows and columns for one of the output: of the whole tensor where it is 1, else of the task's own box."""
    across, down, _ = _extent(task)
    height, width = task.inputs[0].dims[2:]
    whole_height, whole_width = task.output.dims[2:]
    return (
        1 if height == whole_height else max(1, round(height / down)),
        1 if width == whole_width else max(1, round(width / across)),
    )


def _extent(task: _Task) -> tuple[int, int, int]:
    if not task.variants:
        return 1, 1, 1
    across = max(variant.box[0] for variant in task.variants)
    down = max(variant.box[1] for variant in task.variants)
    return across, down, sum(variant.box[2] for variant in task.variants)


def _pair(text: str) -> tuple[int, int]:
    """``"3,3"`` as (height, width); one number is a height."""
    numbers = [int(part) for part in text.split(",") if part.strip()]
    if not numbers:
        return 1, 1
    return (numbers[0], math.prod(numbers[1:]))
