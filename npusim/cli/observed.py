"""Calibration inputs from .npz files, for ``actiba{range=observed}``."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from npusim.errors import UserError
from npusim.files import exists

#: Input position to array, as xamba.apply takes them.
Inputs = dict[int, Any]
#: Inputs of a model, unpacked: 200 images of 640 x 640 in FP32.
_MOST_BYTES = 1 << 30


def read_calibration(paths: Sequence[Path], model: Any) -> list[Inputs]:
    """One set of inputs of an openvino.Model a file: each array has the name of an input.

    Raises UserError: no such file, not an .npz, inputs missing or unknown, a shape or type that does not fit.
    """
    return [_inputs(path, model) for path in paths]


def _inputs(path: Path, model: Any) -> Inputs:
    import numpy as np

    if not exists(path):
        raise UserError(f"{path}: no such file of calibration inputs")
    try:
        _check_plain(path)
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (OSError, EOFError, ValueError, AttributeError, TypeError, MemoryError, zipfile.BadZipFile):
        raise UserError(
            f"{path}: not an .npz file of arrays by input name (numpy.savez writes one)"
        ) from None
    names = [_name(port) for port in model.inputs]
    known = {name for port in model.inputs for name in port.get_names()} | set(names)
    unknown = sorted(arrays.keys() - known)
    if unknown:
        raise UserError(f"{path}: the model has no input '{unknown[0]}': there are {', '.join(names)}")
    return {i: _fitting(path, port, arrays) for i, port in enumerate(model.inputs)}


def _check_plain(path: Path) -> None:
    """Raise ValueError for what cannot be read from its end, as archives are, and UserError for what unpacks to more
    than any inputs have."""
    if not path.is_file():
        raise ValueError
    with zipfile.ZipFile(path) as archive:
        if sum(part.file_size for part in archive.infolist()) > _MOST_BYTES:
            raise UserError(
                f"{path}: larger than {_MOST_BYTES >> 20} MiB unpacked, which no inputs of a model are"
            )


def _name(port: Any) -> str:
    return str(min(port.get_names(), default=port.get_node().get_friendly_name()))


def _fitting(path: Path, port: Any, arrays: dict[str, Any]) -> Any:
    """The array of an input in its element type."""
    from openvino import PartialShape

    name = next((name for name in sorted(port.get_names() | {_name(port)}) if name in arrays), None)
    if name is None:
        raise UserError(f"{path}: input '{_name(port)}' is missing")
    array, shape = arrays[name], port.get_partial_shape()
    if not PartialShape(list(array.shape)).compatible(shape):
        raise UserError(f"{path}: '{name}' has the shape {list(array.shape)} and the model's input {shape}")
    if array.dtype.kind not in "fiub":
        raise UserError(f"{path}: '{name}' holds {array.dtype} and no numbers")
    return array.astype(port.get_element_type().to_dtype())
