"""The measured networks are the vendor's: op by op, shape by shape; operators compute what their formulas say."""

from __future__ import annotations

from collections import Counter
from math import prod

import numpy as np
import openvino as ov
import pytest

from npusim import workloads
from npusim.graph import Graph, from_openvino
from npusim.validation.schedules.references import open_reference, select
from npusim.validation.silicon.scores import CASES
from npusim.workloads import nets
from npusim.workloads.nets.maker import Maker

REFERENCE = open_reference()


def anatomy(graph: Graph) -> Counter[tuple[object, ...]]:
    """Every op with its attributes, and the shapes and types that it reads and writes."""
    tensors = graph.tensors
    return Counter(
        (
            op.type,
            tuple((t.shape, t.dtype, t.stored_dtype, t.constant) for t in (tensors[i] for i in op.inputs)),
            tuple(tensors[i].shape for i in op.outputs),
            str(sorted((name, str(value)) for name, value in op.attrs.items())),
        )
        for op in graph.ops
    )  # fmt: skip


@pytest.mark.parametrize(("name", "case"), CASES.items())
def test_a_network_is_the_vendors(name: str, case: str) -> None:
    theirs = REFERENCE.graph(select(REFERENCE, case=case)[0])
    assert anatomy(from_openvino(workloads.build(name))) == anatomy(theirs)


def weights(model: ov.Model) -> dict[str, int]:
    """Elements of the constants of more than 64, by element type."""
    found: Counter[str] = Counter()
    for node in model.get_ops():
        if node.get_type_name() == "Constant" and prod(node.get_output_shape(0)) > 64:
            found[node.get_output_element_type(0).get_type_name()] += prod(node.get_output_shape(0))
    return found


def test_yolo_has_the_published_parameters() -> None:
    """3.2 M (Ultralytics' table), of which 12,672 normalise and are folded; anchors are not parameters."""
    found = weights(workloads.build("yolov8n"))
    assert found["f16"] - 3 * 8400 == pytest.approx(3_151_904, rel=0.01)


def macs(model: ov.Model) -> int:
    """Multiply-accumulates of convolutions and MatMuls."""
    total = 0
    for node in model.get_ops():
        kind = node.get_type_name()
        if kind in ("Convolution", "GroupConvolution"):
            kernel = list(node.input(1).get_shape())[1 if kind == "Convolution" else 2 :]
            total += prod(node.get_output_shape(0)) * prod(kernel)
        elif kind == "ConvolutionBackpropData":
            total += prod(node.input(0).get_shape()) * prod(list(node.input(1).get_shape())[1:])
        elif kind == "MatMul":
            rows = list(node.input(0).get_shape())
            total += prod(node.get_output_shape(0)) * rows[-2 if node.get_attributes()["transpose_a"] else -1]
    return total


PUBLISHED = {
    # Millions of parameters, and GFLOPs of two operations a MAC: docs.ultralytics.com, models/yolo11 and models/yolo26.
    "yolo11n": (2.6, 6.5), "yolo11s": (9.4, 21.5), "yolo11m": (20.1, 68.0), "yolo11l": (25.3, 86.9),
    "yolo11x": (56.9, 194.9), "yolo26n": (2.4, 5.4), "yolo26s": (9.5, 20.7), "yolo26m": (20.4, 68.2),
    "yolo26l": (24.8, 86.4), "yolo26x": (55.7, 193.9),
    # The README files of the Open Model Zoo. Of EfficientDet-D0 it gives MACs, as the paper does.
    "yolov3-tiny": (8.848, 5.582), "ssd-mobilenet-v1": (6.807, 2.494), "efficientdet-d0": (3.9, 2 * 2.54),
    "unet-camvid": (31.03, 260.1), "bert-large-squad": (333.96, 246.93),
}  # fmt: skip
#: Constants that are no parameters: anchors and strides; prior boxes, and the convolutions that levels share but for
#: their normalisation.
ADDED = {"yolo11": 3 * 8400, "yolo26": 3 * 8400, "efficientdet": 2 * 4 * 49104 + 4 * (66432 + 16896)}


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_network_has_the_published_parameters_and_operations(name: str) -> None:
    parameters, gflops = PUBLISHED[name]  # biases and what normalises are folded and left out
    model = workloads.build(name)
    added = next((extra for start, extra in ADDED.items() if name.startswith(start)), 0)
    assert (weights(model)["f16"] - added) / 1e6 == pytest.approx(parameters, rel=0.025)
    assert 2 * macs(model) / 1e9 == pytest.approx(gflops, rel=0.02)


@pytest.mark.parametrize("name", ["yolo26n", "yolov3-tiny"])
def test_detectors_run(name: str) -> None:
    """OpenVINO on the CPU takes them, quantised too."""
    for precision in ("", "-int8"):
        model = workloads.build(name + precision)
        out = ov.Core().compile_model(model, "CPU")([np.zeros(list(model.input().shape), np.float32)])
        assert out[0].shape == tuple(model.output(0).shape)


@pytest.mark.parametrize("name", ["yolov8n", "mobilenet-v2"])
def test_quantised_weights_are_stored_in_8_bits(name: str) -> None:
    plain, quantised = weights(workloads.build(name)), weights(workloads.build(f"{name}-int8"))
    assert quantised["i8"] > 0.98 * plain["f16"] - 3 * 8400
    assert {node.get_type_name() for node in workloads.build(f"{name}-int8").get_ops()} >= {"FakeQuantize"}


def test_other_sequence_lengths_and_batches() -> None:
    assert list(workloads.build("bert-base", tokens=32, batch=2).output(0).shape) == [2, 32, 768]
    assert list(workloads.build("yolov8n", batch=2).output(0).shape) == [2, 84, 8400]


OPERATORS = [name for name, net in nets.NETS.items() if net.module == "operators"]


@pytest.mark.parametrize("name", OPERATORS)
def test_an_operator_runs(name: str) -> None:
    """OpenVINO on the CPU takes it, and gives 64 finite channels a token."""
    model = workloads.build(name, tokens=12)
    compiled = ov.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    generator = np.random.default_rng(0)
    out = compiled([generator.standard_normal(tuple(port.shape), np.float32) for port in model.inputs])[0]
    assert out.reshape(-1, 64).shape == (12, 64)
    assert np.isfinite(out).all()


def test_causal_attention_is_softmax_attention() -> None:
    model = workloads.build("causal-attention", tokens=8)
    generator = np.random.default_rng(0)
    query, key, value = (generator.standard_normal((1, 8, 64)).astype(np.float32) for _ in range(3))
    out = ov.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})([query, key, value])[0]
    mask = Maker("", "fp16").float_weight("mask", (1, 8, 8)).input_value(0).get_node().get_data()
    scores = np.exp(query @ key.transpose(0, 2, 1) / 8 + mask.astype(np.float32))
    np.testing.assert_allclose(out, scores / scores.sum(-1, keepdims=True) @ value, rtol=1e-4, atol=1e-5)


def test_a_long_sequence_takes_no_memory_of_its_own() -> None:
    """Constants of one model share a region: a mask of 4096 x 4096 does not cost the next one anything."""
    maker = Maker("", "fp16")
    first, second = (maker.float_weight("w", (1024, 1024)).input_value(0).get_node() for _ in range(2))
    assert np.shares_memory(first.data, second.data)


def test_a_step_of_a_decoder_reads_every_weight_and_the_cache() -> None:
    """Llama-2 7B has 6.74 G parameters (arXiv 2307.09288), of which 131 M are the embeddings, read on the host."""
    model = workloads.build("llama-2-7b", tokens=256)
    weights = sum(int(np.prod(node.shape)) for node in model.get_ops() if node.get_type_name() == "Constant")
    assert weights == pytest.approx(6.738e9 - 32000 * 4096, rel=1e-3)
    cached = sum(int(np.prod(one.shape)) for one in model.inputs[1:])
    assert cached == 32 * 2 * 256 * 4096
    assert [list(one.shape) for one in model.outputs[:3]] == [[1, 1, 32000], [1, 32, 1, 128], [1, 32, 1, 128]]
