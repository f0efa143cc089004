"""The machine as the compiler sees it: what lowering may depend on.

Schedules are made for the clocks, costs and memory of ``scheduled_for``, not for those that a simulation sets, so that
most numbers of a hardware file change when tasks run and not which tasks there are. What only describes, prices or runs
a Program is not in the view at all, so that lowering cannot read it.
"""

from __future__ import annotations

import hashlib

from npusim.hardware.schema import Energy, Hardware, Host, ScheduledFor, Software
from npusim.hardware.software import Dispatch, Hints

_NO_ENERGY = Energy(mac_int8_pj=0, mac_fp16_pj=0, shave_op_pj=0, cmx_byte_pj=0, ddr_byte_pj=0)


def compiler_view(hw: Hardware) -> Hardware:
    """``hw`` with what ``scheduled_for`` states in the place of its own figures, and without what no compiler knows."""
    assumed = hw.scheduled_for
    costs, paths = assumed.dpu_costs or hw.dpu.costs, assumed.dma_paths or hw.dma.paths
    kernels = hw.shave.kernels if assumed.kernels is None else assumed.kernels
    return hw.model_copy(
        update={
            "name": "this hardware",
            "role": "software",
            "machines": (),
            "power": {},
            "dvfs": None,
            "clocks": assumed.clocks or hw.clocks,
            "dpu": hw.dpu.model_copy(update={"costs": costs}),
            "shave": hw.shave.model_copy(update={"kernels": kernels, "vector_bits": 1}),
            "dma": hw.dma.model_copy(update={"paths": paths, "bytes_per_cycle": 1.0, "provenance": "guess"}),
            "ddr": assumed.ddr or hw.ddr,
            "cmx": hw.cmx.model_copy(update={"bytes_per_cycle": 1.0}),
            "energy": _NO_ENERGY,
            "software": _rules(hw.software),
            "host": Host(),
            "scheduled_for": ScheduledFor(),
        }
    )


def _rules(software: Software) -> Software:
    """What the compiler of a software profile decides; its driver's part is left out."""
    fetch = software.fetch and software.fetch.model_copy(update={"us": 0.0})
    return software.model_copy(update={"name": "", "fetch": fetch, "dispatch": Dispatch(), "hints": Hints()})


def lowering_key(hw: Hardware) -> str:
    """A hash of all that lowering reads: where it is equal for two machines, every Graph lowers to one Program."""
    return hashlib.sha256(compiler_view(hw).model_dump_json().encode()).hexdigest()
