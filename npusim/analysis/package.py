"""Energy of a whole package: the NPU's own, which is a lower bound, and what the rest draws while it is busy."""

from __future__ import annotations

from dataclasses import dataclass

from npusim.hardware.schema import Hardware


@dataclass(frozen=True, slots=True)
class PackageEnergy:
    """µJ of one inference: ``npu_uj`` of the NPU's events and its static power, ``system_uj`` of fabric, memory and
    processor above idle; a meter of the package sees both."""

    npu_uj: float
    system_uj: float

    @property
    def package_uj(self) -> float:
        """The sum of both."""
        return self.npu_uj + self.system_uj


def package_energy(npu_uj: float, hw: Hardware, us: float) -> PackageEnergy | None:
    """Of an inference that is seen to take ``us``; None where the file does not know the rest of the package."""
    mw = hw.energy.system_active_mw
    return None if mw is None else PackageEnergy(npu_uj, mw * us * 1e-3)
