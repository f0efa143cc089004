"""The machine that a job is about, however it is given: a shipped file's name, a path, a Hardware; with overrides."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from npusim.arguments import texts_of
from npusim.hardware import Hardware, check, dump, load_hardware
from npusim.hardware.load import validate
from npusim.hardware.nodes import parse
from npusim.hardware.override import apply
from npusim.hardware.power import power_overrides
from npusim.lowering.ir.kernels import called_kernels

#: Overrides: ``{"clocks.dpu_mhz": 1700}``, or texts such as ``clocks.dpu_mhz=1700``.
Overrides = Mapping[str, object] | str | Iterable[str]


@dataclass(frozen=True, slots=True)
class Machine:
    """A Hardware, and how it was asked for: ``file`` and ``overrides`` (texts). ``doubts`` are warnings about
    both; it is not ``named`` where it was given as a Hardware, and ``file`` is only its name."""

    hardware: Hardware
    file: str
    overrides: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()
    named: bool = True


def machine_of(hw: str | Path | Hardware | Machine, overrides: Overrides = (), power: str = "") -> Machine:
    """The Machine that is meant, in one of its ``power`` modes if one is named; ``overrides`` come after that.

    Raises UserError for a file, a value or a mode that cannot be.
    """
    limits = power_overrides(machine_of(hw).hardware, power) if power else ()
    texts = (*limits, *override_texts(overrides))
    if isinstance(hw, Machine):
        if not texts:
            return hw
        hw = hw.hardware
    if isinstance(hw, Hardware):
        changed = validate(apply(parse(dump(hw), hw.name), texts)) if texts else hw
        return Machine(changed, hw.name, texts, named=False)
    return Machine(load_hardware(hw, texts), str(hw), texts, tuple(check(hw, texts, called_kernels())))


def override_texts(overrides: Overrides) -> tuple[str, ...]:
    """Overrides as the command line has them."""
    if isinstance(overrides, Mapping):
        return tuple(f"{path}={value}" for path, value in overrides.items())
    return tuple(texts_of(overrides))
