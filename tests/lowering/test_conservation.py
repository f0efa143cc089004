"""Work is conserved: the laws hold on random models and batches, and find what breaks them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import openvino as ov
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openvino import opset15 as op

import workloads
from npusim import api
from npusim.graph import from_openvino
from npusim.lowering import PASSES, conservation
from npusim.lowering.passes import CHECK, Module, run_passes
from tests.lowering.models import models

MACHINES = ["meteorlake-vpunn.yaml", "lunarlake-vpunn.yaml", "pantherlake-vpunn.yaml"]


@pytest.fixture(autouse=True)
def checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CHECK, "1")


@settings(max_examples=15)
@given(models(), st.sampled_from(MACHINES))
def test_random_models_conserve_work(model: ov.Model, machine: str) -> None:
    api.lower(from_openvino(model), api.load_hardware(machine))


def layers(batch: int, kind: str) -> ov.Model:
    """Two layers of one kind over a batch."""
    x = op.parameter([batch, 32, 28, 28], np.float16, name="x")
    node: ov.Node = x
    for _ in range(2):
        if kind == "convolution":
            node = op.convolution(node, np.ones((32, 32, 3, 3), np.float16), [1, 1], [1, 1], [1, 1], [1, 1])
        elif kind == "depthwise":
            node = op.group_convolution(
                node, np.ones((32, 1, 1, 3, 3), np.float16), [1, 1], [1, 1], [1, 1], [1, 1]
            )
        elif kind == "pool":
            node = op.max_pool(node, [1, 1], [1, 1], [1, 1], [1, 1], [3, 3]).output(0)
        elif kind == "activation":
            node = op.exp(node)
        else:
            node = op.matmul(node, np.ones((28, 28), np.float16), False, False)
    return ov.Model([op.result(node)], [x], "layers")


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("kind", ["convolution", "depthwise", "pool", "activation", "matmul"])
@pytest.mark.parametrize("batch", [1, 3, 8])
def test_a_batch_is_all_of_its_images(batch: int, kind: str, machine: str) -> None:
    api.lower(from_openvino(layers(batch, kind)), api.load_hardware(machine))


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("name", ["mamba-130m", "mamba2-130m"])
def test_workloads_conserve_work(name: str, batch: int) -> None:
    for phase in ("prefill", "decode"):
        tokens = 16 if phase == "prefill" else None
        model = workloads.build(name, phase=phase, tokens=tokens, layers=1, batch=batch, weights="shared")
        api.lower(from_openvino(model), api.load_hardware("lunarlake-vpunn.yaml"))


def _placed(batch: int) -> tuple[Module, api.Hardware]:
    hw = api.load_hardware("lunarlake-vpunn.yaml")
    passes = PASSES[: [one.name for one in PASSES].index("refit") + 1]
    return run_passes(passes, Module(from_openvino(layers(batch, "convolution"))), hw), hw


def test_a_plan_that_does_one_image_of_several_is_found() -> None:
    module, hw = _placed(1)
    assert conservation.WORK_PLANNED.fault(module, hw) is None
    plan = next(p for p in module.plans if p.output.storage == p.node.output.storage)
    fewer = replace(plan, slices=[replace(part, computes=part.computes[:1]) for part in plan.slices])
    broken = replace(module, plans=[fewer if p is plan else p for p in module.plans])
    assert "asks for" in (conservation.WORK_PLANNED.fault(broken, hw) or "")


def test_a_lost_product_is_found() -> None:
    module, hw = _placed(1)
    products = [node for node in module.nodes if conservation.macs_of_node(node)]
    broken = replace(module, nodes=[node for node in module.nodes if node is not products[0]])
    assert "multiply-accumulates" in (conservation.PRODUCTS_KEPT.fault(broken, hw) or "")
