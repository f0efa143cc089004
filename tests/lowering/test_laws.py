"""Laws of lowering: over random models and hardware, a Program is executable, fits CMX and obeys every roofline."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import openvino as ov
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from npusim.analysis.metrics import metrics
from npusim.analysis.roofline import lower_bounds
from npusim.costs.price import price
from npusim.engine.event import simulate
from npusim.engine.fast import simulate_fast
from npusim.errors import UserError
from npusim.graph import from_openvino
from npusim.hardware import Hardware, load_hardware
from npusim.lowering import lower
from npusim.program import Program
from tests.lowering.laws import check_barriers, check_cmx
from tests.lowering.models import models

_FILES = (
    "lunarlake.yaml",
    "meteorlake.yaml",
    "pantherlake.yaml",
    "lunarlake-vpunn.yaml",
    "lunarlake-2025.yaml",
)
_CACHE: dict[tuple[str, int, int], Hardware] = {}
_law = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def hardware(name: str, tiles: int, kib: int) -> Hardware:
    key = (name, tiles, kib)
    if key not in _CACHE:
        _CACHE[key] = load_hardware(name, [f"tiles={tiles}", f"cmx.kib_per_tile={kib}"])
    return _CACHE[key]


machines = st.builds(hardware, st.sampled_from(_FILES), st.integers(1, 6), st.sampled_from((64, 300, 1440)))


def lowered(model: ov.Model, hw: Hardware) -> Program | None:
    """The Program, or None where the model does not fit the machine (which must be said in one line)."""
    try:
        return lower(from_openvino(model), hw)
    except UserError as error:
        assert "\n" not in str(error)
        assert "does not fit the scratchpad" in str(error)
        assert "gap 0.0 KiB" not in str(error)
        return None


@_law
@given(models(), machines)
def test_programs_are_executable_and_fit(model: ov.Model, hw: Hardware) -> None:
    program = lowered(model, hw)
    if program is None:
        return
    prices = price(program, hw, allow_guess=True)
    timeline = simulate(program, prices)
    check_barriers(program)
    check_cmx(program, timeline)
    for bound, least in asdict(lower_bounds(program, prices, hw)).items():
        assert timeline.latency_us >= least * (1 - 1e-9), bound
    found = metrics(timeline, prices, hw)
    assert found.statistics["total_us"] == timeline.latency_us


@_law
@given(models(), machines)
def test_the_fast_engine_agrees(model: ov.Model, hw: Hardware) -> None:
    program = lowered(model, hw)
    if program is None:
        return
    prices = price(program, hw, allow_guess=True)
    reference, fast = simulate(program, prices), simulate_fast(program, prices)
    np.testing.assert_allclose(fast.end_us, reference.end_us, rtol=1e-9, atol=1e-9)


@_law
@given(models(), machines, st.floats(1.0, 4.0))
def test_faster_clocks_never_slow_a_fixed_program(model: ov.Model, hw: Hardware, factor: float) -> None:
    """Without contention (with max-min sharing it is not a law: see tests/engine/test_laws.py)."""
    program = lowered(model, hw)
    if program is None:
        return
    calm = hw.model_copy(update={"ddr": hw.ddr.model_copy(update={"contention": False})})
    clocks = hw.clocks.model_copy(
        update={"dpu_mhz": hw.clocks.dpu_mhz * factor, "vpu_mhz": hw.clocks.vpu_mhz * factor}
    )
    faster = calm.model_copy(update={"clocks": clocks})
    before = simulate(program, price(program, calm, allow_guess=True))
    after = simulate(program, price(program, faster, allow_guess=True))
    assert (after.end_us <= before.end_us * (1 + 1e-12)).all()


_PRINT = """
import hashlib, sys
import openvino
from npusim.graph import load_model
from npusim.hardware import load_hardware
from npusim.lowering import lower
program = lower(load_model(sys.argv[1]), load_hardware("lunarlake.yaml"))
print(hashlib.sha256(repr((list(program.tasks), program.buffers, program.ops)).encode()).hexdigest())
"""


def _shuffled(xml: str) -> str:
    """The same IR with its layers in reverse order."""
    head, rest = xml.split("<layers>")
    layers, tail = rest.split("</layers>")
    parts = [part + "</layer>" for part in layers.split("\n\t\t</layer>") if "<layer " in part]
    return (
        head
        + "<layers>"
        + "\n".join(p.replace("</layer>", "\n\t\t</layer>") for p in reversed(parts))
        + "</layers>"
        + tail
    )


def test_nothing_depends_on_hash_seed_or_order_of_layers(tmp_path: Path) -> None:
    workloads = pytest.importorskip("npusim.workloads")
    model = workloads.build("mamba2-130m", layers=1, tokens=16, chunk=16)
    ov.save_model(model, tmp_path / "a.xml")
    (tmp_path / "b.xml").write_text(_shuffled((tmp_path / "a.xml").read_text()))
    (tmp_path / "b.bin").write_bytes((tmp_path / "a.bin").read_bytes())
    digests = set()
    for name, seed in (("a.xml", "1"), ("a.xml", "2"), ("b.xml", "3")):
        run = subprocess.run(
            [sys.executable, "-c", _PRINT, str(tmp_path / name)],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(Path(__file__).parents[2])},
        )
        digests.add(run.stdout)
    assert len(digests) == 1
