"""Groups of OpenVINO op types that several stages ask for."""

from __future__ import annotations

#: Ops that only give another shape.
RESHAPES = frozenset({"Reshape", "Squeeze", "Unsqueeze"})
#: Ops that the DPU computes, whose weights are their second operand.
WEIGHTED = frozenset({"MatMul", "Convolution", "GroupConvolution"})

#: Ops that the DPU runs for one image of a batch after the other.
IMAGE_BY_IMAGE = frozenset({"Convolution", "GroupConvolution", "MaxPool", "AvgPool"})
