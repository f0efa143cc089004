"""Conservation of work over everything that is built in: python -m benchmarks.conserved [--workloads NAME ...]

Lowers every workload at batch 1, 3 and 8, and the Mamba families with every count of layers up to four and with all, in
both phases, on each platform. Lowering checks by itself that no work is lost (`npusim.lowering.conservation`); what
fails is printed, a line each, and makes the exit code 1. Random graphs are `python -m benchmarks.fuzz --kinds graphs`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from typing import Any

from npusim import api, workloads
from npusim.errors import BrokenLaw, UserError
from npusim.graph import from_openvino

MACHINES = ("meteorlake-vpunn", "lunarlake-vpunn", "pantherlake-vpunn")
BATCHES = (1, 3, 8)
LAYERS = (1, 2, 3, 4, None)
TOKENS = 16


def asked(name: str) -> Iterator[dict[str, Any]]:
    """The variants of a workload that are lowered, as options of ``workloads.build``."""
    for batch in BATCHES:
        if workloads.layer_count(name) is None:
            yield {"batch": batch}
            continue
        for layers in LAYERS:
            yield {"batch": batch, "layers": layers, "phase": "prefill", "tokens": TOKENS}
            yield {"batch": batch, "layers": layers, "phase": "decode"}


def main() -> int:
    """Lower all that was asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--workloads", nargs="+", default=workloads.names())
    names = parser.parse_args().workloads
    machines = [api.load_hardware(machine) for machine in MACHINES]
    done = failed = 0
    for name in names:
        for options in asked(name):
            try:
                model = workloads.build(name, **options)
            except ValueError as error:  # what is built for one sequence has no batch
                if options["batch"] == 1:
                    raise
                print(f"{name} {options} is not built: {error}", flush=True)
                continue
            graph = from_openvino(model)
            for machine, hw in zip(MACHINES, machines, strict=True):
                done += 1
                try:
                    api.lower(graph, hw)
                except (BrokenLaw, UserError) as error:
                    failed += 1
                    print(f"{name} {options} on {machine}: {type(error).__name__}: {error}", flush=True)
    print(f"{done} lowered, {failed} failed")
    return min(failed, 1)


if __name__ == "__main__":
    sys.exit(main())
