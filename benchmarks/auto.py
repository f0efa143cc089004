"""`auto` against every fixed pipeline on whole models: python benchmarks/auto.py [WORKLOAD ...] [--machine FILE ...]

For every workload, phase and machine: the seconds that `auto` takes to choose, the latency of its choice, and that of
the fastest fixed pipeline of exact rewrites, each of them lowered and simulated on the whole model, none left out.
Exit code 1 if a fixed pipeline is faster anywhere. Minutes a row for the larger models; --layers cuts them.
"""

from __future__ import annotations

import argparse
import gc
import sys
import time
from itertools import product
from typing import Any

from npusim import api
from npusim.explore.auto import best_rewrites
from npusim.graph.load import graph_of
from npusim.hardware.schema import Hardware
from npusim.validation.paper.tokens import MACHINES, PHASES, PROMPT, RULES

PIPELINES = tuple(",".join(filter(None, rules)) for rules in product(*(("", rule) for rule in RULES)))


def fixed_us(model: Any, hw: Hardware) -> dict[str, float]:
    """Latency by pipeline, µs; of pipelines that take the same sites in the same way the first stands for all."""
    from npusim import xamba

    found: dict[str, float] = {}
    seen: set[tuple[tuple[str, str, str], ...]] = set()
    for passes in PIPELINES:
        rewritten, sites = xamba.apply(model, passes)
        made = tuple(sorted((site.op, site.rule, site.note) for site in sites if site.taken))
        if made not in seen:
            seen.add(made)
            program = api.lower(graph_of(rewritten, passes, passes), hw)
            found[passes or "none"] = api.simulate(program, hw, engine="fast").latency_us
    return found


def row(workload: str, phase: str, machine: str, layers: int | None) -> bool:
    """Prints one row; whether `auto` is at least as fast as all else."""
    from npusim import workloads

    tokens = PROMPT if phase == "prefill" else None
    model = workloads.build(workload, phase=phase, tokens=tokens, layers=layers, weights="shared")
    hw = api.load_hardware(machine)
    begin = time.perf_counter()
    chosen = best_rewrites(model, hw)
    seconds = time.perf_counter() - begin
    found = fixed_us(model, hw)
    best = min(found, key=lambda passes: found[passes])
    holds = chosen.latency_us <= found[best] * (1 + 1e-9)
    cells = (workload, phase, machine, str(len(found)), f"{found['none']:,.1f}", f"{found[best]:,.1f}", best,
             f"{chosen.latency_us:,.1f}", f"{chosen.latency_us / found[best]:.4f}", f"{seconds:.1f}",
             "" if holds else "SLOWER")  # fmt: skip
    print("| " + " | ".join(cells) + " |", flush=True)
    gc.collect()
    return holds


def main() -> None:
    """Every row that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("workloads", nargs="*", default=["mamba2-130m"])
    parser.add_argument("--machine", nargs="+", default=list(MACHINES))
    parser.add_argument("--phase", nargs="+", choices=PHASES, default=list(PHASES))
    parser.add_argument("--layers", type=int)
    given = parser.parse_args()
    gc.set_threshold(500_000)  # as the command line does
    print(
        "| model | phase | machine | pipelines | stock µs | best fixed µs | by | auto µs | ratio | choosing, s | |"
    )
    print("| --- | --- | --- | ---: | ---: | ---: | --- | ---: | ---: | ---: | --- |", flush=True)
    held = [
        row(workload, phase, machine, given.layers)
        for workload, phase, machine in product(given.workloads, given.phase, given.machine)
    ]
    sys.exit(not all(held))


if __name__ == "__main__":
    main()
