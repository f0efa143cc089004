"""What is in the built graphs: stock operators in stock number and shape, FP16 weights, names and ports."""

import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import openvino as ov
import pytest

from npusim import workloads
from npusim.workloads import Mamba2Config, MambaConfig

TINY2 = Mamba2Config(name="tiny2", title="", layers=3, d_model=32, vocab=64, d_state=16, head_dim=8, chunk=8)
TINY = MambaConfig(name="tiny", title="", layers=3, d_model=32, vocab=64, d_state=8)

# Counted in Intel's reference exports of the Hugging Face code (vendor_schedules/models/ssm in the reference data)
# without what computes shapes and masks there (constants here). `FOLDED` is in every trained model but not in those
# exports, whose norm gains and D are exactly one and whose decode biases are exactly zero.
MAMBA2_PREFILL = {
    "Parameter": 1, "Result": 1, "Gather": 2, "Power": 3, "ReduceMean": 3, "Add": 8, "Sqrt": 3, "Divide": 3,
    "Multiply": 15, "MatMul": 2, "Slice": 6, "Transpose": 11, "GroupConvolution": 1, "Swish": 2, "VariadicSplit": 1,
    "Reshape": 9, "Tile": 2, "Pad": 1, "Unsqueeze": 18, "ReduceSum": 6, "SoftPlus": 1, "Clamp": 1, "Broadcast": 2,
    "Select": 4, "CumSum": 3, "Exp": 4, "Subtract": 1, "Concat": 1,
}  # fmt: skip
MAMBA2_PADDED = {**MAMBA2_PREFILL, "Pad": 6, "Slice": 7}
MAMBA2_DECODE = {
    "Parameter": 3, "Result": 3, "Power": 2, "ReduceMean": 2, "Add": 6, "Sqrt": 2, "Divide": 2, "Multiply": 10,
    "MatMul": 2, "VariadicSplit": 2, "SoftPlus": 1, "Clamp": 1, "Exp": 1, "Unsqueeze": 9, "Slice": 1, "Concat": 1,
    "ReduceSum": 2, "Swish": 2, "Reshape": 2,
}  # fmt: skip
MAMBA_FOUR_TOKENS = {
    "Parameter": 1, "Result": 1, "Gather": 17, "Power": 2, "ReduceMean": 2, "Add": 10, "Sqrt": 2, "Divide": 2,
    "Multiply": 10, "MatMul": 8, "Transpose": 2, "Slice": 3, "GroupConvolution": 1, "Swish": 2, "VariadicSplit": 1,
    "SoftPlus": 1, "Unsqueeze": 11, "Exp": 1, "Concat": 1,
}  # fmt: skip
MAMBA_DECODE = {
    "Parameter": 3, "Result": 3, "Slice": 3, "Power": 1, "ReduceMean": 1, "Add": 5, "Sqrt": 1, "Divide": 1,
    "Multiply": 9, "MatMul": 4, "Unsqueeze": 5, "Concat": 1, "ReduceSum": 2, "Swish": 2, "VariadicSplit": 1,
    "SoftPlus": 1, "Exp": 1,
}  # fmt: skip


def _types(model: ov.Model) -> Counter[str]:
    return Counter(node.get_type_name() for node in model.get_ops())


def _node(model: ov.Model, name: str) -> ov.Node:
    return next(node for node in model.get_ops() if node.get_friendly_name() == name)


def _shape(model: ov.Model, name: str, port: int = 0) -> list[int]:
    return list(_node(model, name).input(port).get_shape())


def _ports(ports: list[ov.Output]) -> dict[str, list[int]]:
    return {port.get_any_name(): list(port.get_shape()) for port in ports}


@pytest.mark.parametrize(
    ("name", "arguments", "exported", "folded"),
    [
        ("mamba2-130m", {"tokens": 4, "layers": 1, "lm_head": False}, MAMBA2_PADDED, {"Multiply": 3}),
        ("mamba2-2.7b", {"tokens": 4, "layers": 1, "lm_head": False}, MAMBA2_PADDED, {"Multiply": 3}),
        ("mamba2-130m", {"tokens": 512, "layers": 1, "lm_head": False}, MAMBA2_PREFILL, {"Multiply": 3}),
        ("mamba2-130m", {"phase": "decode", "block_only": True}, MAMBA2_DECODE, {"Multiply": 2, "Add": 1}),
        ("mamba-130m", {"tokens": 4, "layers": 1, "lm_head": False}, MAMBA_FOUR_TOKENS, {"Multiply": 3}),
        ("mamba-1.3b", {"phase": "decode", "block_only": True}, MAMBA_DECODE, {"Multiply": 1, "Add": 1}),
    ],
)
def test_operators_are_those_of_the_stock_export(
    name: str, arguments: dict[str, object], exported: dict[str, int], folded: dict[str, int]
) -> None:
    counts = _types(workloads.build(name, **arguments))
    del counts["Constant"], counts["Convert"]
    assert counts == Counter(exported) + Counter(folded)


def test_the_heavy_tensors_of_mamba2_have_the_stock_shapes() -> None:
    model = workloads.build("mamba2-130m", tokens=512, layers=1, lm_head=False)
    inputs = {
        "cumsum_1": [1, 24, 2, 256],
        "cumsum_2": [1, 24, 2, 256, 256],
        "cumsum_3": [1, 24, 3, 3],
        "scores.reduce_sum": [1, 2, 256, 256, 24, 128],
        "masked.reduce_sum": [1, 2, 256, 256, 24, 1],
        "within.reduce_sum": [1, 2, 256, 256, 24, 64],
        "states.reduce_sum": [1, 2, 24, 256, 128, 64],
        "pass.reduce_sum": [1, 24, 3, 3, 64, 128],
        "across.reduce_sum": [1, 2, 256, 24, 64, 128],
    }
    assert {name: _shape(model, f"layers.0.mixer.{name}") for name in inputs} == inputs
    heavy = [node for node in model.get_ops() if node.get_type_name() in ("CumSum", "ReduceSum")]
    assert len(heavy) == len(inputs)


def test_mamba_unrolls_its_scan_over_tokens() -> None:
    model = workloads.build("mamba-130m", tokens=16, layers=2, lm_head=False)
    assert _types(model)["MatMul"] == 2 * (4 + 16)
    assert _shape(model, "layers.1.mixer.scan.15.matmul") == [1, 1536, 16]


def test_the_default_job_is_the_whole_model_over_256_tokens() -> None:
    model = workloads.build("mamba2-130m")
    counts = _types(model)
    assert (counts["CumSum"], counts["ReduceSum"], counts["MatMul"]) == (3 * 24, 6 * 24, 2 * 24 + 1)
    assert _ports(model.inputs) == {"input_ids": [1, 256]}
    assert _ports(model.outputs) == {"logits": [1, 256, 50288]}
    assert not model.is_dynamic()


@pytest.mark.parametrize("config", [TINY2, TINY], ids=["mamba2", "mamba"])
@pytest.mark.parametrize("phase", ["prefill", "decode"])
def test_every_layer_has_the_same_nodes_under_its_own_name(config: workloads.ModelConfig, phase: str) -> None:
    model = workloads.build(config, phase=phase)
    names = [node.get_friendly_name() for node in model.get_ops()]
    assert len(names) == len(set(names))
    assert not [
        name for name in names if re.fullmatch(r"[A-Z]\w+_\d+", name)
    ]  # OpenVINO's own, and different each time
    layers = [
        {name.removeprefix(f"layers.{layer}.") for name in names if name.startswith(f"layers.{layer}.")}
        for layer in range(config.layers)
    ]
    assert layers[0] == layers[1] == layers[2]
    assert {"norm.scale", "mixer.in_proj", "mixer.in_proj.weight", "mixer.out_proj", "add"} <= layers[0]


def test_states_are_inputs_and_outputs_of_decode() -> None:
    model = workloads.build("mamba2-130m", phase="decode", layers=2, batch=3)
    states = {"conv": [3, 1792, 4], "ssm": [3, 24, 64, 128]}
    past = {f"cache_params.past.{kind}.{layer}": states[kind] for layer in range(2) for kind in states}
    present = {name.replace("past", "present"): shape for name, shape in past.items()}
    assert _ports(model.inputs) == {"input_ids": [3, 1], **past}
    assert _ports(model.outputs) == {"logits": [3, 1, 50288], **present}


def test_prefill_gives_its_states_on_request() -> None:
    model = workloads.build("mamba-130m", tokens=2, layers=1, with_state=True)
    states = {"cache_params.present.conv.0": [1, 1536, 4], "cache_params.present.ssm.0": [1, 1536, 16]}
    assert _ports(model.outputs) == {"logits": [1, 2, 50280], **states}


def test_a_block_alone_has_no_embedding() -> None:
    model = workloads.build("mamba2-370m", block_only=True, tokens=8)
    assert _ports(model.inputs) == {"hidden_states": [1, 8, 1024]}
    assert _ports(model.outputs) == {"block_output": [1, 8, 1024]}
    assert max(np.prod(node.get_output_shape(0)) for node in model.get_ops()
               if node.get_type_name() == "Constant") == 4384 * 1024  # fmt: skip


@pytest.mark.parametrize("config", [TINY2, TINY], ids=["mamba2", "mamba"])
def test_weights_are_fp16_and_widened_where_they_are_used(config: workloads.ModelConfig) -> None:
    for node in workloads.build(config, tokens=8).get_ops():
        if node.get_type_name() == "Constant" and len(node.get_output_shape(0)) > 0:
            kind = node.get_output_element_type(0).get_type_name()
            assert kind in ("f16", "i64", "boolean"), node
            if kind == "f16":
                [user] = node.output(0).get_target_inputs()
                assert user.get_node().get_type_name() == "Convert"


def test_the_head_is_tied_to_the_embedding() -> None:
    model = workloads.build("mamba2-130m", tokens=8, layers=1)
    head, embedding = _node(model, "lm_head"), _node(model, "embeddings")
    assert head.input_value(1).get_node() == embedding.input_value(0).get_node()


def test_masks_are_made_once_for_all_layers() -> None:
    model = workloads.build("mamba2-130m", tokens=8, layers=3, lm_head=False)
    masks = [node for node in model.get_ops() if node.get_output_element_type(0) == ov.Type.boolean]
    assert sorted(list(node.get_output_shape(0)) for node in masks) == [
        [2, 2],
        [2, 2],
        [256, 256],
        [256, 256],
    ]


@pytest.mark.parametrize("config", [TINY2, TINY], ids=["mamba2", "mamba"])
@pytest.mark.parametrize("weights", ["shared", "random"])
def test_the_same_call_gives_the_same_bytes(
    config: workloads.ModelConfig, weights: str, tmp_path: Path
) -> None:
    for copy in ("a", "b"):
        ov.save_model(workloads.build(config, tokens=9, weights=weights), tmp_path / f"{copy}.xml", False)
    assert (tmp_path / "a.xml").read_bytes() == (tmp_path / "b.xml").read_bytes()
    assert (tmp_path / "a.bin").read_bytes() == (tmp_path / "b.bin").read_bytes()


@pytest.mark.parametrize("config", [TINY2, TINY], ids=["mamba2", "mamba"])
def test_a_saved_model_computes_the_same(config: workloads.ModelConfig, tmp_path: Path) -> None:
    model = workloads.build(config, tokens=9, weights="random")
    ov.save_model(model, tmp_path / "model.xml")
    ids = np.arange(9)[None]
    core, hint = ov.Core(), {"INFERENCE_PRECISION_HINT": "f32"}
    built = core.compile_model(model, "CPU", hint)({"input_ids": ids})[0]
    saved = core.compile_model(tmp_path / "model.xml", "CPU", hint)({"input_ids": ids})[0]
    np.testing.assert_array_equal(built, saved)


def test_shared_weights_compute_finite_numbers() -> None:
    """And different ones for different tokens: a rewrite that breaks the model cannot hide behind zeros."""
    model = workloads.build("mamba2-130m", tokens=6, layers=2, chunk=4, lm_head=False)
    hidden = ov.Core().compile_model(model, "CPU")({"input_ids": np.arange(6)[None]})[0]
    assert np.isfinite(hidden).all()
    assert np.abs(hidden[0, 1:] - hidden[0, :-1]).max(axis=-1).min() > 0.1


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from /proc")
def test_the_largest_model_fits_in_little_memory() -> None:
    """2.7 billion FP16 weights would be 5.4 GB; shared, they are the 257 MB of the embedding."""
    code = (  # not ru_maxrss, which a process inherits from the one that started it
        "import re, sys, workloads\n"
        "model = workloads.build('mamba2-2.7b')\n"
        "assert sum(node.get_type_name() == 'CumSum' for node in model.get_ops()) == 3 * 64\n"
        "peak_kib = int(re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1])\n"
        "sys.exit(peak_kib > 600 * 1024)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
