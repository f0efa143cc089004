"""Networks that have been measured on real NPUs, as OpenVINO has them: FP16, and as NNCF quantises them (INT8, FP8) or
compresses their weights (INT4).

What an inference costs depends on ops, shapes and element types alone, so weights are small numbers without a meaning.
Importing this package imports neither OpenVINO nor numpy.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Literal

from workloads.config import positive

if TYPE_CHECKING:
    import openvino

Precision = Literal["fp16", "int8", "fp8", "int4"]
#: Precision by what a name ends in, and how it is described.
_SUFFIXES: dict[str, Precision] = {"-int8": "int8", "-fp8": "fp8", "-int4": "int4"}
_DESCRIBED: dict[Precision, str] = {
    "fp16": "FP16",
    "int8": "INT8, quantised as NNCF does",
    "fp8": "FP8 (E4M3), quantised as NNCF does",
    "int4": "INT4 weights in groups of 128, embeddings INT8, computed in FP16",
}


@dataclass(frozen=True)
class Net:
    """One network or operator. ``module`` of this package has its ``build``; ``tokens`` is its sequence length, None
    for images; ``precisions`` are those it comes in besides FP16."""

    name: str
    module: str
    title: str
    summary: str
    source: str
    tokens: int | None = None
    precisions: tuple[Precision, ...] = ("int8", "fp8")


def _operator(name: str, title: str, summary: str) -> Net:
    source = "arXiv 2509.25155, unrolled as its latencies suggest"
    return Net(name, "operators", title, summary, source, 512, ())


_NETS = (
    Net("resnet-50", "resnet", "ResNet-50", "image of 224x224, 1000 classes", "arXiv 1512.03385, v1.5"),
    Net("mobilenet-v2", "mobilenet", "MobileNet-v2", "image of 224x224, 1001 classes", "arXiv 1801.04381"),
    Net(
        "bert-base",
        "bert",
        "BERT-base",
        "12 layers, width 768, 12 heads",
        "arXiv 1810.04805, cased",
        128,
        ("int8", "fp8", "int4"),
    ),
    Net("yolov8n", "yolo", "YOLOv8n", "image of 640x640, 80 classes", "github ultralytics/ultralytics"),
    Net("llama-2-7b", "llama", "Llama-2 7B", "a step of decoding after a prompt", "arXiv 2307.09288", 1024, ()),
    Net("phi-3-mini", "llama", "Phi-3-mini", "a step of decoding after a prompt", "arXiv 2404.14219", 1024, ()),
    _operator("causal-attention", "Causal attention", "one head of 64, softmax"),
    _operator("retentive-attention", "Retentive attention", "one head of 64, scores times decay"),
    _operator("toeplitz-attention", "Toeplitz attention", "one head of 64, banded"),
    _operator("semiseparable-attention", "Semiseparable attention", "one head of 64, state of 16"),
    _operator("fourier-attention", "Fourier attention", "one head of 64, bin by bin"),
    _operator("ssm-sequential", "SSM, sequential", "64 channels, state of 16, token by token"),
    _operator("ssm-parallel", "SSM, parallel", "64 channels, state of 16, cumulative sums"),
    _operator("ssm-chunked", "SSM, chunked", "64 channels, state of 16, chunks of 64"),
    _operator("conv1d", "Causal convolution", "64 channels, 4 taps, token by token"),
    _operator("conv1d-dilated", "Dilated causal convolution", "64 channels, 4 taps, 4 apart, token by token"),
    _operator("conv1d-fft", "Long convolution by Fourier", "64 channels, bin by bin"),
)  # fmt: skip
NETS: dict[str, Net] = {net.name: net for net in _NETS}


def names() -> list[str]:
    """Names that `build` takes: networks in FP16 and in other precisions, operators in FP16."""
    return [
        f"{name}{suffix}"
        for name, net in NETS.items()
        for suffix in ("", *(end for end, precision in _SUFFIXES.items() if precision in net.precisions))
    ]


def describe(name: str) -> str:
    """One line about a network."""
    net, precision = find(name)
    tokens = f" of {net.tokens} tokens" if net.tokens else ""
    return f"{net.title}: {net.summary}{tokens}, {_DESCRIBED[precision]} ({net.source})"


def find(name: str) -> tuple[Net, Precision]:
    """The network of a name, and its precision. Raises KeyError for an unknown one."""
    suffix = next((suffix for suffix in _SUFFIXES if name.endswith(suffix)), "")
    return NETS[name.removesuffix(suffix)], _SUFFIXES.get(suffix, "fp16")


def build(name: str, *, tokens: int | None = None, batch: int = 1) -> openvino.Model:
    """The openvino.Model of a network. Raises ValueError for tokens where it has none, KeyError for an unknown name."""
    net, precision = find(name)
    if tokens is not None and net.tokens is None:
        raise ValueError(f"{name} takes an image: it has no tokens")
    length = positive("tokens", tokens if tokens is not None else net.tokens or 1)
    module = import_module(f"workloads.nets.{net.module}")
    from workloads.nets.maker import Maker

    return module.build(Maker(name, precision), batch=positive("batch", batch), tokens=length)
