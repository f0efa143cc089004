"""ZigZag on the GEMM: its TPU-like core, temporal mappings by LOMA with its default limit of 6 loop prime factors."""

from pathlib import Path

import onnx
import zigzag
from zigzag.api import get_hardware_performance_zigzag

inputs = Path(zigzag.__file__).parent / "inputs"
energy, cycles, _ = get_hardware_performance_zigzag(
    onnx.load("gemm.onnx"),
    str(inputs / "hardware/tpu_like.yaml"),
    str(inputs / "mapping/tpu_like.yaml"),
    opt="latency",
    dump_folder="out",
    loma_show_progress_bar=False,
)
print(f"{cycles:,.0f} cycles")
