from pathlib import Path

import pytest

SMALL = """\
name: small
platform: "4000"
tiles: 2
clocks:
  dpu_mhz: 1000
  vpu_mhz: 500
dpu:
  macs_per_cycle: {int8: 2048, fp16: 1024}
  costs:
    conv: {}
    cells: {}
shave:
  per_tile: 2
  kernels:
    default: {startup_cycles: 1000, per_cycle: 1}
dma:
  engines: 2
  bytes_per_cycle: 64
  paths:
    ddr_to_cmx: {startup_cycles: 100, bytes_per_cycle: 50}
    cmx_to_ddr: {startup_cycles: 100, bytes_per_cycle: 50}
    cmx_to_cmx: {startup_cycles: 100, bytes_per_cycle: 50}
    ddr_to_ddr: {startup_cycles: 100, bytes_per_cycle: 25}
ddr:
  bandwidth_gbps: 50
  latency_ns: 200
  contention: true
cmx:
  kib_per_tile: 1024
energy: {mac_int8_pj: 0.1, mac_fp16_pj: 0.3, shave_op_pj: 5, cmx_byte_pj: 1, ddr_byte_pj: 40}
software:
  name: none
  fused_activations: [Relu, Clamp]
dvfs: {lowest_dpu_mhz: 900, highest_dpu_mhz: 1950, vpu_share: 0.571}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def small(folder: Path) -> Path:
    """A valid hardware file ``small.yaml`` in the current folder."""
    (folder / "small.yaml").write_text(SMALL)
    return folder / "small.yaml"
