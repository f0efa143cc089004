"""Power modes of a machine: the clocks and the memory speed that a limit leaves it (``power`` of a hardware file)."""

from __future__ import annotations

from pathlib import Path

from npusim.hardware.errors import HardwareError, did_you_mean
from npusim.hardware.load import load_hardware


def power_overrides(file: str | Path, mode: str) -> tuple[str, ...]:
    """What a power mode sets in a hardware file, as overrides. Raises HardwareError for one that it does not have."""
    modes = load_hardware(file).power
    if mode not in modes:
        there = f"it has {', '.join(modes)}{did_you_mean(mode, list(modes))}" if modes else "it has none"
        raise HardwareError(f"--power {mode}: {file} has no such power mode; {there}")
    chosen = modes[mode]
    values = {
        "clocks.dpu_mhz": chosen.dpu_mhz,
        "clocks.vpu_mhz": chosen.vpu_mhz,
        "ddr.bandwidth_gbps": chosen.ddr_gbps,
    }
    return tuple(f"{path}={value:g}" for path, value in values.items() if value is not None)
