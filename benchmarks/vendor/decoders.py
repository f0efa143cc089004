"""Layers of published language models as IR files, to be compiled by Intel's compiler and scored against it.

    python -m benchmarks.vendor.decoders OUT [--models qwen3-0.6b,llama-3.1-8b] [--weights int4,int8] [--cache 1152]
    python benchmarks/vendor/reference.py add REF --platform 4000 --family decode OUT/*.xml
    npusim validate --index REF/index.csv

A layer of one row is a call of one generated token; times of INT4 over INT8 say what narrow weights save.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import openvino as ov

from npusim.workloads import llm


def main() -> None:
    """Write a layer a model and format."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--models", default="qwen3-0.6b,llama-3.1-8b")
    parser.add_argument("--weights", default="int4,int8")
    parser.add_argument("--cache", type=int, default=1152, help="tokens attended to, the new one among them")
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    for name in asked.models.split(","):
        for weights in asked.weights.split(","):
            config = llm.published(name)
            layer = llm.layer_model(config, 0, rows=1, past=asked.cache - 1, weights=weights)
            file = f"{name}_{weights}_t{asked.cache}.xml".replace(":", "-")
            ov.save_model(layer, asked.out / file, compress_to_fp16=False)


if __name__ == "__main__":
    main()
