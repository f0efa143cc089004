"""`auto`: rewrites of `xamba` where, and only where, a simulation says that they pay on the hardware at hand.

Sites that differ only in the number of their layer form a group, and a group is rewritten as a whole, by one step of a
pipeline or by none. Decisions are made on a probe, the model cut to one layer of each kind: first among the fixed
pipelines, then from the best of them on, group by group, until no change of one group helps. Of equally fast choices
the one with fewer rewrites is taken. The result is simulated on the whole model, and gives way to a fixed pipeline, or
to the model as it stands, that is faster there.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import product
from typing import TYPE_CHECKING, Any

from npusim import api
from npusim.errors import UserError
from npusim.explore.probe import probe_of, without_number
from npusim.graph.load import graph_of
from npusim.hardware.schema import Hardware

if TYPE_CHECKING:
    from npusim.xamba import Site

#: Blocks of CumBA that are tried beside the rule's own choice.
BLOCKS = (64, 128, 256, 512, 1024, 2048)
#: The exact rewrites, in the one order in which none takes a site from a better one; of equal ones the first is used.
STEPS = (
    "contract",
    "contract{short=yes}",
    "segsum",
    "cumba",
    *(f"cumba{{block={n}}}" for n in BLOCKS),
    "reduba",
    "reduba{norms=yes}",
)
#: What changes numbers beyond rounding, and is chosen from only if asked for.
APPROXIMATE = ("actiba",)
#: Fixed pipelines are simulated on the whole model too if the probe has them within this factor of the choice. What
#: layers have to do with each other is hidden from the probe: in a decode of Mamba-2 2.7B on Meteor Lake, where the
#: weights of the next layer come in meanwhile, it has `reduba` 11.8 % behind a pipeline that is 0.2 % slower.
_NEAR = 1.25
#: A model is its own probe if it has no more than so many times the tasks.
_FEW = 2
#: Rounds over all groups at most; the second mostly confirms the first.
_PASSES = 4
#: Two latencies whose difference is rounding.
_ROUNDING = 1e-9

#: Group to the step that rewrites it.
Plan = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class SiteGain:
    """One op that a step could rewrite, and how much faster the whole model is for it, µs, as the probe has it.

    Of a site that is ``taken``, ``gain_us`` is what would be lost without it; of another, what the best step for it
    (``rule``, with options) would gain: nothing or less, or minus infinity where the result cannot be lowered. ``note``
    says what it became; ``error_bound`` is as in xamba.Site.
    """

    rule: str
    op: str
    type: str
    taken: bool
    gain_us: float
    note: str
    error_bound: float | None


@dataclass(frozen=True, slots=True)
class Fixed:
    """A pipeline that takes every site it can: its latency on the probe, and on the whole model where that was needed
    (None elsewhere), µs."""

    passes: str
    probe_us: float
    latency_us: float | None


@dataclass(frozen=True, slots=True)
class Chosen:
    """The openvino.Model that was chosen, its latency and that of the model as it stood, and what there was to choose
    from: ``sites`` in the order of the model, ``fixed`` pipelines with the fastest on the probe first, and
    ``probe_us`` of the choice."""

    model: Any
    latency_us: float
    stock_us: float
    probe_us: float
    sites: tuple[SiteGain, ...]
    fixed: tuple[Fixed, ...]


def best_rewrites(model: Any, hw: Hardware, *, approximate: bool = False, name: str = "the model") -> Chosen:
    """The rewrites of an openvino.Model that are predicted to pay on ``hw``.

    ``approximate`` adds ActiBA, whose tables change numbers, where the DPU has one. Raises UserError, with
    ``name`` for the model, where it cannot be simulated as it stands.
    """
    steps = STEPS + (APPROXIMATE if approximate and hw.dpu.ppe.lut else ())
    probe, whole = _Bench(probe_of(model), hw, name), _Bench(model, hw, name)
    stock_us = whole.latency_us({}, must=True)
    probe.latency_us({})
    if whole.most_tasks <= _FEW * probe.most_tasks:
        probe = whole
    options = _options(probe.model, steps, hw)
    fixed = _fixed(probe, options)
    best = _refined(probe, options, fixed[0][1])
    rest = {group: tried for group, tried in _asked(model, steps).items() if group not in options}
    best = _refined(whole, rest, best)
    near_us = probe.latency_us(best) * _NEAR
    distinct = {probe.latency_us(plan): plan for _, plan in reversed(fixed)}
    verified = [{}, *(plan for latency_us, plan in distinct.items() if latency_us <= near_us)]
    best = min([best, *verified], key=whole.latency_us)
    result, sites = whole.rewritten(best)
    gains = {**_gains(probe, options, best), **_gains(whole, rest, best)}
    return Chosen(
        model=result,
        latency_us=whole.latency_us(best),
        stock_us=stock_us,
        probe_us=probe.latency_us(best),
        sites=tuple(_sites(model, sites, gains)),
        fixed=tuple(
            Fixed(passes, probe.latency_us(plan), whole.latency_us(plan) if plan in verified else None)
            for passes, plan in fixed
        ),
    )


def fixed_rewrites(model: Any, hw: Hardware, name: str) -> list[tuple[str, float]]:
    """Pipelines that take every site they can, with the latency of ``model`` after each, µs, the fastest first.

    Raises UserError, with ``name`` for the model, where it cannot be simulated as it stands.
    """
    bench = _Bench(model, hw, name)
    bench.latency_us({}, must=True)
    options = _options(model, STEPS, hw)
    return [(passes, bench.latency_us(plan)) for passes, plan in _fixed(bench, options)]


@dataclass(slots=True)
class _Bench:
    """Simulates plans for one model, each distinct result of them once."""

    model: Any
    hw: Hardware
    name: str
    most_tasks: int = 0
    _plans: dict[frozenset[tuple[str, str]], float] = field(default_factory=dict)
    _results: dict[tuple[tuple[str, str], ...], float] = field(default_factory=dict)

    def rewritten(self, plan: Plan) -> tuple[Any, list[Site]]:
        """The model after a plan, and the sites of all its steps."""
        from npusim import xamba

        used = set(plan.values())
        steps = ",".join(step for step in (*STEPS, *APPROXIMATE) if step in used)
        return xamba.apply(self.model, steps, choose=lambda step, op: plan.get(without_number(op)) == step)

    def latency_us(self, plan: Plan, must: bool = False) -> float:
        """Simulated latency; infinite where the result cannot be lowered, unless it ``must`` be (UserError)."""
        asked = frozenset(plan.items())
        if asked not in self._plans:
            model, sites = self.rewritten(plan)
            made = tuple((site.op, site.note) for site in sites if site.taken)
            if made not in self._results:
                self._results[made] = self._simulated(model, must)
            self._plans[asked] = self._results[made]
        return self._plans[asked]

    def _simulated(self, model: Any, must: bool) -> float:
        try:
            program = api.lower(graph_of(model, "auto", self.name), self.hw)
            self.most_tasks = max(self.most_tasks, len(program.tasks))
            return api.simulate(program, self.hw, engine="fast", allow_guess=True).latency_us
        except UserError:
            if must:
                raise
            return math.inf


def _options(model: Any, steps: tuple[str, ...], hw: Hardware) -> dict[str, list[str]]:
    """For every group in a model the steps that could take it, no two with the same result.

    A sum of products that `contract` makes a MatMul of is not left to `reduba` where the scratchpads cannot hold the
    products: to make them all, and then sum them, cannot pay beside never making them.
    """
    from npusim import xamba

    found: dict[str, dict[tuple[str, str], str]] = {}
    for step in steps:
        for passes in (step, f"segsum,{step}") if step.startswith("cumba") else (step,):
            for site in xamba.apply(model, passes)[1]:
                if site.taken and site.rule == step.partition("{")[0]:
                    found.setdefault(without_number(site.op), {}).setdefault((site.rule, site.note), step)
    options = {group: list(tried.values()) for group, tried in found.items()}
    for node in model.get_ordered_ops():
        tried = options.get(without_number(node.get_friendly_name()), [])
        if (
            "contract" in tried
            and 2 * math.prod(node.get_input_shape(0)) > hw.tiles * hw.cmx.kib_per_tile * 1024
        ):
            tried[:] = [step for step in tried if not step.startswith("reduba")]
    return options


def _asked(model: Any, steps: tuple[str, ...]) -> dict[str, list[str]]:
    """For every group in a model the steps that could take it, found at once, those of the same result included."""
    from npusim import xamba

    options: dict[str, list[str]] = {}

    def note(step: str, op: str) -> bool:
        tried = options.setdefault(without_number(op), [])
        if step not in tried:
            tried.append(step)
        return False

    xamba.apply(model, ",".join(steps), choose=note)
    return options


def _fixed(probe: _Bench, options: Mapping[str, list[str]]) -> list[tuple[str, Plan]]:
    """Pipelines that take every site they can, the fastest first (of equals the one with fewer rewrites).

    All combinations of the rules; with other blocks only the best of them. Rules in another order give one of these:
    of two that could take a site the first does, as if the other were not there.
    """
    plans: dict[str, Plan] = {}

    def add(passes: str) -> None:
        plan = _plan_of(probe, passes)
        if all(step in options[group] for group, step in plan.items()):
            plans[passes or "none"] = plan

    def ranked() -> list[tuple[str, Plan]]:
        return sorted(plans.items(), key=lambda one: (probe.latency_us(one[1]), len(one[1]), len(one[0])))

    for chosen in product(*(("", rule) for rule in ("contract", "segsum", "cumba", "reduba"))):
        add(",".join(filter(None, chosen)))
    best = ranked()[0][0].split(",")
    for variant in dict.fromkeys(step for tried in options.values() for step in tried):
        rule = variant.partition("{")[0]
        if rule in best and variant != rule:
            add(",".join(variant if step == rule else step for step in best))
    if any(step in APPROXIMATE for tried in options.values() for step in tried):
        add(",".join([step for step in best if step != "none"] + list(APPROXIMATE)))
    return ranked()


def _plan_of(bench: _Bench, passes: str) -> Plan:
    """What a pipeline without choices rewrites, by group."""
    from npusim import xamba

    step_of = {step.partition("{")[0]: step for step in passes.split(",")}
    sites = xamba.apply(bench.model, passes)[1]
    return {without_number(site.op): step_of[site.rule] for site in sites if site.taken}


def _refined(bench: _Bench, options: Mapping[str, list[str]], start: Plan) -> Plan:
    """The plan after changing one group at a time for as long as that helps; what gains nothing is left out."""
    plan = dict(start)
    for _ in range(_PASSES):
        before = dict(plan)
        for group, tried in options.items():
            latencies = {step: bench.latency_us(_with(plan, group, step)) for step in ("", *tried)}
            limit = min(latencies.values()) * (1 + _ROUNDING)
            now = plan.get(group, "")
            best = next(step for step in ("", now, *tried) if latencies[step] <= limit)
            plan = _with(plan, group, best)
        if plan == before:
            break
    return plan


def _with(plan: Plan, group: str, step: str) -> dict[str, str]:
    """The plan with another step for a group; empty for none."""
    others = {key: value for key, value in plan.items() if key != group}
    return {**others, group: step} if step else others


def _gains(bench: _Bench, options: Mapping[str, list[str]], plan: Plan) -> dict[str, tuple[str, float]]:
    """By group the step that is taken, or would be the best, and its gain for one site, µs; see SiteGain."""
    sites = Counter(without_number(node.get_friendly_name()) for node in bench.model.get_ordered_ops())
    latency_us = bench.latency_us(plan)
    gains = {}
    for group, tried in options.items():
        if group in plan:
            step, gain_us = plan[group], bench.latency_us(_with(plan, group, "")) - latency_us
        else:
            step = min(tried, key=lambda step: bench.latency_us(_with(plan, group, step)))
            gain_us = latency_us - bench.latency_us(_with(plan, group, step))
        gains[group] = step, gain_us / (sites[group] or 1)
    return gains


def _sites(model: Any, visited: list[Site], gains: Mapping[str, tuple[str, float]]) -> Iterator[SiteGain]:
    """Every site of the model, and those that rewrites made and others took."""
    taken = {site.op: site for site in visited if site.taken}
    ops = {node.get_friendly_name(): node.get_type_name() for node in model.get_ordered_ops()}
    for op, kind in {**ops, **{site.op: site.type for site in taken.values() if site.op not in ops}}.items():
        if without_number(op) in gains:
            step, gain_us = gains[without_number(op)]
            site = taken.get(op)
            note = site.note if site else "it would gain nothing"
            yield SiteGain(
                step, op, kind, site is not None, gain_us, note, site.error_bound if site else None
            )
