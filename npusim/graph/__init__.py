"""Graph: the model as ops and tensors, and the front end that reads it through OpenVINO."""

from npusim.graph.frontend import from_openvino
from npusim.graph.ir import BITS, Graph, Op, Tensor
from npusim.graph.load import load_model, load_model_bytes, read_model, size_inputs

__all__ = [
    "BITS",
    "Graph",
    "Op",
    "Tensor",
    "from_openvino",
    "load_model",
    "load_model_bytes",
    "read_model",
    "size_inputs",
]
