"""Every op of OpenVINO's opsets is costed on every platform, or refused by name and with a reason."""

from __future__ import annotations

import pytest

from benchmarks import op_models, ops
from npusim import api
from npusim.graph import from_openvino
from npusim.lowering.fuse.refused import REFUSED

#: Ops of which nobody has a schedule: ``fuse.refused``, and what has no largest shape.
REFUSED_HERE = {"binary_convolution", "ctc_loss", "sparse_fill_empty_rows"}


@pytest.mark.parametrize("name", op_models.MODELS)
def test_it_is_costed_or_refused_with_a_reason(name: str) -> None:
    found = {platform: ops.outcome(name, platform) for platform in ops.ESTIMATORS}
    refused = {platform for platform, one in found.items() if one.refused}
    assert refused == (set(ops.ESTIMATORS) if name in REFUSED_HERE else set()), found
    assert all(one.latency_us > 0 for one in found.values() if not one.refused)


def test_what_the_compiler_takes_is_taken() -> None:
    taken = {op for (op, _), total in ops.compiled().items() if total}
    assert taken <= op_models.MODELS.keys() - REFUSED_HERE


def test_refusals_are_of_types_that_exist() -> None:
    types = {op.get_type_name() for name in REFUSED_HERE for op in op_models.model(name).get_ops()}
    assert {"BinaryConvolution", "CTCLoss", "SparseFillEmptyRows"} <= types & REFUSED.keys()


@pytest.mark.parametrize("name", ["lstm_sequence", "gru_sequence", "lstm_cell"])
def test_weights_may_be_inputs(name: str) -> None:
    model = op_models.model(name)
    constants = [
        n for n in model.get_ops() if n.get_type_name() == "Constant" and len(n.get_output_shape(0)) > 1
    ]
    for number, node in enumerate(constants):
        given = op_models.o.parameter(list(node.get_output_shape(0)), op_models.F, name=f"weights{number}")
        node.output(0).replace(given.output(0))
        model.add_parameters([given])
    hw = api.load_hardware("lunarlake-vpunn.yaml")
    assert api.simulate(api.lower(from_openvino(model), hw), hw, "fast").latency_us > 0


def test_the_page_is_fresh() -> None:
    """Of a few ops: the whole page takes a minute (``python -m benchmarks.ops``)."""
    written = ops.PAGE.read_text().splitlines()
    assert len(written) == len(ops.HEAD.splitlines()) + len(op_models.MODELS)
    said = ops.compiled()
    for name in ("abs", "convolution", "gru_cell", "loop"):
        expected = ops.compared(ops.outcome(name, "4000").latency_us, said[name, "4000"])
        assert any(line.startswith(f"| {name} |") and expected in line for line in written), name
