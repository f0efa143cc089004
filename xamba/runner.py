"""Models on OpenVINO's CPU plugin in FP32."""

from __future__ import annotations

from collections.abc import Callable
from math import prod

import numpy as np
import openvino as ov

from npusim.xamba.errors import CannotRun
from npusim.xamba.inputs import Inputs

#: Products in FP32 of what is stored: by default the plugin makes activations 8-bit where weights are.
FP32 = {"INFERENCE_PRECISION_HINT": "f32", "DYNAMIC_QUANTIZATION_GROUP_SIZE": "0"}

#: Of an input or output: the logits of 256 tokens and 128,000 words, of which the comparison holds some copies.
MOST_ELEMENTS = 1 << 25


def runner(model: ov.Model, label: str) -> Callable[[str, Inputs], list[np.ndarray]]:
    """A function of the name of a case and its inputs by position that gives the outputs by position.

    It, and making it, raise CannotRun where the plugin refuses: a rank that is not known, lengths that do not fit.
    ``label`` names the model there.
    """
    _refuse_large(model, label)
    for port in model.inputs:
        if port.get_partial_shape().rank.is_dynamic:
            name = min(port.get_names(), default=port.get_node().get_friendly_name())
            raise CannotRun(
                f"{label}: input '{name}' has no known rank: give it a shape with --shape {name}=[1,256]"
            )
    try:
        compiled = ov.Core().compile_model(model, "CPU", FP32)
    except RuntimeError as error:
        raise CannotRun(f"{label}: the CPU plugin cannot compile it: {_last_line(error)}") from None

    def run(case: str, inputs: Inputs) -> list[np.ndarray]:
        try:
            results = compiled(inputs)
        except RuntimeError as error:
            shapes = ", ".join(f"{list(value.shape)}" for value in inputs.values())
            raise CannotRun(
                f"{label}: it does not run on inputs of shape {shapes} (case '{case}'): {_last_line(error)}; "
                "static shapes can be given with --shape"
            ) from None
        return [results[i] for i in range(len(compiled.outputs))]

    return run


def _refuse_large(model: ov.Model, label: str) -> None:
    """Raise CannotRun for inputs and outputs of more elements than are run and compared in memory and seconds."""
    for port in (*model.inputs, *model.outputs):
        shape = port.get_partial_shape()
        elements = prod(dim.get_min_length() for dim in shape) if shape.rank.is_static else 0
        if elements > MOST_ELEMENTS:
            name = min(port.get_names(), default=port.get_node().get_friendly_name())
            raise CannotRun(
                f"{label}: '{name}' is of {elements:,} elements, and no more than {MOST_ELEMENTS:,} are run: give "
                "smaller inputs with --shape"
            )


def _last_line(error: RuntimeError) -> str:
    """The most specific line of what OpenVINO says: it puts the outer calls first."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else "no reason is given"
