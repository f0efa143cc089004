"""What binds Mamba-2 130M on Lunar Lake, and what would change that?

Simulates one prefill as it is, then with one thing of the hardware doubled at a time.

    python examples/what_binds_mamba2.py [LAYERS]
"""

from __future__ import annotations

import sys
from operator import attrgetter

import npusim

DOUBLED = {
    "DPU clock": "clocks.dpu_mhz",
    "SHAVE, CMX and DMA clock": "clocks.vpu_mhz",
    "SHAVEs of a tile": "shave.per_tile",
    "DDR bandwidth": "ddr.bandwidth_gbps",
}


def main(layers: int) -> None:
    """Print a line for the hardware as it is, and one for each change."""
    graph = npusim.build_workload("mamba2-130m", tokens=256, layers=layers)
    shipped = npusim.load_hardware("lunarlake.yaml")

    def latency_us(overrides: list[str]) -> tuple[float, str]:
        hw = npusim.load_hardware("lunarlake.yaml", overrides)
        result = npusim.simulate(npusim.lower(graph, hw), hw)
        exposed = result.metrics.exposed_us
        return result.latency_us, max(exposed, key=lambda kind: exposed[kind])

    base, bound = latency_us([])
    print(f"{'as it is':<28} {base:10,.0f} µs          bound by {bound}")
    for what, path in DOUBLED.items():
        latency, bound = latency_us([f"{path}={2 * attrgetter(path)(shipped):g}"])
        print(f"{'2 x ' + what:<28} {latency:10,.0f} µs  {base / latency:4.2f} x  bound by {bound}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 2)
