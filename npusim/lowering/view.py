"""The machine as the compiler sees it: what lowering may depend on.

Schedules are made for the clocks, costs and memory of ``scheduled_for``, not for those that a simulation sets, so that
most numbers of a hardware file change when tasks run and not which tasks there are.
"""

from __future__ import annotations

import hashlib
from typing import Any

from npusim.hardware.schema import Hardware

#: What no part of lowering reads: names, what only prices or describes, the simulated figures (their stand-ins of
#: ``scheduled_for`` are in the view by then).
_UNREAD: dict[str, Any] = {
    "name": True,
    "role": True,
    "dvfs": True,
    "energy": True,
    "host": True,
    "scheduled_for": True,
    "shave": {"vector_bits"},
    "dma": {"bytes_per_cycle", "provenance"},
    "cmx": {"bytes_per_cycle"},
    "software": {"name": True, "fetch": {"us"}},
}


def compiler_view(hw: Hardware) -> Hardware:
    """``hw`` with what ``scheduled_for`` states in the place of its own figures."""
    assumed = hw.scheduled_for
    dpu = {} if assumed.dpu_costs is None else {"dpu": hw.dpu.model_copy(update={"costs": assumed.dpu_costs})}
    shave = (
        {} if assumed.kernels is None else {"shave": hw.shave.model_copy(update={"kernels": assumed.kernels})}
    )
    dma = {} if assumed.dma_paths is None else {"dma": hw.dma.model_copy(update={"paths": assumed.dma_paths})}
    own = {"clocks": assumed.clocks or hw.clocks, "ddr": assumed.ddr or hw.ddr}
    return hw.model_copy(update={**own, **dpu, **shave, **dma})


def lowering_key(hw: Hardware) -> str:
    """A hash of all that lowering reads: where it is equal for two machines, every Graph lowers to one Program."""
    return hashlib.sha256(compiler_view(hw).model_dump_json(exclude=_UNREAD).encode()).hexdigest()
