"""Stream on the GEMM: its four TPU-like cores, the mapping that it proposes, without reports."""

from pathlib import Path

import stream
from stream.api import SolveOptions, evaluate_mapping

hardware = Path(stream.__file__).parent / "inputs/examples/hardware/tpu_like_quad_core.yaml"
estimate = evaluate_mapping(str(hardware), "gemm.onnx", "out", options=SolveOptions(artifacts=False))
print(f"{estimate.cycles:,.0f} cycles")
