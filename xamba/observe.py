"""Which values activations meet: the model run on calibration inputs, on the CPU in FP32."""

from __future__ import annotations

import math
from collections.abc import Iterable
from contextlib import suppress

import numpy as np
from openvino import Model, Node, Output
from openvino import opset15 as op

from npusim.xamba.actiba import ActiBA
from npusim.xamba.inputs import Inputs, cases
from npusim.xamba.rule import Skip
from npusim.xamba.runner import runner

#: Random inputs that a model is run on where no calibration inputs are given.
RANDOM_INPUTS = 4
#: How much wider than what was seen a range is made on either side, for what was not.
MARGIN = 1 / 8


def observe(model: Model, calibration: Iterable[Inputs] | None = None) -> dict[str, tuple[float, float]]:
    """The range of finite inputs that each activation meets, by the name of the op that ends it, with a margin.

    `calibration` yields inputs by position; without it there are RANDOM_INPUTS random ones (xamba.inputs).
    What stands in the body of an If or a Loop is not observed. Raises CannotRun.
    """
    copy = model.clone()
    sites: dict[str, Output] = {}
    for node in copy.get_ordered_ops():
        if node.get_type_name() in ActiBA.types:
            with suppress(Skip):
                found = ActiBA().check(node)
                if found is not None:
                    sites[found.root.get_friendly_name()] = found.x
    if not sites:
        return {}
    first = len(copy.outputs)
    copy.add_results([op.result(end) for x in sites.values() for end in _ends(x)])
    run = runner(copy, "the model")
    seen = [[math.inf, -math.inf] for _ in sites]
    if calibration is None:
        random = cases(model, seed=0, randoms=RANDOM_INPUTS)
        calibration = (inputs for case, inputs in random if case.startswith("random"))
    for inputs in calibration:
        results = run("calibration", inputs)
        for i, bounds in enumerate(seen):
            low, high = (float(results[first + 2 * i + end]) for end in (0, 1))
            bounds[:] = min(bounds[0], low), max(bounds[1], high)
    return {
        name: _widened(*bounds) for name, bounds in zip(sites, seen, strict=True) if bounds[0] <= bounds[1]
    }


def _ends(x: Output) -> tuple[Node, Node]:
    """The smallest and the largest finite element; infinities the wrong way round where there is none."""
    wide = op.reshape(op.convert(x, "f32"), op.constant(np.array([-1])), False)
    axes = op.constant(np.array([0]))
    low, high = (
        op.select(op.is_finite(wide), wide, op.constant(np.float32(filler))) for filler in (np.inf, -np.inf)
    )
    return op.reduce_min(low, axes, False), op.reduce_max(high, axes, False)


def _widened(low: float, high: float) -> tuple[float, float]:
    """With the margin, and from there to the next number of two digits: near ranges then share a table.

    A range of one sign stays so: what is never positive, such as a logarithm of a decay, is so by construction.
    """
    margin = MARGIN * (high - low) or 1.0
    step = 10.0 ** (math.floor(math.log10(max(abs(low), abs(high)) + margin)) - 1)
    below, above = math.floor((low - margin) / step) * step, math.ceil((high + margin) / step) * step
    return (0.0 if low >= 0 > below and high > 0 else below), (
        0.0 if high <= 0 < above and low < 0 else above
    )
