"""Laws of hardware files: the order of keys means nothing, and no value makes a traceback."""

import json
import random
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from npusim import hwconfigs
from npusim.hardware import HardwareError, load_hardware, shipped
from npusim.hardware.load import resolve

GARBAGE = ["-1", "banana", "null", "~", "[1, 2]", "{a: 1}", "1e999", '"quoted"', "true", "0", ".nan", "-0.5"]


@pytest.fixture(scope="module")
def mutant(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hardware") / "mutant.yaml"


def shuffled(value: Any, order: random.Random) -> Any:
    if not isinstance(value, dict):
        return value
    keys = list(value)
    order.shuffle(keys)
    return {key: shuffled(value[key], order) for key in keys}


@settings(max_examples=12, deadline=None)
@given(name=st.sampled_from(shipped()), seed=st.integers(0, 1 << 30))
def test_order_of_keys_changes_nothing(mutant: Path, name: str, seed: int) -> None:
    plain = resolve(hwconfigs.FOLDER / name).plain()
    mutant.write_text(json.dumps(shuffled(plain, random.Random(seed))))
    assert load_hardware(mutant) == load_hardware(hwconfigs.FOLDER / name)


def scalars(node: yaml.Node | None, line: int = 0) -> list[tuple[int, int, int]]:
    """Start, end and line (of the key) of all scalar values below a node."""
    if isinstance(node, yaml.MappingNode):
        return [found for key, value in node.value for found in scalars(value, key.start_mark.line)]
    if isinstance(node, yaml.SequenceNode):
        return [found for item in node.value for found in scalars(item, item.start_mark.line)]
    assert node is not None
    start, end = node.start_mark.index, node.end_mark.index
    return [(start, end, line + 1)] if end > start else []


TEXTS = {name: (hwconfigs.FOLDER / name).read_text() for name in shipped()}
PLACES = {name: scalars(yaml.compose(text, Loader=yaml.CSafeLoader)) for name, text in TEXTS.items()}


@settings(max_examples=80, deadline=None)
@given(data=st.data(), name=st.sampled_from(shipped()), garbage=st.sampled_from(GARBAGE))
def test_garbage_is_refused_in_one_line_or_valid(
    mutant: Path, data: st.DataObject, name: str, garbage: str
) -> None:
    start, end, line = data.draw(st.sampled_from(PLACES[name]))
    mutant.write_text(TEXTS[name][:start] + garbage + TEXTS[name][end:])
    try:
        load_hardware(mutant)
    except HardwareError as error:
        assert str(error).startswith(f"{mutant}:{line}:")
        assert "\n" not in str(error)


def leaves(value: Any, path: str = "") -> list[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        return [
            leaf for key, entry in value.items() for leaf in leaves(entry, f"{path}.{key}" if path else key)
        ]
    return [(path, value)]


@settings(max_examples=30, deadline=None)
@given(data=st.data(), name=st.sampled_from(shipped()))
def test_setting_a_value_to_what_it_is_changes_nothing(data: st.DataObject, name: str) -> None:
    hardware = load_hardware(hwconfigs.FOLDER / name)
    path, value = data.draw(st.sampled_from(leaves(hardware.model_dump(mode="json"))))
    assert load_hardware(hwconfigs.FOLDER / name, [f"{path}={json.dumps(value)}"]) == hardware


@settings(max_examples=80, deadline=None)
@given(text=st.text(max_size=40) | st.binary(max_size=40))
def test_any_text_is_refused_in_one_line(mutant: Path, text: str | bytes) -> None:
    mutant.write_bytes(text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text)
    with pytest.raises(HardwareError) as caught:
        load_hardware(mutant)
    assert len(str(caught.value).splitlines()) == 1


@settings(max_examples=80, deadline=None)
@given(override=st.text(alphabet="clocks.dpu_mhz=1e3-[]{}:,&*!'\"\t\n#", max_size=30) | st.text(max_size=20))
def test_any_override_is_valid_or_refused_in_one_line(override: str) -> None:
    try:
        load_hardware(hwconfigs.FOLDER / "arrowlake.yaml", [override])
    except HardwareError as error:
        assert str(error).startswith("--set ")
        assert len(str(error).splitlines()) == 1
