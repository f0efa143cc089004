"""Does npusim rank pruned models as Intel's compiler does? python -m benchmarks.vendor.sparsity [--again]

Builds chains of convolutions and MatMuls, prunes them with xamba (shares of zeros, 2:4, 4 of 9, whole outputs, fewer
channels), compiles with Intel's compiler (see reference.py) what sparsity.csv lacks, predicts everything with the
estimator's constants, and prints both. tests/references/test_sparsity.py predicts the table again.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import openvino as ov
from openvino import opset15 as op
from openvino.op import Constant

import npusim
from npusim import xamba
from npusim.graph.load import graph_of
from npusim.hardware.platforms import file_of
from npusim.validation.traces.file import read_trace
from npusim.validation.traces.schedule import import_trace, machine_of

TABLE = Path(__file__).with_name("sparsity.csv")
PLATFORMS = {"4000": 4, "3720": 2, "5010": 3}
PRUNED = {
    "dense": "", "25 %": "prune{share=0.25}", "50 %": "prune{share=0.5}", "75 %": "prune{share=0.75}",
    "90 %": "prune{share=0.9}", "2:4": "prune{pattern=2:4}", "4 of 9": "prune{pattern=4of9}",
    "half the outputs": "prune{pattern=outputs}", "narrowed by half": "prune{channels=0.5}",
}  # fmt: skip
CHAINS = (
    "3 x conv3 256 on 28",
    "2 x conv3 128 on 14",
    "3 x conv1 512 on 14",
    "3 x conv3 192 on 40",
    "4 x matmul 2048 of 1 row",
    "3 x matmul 1024 of 1 row",
)


def chain(name: str) -> ov.Model:
    """The model that a name of CHAINS says, with weights from a normal distribution."""
    count, kind, width, _, size = name.replace(" x ", " ").split()[:5]
    rng, channels = np.random.default_rng(0), int(width)
    image = kind.startswith("conv")
    x = op.parameter(
        [1, channels, int(size), int(size)] if image else [int(size), channels], np.float32, name="x"
    )
    y: ov.Node = x
    for _ in range(int(count)):
        shape = (channels, channels, int(kind[-1]), int(kind[-1])) if image else (channels, channels)
        weights = (rng.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float16)
        constant, pad = op.convert(Constant(weights), "f32"), [int(kind[-1]) // 2] * 2 if image else []
        y = (
            op.convolution(y, constant, [1, 1], pad, pad, [1, 1])
            if image
            else op.matmul(y, constant, False, True)
        )
        y = op.relu(y)
    return ov.Model([op.result(y)], [x], "chain")


def pruned(name: str) -> Iterator[tuple[str, ov.Model]]:
    """Every form of a chain that its pattern fits."""
    model = chain(name)
    for form, passes in PRUNED.items():
        made, sites = xamba.apply(model, passes)
        if all(site.taken for site in sites) or (any(site.taken for site in sites) and "channels" in passes):
            yield form, made


def predicted_us(model: ov.Model, platform: str) -> float:
    """By npusim, with the constants of the compiler's estimator and its tiles."""
    hw = npusim.load_hardware(file_of(platform, "estimator"), [f"tiles={PLATFORMS[platform]}"])
    return npusim.simulate(npusim.lower(graph_of(model, "chain", "chain"), hw), hw, "fast").latency_us


def table() -> list[tuple[str, str, str, float]]:
    """Chain, form, platform and the compiler's time, µs, of what was written."""
    with TABLE.open(newline="") as stream:
        return [
            (row["chain"], row["form"], row["platform"], float(row["total_us"]))
            for row in csv.DictReader(stream)
        ]


def scheduled_us(schedule: bytes) -> float:
    """The latency of a compiler's schedule."""
    file = read_trace(schedule, "chain")
    return float(import_trace(file, machine_of(file).hardware).metrics.statistics["total_us"])


def main() -> None:
    """Compile what the table lacks, predict, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--again", action="store_true", help="compile everything again")
    parser.add_argument("--version", default="2026.4.1", help="OpenVINO release of the compiler")
    arguments = parser.parse_args()
    from benchmarks.vendor.reference import compile_model

    known = {} if arguments.again or not TABLE.exists() else {row[:3]: row[3] for row in table()}
    with tempfile.TemporaryDirectory() as folder:
        for name in CHAINS:
            for form, model in pruned(name):
                file = Path(folder) / "chain.xml"
                ov.save_model(model, file)
                for platform, tiles in PLATFORMS.items():
                    key = (name, form, platform)
                    if key not in known:
                        schedule = compile_model(file, platform, tiles, arguments.version)
                        known[key] = round(scheduled_us(schedule), 1)
                    us, ours = known[key], predicted_us(model, platform)
                    print(
                        f"{name:26s} {form:17s} {platform} {us:9.1f} {ours:9.1f} {100 * (ours / us - 1):+6.1f} %"
                    )
    with TABLE.open("w", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerows(
            [("chain", "form", "platform", "total_us"), *((*key, us) for key, us in known.items())]
        )


if __name__ == "__main__":
    main()
