"""MatMuls alone whose slices are many: what the compiler's schedules of them take (OpenVINO 2026.4.1)."""

from __future__ import annotations

import numpy as np
import openvino as ov
import pytest
from openvino import opset15 as op

from npusim import api
from npusim.graph import from_openvino


def product(rows: int, terms: int, channels: int, bits: int) -> ov.Model:
    x = op.parameter([rows, terms], np.float16)
    numbers = np.arange(channels * terms).reshape(channels, terms) % 127 + 1
    if bits == 8:
        stored = op.convert(op.constant(numbers.astype(np.int8)), "f16")
        weights = op.multiply(stored, op.constant(np.full((channels, 1), 1e-3, np.float16)))
    else:
        weights = op.constant(numbers.astype(np.float16))
    return ov.Model([op.matmul(x, weights, False, True)], [x], "product")


#: The tasks cost what the compiler's do, and the choice between them is another one.
OTHER_SPLIT = pytest.mark.xfail(
    strict=True,
    reason="another split or slices since the tasks have their exact price, why is not known",
)

#: Machine, (rows, terms, channels), bits of a weight, and the compiler's latency, µs.
COMPILED = (
    # slices over channels of tall operands count as what they compute
    ("lunarlake", (736, 1024, 320), 8, 71.8), ("lunarlake", (1696, 3072, 192), 16, 291.8),
    pytest.param("lunarlake", (1056, 1024, 256), 8, 75.3, marks=OTHER_SPLIT),
    pytest.param("lunarlake", (3660, 768, 2048), 16, 1444.9, marks=OTHER_SPLIT),
    # slices along both axes: two of channels are such too, and each keeps enough of them
    pytest.param("lunarlake", (4096, 2560, 1376), 16, 4233.3, marks=OTHER_SPLIT),
    ("pantherlake", (2267, 4096, 528), 16, 1202.6),
)  # fmt: skip


@pytest.mark.parametrize(("machine", "size", "bits", "compiled_us"), COMPILED)
def test_sliced_products_take_what_the_compiler_says(
    machine: str, size: tuple[int, int, int], bits: int, compiled_us: float
) -> None:
    hw = api.load_hardware(f"{machine}-vpunn.yaml")
    program = api.lower(from_openvino(product(*size, bits)), hw)
    assert api.simulate(program, hw).latency_us == pytest.approx(compiled_us, rel=0.08)
