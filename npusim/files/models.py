"""Models written as OpenVINO IR: an .xml with its .bin beside it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from npusim.errors import UserError
from npusim.files import all_or_nothing


def check_model_path(path: Path) -> None:
    """Raise UserError where no model can be written to ``path``."""
    if path.suffix != ".xml":
        raise UserError(f"{path}: must end in .xml (the weights go beside it as .bin)")
    for part in (path, path.with_suffix(".bin")):
        if part.exists() and not part.is_file():
            raise UserError(f"cannot write to {part}: it is there and not a plain file")


def save_model(model: Any, path: Path) -> None:
    """Write an openvino.Model to ``path`` and its .bin, or neither. Constants keep the types that they have.

    Raises UserError where that cannot be.
    """
    import openvino as ov

    check_model_path(path)
    with all_or_nothing(path.parent) as workshop:
        try:
            ov.save_model(model, workshop / path.name, compress_to_fp16=False)
        except RuntimeError as error:
            room = f"{shutil.disk_usage(workshop).free >> 10:,} KiB are free there"
            raise UserError(f"cannot write to {path}: {str(error).splitlines()[-1]}; {room}") from None
