"""Runs every `npusim` line of README.md and docs/index.md, in order, beside the files that they speak of.

python docs/readme.py [WORD ...]     (only the lines that have one of the words)
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from tasks import Task, make_files

_ROOT = Path(__file__).parents[1]
PAGES = ("README.md", "docs/index.md")
#: What only a machine with an NPU can do: the exit code and what is said elsewhere.
_ONLY_THERE = {"npusim measure net.xml -o measured.yaml": (2, "there is no NPU")}
#: What waits for a browser.
_WAITS = "npusim trace open"
#: Lines of more than a minute, which are run only if it is asked for them; `.ci/run` does so beside the others.
_LONG = ("npusim validate --against silicon",)
#: What the lines read that no line before them has made.
_MAKE = (
    "npusim run --hw lunarlake.yaml --model net.xml --no-report --out sim",
    "cp sim/trace.json profile.json",
    "npusim run --hw lunarlake.yaml --gemm 256x768x3072 --no-report --out budget",
    "npusim run --hw lunarlake.yaml --model net.xml --hint latency --no-report --out seen --set ddr.bandwidth_gbps=80",
    "cp seen/benchmark_report.json measured.yaml",
)


def lines(text: str) -> list[str]:
    """The commands of a Markdown text: indented, from ``npusim`` up to a comment."""
    indented = (line.partition("  #")[0] for line in text.splitlines() if line.startswith("    "))
    parts = (part.strip() for line in indented for part in line.split(" && "))
    return [part for part in parts if part.startswith("npusim ")]


def make(folder: Path, environment: Mapping[str, str]) -> None:
    """The files that the lines speak of: models, a profile, a measurement, a committed budget."""
    make_files(folder)
    _image_network(folder / "net.onnx")
    shutil.copy(_ROOT / "examples/scenarios/early_exit.yaml", folder)
    for command in _MAKE:
        failure = Task(0, "", command, 0, ()).failure(folder, environment)
        assert not failure, failure


def task(number: int, command: str) -> Task:
    """What a line must do: end well, on a machine without an NPU."""
    code, said = _ONLY_THERE.get(command, (0, ""))
    if command == _WAITS:
        code, said, command = 124, "ui.perfetto.dev", f"BROWSER=true timeout 5 {command}"
    return Task(number, command, command, code, (said,))


def _image_network(path: Path) -> None:
    import onnx
    from onnx import TensorProto, helper

    image = helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, 224, 224])
    out = helper.make_tensor_value_info("out", TensorProto.FLOAT, None)
    numbers = np.random.default_rng(0).standard_normal((32, 3, 3, 3)).astype(np.float32)
    weights = helper.make_tensor("weights", TensorProto.FLOAT, numbers.shape, numbers)
    nodes = [
        helper.make_node("Conv", ["input", "weights"], ["sums"], strides=[2, 2], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["sums"], ["out"]),
    ]
    onnx.save(helper.make_model(helper.make_graph(nodes, "net", [image], [out], [weights])), path)


def main(words: list[str]) -> int:
    """Run the lines, those of each page in a folder of their own; how many failed."""
    failed = 0
    for page in PAGES:
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place)
            make(folder, os.environ)
            for number, command in enumerate(lines((_ROOT / page).read_text(encoding="utf-8")), 1):
                if command in _LONG and not words:
                    continue
                if words and not any(word in command for word in words):
                    continue
                began = time.perf_counter()
                failure = task(number, command).failure(folder, os.environ)
                failed += bool(failure)
                took_s = time.perf_counter() - began
                print(f"{'FAILED' if failure else 'ok':>6} {took_s:6.1f} s  {command}", flush=True)
                if failure:
                    print(failure)
    return failed


if __name__ == "__main__":
    sys.exit(min(main(sys.argv[1:]), 1))
