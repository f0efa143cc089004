"""What option values mean, and which options contradict each other."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable
from pathlib import Path

from npusim.errors import UserError

_SHAPE = re.compile(r"\[?\s*(\d+(?:\s*,\s*\d+)*)?\s*\]?")


def parse_shapes(texts: Iterable[str]) -> dict[str, list[int]]:
    """``input=[1,256]`` to ``{"input": [1, 256]}``. Raises UserError for any other form."""
    shapes: dict[str, list[int]] = {}
    for text in texts:
        name, equals, dims = text.rpartition("=")
        match = _SHAPE.fullmatch(dims.strip())
        if not (equals and name and match and dims.count("[") == dims.count("]")):
            raise UserError(f"--shape {text}: must have the form NAME=[1,256]")
        if name in shapes:
            raise UserError(f"--shape {text}: '{name}' is given twice")
        shapes[name] = [int(dim) for dim in (match[1] or "").split(",") if dim.strip()]
        if 0 in shapes[name]:
            raise UserError(f"--shape {text}: a dimension must be at least 1")
    return shapes


def refuse_together(first: str, others: dict[str, object]) -> None:
    """Raise UserError if any of ``others`` (option to value, None where not given) is given beside ``first``."""
    given = [option for option, value in others.items() if value is not None and value != []]
    if given:
        raise UserError(f"{first} and {given[0]} contradict each other: leave one out")


def command_line(command: str, options: Iterable[tuple[str, object]]) -> str:
    """The shell command that asks for the same run: options that are None or empty are left out."""
    words = ["npusim", command]
    for option, value in options:
        for each in value if isinstance(value, list) else [value]:
            if each is True:
                words.append(option)
            elif each not in (None, False):
                words += [option, str(each)]
    return shlex.join(words)


def default_folder(subject: str, hardware: str) -> Path:
    """``npusim-out/SUBJECT-HARDWARE``, from a workload's name or a model's path and a hardware file."""
    parts = [
        re.sub(r"[^\w.+-]+", "_", Path(part).stem if part.endswith(_KNOWN) else part)
        for part in (subject, hardware)
    ]
    return Path("npusim-out") / "-".join(parts)


_KNOWN = (".yaml", ".yml", ".xml", ".onnx", ".pb", ".tflite", ".pdmodel")
