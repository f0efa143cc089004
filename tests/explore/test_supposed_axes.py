"""Sweeps over what hypothetical machines have: zeros that are skipped, tables of weights, tiers of memory, blocks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import openvino as ov
import pytest
from openvino import opset13 as op

import npusim
from npusim import xamba
from npusim.explore.axes import bind, parse_axis
from npusim.explore.space import Space, grid
from npusim.explore.sweep import sweep
from npusim.source import ModelSource


@pytest.fixture(scope="module")
def layers(tmp_path_factory: pytest.TempPathFactory) -> ov.Model:
    """Three products of 64 rows with weights of their own, each before a ReLU."""
    draw = np.random.default_rng(0)
    x = value = op.parameter([64, 512], np.float16, name="x")
    for number in range(3):
        weights = op.constant(draw.standard_normal((512, 512)).astype(np.float16))
        value = op.matmul(value, weights, False, True)
        value.set_friendly_name(f"layers.{number}")
        value = op.relu(value)
        value.set_friendly_name(f"layers.{number}.relu")
    return ov.Model([op.result(value)], [x], "layers")


_ALWAYS = ["memory.tiers.mram.holds=always"]


@pytest.mark.parametrize(
    ("file", "overrides", "passes", "axis", "column", "factor"),
    [
        ("lunarlake-mram", _ALWAYS, "", "memory.tiers.mram.read_gbps=1000,100,10", "latency_us", 5),
        ("lunarlake-mram", _ALWAYS, "", "memory.tiers.mram.kib=4096,1024,256", "energy_uj", 2),
        ("lunarlake-sparse-activations", [], "", "dpu.sparsity.relu_zeros=0.9,0.5,0", "dpu_us", 1.02),
        (
            "pantherlake-tables",
            [],
            "quantize{weights=3bit-table}",
            "dpu.weight_tables.lookups_per_cycle=256,64,16",
            "dpu_us",
            1.5,
        ),
        ("lunarlake-spiking", [], "", "blocks.snn.events.rate=0.01,0.1,1", "latency_us", 50),
    ],
)
def test_a_point_is_the_run_it_stands_for_and_less_of_a_good_thing_never_helps(
    layers: ov.Model, tmp_path: Path, file, overrides, passes, axis, column, factor
) -> None:
    path = tmp_path / "m.xml"
    ov.save_model(xamba.apply(layers, passes)[0], path, compress_to_fp16=False)
    name = f"whatif/{file}.yaml"
    hw, source = npusim.load_hardware(name, overrides), ModelSource(file=path)
    axes = bind([parse_axis(axis)], hw, source)
    table = sweep(Space(hw, source, axes), grid(axes)).table
    values = table[column].tolist()
    assert values == sorted(values)
    assert values[-1] > factor * values[0]
    where, _, choices = axis.partition("=")
    for value, swept in zip(choices.split(","), table["latency_us"], strict=True):
        alone = npusim.load_hardware(name, [*overrides, f"{where}={value}"])
        assert swept == npusim.simulate(npusim.lower(npusim.load_model(path), alone), alone).latency_us
