"""What the host adds to an inference, for whom, and what it takes of energy: the sections around the NPU's own."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from npusim.hardware.base import NonNegative, Provenance, Section

ClientName = Literal["benchmark_app", "cpp", "python"]
"""Who asks for inferences: ``benchmark_app``, whose inputs and outputs stay where the NPU reads and writes them, or a
loop in C++ or Python that brings its own arrays and takes results away."""


class Energy(Section):
    """Energy per event, picojoules. Absolute figures are not public; see the YAML for the source of each."""

    mac_int8_pj: NonNegative
    """One multiply-accumulate of 8-bit operands, with the operand delivery inside the array."""
    mac_fp16_pj: NonNegative
    """One multiply-accumulate of 16-bit operands."""
    shave_op_pj: NonNegative
    """One element of a SHAVE kernel, or one cycle where a kernel takes more cycles than it has elements."""
    cmx_byte_pj: NonNegative
    """One byte read from or written to CMX."""
    ddr_byte_pj: NonNegative
    """One byte read from or written to DDR: DRAM, PHY and controller."""
    static_mw: NonNegative = 0
    """Power while the NPU is on, mW, times the latency."""
    system_active_mw: NonNegative | None = None
    """Power that the rest of the package (fabric, memory, processor) draws above idle while an inference runs, mW,
    times the time that the inference is seen to take. It is never part of the NPU's own figure. Null: not known."""
    provenance: Provenance = "guess"
    """How far to trust these figures."""


class Client(Section):
    """What the program that asks for an inference adds to it, on the thread that asks."""

    call_us: NonNegative = 0
    """µs a call, whatever its size, beyond ``host.overhead_us``."""
    in_us_per_mb: NonNegative = 0
    """µs for a million bytes of the model's inputs, at the types of its interface (FP32 in most models)."""
    out_us_per_mb: NonNegative = 0
    """The same of its outputs."""
    output_us: NonNegative = 0
    """µs for every output beyond the first."""


class Host(Section):
    """What an inference costs outside the NPU's schedule."""

    overhead_us: NonNegative = 0
    """Host time of one synchronous inference, µs: wall time less all that the NPU takes. It is not part of a Program's
    latency; with several inferences in flight it is hidden."""
    serial_us: NonNegative = 0
    """Time that firmware and driver take to end one inference and begin the next, µs, the NPU idle meanwhile. It is not
    part of a Program's latency; no number of requests hides it."""
    shave_us: NonNegative = 0
    """Time that an inference takes longer once, µs, because it runs SHAVE kernels other than conversions of element
    types. It is not part of a Program's latency either."""
    clients: dict[ClientName, Client] = Field(default={})
    """What callers add; one that is not listed adds nothing."""

    def client(self, name: ClientName) -> Client:
        """What a caller adds."""
        return self.clients.get(name, Client())
