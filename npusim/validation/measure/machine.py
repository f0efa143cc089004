"""The machine around the device that is measured: what decides how fast it may be, as far as the system tells it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from npusim.validation.measure.file import MachineFacts

_PROFILE = Path("/sys/firmware/acpi/platform_profile")
_SUPPLIES = Path("/sys/class/power_supply")
_DMI = Path("/sys/firmware/dmi/tables/DMI")
_ACCEL = Path("/sys/class/accel")
#: Seconds that a program of Windows has to answer.
_ANSWER_S = 20
_MEMORY = 17
"""Type of a memory device in the SMBIOS table (DMTF DSP0134); it has its configured speed, MT/s, at 0x20."""


def machine_facts(core: Any) -> MachineFacts:
    """What the system tells of itself; what it keeps to itself stays empty."""
    windows = sys.platform == "win32"
    return MachineFacts(
        processor=_processor(core),
        power_mode=_windows_power() if windows else _text(_PROFILE),
        mains=None if windows else _mains(),
        memory_mts=_windows_memory() if windows else memory_speed(_bytes(_DMI)),
    )


def clocks_seen() -> list[float]:
    """The NPU's clock as the Linux driver shows it at this moment, MHz, by device; none elsewhere."""
    shown = (_text(path) for path in sorted(_ACCEL.glob("accel*/device/npu_current_frequency_mhz")))
    return [float(text) for text in shown if text.isdecimal()]


def memory_speed(table: bytes) -> int | None:
    """The configured speed of the first memory device that has one, MT/s, in an SMBIOS table; None where none has."""
    place = 0
    while place + 4 <= len(table):
        kind, length = table[place], table[place + 1]
        if length < 4:
            return None
        speed = int.from_bytes(table[place + 0x20 : place + 0x22], "little") if length >= 0x22 else 0
        if kind == _MEMORY and speed:
            return speed
        end = table.find(b"\0\0", place + length)
        if end < 0:
            return None
        place = end + 2
    return None


def _processor(core: Any) -> str:
    try:
        return str(core.get_property("CPU", "FULL_DEVICE_NAME")).strip()
    except RuntimeError:
        return ""


def _mains() -> bool | None:
    """Whether a supply from the wall is plugged in; None where none is told."""
    told = [_text(path) for path in sorted(_SUPPLIES.glob("*/online"))]
    return any(text == "1" for text in told) if told else None


def _text(path: Path) -> str:
    return _bytes(path).decode(errors="replace").strip()


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def _windows_power() -> str:
    said = _said(["powercfg", "/getactivescheme"])
    return said.rpartition("(")[2].rstrip(") ") if "(" in said else ""


def _windows_memory() -> int | None:
    command = "(Get-CimInstance Win32_PhysicalMemory | Select-Object -First 1).ConfiguredClockSpeed"
    said = _said(["powershell", "-NoProfile", "-Command", command])
    return int(said) if said.isdecimal() and int(said) else None


def _said(command: Sequence[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_ANSWER_S, check=False)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()
