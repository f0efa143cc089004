"""Numeric checks: two models on the same inputs, by OpenVINO's CPU plugin in FP32."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import openvino as ov

from npusim.xamba.errors import ModelsDiffer
from npusim.xamba.inputs import cases, rows
from npusim.xamba.runner import runner

#: Largest relative error that a rewrite may have, unless another is asked for.
TOLERANCE = 1e-3


@dataclass(frozen=True, slots=True)
class Difference:
    """How far one output of B is from that of A in one case.

    `relative` is the largest absolute error over the largest magnitude in A (in any case, where A is zero throughout
    this one); `cosine` that of the angle between the two as vectors, None where A is zero throughout and B is not.
    Entries that are the same infinity, or not a number in both, count as equal; one that is finite in
    only one of the two makes the errors infinite. For logits, the last axis being the vocabulary: `kl` is the mean
    Kullback-Leibler divergence of B's distribution from A's, in nats, and `top1` the share of positions with the same
    likeliest token; None for other outputs.
    """

    case: str
    output: str
    max_abs: float
    relative: float
    cosine: float | None
    kl: float | None = None
    top1: float | None = None


def compare(a: ov.Model, b: ov.Model, *, seed: int = 0, randoms: int = 2) -> list[Difference]:
    """Every output of A against B's at the same place, on random inputs and those of the edges (xamba.inputs).

    Raises ModelsDiffer if their inputs or outputs do not correspond, and CannotRun.
    """
    _same_interface(a, b)
    runners = [runner(model, label) for model, label in ((a, "A"), (b, "B"))]
    vocabularies = {rows(port) for port in a.inputs if port.get_element_type().is_integral()}
    found = []
    scales = [0.0] * len(a.outputs)
    for case, inputs in cases(a, seed, randoms):
        results = [run(case, inputs) for run in runners]
        for i, port in enumerate(a.outputs):
            x, y = (np.asarray(result[i], np.float64) for result in results)
            logits = bool(x.shape) and x.shape[-1] in vocabularies
            found.append(difference(case, output_name(port, i), x, y, logits=logits))
            scales[i] = max(scales[i], _scale(x))
    return [_scaled(one, scales[i % len(scales)]) for i, one in enumerate(found)]


def worst(found: Sequence[Difference]) -> list[Difference]:
    """The worst figure of each kind for each output, over all cases; `case` is that of the relative error."""
    outputs = dict.fromkeys(d.output for d in found)
    return [_worst_of([d for d in found if d.output == output]) for output in outputs]


def difference(case: str, output: str, x: np.ndarray, y: np.ndarray, *, logits: bool = False) -> Difference:
    """The figures of one output; x is A's."""
    same = (x == y) | (np.isnan(x) & np.isnan(y))
    odd = ~(np.isfinite(x) & np.isfinite(y))
    if (odd & ~same).any():
        return Difference(
            case, output, np.inf, np.inf, 0.0, np.inf if logits else None, 0.0 if logits else None
        )
    x, y = np.where(odd, 0.0, x), np.where(odd, 0.0, y)
    max_abs = float(np.abs(x - y).max(initial=0.0))
    scale = _scale(x)
    relative = max_abs / scale if scale else (0.0 if max_abs == 0 else np.inf)
    length = float(np.linalg.norm(x) * np.linalg.norm(y))
    cosine = min(float((x * y).sum()) / length, 1.0) if length else (1.0 if max_abs == 0 else 0.0)
    angle = cosine if scale or max_abs == 0 else None
    if not logits:
        return Difference(case, output, max_abs, relative, angle)
    p, q = _log_softmax(x), _log_softmax(y)
    kl = float((np.exp(p) * (p - q)).sum(-1).mean())
    top1 = float((x.argmax(-1) == y.argmax(-1)).mean())
    return Difference(case, output, max_abs, relative, angle, max(kl, 0.0), top1)


def _scale(x: np.ndarray) -> float:
    """The largest finite magnitude."""
    return float(np.abs(x[np.isfinite(x)]).max(initial=0.0))


def _scaled(one: Difference, scale: float) -> Difference:
    """Relative to an output's ``scale`` over all cases where A is zero throughout this one."""
    return replace(one, relative=one.max_abs / scale) if one.cosine is None and scale else one


def output_name(port: ov.Output, position: int) -> str:
    """The first of its names, or its position."""
    return min(port.get_names(), default=f"output {position}")


def _worst_of(found: list[Difference]) -> Difference:
    head = max(found, key=lambda d: d.relative)
    kls, tops = ([d.kl for d in found if d.kl is not None], [d.top1 for d in found if d.top1 is not None])
    return Difference(
        head.case,
        head.output,
        max(d.max_abs for d in found),
        head.relative,
        min((d.cosine for d in found if d.cosine is not None), default=None),
        max(kls, default=None),
        min(tops, default=None),
    )


def _log_softmax(x: np.ndarray) -> np.ndarray:
    x = x - x.max(-1, keepdims=True)
    return np.asarray(x - np.log(np.exp(x).sum(-1, keepdims=True)))


def _same_interface(a: ov.Model, b: ov.Model) -> None:
    for what, ours, theirs in (("inputs", a.inputs, b.inputs), ("outputs", a.outputs, b.outputs)):
        if len(ours) != len(theirs):
            raise ModelsDiffer(f"A has {len(ours)} {what} and B has {len(theirs)}")
        for i, (mine, other) in enumerate(zip(ours, theirs, strict=True)):
            facts = [
                f"{port.get_element_type().get_type_name()} {port.get_partial_shape()}"
                for port in (mine, other)
            ]
            if facts[0] != facts[1]:
                name = output_name(mine, i)
                raise ModelsDiffer(f"{what[:-1]} '{name}' is {facts[0]} in A and {facts[1]} in B")
