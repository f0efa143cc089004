"""Keys and values of a file: read where they lie, values transposed, and only new rows written."""

from __future__ import annotations

import pytest

from npusim import api, load_hardware
from npusim.llm.read import Read
from npusim.llm.static import stateless
from tests.llm import stateful

HEADS, KEY_HEADS, HEAD = 16, 8, 128


@pytest.fixture(scope="module")
def model() -> Read:
    """Three layers of attention of the sizes of Qwen3-0.6B."""
    with pytest.MonkeyPatch.context() as patch:
        for name, size in {"WIDTH": 1024, "HEADS": HEADS, "KEY_HEADS": KEY_HEADS, "HEAD": HEAD}.items():
            patch.setattr(stateful, name, size)
        return Read("decoder", *stateless(stateful.build("aaa")))


def test_a_layer_takes_what_is_joined_and_gives_new_rows(model: Read) -> None:
    for part in model.parts(1, 255):
        graph = part.graph()
        shapes = {graph.tensors[i].name: graph.tensors[i].shape for i in graph.inputs}
        kept = {name: shape for name, shape in shapes.items() if name.startswith("past_key_values")}
        if not kept:
            continue
        assert {name[-3:]: shape for name, shape in kept.items()} == {
            "key": (1, KEY_HEADS, 256, HEAD),
            "lue": (1, KEY_HEADS, HEAD, 256),
        }
        assert all(graph.tensors[i].dtype == "f16" for i in graph.inputs if graph.tensors[i].name in kept)
        assert [graph.tensors[i].shape for i in graph.outputs].count((1, KEY_HEADS, 1, HEAD)) == 2
        assert (1, KEY_HEADS, 256, HEAD) not in [graph.tensors[i].shape for i in graph.outputs]


@pytest.mark.parametrize("file", ["lunarlake.yaml", "meteorlake.yaml"])
def test_a_token_more_in_the_cache_costs_what_reading_it_once_costs(model: Read, file: str) -> None:
    hw = load_hardware(file)

    def us(past: int) -> float:
        return sum(
            part.count * api.simulate(api.lower(part.graph(), hw), hw, "fast", allow_guess=True).latency_us
            for part in model.parts(1, past)
        )

    once = 3 * 2 * KEY_HEADS * HEAD * 2 / hw.ddr.bandwidth_gbps / 1e3
    assert 0.9 * once <= (us(4223) - us(1151)) / 3072 <= 2 * once
