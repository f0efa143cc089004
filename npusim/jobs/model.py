"""The model that a job is about, however it is given: a workload's name, a file, an openvino.Model, a torch module."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from npusim.errors import UserError
from npusim.source import ModelSource


def source_of(
    model: Any,
    *,
    shapes: Mapping[str, Sequence[int]] | None = None,
    dims: Mapping[str, int] | None = None,
    example: Any = None,
    **asked: Any,
) -> ModelSource:
    """The ModelSource that is meant.

    ``model`` is a ModelSource, a built-in workload's name, the path of a model file, an openvino.Model, or a
    torch.nn.Module with ``example`` inputs. ``shapes`` and ``dims`` size the inputs of all but workloads; ``asked``
    (``phase``, ``tokens``, ``layers``, ``batch``, ``chunk``) shapes a workload. Raises UserError where they do not go
    together, and for what is no model.
    """
    from npusim import workloads

    asked = {name: value for name, value in asked.items() if value is not None}
    sizes: dict[str, Any] = {
        "shapes": {k: list(v) for k, v in (shapes or {}).items()},
        "dims": dict(dims or {}),
    }
    if isinstance(model, ModelSource):
        return model.at(**asked) if asked else model
    if isinstance(model, str) and (model in workloads.names() or not _is_file(model)):
        if given := [name for name, value in sizes.items() if value]:
            raise UserError(f"{given[0]} is for model files; {model} is a built-in workload")
        return ModelSource(model, **asked)
    if asked:
        raise UserError(f"{next(iter(asked))} can be chosen for a built-in workload only")
    if isinstance(model, str | Path):
        return ModelSource(file=Path(model), **sizes)
    made: Any = _openvino_model(model, example)
    return ModelSource(file=Path(f"{made.get_friendly_name()}.xml"), model=made, **sizes)


def _is_file(name: str) -> bool:
    return Path(name).exists() or bool(Path(name).suffix in (".xml", ".onnx", ".pb", ".tflite", ".pdmodel"))


def _openvino_model(model: Any, example: Any) -> Any:
    import openvino as ov

    if isinstance(model, ov.Model):
        return model
    kind = type(model)
    if not any(base.__module__.startswith("torch.nn") for base in kind.__mro__):
        raise UserError(
            f"a {kind.__name__} is no model: give a workload's name, a file, an openvino.Model or a torch.nn.Module"
        )
    if example is None:
        raise UserError(f"a PyTorch module needs example inputs: example=... (of {kind.__name__}.forward)")
    made = ov.convert_model(model, example_input=example)
    made.set_friendly_name(kind.__name__)
    return made
