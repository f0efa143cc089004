"""Where a command writes unless --out says so: a folder whose name carries what was asked, never that of another run.

``latest`` beside it points to the newest.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from hashlib import sha256
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from npusim.errors import UserError
from npusim.files import parse_json, read_bytes

if TYPE_CHECKING:
    from npusim.source import ModelSource

ROOT = Path("npusim-out")
#: Endings that a name is shorter without.
_KNOWN = (".yaml", ".yml", ".xml", ".onnx", ".pb", ".tflite", ".pdmodel", ".csv")
#: Characters of a name; a longer one is cut, and ends in a hash of the whole. File systems have room for 255 bytes.
_MOST = 120


def default_folder(*parts: str) -> Path:
    """``npusim-out/PART-PART...``, from names of workloads, paths of models and hardware, and what was asked of them;
    empty parts are left out."""
    name = "-".join(_part(part) for part in parts if part)
    if len(name) > _MOST:
        name = f"{name[: _MOST - 9]}-{sha256(name.encode()).hexdigest()[:8]}"
    return ROOT / name


def _part(text: str) -> str:
    stem = Path(text).stem if text.endswith(_KNOWN) else text
    return re.sub(r"[^\w.+-]+", "_", stem)


def asked_of_model(source: ModelSource) -> list[str]:
    """What was asked of a model beside its name, as parts of a folder's name."""
    shapes = ["x".join(map(str, shape)) for shape in source.shapes.values()]
    counts = {"tokens": source.tokens, "layers": source.layers, "chunk": source.chunk}
    return [
        source.phase if source.phase != "prefill" else "",
        *(f"{number}{name}" for name, number in counts.items() if number is not None),
        f"batch{source.batch}" if source.batch != 1 else "",
        *shapes,
        *(f"{name}{size}" for name, size in source.dims.items()),
    ]


def asked_of_hardware(overrides: Iterable[str]) -> list[str]:
    """Overrides such as ``clocks.dpu_mhz=1700`` as parts of a folder's name: ``dpu_mhz1700``."""
    pairs = (text.partition("=") for text in overrides)
    return [f"{path.strip().rpartition('.')[2]}{value.strip()}" for path, _, value in pairs]


def free_folder(folder: Path, file: str, document: Mapping[str, Any]) -> Path:
    """``folder``, or the first of ``folder-2``, ``folder-3`` ... that holds no other result.

    ``file`` is the JSON that says what a folder holds, ``document`` what is to be written as it: a folder that holds
    the same (but for ``wall_s``) loses nothing when it is written again.
    """
    wanted = _result(json.loads(json.dumps(document)))
    names = (folder if number == 1 else folder.with_name(f"{folder.name}-{number}") for number in count(1))
    return next(free for free in names if not free.exists() or _held(free / file) == wanted)


def _held(path: Path) -> object:
    try:
        return _result(parse_json(read_bytes(path), str(path), "a result"))
    except UserError:
        return None


def _result(document: object) -> object:
    return {k: v for k, v in document.items() if k != "wall_s"} if isinstance(document, dict) else None


def point_latest(folder: Path) -> None:
    """Let ``npusim-out/latest`` point to a folder in npusim-out, where the file system knows links and nothing else is
    so called."""
    if folder.parent != ROOT:
        return
    link = folder.parent / "latest"
    with suppress(OSError):
        if link.is_symlink():
            link.unlink()
        link.symlink_to(folder.name, target_is_directory=True)
