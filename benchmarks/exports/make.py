"""Exports architectures with random weights, in the environment of requirements.txt, which npusim needs not be in.

Reads lines of JSON, {"name": ..., "form": ..., "folder": ...}, and answers each with one: the file, and the shapes to
give where they are left open; or the error, in a line. Each export is a process of its own, forked from this one that
has the libraries loaded already.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import catalogue
import numpy as np
import onnx
import openvino as ov
import torch
import transformers
from models import MODELS, Model

SECONDS, GIBIBYTES = 400, 10


class Positional(torch.nn.Module):
    """A model whose inputs are a row of tensors, and whose results are, too: what every exporter takes."""

    def __init__(self, model: Model) -> None:
        """Of a model and the names of its inputs."""
        super().__init__()
        self.model, self.names, self.call = model.module, list(model.inputs), model.call

    def forward(self, *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """All tensors in what the model returns."""
        found = self.call(self.model, dict(zip(self.names, tensors, strict=True)))
        return tuple(_tensors(found))


def _tensors(found: Any) -> list[torch.Tensor]:
    if isinstance(found, torch.Tensor):
        return [found]
    if isinstance(found, dict):
        found = list(found.values())
    if isinstance(found, (list, tuple)):
        return [tensor for one in found for tensor in _tensors(one)]
    return []


def _ir(model: Model, opened: bool = False) -> ov.Model:
    made = ov.convert_model(Positional(model), example_input=tuple(model.inputs.values()))
    for given, (name, tensor) in zip(made.inputs, model.inputs.items(), strict=True):
        given.set_names({name})
        given.get_node().set_friendly_name(name)
        given.get_node().set_element_type(ov.utils.types.get_element_type(tensor.numpy().dtype))
        open_axes = model.axes.get(name, {}) if opened else {}
        given.get_node().set_partial_shape(
            ov.PartialShape([-1 if axis in open_axes else size for axis, size in enumerate(tensor.shape)])
        )
    made.validate_nodes_and_infer_types()
    return made


def _save(made: ov.Model, folder: Path) -> Path:
    ov.save_model(made, folder / "model.xml")
    return folder / "model.xml"


def _program(model: Model) -> ov.Model:
    return ov.convert_model(torch.export.export(Positional(model), tuple(model.inputs.values())))


def _onnx(model: Model, folder: Path, opened: bool = False, dynamo: bool = False) -> Path:
    path = folder / "model.onnx"
    options: dict[str, Any] = {"input_names": list(model.inputs), "dynamo": dynamo}
    if opened:
        options["dynamic_axes"] = model.axes
    torch.onnx.export(Positional(model), tuple(model.inputs.values()), path, opset_version=18, **options)
    return path


def _feed(model: Model) -> dict[str, np.ndarray]:
    return {name: tensor.numpy() for name, tensor in model.inputs.items()}


def _quantized_dynamic(model: Model, folder: Path) -> Path:
    from onnxruntime.quantization import quantize_dynamic

    quantize_dynamic(_onnx(model, folder), folder / "quantized.onnx")
    return folder / "quantized.onnx"


def _quantized_static(model: Model, folder: Path, form: str) -> Path:
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self.left = [_feed(model)]

        def get_next(self) -> Any:
            return self.left.pop() if self.left else None

    inferred = folder / "inferred.onnx"
    quant_pre_process(_onnx(model, folder), inferred, skip_symbolic_shape=True)
    quantize_static(inferred, folder / "quantized.onnx", Reader(), quant_format=getattr(QuantFormat, form))
    return folder / "quantized.onnx"


def _nncf(model: Model) -> ov.Model:
    import nncf

    return nncf.quantize(_ir(model), nncf.Dataset([_feed(model)]), subset_size=1)


def _weights(model: Model, mode: str, **options: Any) -> ov.Model:
    import nncf

    return nncf.compress_weights(_ir(model), mode=getattr(nncf.CompressWeightsMode, mode), **options)


def _stateful(model: Model) -> ov.Model:
    """As optimum-intel does it: a Gather by ``beam_idx`` behind each past, and pasts and presents as variables."""
    from openvino import opset13 as op
    from openvino._offline_transformations import apply_make_stateful_transformation

    made = _ir(model, opened=True)
    beams = op.parameter(ov.PartialShape([-1]), np.int32, name="beam_idx")
    beams.output(0).set_names({"beam_idx"})
    pasts = [given for given in made.inputs if given.get_any_name().startswith("past")]
    for given in pasts:
        readers = given.get_target_inputs()
        sorted_ = op.gather(given, beams, np.int64(0))
        for reader in readers:
            reader.replace_source_output(sorted_.output(0))
    made.add_parameters([beams])
    presents = made.outputs[len(made.outputs) - len(pasts) :]
    pairs = {}
    for past, present in zip(pasts, presents, strict=True):
        name = past.get_any_name().replace("past_key_values", "present")
        present.get_tensor().set_names({name})
        pairs[past.get_any_name()] = name
    made.validate_nodes_and_infer_types()
    apply_make_stateful_transformation(made, pairs)
    return made


def _keras(name: str, form: str, folder: Path) -> Path:
    import tensorflow as tf

    image = tf.keras.Input(batch_shape=(1, 224, 224, 3))
    model = getattr(tf.keras.applications, name)(weights=None, input_tensor=image)
    if form == "saved-model":
        model.export(folder / "model")
        return folder / "model"
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    if form == "tflite-int8":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        seen = np.random.default_rng(0).random(model.input_shape, np.float32)
        converter.representative_dataset = lambda: iter([[seen]])
    (folder / "model.tflite").write_bytes(converter.convert())
    return folder / "model.tflite"


FORMS: dict[str, Callable[[Model, Path], Path]] = {
    "ir": lambda m, f: _save(_ir(m), f),
    "dynamic": lambda m, f: _save(_ir(m, opened=True), f),
    "program": lambda m, f: _save(_program(m), f),
    "onnx": _onnx,
    "dynamo": lambda m, f: _onnx(m, f, dynamo=True),
    "onnx-dynamic": lambda m, f: _onnx(m, f, opened=True),
    "ort-dynamic": _quantized_dynamic,
    "ort-qdq": lambda m, f: _quantized_static(m, f, "QDQ"),
    "ort-qoperator": lambda m, f: _quantized_static(m, f, "QOperator"),
    "nncf-int8": lambda m, f: _save(_nncf(m), f),
    "nncf-w8": lambda m, f: _save(_weights(m, "INT8_ASYM"), f),
    "nncf-w4": lambda m, f: _save(_weights(m, "INT4_SYM", group_size=64, all_layers=True), f),
    "past": lambda m, f: _save(_ir(m), f),
    "stateful": lambda m, f: _save(_stateful(m), f),
}
OPEN_FORMS = {"dynamic", "onnx-dynamic", "stateful"}


def export(name: str, form: str, folder: Path) -> dict[str, Any]:
    """Export one form of one architecture into ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    one = next(one for one in catalogue.ARCHITECTURES if one.name == name)
    if one.build == "keras":
        return {"file": str(_keras(name, form, folder)), "shapes": []}
    torch.manual_seed(0)
    build = MODELS["step" if form in ("past", "stateful") else one.build]
    with torch.no_grad():
        model = build(name, dict(one.options))
        model.module.eval()
        path = FORMS[form](model, folder)
    shapes = [f"{name}={list(tensor.shape)}".replace(" ", "") for name, tensor in model.inputs.items()]
    return {"file": str(path), "shapes": shapes if form in OPEN_FORMS else []}


def _in_child(job: dict[str, str], answer: int) -> None:
    resource.setrlimit(resource.RLIMIT_DATA, (GIBIBYTES << 30,) * 2)
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS,) * 2)
    try:
        found = export(job["name"], job["form"], Path(job["folder"]))
    except BaseException as error:
        traceback.print_exc()
        lines = [line for line in str(error).splitlines() if line.strip()] or [""]
        text = next((line for line in lines if "Conversion is failed for" in line), lines[0])
        found = {"error": f"{type(error).__name__}: {text}"[:200]}
    os.write(answer, json.dumps(found).encode())


def main() -> None:
    """Answer line by line."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    warnings.simplefilter("ignore")
    transformers.logging.set_verbosity_error()
    torch.set_num_threads(1)
    onnx.load  # noqa: B018 (loaded before the forks)
    for line in sys.stdin:
        ends = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(ends[0])
            _in_child(json.loads(line), ends[1])
            os._exit(0)
        os.close(ends[1])
        with os.fdopen(ends[0], "rb") as told:
            text = told.read().decode()
        _, status = os.waitpid(child, 0)
        died = {"error": f"the exporter died with signal {status & 127}"}
        answers.write((text or json.dumps(died)) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
