"""What one SHAVE kernel call costs: a row of the kernel table."""

from __future__ import annotations

from npusim.hardware.schema import Hardware, Kernel
from npusim.program.work import ShaveWork


class UnknownKernel(ValueError):
    """No row of ``shave.kernels`` prices this kernel, and guessing is not allowed."""

    def __init__(self, kernel: str, hardware: str) -> None:
        """Names the kernel and how to mend it."""
        self.kernel = kernel
        super().__init__(
            f"{hardware} has no cost for SHAVE kernel '{kernel}'; add shave.kernels.{kernel} to the hardware file, "
            "or allow guesses (--allow-guess) to price it as the default kernel"
        )


def row(kernel: str, hw: Hardware, allow_guess: bool = False) -> Kernel:
    """The table row of ``kernel``; with ``allow_guess`` the ``default`` row, as a guess, where there is none."""
    found = hw.shave.kernels.get(kernel)
    if found is not None:
        return found
    if not allow_guess:
        raise UnknownKernel(kernel, hw.name)
    return hw.shave.kernels["default"].model_copy(update={"provenance": "guess"})


def cycles(work: ShaveWork, hw: Hardware, allow_guess: bool = False) -> float:
    """VPU cycles of one call: ``startup_cycles + counted / per_cycle`` (evidence/costs.md#3)."""
    kernel = row(work.kernel, hw, allow_guess)
    if kernel.per_cycle is None:
        return kernel.startup_cycles
    counted = {
        "output_bytes": work.out_bytes,
        "io_bytes": work.io_bytes,
        "output_elements": work.out_elements,
        "macs": work.macs,
    }[kernel.counts]
    return kernel.startup_cycles + counted / kernel.per_cycle
