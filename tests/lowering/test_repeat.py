"""Equal layers are lowered once, and nobody can tell: the Program is the one that lowering layer by layer gives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import openvino as ov
import pytest
from hypothesis import example, given, reject, settings
from hypothesis import strategies as st
from openvino import opset13 as op

import npusim
from npusim.errors import UserError
from npusim.graph import from_openvino
from npusim.graph.ir import Graph
from npusim.hardware import Hardware
from npusim.lowering import lower
from npusim.lowering.ir.repeat import Repeat
from npusim.lowering.place import replicate
from npusim.lowering.schedule.replay import Replay
from npusim.program import Program

workloads = pytest.importorskip("npusim.workloads")

CASES = {
    "mamba2 prefill": ("mamba2-130m", {"tokens": 256, "layers": 10}, "lunarlake.yaml", ()),
    "mamba2 on Panther Lake": ("mamba2-130m", {"tokens": 4, "layers": 9}, "pantherlake.yaml", ()),
    "mamba2 decode": ("mamba2-130m", {"phase": "decode", "layers": 12}, "meteorlake.yaml", ()),
    "mamba, token by token": ("mamba-130m", {"tokens": 7, "layers": 10}, "lunarlake.yaml", ()),
    "one tile": ("mamba2-130m", {"tokens": 256, "layers": 9}, "lunarlake.yaml", ("tiles=1",)),
    "little CMX": ("mamba2-130m", {"tokens": 256, "layers": 9}, "lunarlake.yaml", ("cmx.kib_per_tile=700",)),
    "much CMX": ("mamba2-130m", {"tokens": 64, "layers": 9}, "lunarlake.yaml", ("cmx.kib_per_tile=9000",)),
    "other software": ("mamba2-130m", {"tokens": 256, "layers": 9}, "lunarlake-2025.yaml", ()),
    "copies in CMX": ("mamba2-130m", {"tokens": 4, "layers": 9}, "lunarlake-vpunn.yaml", ("tiles=6",)),
    "bert": ("bert-base-int8", {}, "lunarlake.yaml", ()),
    "bert of functions": ("bert-base", {}, "lunarlake.yaml", ()),
    "resnet": ("resnet-50", {}, "meteorlake.yaml", ()),
}


def alone(graph: Graph, hw: Hardware) -> Program:
    """The Program of lowering every layer by itself."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(replicate, "find_repeat", lambda nodes, outputs: None)
        return lower(graph, hw)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_program_is_the_same_with_and_without_copies(case) -> None:
    workload, options, file, overrides = case
    hw = npusim.load_hardware(file, list(overrides))
    graph = npusim.build_workload(workload, **options)
    assert lower(graph, hw) == alone(graph, hw)


_FILES = (
    "lunarlake-vpunn.yaml", "lunarlake.yaml", "lunarlake-2025.yaml", "meteorlake-vpunn.yaml", "pantherlake-vpunn.yaml",
)  # fmt: skip
_SMALL = workloads.Mamba2Config(
    name="small", title="small", layers=24, d_model=128, vocab=256, d_state=16, source=""
)
_WIDTHS = st.sampled_from((64, 128, 256, 384))
_networks = st.one_of(
    st.just("mamba2-130m"),
    st.just("mamba-130m"),
    st.builds(replace, st.just(_SMALL), d_model=_WIDTHS, d_state=st.sampled_from((16, 64, 128)),
              head_dim=st.sampled_from((16, 32, 64)), chunk=st.sampled_from((16, 64))),
)  # fmt: skip
_phases = st.one_of(
    st.just({"phase": "decode"}),
    st.builds(dict, phase=st.just("prefill"), tokens=st.sampled_from((2, 7, 16))),
)


@settings(max_examples=8, deadline=None, derandomize=True)
@example("mamba2-130m", {"phase": "decode"}, 11, "lunarlake-vpunn.yaml", 1, 1440)
@given(_networks, _phases, st.integers(8, 24), st.sampled_from(_FILES), st.integers(1, 6),
       st.sampled_from((500, 1440)))  # fmt: skip
def test_layers_may_be_copied_whatever_they_are_of(network, phase, layers, file, tiles, kib) -> None:
    hw = npusim.load_hardware(file, [f"tiles={tiles}", f"cmx.kib_per_tile={kib}"])
    graph = from_openvino(workloads.build(network, layers=layers, **phase))
    try:
        expected = alone(graph, hw)
    except UserError:
        reject()
    assert lower(graph, hw) == expected


def _ones(*shape: int) -> ov.Node:
    return op.constant(np.ones(shape, np.float16))


def _graph(make: Callable[[ov.Node], ov.Node], *shape: int) -> Graph:
    x = op.parameter(list(shape), np.float16)
    return from_openvino(ov.Model([op.result(make(x))], [x], "m"))


def _copied(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many blocks each copy makes, from now on."""
    blocks: list[int] = []
    copy = Replay._copy
    monkeypatch.setattr(Replay, "_copy", lambda self, *given: blocks.append(given[-1]) or copy(self, *given))
    return blocks


def test_blocks_are_copied_that_use_no_kernel_and_have_no_node_of_their_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The slices of a volume, each the sum of three images that are convolved alike, before a kernel."""
    flat = [1, 1, 1]
    graph = _graph(
        lambda x: op.softmax(op.group_convolution(x, _ones(3, 1, 1, 3, 3, 3), flat, flat, flat, flat), 1),
        2, 3, 40, 3, 1,
    )  # fmt: skip
    blocks = _copied(monkeypatch)
    hw = npusim.load_hardware("lunarlake-vpunn.yaml", ["tiles=1", "cmx.kib_per_tile=64"])
    assert lower(graph, hw) == alone(graph, hw)
    assert sum(blocks) >= 10


def _attention(x: ov.Node) -> ov.Node:
    """Rows that are padded to whole granules before they are multiplied (Panther Lake), for each image by itself."""
    heads = op.softmax(op.matmul(x, x, False, True), 2)
    return op.matmul(op.matmul(heads, x, False, False), _ones(32, 32), False, True)


def _scales(x: ov.Node) -> ov.Node:
    """An image scaled by what its mean says; the mean is taken on the DPU, image by image."""
    gate = op.sigmoid(_convolved(op.reduce_mean(x, np.array([2, 3]), True), 1))
    return _convolved(op.multiply(x, gate), 1)


def _chains(x: ov.Node) -> ov.Node:
    """Images that pass one by one through several ops."""
    return op.softmax(_convolved(op.group_convolution(op.relu(x), _ones(64, 1, 1, 3, 3), *_SAME), 1), 1)


_SAME = ([1, 1], [1, 1], [1, 1], [1, 1])


def _convolved(x: ov.Node, taps: int) -> ov.Node:
    pads = [taps // 2] * 2
    return op.convolution(x, _ones(64, 64, taps, taps), [1, 1], pads, pads, [1, 1])


@pytest.mark.parametrize(
    ("layer", "shape", "file", "tiles", "kib"),
    [
        (_attention, (3, 197, 32), "pantherlake-vpunn.yaml", 4, 700),
        (_scales, (3, 64, 32, 32), "meteorlake-vpunn.yaml", 2, 1440),
        (_chains, (2, 64, 8, 8), "meteorlake-vpunn.yaml", 4, 1440),
    ],
)
def test_layers_over_images_may_be_copied(layer, shape, file, tiles, kib) -> None:
    def make(x: ov.Node) -> ov.Node:
        for _ in range(8):
            x = layer(x)
        return op.relu(x)

    hw = npusim.load_hardware(file, [f"tiles={tiles}", f"cmx.kib_per_tile={kib}"])
    graph = _graph(make, *shape)
    assert lower(graph, hw) == alone(graph, hw)


def test_layers_are_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[Repeat | None] = []
    find = replicate.find_repeat
    monkeypatch.setattr(replicate, "find_repeat", lambda *given: found.append(find(*given)) or found[-1])
    blocks = _copied(monkeypatch)
    graph = npusim.build_workload("mamba2-130m", tokens=256)
    lower(graph, npusim.load_hardware("lunarlake.yaml"))
    assert found[0] is not None
    assert found[0].count >= 20
    assert sum(blocks) >= 15
