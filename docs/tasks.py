"""Does the forty tasks of docs/tasks.md, and says of each whether it showed what it should."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import openvino as ov
from openvino import opset15 as ops

_PAGE = Path(__file__).with_name("tasks.md")
_TASK = re.compile(r"^(\d+)\. (.+)\n\s+`\$ (.+)`\n\s+(?:exits (\d+), )?shows (.+)$", re.MULTILINE)
_SHOWN = re.compile(r"`([^`]+)`")


@dataclass(frozen=True)
class Task:
    """One task: its command, the exit code, and what its output must have in it."""

    number: int
    what: str
    command: str
    code: int
    shown: tuple[str, ...]

    def failure(self, folder: Path, environment: Mapping[str, str]) -> str:
        """What is wrong after doing it in ``folder``; nothing if all is well."""
        done = subprocess.run(
            ["bash", "-c", self.command],
            cwd=folder,
            env=dict(environment),
            capture_output=True,
            text=True,
            check=False,
        )
        output = done.stdout + done.stderr
        missing = [text for text in self.shown if text not in output]
        if done.returncode == self.code and not missing:
            return ""
        return f"{self.command}\n  exit {done.returncode}, not shown: {missing}\n{output[-1500:]}"


def tasks() -> Iterator[Task]:
    """The tasks of the page, in its order."""
    for number, what, command, code, shown in _TASK.findall(_PAGE.read_text(encoding="utf-8")):
        yield Task(int(number), what, command, int(code or 0), tuple(_SHOWN.findall(shown)))


def make_files(folder: Path) -> None:
    """The files that the tasks speak of."""
    image = ops.parameter([1, 3, 64, 64], np.float32, name="pixels")
    numbers = np.random.default_rng(0).standard_normal
    value = image
    for channels, inputs in ((64, 3), (128, 64), (128, 128)):
        weights = numbers((channels, inputs, 3, 3)).astype(np.float32)
        value = ops.relu(ops.convolution(value, weights, [2, 2], [1, 1], [1, 1], [1, 1]))
    flat = ops.reshape(value, np.array([1, -1]), False)
    classes = ops.matmul(flat, numbers((1000, 8192)).astype(np.float32), False, True)
    ov.save_model(ov.Model([classes], [image], "net"), folder / "net.xml", compress_to_fp16=False)
    _language_model(folder / "lm.onnx")
    (folder / "layers.csv").write_text(
        "Layer, M, N, K,\nqkv, 64, 2304, 768,\nfc1, 64, 3072, 768,\nfc1, 64, 768, 3072,\n"
    )


def _language_model(path: Path) -> None:
    import onnx
    from onnx import TensorProto, helper

    ids, mask = (
        helper.make_tensor_value_info(n, TensorProto.INT64, ["batch", "sequence"]) for n in ("ids", "mask")
    )
    table = helper.make_tensor("table", TensorProto.FLOAT, [100, 32], np.zeros(3200, np.float32))
    nodes = [
        helper.make_node("Gather", ["table", "ids"], ["rows"]),
        helper.make_node("Cast", ["mask"], ["kept"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["kept", "last"], ["column"]),
        helper.make_node("Mul", ["rows", "column"], ["out"]),
    ]
    last = helper.make_tensor("last", TensorProto.INT64, [1], [2])
    out = helper.make_tensor_value_info("out", TensorProto.FLOAT, None)
    onnx.save(helper.make_model(helper.make_graph(nodes, "lm", [ids, mask], [out], [table, last])), path)


def main() -> int:
    """Do all tasks in a folder of their own; the number that failed."""
    import os

    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        make_files(Path(folder))
        for task in tasks():
            failure = task.failure(Path(folder), os.environ)
            failed += bool(failure)
            print(f"{'FAILED' if failure else 'ok':>6}  {task.number:2}  {task.what}", flush=True)
            if failure:
                print(failure)
    return failed


if __name__ == "__main__":
    sys.exit(min(main(), 1))
