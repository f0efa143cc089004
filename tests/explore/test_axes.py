"""What an axis may say, and how mistakes are told."""

from __future__ import annotations

import pytest

from npusim import load_hardware
from npusim.errors import UserError
from npusim.explore.axes import Axis, bind, parse_axis, parse_rewrites, read_axes
from npusim.explore.space import Space, grid, latin_hypercube
from npusim.source import ModelSource

HW = load_hardware("lunarlake.yaml")
SOURCE = ModelSource()


def axis(text: str) -> Axis:
    return bind([parse_axis(text)], HW, SOURCE)[0]


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("tiles=1,2,4,6", (1, 2, 4, 6)),
        ("tiles=1:6:6", (1, 2, 3, 4, 5, 6)),
        ("ddr.bandwidth_gbps=34:136:3", (34.0, 85.0, 136.0)),
        ("ddr.bandwidth_gbps=136:34:2", (136.0, 34.0)),
        ("clocks.vpu_mhz=800:1200:5", (800.0, 900.0, 1000.0, 1100.0, 1200.0)),
        ("tokens=128:2048:5:log", (128, 256, 512, 1024, 2048)),
        ("ddr.contention=true,false", (True, False)),
        ("software.reduce_sum_engine=dpu,shave", ("dpu", "shave")),
        ("shave.kernels.exp.per_cycle=1,2.5", (1.0, 2.5)),
        ("dpu.costs.conv.fp16.c0=1e2", (100.0,)),
        ("workload=mamba2-130m,mamba-130m", ("mamba2-130m", "mamba-130m")),
        ("phase=prefill,decode", ("prefill", "decode")),
        ("xamba=none,cumba+reduba,auto,actiba{segments=16,range=-8:8}",
         ("none", "cumba,reduba", "auto", "actiba{segments=16,range=-8:8}")),
    ],
)  # fmt: skip
def test_values(text: str, values: tuple[object, ...]) -> None:
    found = axis(text).values
    assert found == values
    assert [type(value) for value in found] == [type(value) for value in values]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("tiles", "must have the form NAME=1,2,4"),
        ("tiles=", "must have the form"),
        ("tiles=1,,2", "a value is missing"),
        ("tiles=1:6", "a range is START:STOP:COUNT"),
        ("tiles=1:6:x", "a range is START:STOP:COUNT"),
        ("tiles=1:6:4", "whole number"),
        ("tiles=0,1", "at least 1"),
        ("tiles=1.5", "a whole number"),
        ("tiles=2,2", "given twice"),
        ("tiles=many", "a whole number"),
        ("ddr.bandwidth_gbps=0:10:3:log", "above 0"),
        ("ddr.bandwidth_gbps=-1,5", "at least 0.001"),
        ("ddr.bandwidth_gbps=5:5:3", "empty"),
        ("ddr.bandwidth_gbps=1:inf:3", "finite"),
        ("ddr.bandwidth_gbps=1:5:0", "COUNT must be"),
        ("ddr.bandwith_gbps=5", "did you mean 'bandwidth_gbps'"),
        ("dpu_mhz=5", "did you mean 'clocks.dpu_mhz'"),
        ("token=5", "did you mean 'tokens'"),
        ("clocks=5", "a section; an axis varies one value in it"),
        ("software.unsplit_kernels=erf", "a list"),
        ("clocks.dpu_mhz.x=5", "a single value"),
        ("dpu.ppe.lut.segments=8", "is null here"),
        ("tokens=0,5", "from 1 to"),
        ("tokens=1.5", "whole number"),
        ("phase=both", "prefill or decode"),
        ("workload=mamba3", "unknown workload"),
        ("xamba=none,,cumba", "a pipeline is missing"),
        ("xamba=cumber", "there is no rule 'cumber'"),
        ("software.reduce_sum_engine=gpu", "must be one of"),
    ],
)
def test_mistakes_are_told_in_one_line(text: str, words: str) -> None:
    with pytest.raises(UserError) as caught:
        axis(text)
    assert str(caught.value).startswith(f"--axis {text}: ")
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_axis_given_twice() -> None:
    with pytest.raises(UserError, match="'tiles' is given twice"):
        bind([parse_axis("tiles=1"), parse_axis("tiles=2")], HW, SOURCE)


def test_rewrites_are_points_and_plus_joins_rules() -> None:
    texts = parse_rewrites(["none,cumba,auto", "cumba+reduba"])
    assert bind(texts, HW, SOURCE)[0].values == ("none", "cumba", "auto", "cumba,reduba")
    assert parse_rewrites([]) == []


def test_a_model_file_has_no_tokens(tiny: ModelSource) -> None:
    with pytest.raises(UserError, match="built-in workload only"):
        bind([parse_axis("tokens=1,2")], HW, tiny)


def test_yaml_says_the_same_as_the_command_line() -> None:
    text = "tiles: [1, 2]\nddr.bandwidth_gbps: 34:136:3\nxamba: [none, cumba+reduba]\ntokens: 64\n"
    options = ["tiles=1,2", "ddr.bandwidth_gbps=34:136:3", "xamba=none,cumba+reduba", "tokens=64"]
    assert bind(read_axes(text, "s.yaml"), HW, SOURCE) == bind(
        [parse_axis(one) for one in options], HW, SOURCE
    )


@pytest.mark.parametrize(
    ("text", "start"),
    [
        ("tiles: [1, 2]\ncmx: {a: 1}\n", "s.yaml:2:1: cmx: must be a list"),
        ("tiles: [1, [2]]\n", "s.yaml:1:12: tiles: a value must be"),
        ("tiles: [0]\n", "s.yaml:1:1: tiles: "),
        ("\ntile: [1]\n", "s.yaml:2:1: tile: there is no 'tile'"),
        ("tiles: 1:6\n", "s.yaml:1:1: tiles: a range is"),
        ("tiles: [1]\ntiles: [2]\n", "s.yaml:2:1: key 'tiles' is given twice"),
        ("- tiles\n", "s.yaml:1:1: a space is a mapping"),
        ("", "s.yaml:1:1: a space is a mapping"),
    ],
)
def test_mistakes_in_a_file_have_a_place(text: str, start: str) -> None:
    with pytest.raises(UserError) as caught:
        bind(read_axes(text, "s.yaml"), HW, SOURCE)
    assert str(caught.value).startswith(start)


def test_a_grid_has_every_combination_once() -> None:
    axes = bind([parse_axis("tiles=1,2"), parse_axis("tokens=8,16,32")], HW, SOURCE)
    assert grid(axes) == [(1, 8), (1, 16), (1, 32), (2, 8), (2, 16), (2, 32)]
    huge = bind([parse_axis("tokens=1:2000:2000"), parse_axis("batch=1:2000:2000")], HW, SOURCE)
    with pytest.raises(UserError, match="4,000,000 points"):
        grid(huge)


def test_a_latin_hypercube_has_one_point_in_every_part() -> None:
    axes = bind([parse_axis("ddr.bandwidth_gbps=0.001:100:2"), parse_axis("tokens=1:1000:2"),
                 parse_axis("phase=prefill,decode")], HW, SOURCE)  # fmt: skip
    points = latin_hypercube(axes, 50, seed=3)
    assert points == latin_hypercube(axes, 50, seed=3) != latin_hypercube(axes, 50, seed=4)
    assert sorted(int(bandwidth / 2) for bandwidth, _, _ in points) == list(range(50))
    assert all(type(tokens) is int and 1 <= tokens <= 1000 for _, tokens, _ in points)
    assert sum(phase == "decode" for _, _, phase in points) == 25


def test_a_point_is_the_hardware_that_set_makes(space: Space) -> None:
    for point in grid(space.axes):
        sets = [f"{one.name}={value!r}" for one, value in zip(space.axes, point, strict=True)]
        assert space.at(point)[0] == load_hardware("lunarlake.yaml", sets)
    assert len({space.key(point) for point in grid(space.axes)}) == len(grid(space.axes))
