"""Work is conserved: the laws hold on random models and batches, and find what breaks them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random

import numpy as np
import openvino as ov
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openvino import opset15 as op

from npusim import api, workloads
from npusim.cli.main import main
from npusim.errors import BrokenLaw
from npusim.graph import from_openvino
from npusim.lowering import PASSES, conservation
from npusim.lowering.ir.plan import CONSTANT, Slice
from npusim.lowering.passes import CHECK, Law, Module, Pass, run_passes
from tests.lowering.models import models
from tests.strategies import seed_of_the_code

MACHINES = ["meteorlake-vpunn.yaml", "lunarlake-vpunn.yaml", "pantherlake-vpunn.yaml"]


@pytest.fixture(autouse=True)
def checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CHECK, "1")


@settings(max_examples=30)
@given(models(), st.sampled_from(MACHINES))
def test_random_models_conserve_work(model: ov.Model, machine: str) -> None:
    api.lower(from_openvino(model), api.load_hardware(machine))


#: Networks of which a chain of slices nearly fills CMX, and others that are drawn with every change of npusim.
NEARLY_FULL = [
    ("yolov8s", "lunarlake-vpunn"), ("yolo11m-int8", "lunarlake-vpunn"), ("yolo11x-int4", "meteorlake-vpunn"),
]  # fmt: skip
DRAWN = [
    (name, "lunarlake-vpunn") for name in Random(seed_of_the_code()).sample(sorted(workloads.names()), 3)
]


@pytest.mark.parametrize(("name", "machine"), [*NEARLY_FULL, *DRAWN])
def test_networks_fit_their_machine(name: str, machine: str) -> None:
    few = {} if workloads.layer_count(name) is None else {"layers": 1, "tokens": 16}
    api.lower(from_openvino(workloads.build(name, **few)), api.load_hardware(machine))


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


def _until(last: str) -> tuple[Module, api.Hardware]:
    """What all passes up to ``last`` make of two convolutions."""
    hw = api.load_hardware("lunarlake-vpunn.yaml")
    passes = PASSES[: [one.name for one in PASSES].index(last) + 1]
    return run_passes(passes, Module(from_openvino(layers(1, "convolution"))), hw), hw


def _without(module: Module, change: Callable[[Slice], Slice]) -> Module:
    """A module whose first plan that makes its node's result has its slices changed."""
    plan = next(p for p in module.plans if p.output.storage == p.node.output.storage)
    return replace(module, plans=[plan.changed(change) if p is plan else p for p in module.plans])


def test_a_plan_that_does_one_image_of_several_is_found() -> None:
    module, hw = _until("refit")
    assert conservation.WORK_PLANNED.fault(module, hw) is None
    broken = _without(module, lambda part: replace(part, computes=part.computes[:1]))
    assert "asks for" in (conservation.WORK_PLANNED.fault(broken, hw) or "")


def test_weights_that_are_not_loaded_are_found() -> None:
    module, hw = _until("refit")
    assert conservation.WEIGHTS_LOADED.fault(module, hw) is None
    broken = _without(
        module, lambda part: replace(part, loads=[x for x in part.loads if x.operand != CONSTANT])
    )
    assert "bytes of weights" in (conservation.WEIGHTS_LOADED.fault(broken, hw) or "")


def test_a_lost_product_is_found() -> None:
    module, hw = _until("refit")
    products = [node for node in module.nodes if conservation.macs_of_node(node)]
    broken = replace(module, nodes=[node for node in module.nodes if node is not products[0]])
    assert "multiply-accumulates" in (conservation.PRODUCTS_KEPT.fault(broken, hw) or "")


@pytest.mark.parametrize(
    ("law", "end", "said"),
    [
        (conservation.OPERANDS_READ, "ddr_read_bytes", "operands that come from DDR"),
        (conservation.RESULTS_MOVED, "ddr_write_bytes", "results are"),
    ],
)
def test_bytes_that_no_transfer_moves_are_found(law: Law, end: str, said: str) -> None:
    module, hw = _until("schedule")
    assert law.fault(module, hw) is None
    assert module.program is not None
    tasks = module.program.tasks
    still = [replace(w, bytes=0) if getattr(w, end, 0) else w for w in tasks.works]
    program = replace(module.program, tasks=replace(tasks, works=tuple(still)))
    assert said in (law.fault(replace(module, program=program), hw) or "")


def test_the_laws_are_checked_without_being_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CHECK, "0")
    module, hw = _until("refit")
    harm = Pass(
        "harm",
        lambda m, _: _without(
            m, lambda part: replace(part, loads=[x for x in part.loads if x.operand != CONSTANT])
        ),
        ensures=(conservation.WEIGHTS_LOADED,),
    )
    with pytest.raises(BrokenLaw, match="bytes of weights"):
        run_passes([harm], module, hw)


def test_a_broken_law_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise BrokenLaw("a plan does all the work of its node: op 'x' asks for 2 operations, its plan has 1")

    monkeypatch.setattr("npusim.lowering.run_passes", broken)
    with pytest.raises(SystemExit) as ended:
        main(["run", "--hw", "lunarlake", "--tokens", "4", "--layers", "1", "--no-report"])
    assert ended.value.code == 1
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("bug: ")]
    assert lines == [
        "bug: a plan does all the work of its node: op 'x' asks for 2 operations, its plan has 1"
    ]


@pytest.mark.parametrize("returned", [False, True])
def test_what_has_two_places_is_written_to_both(returned: bool) -> None:
    x = op.parameter([1, 4], np.float16, name="x")
    made = op.softmax(x, 1)
    results = [op.result(op.concat([made, made] if not returned else [made, op.exp(x)], 0))]
    results += [op.result(made)] * returned
    program = api.lower(
        from_openvino(ov.Model(results, [x], "twice")), api.load_hardware("meteorlake-vpunn.yaml")
    )
    written = sum(
        getattr(work, "ddr_write_bytes", 0) * count
        for work, count in zip(program.tasks.works, program.tasks.count_of_work(), strict=True)
    )
    assert written >= 2 * 4 * (2 + returned)


@pytest.mark.parametrize("shape", [(6, 3, 33, 64), (3, 16, 8, 8), (4, 1, 16, 16)])
@pytest.mark.parametrize("machine", MACHINES)
def test_the_means_of_a_batch_of_images_are_written(shape: tuple[int, ...], machine: str) -> None:
    x = op.parameter(list(shape), np.float16, name="x")
    model = ov.Model([op.result(op.reduce_mean(x, np.array([2, 3]), True))], [x], "means")
    api.lower(from_openvino(model), api.load_hardware(machine))


@pytest.mark.parametrize("machine", MACHINES)
def test_rows_that_are_padded_on_the_dpu_are_all_there(machine: str) -> None:
    """103 rows are 26 of 4, the last of 3: what follows works on each tile's own."""
    x = op.parameter([103, 48], np.float16, name="x")
    product = op.matmul(x, np.ones((16, 48), np.float16), False, True)
    model = ov.Model([op.result(op.maximum(product, np.float16(0.5)))], [x], "rows")
    api.lower(from_openvino(model), api.load_hardware(machine))


@pytest.mark.parametrize("machine", MACHINES)
def test_channels_that_are_padded_are_no_part_of_a_result(machine: str) -> None:
    """49 lines of 16 are 64 channels: what follows works on 98 sums, not on the share of 128."""
    x = op.parameter([7, 7, 16, 2], np.float16, name="x")
    total = op.maximum(op.reduce_sum(x, np.array([2]), False), np.full((1, 7, 2), 0.5, np.float16))
    api.lower(from_openvino(ov.Model([op.result(total)], [x], "channels")), api.load_hardware(machine))


def test_slices_of_a_batch_that_does_not_fit_are_all_of_it() -> None:
    x = op.parameter([7, 16, 64, 24], np.float16, name="x")
    hw = api.load_hardware("lunarlake.yaml", ["tiles=1", "cmx.kib_per_tile=64"])
    api.lower(from_openvino(ov.Model([op.result(op.relu(x))], [x], "batch")), hw)


def test_several_results_that_nothing_makes_are_copied() -> None:
    x = op.parameter([2, 2, 1, 48], np.float16, name="x")
    largest = op.reduce_max(x, np.array([0]), False)
    part = op.slice(largest, np.array([0]), np.array([1]), np.array([1]), np.array([2]))
    model = ov.Model([op.result(part), op.result(x)], [x], "loose")
    api.lower(from_openvino(model), api.load_hardware("meteorlake-vpunn.yaml"))


@pytest.mark.parametrize("machine", MACHINES)
def test_a_matrix_is_turned_whole_on_one_tile(machine: str) -> None:
    x = op.parameter([160, 160], np.float16, name="x")
    model = ov.Model([op.result(op.transpose(x, np.array([1, 0])))], [x], "matrix")
    api.lower(from_openvino(model), api.load_hardware(machine, ["tiles=1"]))


@pytest.mark.parametrize("machine", MACHINES)
def test_a_kernel_that_makes_more_than_it_reads_makes_all_on_one_tile(machine: str) -> None:
    x = op.parameter([128], np.float16)
    index = op.convert(op.abs(x), "i32")
    ones = op.one_hot(index, np.array(8, np.int32), np.float32(1), np.float32(0), -1)
    model = ov.Model([op.result(op.convert(ones, "f16"))], [x], "spread")
    api.lower(from_openvino(model), api.load_hardware(machine, ["tiles=1"]))


@pytest.mark.parametrize("machine", MACHINES)
def test_a_dimension_that_no_operand_has_is_made(machine: str) -> None:
    x = op.parameter([128], np.float16)
    rows = op.broadcast(op.cum_sum(x, np.array(0)), np.array([31, 128]))
    model = ov.Model([op.result(op.add(rows, np.full([13, 1, 1], 0.5, np.float16)))], [x], "spread")
    api.lower(from_openvino(model), api.load_hardware(machine))


@pytest.mark.parametrize("machine", MACHINES)
def test_a_kernel_across_rows_is_not_cut_with_the_choice_before_it(machine: str) -> None:
    x = op.parameter([24, 160, 24, 24], np.float16)
    chosen = op.select(np.tri(24, 24, dtype=bool), np.float16(0), x)
    model = ov.Model([op.result(op.cum_sum(chosen, np.array(0)))], [x], "across")
    api.lower(from_openvino(model), api.load_hardware(machine, ["tiles=1"]))
