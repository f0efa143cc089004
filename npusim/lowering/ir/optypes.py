"""Groups of OpenVINO op types that several stages ask for."""

from __future__ import annotations

#: Ops that only give another shape.
RESHAPES = frozenset({"Reshape", "Squeeze", "Unsqueeze"})
#: Ops that the DPU computes, whose weights are their second operand.
WEIGHTED = frozenset({"MatMul", "Convolution", "GroupConvolution"})
