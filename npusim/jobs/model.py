"""The model that a job is about, however it is given: a workload's name, a file, an openvino.Model, a torch module."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, TypedDict, Unpack

from npusim.api import Phase
from npusim.arguments import shown
from npusim.errors import UserError
from npusim.source import MOST_DIMENSION, MOST_LAYERS, MOST_SEQUENCES, MOST_TOKENS, ModelSource

Dimension = Annotated[int, range(1, MOST_DIMENSION + 1)]
Tokens = Annotated[int, range(1, MOST_TOKENS + 1)]


#: What sizes model files, and what built-in workloads.
_OF_FILES = ("shapes", "dims")
_OF_WORKLOADS = ("phase", "tokens", "layers", "batch", "chunk")


class Size(TypedDict, total=False):
    """What sizes a model: its inputs by name, its dynamic dimensions by theirs, and example inputs of a torch module;
    or, of a built-in workload, what `ModelSource` says."""

    shapes: Mapping[str, Iterable[Dimension]] | None
    dims: Mapping[str, Dimension] | None
    example: Any
    phase: Phase | None
    tokens: Tokens | None
    layers: Annotated[int, range(1, MOST_LAYERS + 1)] | None
    batch: Annotated[int, range(1, MOST_SEQUENCES + 1)] | None
    chunk: Tokens | None


def source_of(model: Any, **size: Unpack[Size]) -> ModelSource:
    """The ModelSource that is meant.

    ``model`` is a ModelSource, a built-in workload's name, the path of a model file, an openvino.Model, or a
    torch.nn.Module with ``example`` inputs. Raises UserError where model and ``size`` do not go together, and for what
    is no model.
    """
    from npusim import workloads

    given: dict[str, Any] = {name: value for name, value in size.items() if value is not None}
    if isinstance(model, str) and (model in workloads.names() or not _is_file(model)):
        _refuse_others(given, _OF_WORKLOADS, f"{model} is a built-in workload")
        return ModelSource(model, **given)
    if isinstance(model, str | Path):
        _refuse_others(given, _OF_FILES, f"{model} is a model file")
        return ModelSource(file=Path(model), **given)
    if _is_torch(model):
        _refuse_others(given, (*_OF_FILES, "example"), f"{type(model).__name__} is a PyTorch module")
        model = _traced(model, given.pop("example", None))
    made = _openvino_model(model)
    _refuse_others(given, _OF_FILES, f"{made.get_friendly_name()} is an openvino.Model")
    return ModelSource(file=Path(f"{made.get_friendly_name()}.xml"), model=made, **given)


def _refuse_others(given: Iterable[str], known: Sequence[str], what: str) -> None:
    wrong = next((name for name in given if name not in known), None)
    if wrong is not None:
        raise UserError(f"{what}: it has no {wrong}, but {', '.join(known)}")


def _is_file(name: str) -> bool:
    return Path(name).exists() or bool(Path(name).suffix in (".xml", ".onnx", ".pb", ".tflite", ".pdmodel"))


def _is_torch(model: Any) -> bool:
    return any(base.__module__.startswith("torch.nn") for base in type(model).__mro__)


def _traced(module: Any, example: Any) -> Any:
    """The openvino.Model of a torch module. Raises UserError where it cannot be run on its ``example`` inputs."""
    import openvino as ov

    kind = type(module).__name__
    if example is None:
        raise UserError(f"a PyTorch module needs example inputs: example=... (of {kind}.forward)")
    try:
        made = ov.convert_model(module, example_input=example)
    except Exception as error:  # whatever the module raises when it is run
        raise UserError(f"{kind} cannot be run on example=...: {error}") from error
    made.set_friendly_name(kind)
    return made


def _openvino_model(model: Any) -> Any:
    import openvino as ov

    if isinstance(model, ov.Model):
        return model
    raise UserError(
        "model: must be a workload's name, a file, an openvino.Model or a torch.nn.Module "
        f"(got {shown(model)})"
    )
