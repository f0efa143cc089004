"""XAMBA and beyond: OpenVINO models rewritten into OpenVINO models that run better on an NPU.

    from npusim import xamba
    faster, sites = xamba.apply(model, "contract,segsum,cumba,reduba")
    for site in sites:
        print(site.rule, site.op, site.taken, site.note)

A pipeline is a list of rules, each with options in braces: `cumba{block=256},actiba{segments=32,range=-8:8}`; rules run
one after the other, over the whole model. CumBA, ReduBA and ActiBA are those of the XAMBA paper
(https://arxiv.org/abs/2502.06924); `contract` and `segsum` go beyond it; `prune`, `quantize` and `binary` trade
accuracy for speed by changing weights. The model that is given is never changed.

Importing this package imports neither OpenVINO nor numpy; its functions do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from npusim.xamba.errors import CannotRun, ModelsDiffer, PipelineError
from npusim.xamba.sites import Site

if TYPE_CHECKING:
    import openvino

    from npusim.xamba.inputs import Inputs

__all__ = ["CannotRun", "ModelsDiffer", "PipelineError", "Site", "apply", "describe", "names"]


def apply(
    model: openvino.Model,
    passes: str,
    *,
    choose: Callable[[str, str], bool] | None = None,
    calibration: Iterable[Inputs] | None = None,
) -> tuple[openvino.Model, list[Site]]:
    """A rewritten copy of `model`, and every place that a rule looked at, in the order they were visited.

    `passes` is a pipeline (`names()` lists the rules); an empty one copies the model. `choose(step, op)`, if given,
    says whether a site that could be taken is (step: the rule as the pipeline has it, `cumba{block=64}`; op: its
    friendly name). `calibration` holds inputs by position, for
    `actiba{range=observed}`, which otherwise observes random ones. Inputs, outputs and their names stay as they are,
    but for caches and states of heads and layers that `prune` takes away. Raises PipelineError for a pipeline that
    cannot be read, and CannotRun where ranges cannot be observed.
    """
    from npusim.xamba.actiba import ActiBA
    from npusim.xamba.pipeline import steps
    from npusim.xamba.rule import rewrite

    rules = steps(passes)
    if any(isinstance(rule, ActiBA) and rule.range == "observed" for _, rule in rules):
        from npusim.xamba.observe import observe

        ranges = observe(model, calibration)
        rules = [
            (step, replace(rule, observed=ranges) if isinstance(rule, ActiBA) else rule)
            for step, rule in rules
        ]
    return rewrite(model, rules, choose or (lambda step, op: True))


def names() -> list[str]:
    """The rules that a pipeline may hold."""
    from npusim.xamba.pipeline import RULES

    return list(RULES)


def describe(name: str) -> str:
    """One paragraph about a rule of `names()`, with its options."""
    from npusim.xamba.pipeline import describe_rule

    return describe_rule(name)
