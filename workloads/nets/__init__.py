"""Networks that have been measured on real NPUs, as OpenVINO has them: FP16, and quantised or compressed by NNCF.

What an inference costs depends on ops, shapes and element types alone, so weights are small numbers without a meaning.
Importing this package imports neither OpenVINO nor numpy.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Literal

from npusim.workloads.config import positive

if TYPE_CHECKING:
    import openvino

Precision = Literal["fp16", "int8", "mixed", "fp8", "int8-weights", "int4"]
#: What a precision makes of a network; a name ends in it.
PRECISIONS: dict[Precision, str] = {
    "fp16": "FP16",
    "int8": "INT8, quantised as NNCF does",
    "mixed": "every other layer INT8, the rest FP16",
    "fp8": "FP8 (E4M3), quantised as NNCF does",
    "int8-weights": "FP16 with weights compressed to INT8",
    "int4": "FP16 with weights compressed to INT4 in groups of 128",
}


@dataclass(frozen=True)
class Net:
    """One network or operator. ``module`` of this package has its ``build``; ``tokens`` is its sequence length, None
    for images; ``quantised``: it comes in the other precisions, too."""

    name: str
    module: str
    title: str
    summary: str
    source: str
    tokens: int | None = None
    quantised: bool = True


def _detector(version: str, size: str) -> Net:
    source = f"github ultralytics/ultralytics, cfg/models/{version}/yolo{version}.yaml"
    summary = "image of 640x640, 80 classes"
    return Net(f"yolo{version}{size}", "yolo11", f"YOLO{version}{size}", summary, source)


def _operator(name: str, title: str, summary: str) -> Net:
    source = "arXiv 2509.25155, unrolled as its latencies suggest"
    return Net(name, "operators", title, summary, source, 512, quantised=False)


def _stack(layers: int, width: int, kind: str = "mlp", side: int = 0) -> Net:
    what = (
        f"convolutions of 3x3 and {width} channels, {side}x{side}" if side else f"MatMuls of {width}x{width}"
    )
    name = f"{kind}-{layers}x{width}" + (f"x{side}" if side else "")
    relu = "" if kind == "linear" else ", ReLU behind each"
    return Net(name, "stacks", "Stack", f"{layers} {what}{relu}", _LUNAR)


def _step(layers: int, width: int) -> Net:
    summary = f"{layers} layers, {width} channels, state of 16; no projections"
    return Net(f"ssm-step-{layers}x{width}", "recurrences", "SSM step", summary, _LUNAR, 1, quantised=False)


def _causal(layers: int) -> Net:
    summary = f"{layers} causal convolutions of 256 channels, 3 taps, 1, 2, 4 ... apart"
    return Net(f"tcn-{layers}", "recurrences", "TCN", summary, _LUNAR, 256, quantised=False)


#: Small graphs that were timed on a Lunar Lake laptop.
_LUNAR = "github janmejai2002/lunar-npu"

_NETS = (
    Net("resnet-50", "resnet", "ResNet-50", "image of 224x224, 1000 classes", "arXiv 1512.03385, v1.5"),
    Net("mobilenet-v2", "mobilenet", "MobileNet-v2", "image of 224x224, 1001 classes", "arXiv 1801.04381"),
    Net(
        "mobilenet-v3-large",
        "mobilenet_v3",
        "MobileNet-v3 large",
        "image of 224x224, 1000 classes",
        "arXiv 1905.02244",
    ),
    Net("bert-base", "bert", "BERT-base", "12 layers, width 768, 12 heads", "arXiv 1810.04805, cased", 128),
    Net(
        "albert-base",
        "albert",
        "ALBERT-base",
        "12 layers of the same weights, width 768",
        "arXiv 1909.11942",
        128,
    ),
    *(
        Net(
            f"yolov8{size}",
            "yolo",
            f"YOLOv8{size}",
            "image of 640x640, 80 classes",
            "github ultralytics/ultralytics",
        )
        for size in "nsl"
    ),
    *(_detector(version, size) for version in ("11", "26") for size in "nsmlx"),
    Net(
        "yolov3-tiny", "yolov3_tiny", "YOLOv3-tiny", "image of 416x416, 80 classes", "github pjreddie/darknet"
    ),
    Net(
        "ssd-mobilenet-v1",
        "ssd",
        "SSD with MobileNet-v1",
        "image of 300x300, 91 classes",
        "github tensorflow/models, research/object_detection",
    ),
    Net(
        "efficientdet-d0",
        "efficientdet",
        "EfficientDet-D0",
        "image of 512x512, 90 classes",
        "github google/automl, efficientdet",
    ),
    Net("unet-camvid", "unet", "U-Net", "image of 368x480, 12 classes", "arXiv 1505.04597"),
    Net(
        "bert-large-squad",
        "bert_large",
        "BERT-large",
        "24 layers, width 1024, 16 heads",
        "arXiv 1810.04805",
        384,
    ),
    Net(
        "llama-2-7b",
        "llama",
        "Llama-2 7B",
        "a step of decoding after a prompt",
        "arXiv 2307.09288",
        1024,
        quantised=False,
    ),
    Net(
        "phi-3-mini",
        "llama",
        "Phi-3-mini",
        "a step of decoding after a prompt",
        "arXiv 2404.14219",
        1024,
        quantised=False,
    ),
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
    *(_stack(*sizes) for sizes in ((1, 128), (1, 512), (4, 512), (4, 2048), (16, 1024))),
    *(_stack(*sizes, "linear") for sizes in ((1, 8), (1, 4096))),
    *(_stack(8, width, "linear") for width in (768, 1024, 1536, 2048, 4096)),
    *(_stack(*sizes) for sizes in ((8, 64, "convs", 56), (8, 128, "convs", 56), (12, 256, "convs", 28))),
    *(_step(*sizes) for sizes in ((1, 64), (1, 1536), (4, 1536), (24, 1536))),
    Net("ssm-256", "recurrences", "SSM, unrolled", "256 channels, state of 16", _LUNAR, 256, quantised=False),
    *map(_causal, (2, 4, 6, 8, 10)),
)
NETS: dict[str, Net] = {net.name: net for net in _NETS}


def names() -> list[str]:
    """Names that `build` takes: networks in every precision, operators in FP16."""
    return [
        name if precision == "fp16" else f"{name}-{precision}"
        for name, net in NETS.items()
        for precision in PRECISIONS
        if net.quantised or precision == "fp16"
    ]


def variants() -> dict[str, tuple[Precision, ...]]:
    """By network in FP16 the other precisions that it comes in."""
    others: tuple[Precision, ...] = tuple(precision for precision in PRECISIONS if precision != "fp16")
    return {name: others if net.quantised else () for name, net in NETS.items()}


def describe(name: str) -> str:
    """One line about a network."""
    net, precision = find(name)
    tokens = f" of {net.tokens} tokens" if net.tokens else ""
    return f"{net.title}: {net.summary}{tokens}, {PRECISIONS[precision]} ({net.source})"


def find(name: str) -> tuple[Net, Precision]:
    """The network of a name, and its precision. Raises KeyError for an unknown one."""
    for precision in PRECISIONS:
        base = name.removesuffix(f"-{precision}")
        if base != name:
            return NETS[base], precision
    return NETS[name], "fp16"


def build(name: str, *, tokens: int | None = None, batch: int = 1) -> openvino.Model:
    """The openvino.Model of a network. Raises ValueError for tokens where it has none, KeyError for an unknown name."""
    net, precision = find(name)
    if tokens is not None and net.tokens is None:
        raise ValueError(f"{name} takes an image: it has no tokens")
    length = positive("tokens", tokens if tokens is not None else net.tokens or 1)
    module = import_module(f"npusim.workloads.nets.{net.module}")
    from npusim.workloads.nets.maker import Maker

    return module.build(Maker(name, precision), batch=positive("batch", batch), tokens=length)
