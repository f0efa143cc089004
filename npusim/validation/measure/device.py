"""The device that is measured: whether it is there, and what it tells of itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from npusim.errors import UserError
from npusim.hardware import HardwareError, file_of, load_hardware
from npusim.validation.measure.file import DeviceFacts

#: What is kept of a device's own words, if it tells it (OpenVINO's property names).
_TOLD = (
    "OPTIMIZATION_CAPABILITIES", "NPU_DRIVER_VERSION", "NPU_COMPILER_VERSION", "NPU_COMPILER_TYPE", "NPU_MAX_TILES",
    "NPU_TURBO", "NPU_DEVICE_TOTAL_MEM_SIZE", "DEVICE_GOPS", "INFERENCE_PRECISION_HINT",
)  # fmt: skip
#: Clocks that the Linux driver (ivpu) shows, MHz.
_SYSFS = Path("/sys/class/accel")
_SYSFS_CLOCKS = ("npu_max_frequency_mhz", "npu_current_frequency_mhz")
_HOW = (
    "it needs a Core Ultra and Intel's NPU driver (Linux: github.com/intel/linux-npu-driver/releases; Windows: Windows "
    "Update); --device CPU measures on the CPU"
)


def require(device: str) -> Any:
    """An openvino.Core that has ``device``. Raises UserError, saying how to get one, where there is none."""
    from openvino import Core

    core = Core()
    there = core.available_devices
    if device.partition(".")[0] not in {name.partition(".")[0] for name in there}:
        how = f"; {_HOW}" if device.startswith("NPU") else ""
        raise UserError(
            f"there is no {device} that OpenVINO could use here (it sees {', '.join(there)}){how}"
        )
    return core


def device_facts(core: Any, device: str) -> DeviceFacts:
    """What the device tells of itself."""
    import openvino

    told = {name: text for name in _TOLD if (text := _property(core, device, name))}
    architecture = _property(core, device, "DEVICE_ARCHITECTURE")
    is_npu = device.startswith("NPU")
    if is_npu:
        told |= _sysfs_clocks()
    return DeviceFacts(
        name=device,
        full_name=_property(core, device, "FULL_DEVICE_NAME"),
        architecture=architecture,
        driver=told.get("NPU_DRIVER_VERSION", ""),
        openvino=openvino.get_version(),
        clock_mhz=_clock_mhz(core, device, architecture) if is_npu else None,
        properties=told,
    )


def _property(core: Any, device: str, name: str) -> str:
    try:
        value = core.get_property(device, name)
    except RuntimeError:
        return ""
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _clock_mhz(core: Any, device: str, architecture: str) -> float | None:
    """The highest DPU clock, from DEVICE_GOPS: the plugin computes it as clock x tiles x operations a cycle and tile
    (openvino intel_npu zero_device.cpp), and an operation is half a multiply-accumulate."""
    try:
        file = file_of(architecture, "silicon")
        gops = {
            kind.get_type_name(): value for kind, value in core.get_property(device, "DEVICE_GOPS").items()
        }
        tiles = int(core.get_property(device, "NPU_MAX_TILES"))
    except (HardwareError, RuntimeError, AttributeError, TypeError, ValueError):
        return None
    ops_per_cycle = 2 * load_hardware(file).dpu.macs_per_cycle.int8
    mhz = 1000 * gops.get("i8", 0.0) / (tiles * ops_per_cycle) if tiles else 0.0
    return round(mhz, 1) if mhz > 0 else None


def _sysfs_clocks() -> dict[str, str]:
    """What the Linux driver shows, by file name."""
    found = {}
    for name in _SYSFS_CLOCKS:
        for path in sorted(_SYSFS.glob(f"accel*/device/{name}")):
            try:
                found[name] = path.read_text().strip()
            except OSError:
                continue
    return found
