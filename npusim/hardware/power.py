"""Power modes of a machine: the clocks and the memory speed that a limit leaves it (``power`` of a hardware file)."""

from __future__ import annotations

from npusim.hardware.errors import HardwareError
from npusim.hardware.schema import Hardware
from npusim.text import did_you_mean


def power_overrides(hw: Hardware, mode: str) -> tuple[str, ...]:
    """What a power mode sets, as overrides. Raises HardwareError for one that ``hw`` does not have."""
    if mode not in hw.power:
        there = (
            f"it has {', '.join(hw.power)}{did_you_mean(mode, list(hw.power))}" if hw.power else "it has none"
        )
        raise HardwareError(f"--power {mode}: {hw.name} has no such power mode; {there}")
    chosen = hw.power[mode]
    values = {
        "clocks.dpu_mhz": chosen.dpu_mhz,
        "clocks.vpu_mhz": chosen.vpu_mhz,
        "ddr.bandwidth_gbps": chosen.ddr_gbps,
    }
    return tuple(f"{path}={value:g}" for path, value in values.items() if value is not None)
