"""Figures of the main job on this machine: python benchmarks/run.py [--models DIR]

Times `npusim run` as a user meets it (cold processes), then the parts of it in this process. With --models it lowers
and simulates every model below DIR on three platforms and compares each latency with its rooflines.
"""

from __future__ import annotations

import argparse
import gc
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path


def cold(arguments: list[str], repeat: int = 3) -> tuple[float, float]:
    """Best wall time, s, and peak memory, MB, of a command in a process of its own."""
    best = float("inf")
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(repeat):
            begin = time.perf_counter()
            subprocess.run(
                [sys.executable, "-m", "npusim", *arguments], cwd=folder, check=True, capture_output=True
            )
            best = min(best, time.perf_counter() - begin)
    return best, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024


def parts() -> None:
    """Lowering and the engines on the main job."""
    gc.disable()  # as the command line does
    from npusim import workloads
    from npusim.costs.price import price
    from npusim.engine.event import simulate
    from npusim.engine.fast import compile_program, simulate_fast
    from npusim.graph import from_openvino
    from npusim.hardware import load_hardware
    from npusim.lowering import lower

    graph = from_openvino(workloads.build("mamba2-130m"))
    hw = load_hardware("lunarlake.yaml")

    def timed(function, *arguments):  # type: ignore[no-untyped-def]
        best, result = float("inf"), None
        for _ in range(3):
            result = None
            gc.collect()  # each run starts as a command does, without what the one before left behind
            begin = time.perf_counter()
            result = function(*arguments)
            best = min(best, time.perf_counter() - begin)
        return best, result

    lowering, program = timed(lower, graph, hw)
    pricing, prices = timed(price, program, hw)
    event, timeline = timed(simulate, program, prices)
    fast, again = timed(simulate_fast, program, prices)
    compiled = compile_program(program)
    warm, _ = timed(simulate_fast, compiled, prices)
    tasks = len(program.tasks)
    print(f"lowering 24 layers          {lowering:8.2f} s   {tasks:,} tasks  (wanted: at most 1.5 s)")
    print(f"pricing                     {pricing:8.2f} s")
    print(
        f"event engine                {event:8.2f} s   {tasks / event:12,.0f} tasks/s  (wanted: at least 60,000)"
    )
    print(f"fast engine, as called      {fast:8.2f} s   {tasks / fast:12,.0f} tasks/s")
    print(f"fast engine, compiled       {warm:8.2f} s   {tasks / warm:12,.0f} tasks/s")
    print(
        f"latency                     {timeline.latency_us:,.1f} µs, fast engine {again.latency_us:,.1f} µs"
    )


def models(folder: Path) -> None:
    """Every model below a folder on every platform, against its rooflines."""
    from npusim.analysis.roofline import lower_bounds
    from npusim.costs.price import price
    from npusim.engine.event import simulate
    from npusim.graph import load_model
    from npusim.hardware import load_hardware
    from npusim.lowering import lower

    files = sorted(folder.rglob("*.xml"))
    for name in ("lunarlake.yaml", "meteorlake.yaml", "pantherlake.yaml"):
        hw = load_hardware(name)
        failed, below = [], []
        for path in files:
            try:
                program = lower(load_model(path), hw)
                prices = price(program, hw)
                latency = simulate(program, prices).latency_us
            except Exception as error:
                failed.append(f"{path.stem}: {type(error).__name__}: {error}")
                continue
            bounds = asdict(lower_bounds(program, prices, hw))
            if latency < max(bounds.values()) * (1 - 1e-9):
                below.append(path.stem)
        print(f"{name:18} {len(files)} models, {len(failed)} failed, {len(below)} below a roofline")
        for line in failed + below:
            print("   ", line)


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=Path)
    chosen = parser.parse_args()
    for words, wanted in (
        (["--help"], "at most 0.4 s"),
        (["run", "--hw", "lunarlake.yaml", "--no-report", "--json"], "at most 4 s"),
        (["run", "--hw", "lunarlake.yaml"], "at most 8 s and 1,000 MB"),
    ):
        wall, memory = cold(words)
        print(f"npusim {' '.join(words):44} {wall:6.2f} s   {memory:6.0f} MB   (wanted: {wanted})")
    parts()
    if chosen.models:
        models(chosen.models)


if __name__ == "__main__":
    main()
