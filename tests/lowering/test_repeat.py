"""Equal layers are lowered once, and nobody can tell: the Program is the one that lowering layer by layer gives."""

from __future__ import annotations

import pytest

import npusim
from npusim.lowering import lower
from npusim.lowering.ir.repeat import Repeat
from npusim.lowering.place import replicate
from npusim.lowering.schedule.replay import Replay

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


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_program_is_the_same_with_and_without_copies(case, monkeypatch: pytest.MonkeyPatch) -> None:
    workload, options, file, overrides = case
    hw = npusim.load_hardware(file, list(overrides))
    graph = npusim.build_workload(workload, **options)
    copied = lower(graph, hw)
    monkeypatch.setattr(replicate, "find_repeat", lambda nodes, outputs: None)
    assert copied == lower(graph, hw)


def test_layers_are_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[Repeat | None] = []
    blocks: list[int] = []
    find, copy = replicate.find_repeat, Replay._copy
    monkeypatch.setattr(replicate, "find_repeat", lambda *given: found.append(find(*given)) or found[-1])
    monkeypatch.setattr(Replay, "_copy", lambda self, *given: blocks.append(given[-1]) or copy(self, *given))
    graph = npusim.build_workload("mamba2-130m", tokens=256)
    lower(graph, npusim.load_hardware("lunarlake.yaml"))
    assert found[0] is not None
    assert found[0].count >= 20
    assert sum(blocks) >= 15
