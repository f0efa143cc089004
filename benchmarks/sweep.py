"""Throughput of sweeps of Mamba-2 130M, 24 layers, on Lunar Lake: ``python -m benchmarks.sweep [WORKERS]``.

Two sweeps, each as a command of its own, from nothing to its tables: 1,000 points that differ in timing alone and share
one Program, and 200 points each of which must be lowered.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time

SWEEPS = {
    "1,000 timing-only points": (1000, [
        "ddr.bandwidth_gbps=34:136:10", "clocks.vpu_mhz=800:1200:10", "shave.kernels.cumsum.per_cycle=0.04:4:10:log",
    ]),
    "200 points lowered again": (200, ["tiles=1,2,3,4,6", "cmx.kib_per_tile=800:3000:40"]),
}  # fmt: skip


def main(workers: int) -> None:
    """Print wall time and points a second of each sweep."""
    for name, (points, axes) in SWEEPS.items():
        with tempfile.TemporaryDirectory() as folder:
            options = [word for axis in axes for word in ("--axis", axis)]
            command = [
                sys.executable,
                "-m",
                "npusim",
                "sweep",
                "--hw",
                "lunarlake.yaml",
                *options,
                "--out",
                folder,
            ]
            began, used = time.perf_counter(), os.times()
            subprocess.run([*command, "--workers", str(workers)], check=True, stdout=subprocess.DEVNULL)
            wall_s, now = time.perf_counter() - began, os.times()
        cpu_s = now.children_user + now.children_system - used.children_user - used.children_system
        print(f"{name}: {wall_s:6.1f} s wall, {cpu_s:6.1f} s of processors, {points / wall_s:6.1f} points/s")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else os.cpu_count() or 1)
