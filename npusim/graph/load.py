"""Model files to Graphs: whatever openvino.Core.read_model takes, and IRs whose weights are missing."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from npusim.errors import UserError
from npusim.files import exists, read_bytes
from npusim.graph.dynamic import Input, dynamic_inputs, give_sizes, missing_sizes
from npusim.graph.frontend import from_openvino
from npusim.graph.ir import Graph
from npusim.graph.room import check_constants, room_to_read
from npusim.graph.states import fill_states, open_states
from npusim.graph.trial import try_reading

_SUFFIXES = (".xml", ".onnx", ".pb", ".pbtxt", ".tflite", ".pdmodel", ".json")
_DATA = re.compile(rb"<data [^>]*>")
_OFFSET = re.compile(rb'offset="(\d+)"')
_SIZE = re.compile(rb'size="(\d+)"')
_MOST_DIGITS = 15
#: Four times the constants of the largest model that an NPU's host has memory for; and the structure of it.
_MOST_WEIGHT_BYTES, _MOST_XML_BYTES = 64 << 30, 256 << 20
_UNFOLDABLE = "f4e2m1"


#: What OpenVINO says of an ONNX file whose weights are in another that it does not find.
_OUTSIDE = re.compile(r"externally stored data in file \(([^,)]*)")
#: Lines of OpenVINO's errors that say where they come from, not what is wrong; so do those that end in a colon.
_FRAME = ("Exception from", "Check '", "FrontEnd API failed", "Model wasn't fully converted", "Summary:")
_ONNX_NODE = re.compile(r"<Node\((\w+)\): ([^>]+)>")


def _what_helps(error: Exception) -> str:
    """Of a message of many lines, the one that says what is wrong, with the ONNX node that it is about."""
    lines = [line.strip(" -") for line in str(error).splitlines() if line.strip(" -")]
    said = [line for line in lines if not line.startswith(_FRAME) and not line.endswith(":")]
    node = _ONNX_NODE.search(str(error))
    return (f"{node[1]} {node[2]}: " if node else "") + (said or lines or [type(error).__name__])[0]


@contextmanager
def _libraries_silent() -> Iterator[None]:
    """Keeps from standard error what libraries under OpenVINO log of a file: the error says what is wrong."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def _needed_bytes(xml: bytes, label: str) -> int:
    """How long the .bin of an IR must be. Raises UserError where that is more than any has."""
    needed = 0
    for match in _DATA.finditer(xml):
        offset, size = _OFFSET.search(match[0]), _SIZE.search(match[0])
        if offset and size:
            if (
                max(len(offset[1]), len(size[1])) > _MOST_DIGITS
                or int(offset[1]) + int(size[1]) > _MOST_WEIGHT_BYTES
            ):
                raise UserError(
                    f"{label}: a constant ends beyond {_MOST_WEIGHT_BYTES >> 30} GiB, which no .bin has"
                )
            needed = max(needed, int(offset[1]) + int(size[1]))
    return needed


def _read_bytes(core: Any, xml: bytes, stored: bytes | None, weights: str) -> tuple[Any, tuple[str, ...]]:
    """An IR in memory, with zeros for whatever its weights lack; ``weights`` is what the note calls them."""
    from openvino import Tensor  # heavy

    needed, found = _needed_bytes(xml, weights), stored or b""
    buffer = np.zeros(max(needed, len(found), 1), np.uint8)
    buffer[: len(found)] = np.frombuffer(found, np.uint8)
    note = (
        f"{weights} is {'short' if stored is not None else 'missing'}: read for its structure alone, "
        "absent constants as zeros"
    )
    return core.read_model(xml, Tensor(buffer)), (note,) if len(found) < needed else ()


def _read_ir(core: Any, path: Path) -> tuple[Any, tuple[str, ...]]:
    """An IR, with zeros for whatever its .bin lacks."""
    xml = read_bytes(path, _MOST_XML_BYTES)
    weights = path.with_suffix(".bin")
    if weights.is_file() and weights.stat().st_size >= _needed_bytes(xml, str(path)):
        return core.read_model(path), ()
    return _read_bytes(core, xml, weights.read_bytes() if weights.is_file() else None, weights.name)


def _reshape(model: Any, shapes: Mapping[str, Sequence[int]]) -> None:
    names = {
        name: port
        for port in model.inputs
        for name in (port.get_names() or {port.get_node().get_friendly_name()})
    }
    unknown = sorted(set(shapes) - set(names))
    if unknown:
        raise UserError(f"--shape: the model has no input '{unknown[0]}'; it has {', '.join(sorted(names))}")
    try:
        model.reshape({names[name]: list(shape) for name, shape in shapes.items()})
    except Exception as error:  # of whatever type a library has for it
        raise UserError(f"--shape: the model does not take these shapes: {_what_helps(error)}") from error


def size_inputs(
    model: Any,
    shapes: Mapping[str, Sequence[int]] | None = None,
    dims: Mapping[str, int] | None = None,
    path: Path | None = None,
) -> tuple[str, ...]:
    """Give an openvino.Model static shapes and sizes as `read_model` does; remarks for the user.

    Raises UserError for shapes and sizes that do not fit.
    """
    opened = open_states(model)
    if shapes:
        _reshape(model, shapes)
    if dims:
        give_sizes(model, dims, path)
    return fill_states(model, opened)


def read_as_it_is(path: Path) -> tuple[Any, tuple[str, ...]]:
    """The openvino.Model of a file, whatever is dynamic in it, and remarks. Raises UserError as `read_model`."""
    from openvino import Core  # heavy

    if not exists(path) or (path.is_dir() and not (path / "saved_model.pb").is_file()):
        raise UserError(f"{path}: no such model file")
    if not (path.is_file() or path.is_dir()):
        raise UserError(f"{path}: a device or a pipe, of which no model can be read: save it as a file")
    core = Core()
    notes: tuple[str, ...] = ()
    try:
        with room_to_read(path):
            if path.suffix == ".xml":
                model, notes = _read_ir(core, path)
            else:
                with _libraries_silent():
                    try_reading(path, lambda: core.read_model(path))
                    model = core.read_model(path)
    except UserError:
        raise
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror or error}") from error
    except Exception as error:  # of whatever type a library has for it
        if missing := _OUTSIDE.search(str(error)):
            raise UserError(
                f"{path}: its weights are in {missing[1]}, which is not beside it or too short"
            ) from error
        hint = "" if path.suffix in _SUFFIXES else f" (known endings: {', '.join(_SUFFIXES)})"
        lack = _lack(path)
        why = (
            f"{lack}, and shapes that need its constants cannot be told"
            if lack
            else "not a model that OpenVINO reads"
        )
        raise UserError(f"{path}: {why}: {_what_helps(error)}{hint}") from error
    return model, notes


def _lack(path: Path) -> str:
    """What is wrong with the .bin of an IR; nothing for other files."""
    if path.suffix != ".xml":
        return ""
    weights, needed = path.with_suffix(".bin"), _needed_bytes(read_bytes(path, _MOST_XML_BYTES), str(path))
    if not weights.is_file():
        return f"{weights.name} is missing" if needed else ""
    return f"{weights.name} is short" if weights.stat().st_size < needed else ""


def read_model(
    path: str | Path, shapes: Mapping[str, Sequence[int]] | None = None, dims: Mapping[str, int] | None = None
) -> tuple[Any, tuple[str, ...]]:
    """The openvino.Model of a file, with static shapes given to inputs by name and sizes to dynamic dimensions by
    theirs, and remarks for the user.

    An IR whose .bin is missing or short is read for its structure alone, and a remark says so. Raises UserError: no
    such file, not a model, shapes that do not fit.
    """
    path = Path(path)
    model, notes = read_as_it_is(path)
    with room_to_read(path):
        notes += size_inputs(model, shapes, dims, path)
        if path.suffix != ".xml":
            _refuse_unfoldable(model, path)
            check_constants(model, path)
            _as_ir(model, path)
    return model, notes


def _refuse_unfoldable(model: Any, path: Path) -> None:
    """Raise UserError for constants of a type that OpenVINO 2026 folds beyond their end, which ends the process."""
    for node in model.get_ops():
        if node.get_type_name() == "Constant" and node.get_element_type().get_type_name() == _UNFOLDABLE:
            raise UserError(
                f"{path}: the constant '{node.get_friendly_name()}' is of {_UNFOLDABLE}, which no NPU reads"
            )


def _as_ir(model: Any, path: Path) -> None:
    """Do to a model of another framework what makes an IR of it (ovc, convert_model): constants are folded, batch
    norms merged into convolutions, divisions by constants become products. The plugin does as much when it compiles:
    densenet121 in ONNX has 837 Broadcast ops for its batch norms, and none when it runs. Raises UserError for a model
    that cannot be converted."""
    from openvino._offline_transformations import apply_moc_transformations

    try:
        apply_moc_transformations(model, cf=False)
    except RuntimeError as error:
        raise UserError(f"{path}: not a model that OpenVINO converts: {_what_helps(error)}") from error


def load_model(
    path: str | Path,
    shapes: Mapping[str, Sequence[int]] | None = None,
) -> Graph:
    """The Graph of a model file (OpenVINO IR, ONNX, TensorFlow, TFLite, Paddle); see `read_model`.

    Raises UserError as `read_model` does, and for shapes that stay dynamic.
    """
    model, notes = read_model(path, shapes)
    return graph_of(model, Path(path).stem, str(path), notes)


def load_model_bytes(xml: bytes, weights: bytes | None, name: str) -> Graph:
    """The Graph of an IR in memory: the bytes of its .xml, and of its .bin (None, or fewer than it should have: the
    rest is read as zeros, and the notes say so). Raises UserError, as ``load_model`` does.
    """
    from openvino import Core  # heavy

    try:
        model, notes = _read_bytes(Core(), xml, weights, f"{name}.bin")
    except UserError:
        raise
    except Exception as error:  # of whatever type a library has for it
        raise UserError(f"{name}: not a model that OpenVINO reads: {_what_helps(error)}") from error
    return graph_of(model, name, name, notes)


def _shown(each: Input) -> str:
    return "of unknown rank" if each.dims is None else f"[{','.join(map(str, each.dims))}]"


def graph_of(model: Any, name: str, label: str, notes: tuple[str, ...] = ()) -> Graph:
    """The Graph of an openvino.Model with static shapes; ``label`` names it in errors, ``notes`` join the Graph's own.

    Raises UserError for an input whose shape is dynamic.
    """
    dynamic = dynamic_inputs(model, Path(label))
    if dynamic:
        first = dynamic[0]
        one = f"input '{first.name}' has the dynamic shape {_shown(first)}"
        which = one if len(dynamic) == 1 else f"{len(dynamic)} inputs have dynamic shapes"
        remembers = any(one.name == "beam_idx" or one.name.startswith("past_key_values") for one in dynamic)
        else_ = ", or run it token by token with npusim llm" if remembers else ""
        raise UserError(f"{label}: {which}: give {missing_sizes(dynamic)}{else_}")
    graph = from_openvino(model, name=name)
    return replace(graph, notes=notes + graph.notes)
