"""Passes: every law that one relies on is ensured before it, laws hold after each, and a broken one names the pass."""

from __future__ import annotations

from dataclasses import replace

import pytest

import npusim
from npusim.errors import BrokenLaw
from npusim.hardware.schema import Hardware
from npusim.lowering import PASSES, lower
from npusim.lowering.laws import NODES_IN_ORDER, OUTPUTS_MADE
from npusim.lowering.passes import CHECK, Module, Pass, run_passes

MODELS = (
    ("mamba2-130m", {"tokens": 40, "layers": 2}),
    ("mamba-130m", {"phase": "decode", "layers": 2}),
    ("resnet-50-int8", {}),
    ("bert-base", {}),
)


def test_what_a_pass_requires_was_ensured_before_it() -> None:
    ensured: set[str] = set()
    for one in PASSES:
        missing = {law.name for law in one.requires} - ensured
        assert not missing, f"{one.name} relies on {missing}"
        ensured |= {law.name for law in one.ensures}
    assert len({one.name for one in PASSES}) == len(PASSES)
    assert all(one.run.__doc__ for one in PASSES)


@pytest.mark.parametrize("file", ["lunarlake.yaml", "meteorlake.yaml", "pantherlake.yaml"])
@pytest.mark.parametrize(("workload", "options"), MODELS, ids=[name for name, _ in MODELS])
def test_laws_hold_after_every_pass(
    workload: str, options: dict[str, object], file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    hw, graph = npusim.load_hardware(file), npusim.build_workload(workload, **options)
    monkeypatch.setenv(CHECK, "0")
    unchecked = lower(graph, hw)
    monkeypatch.setenv(CHECK, "1")
    assert lower(graph, hw) == unchecked


def _reversed(module: Module, hw: Hardware) -> Module:
    return replace(module, nodes=list(reversed(module.nodes)))


def _headless(module: Module, hw: Hardware) -> Module:
    return replace(module, nodes=module.nodes[:-1])


@pytest.mark.parametrize(("harm", "law"), [(_reversed, NODES_IN_ORDER), (_headless, OUTPUTS_MADE)])
def test_a_broken_law_names_the_passes_before_it(harm, law, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CHECK, "1")
    hw, graph = (
        npusim.load_hardware("lunarlake.yaml"),
        npusim.build_workload("mamba2-130m", tokens=4, layers=1),
    )
    fuse = [one.name for one in PASSES].index("fuse")
    passes = (*PASSES[: fuse + 1], Pass("harm", harm))
    with pytest.raises(BrokenLaw, match=f"{law.name}.*fuse, harm"):
        run_passes(passes, Module(graph), hw)
