"""mix: programs that run with probabilities, a host call for each that runs.

    T = sum over what runs of (device + call) + gates

Segments run or not by themselves; of outcomes exactly one is taken. The distribution is exact: every case is counted.
A segment that always runs had better be part of the call before it, so that a separate call for it pays only below

    p* = (T(segment) - gate) / (T(segment) + call)

Skipping (LAUDNet, https://arxiv.org/abs/2308.15949), early exits (BranchyNet and SAC-d, https://arxiv.org/abs/2201.02968).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from math import prod

from npusim.errors import UserError
from npusim.scenarios.spec import Mix
from npusim.scenarios.timed import Bench, Timed

QUANTILES = (0.5, 0.95, 0.99)


@dataclass(frozen=True, slots=True)
class Case:
    """One way that it can go. ``break_even``, of an outcome: its probability at which the mix is as fast as the whole,
    the others in proportion; None where there is none."""

    runs: tuple[str, ...]
    probability: float
    us: float
    energy_uj: float
    break_even: float | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """A program in the mix: how likely it runs, what it takes, and below which probability a call of its own pays (0:
    never; 1: always); None for what always runs, and for outcomes, where that is a question of the whole course."""

    name: str
    probability: float
    device_us: float
    call_us: float
    gate_us: float
    break_even: float | None


@dataclass(frozen=True, slots=True)
class Mixed:
    """What comes of it."""

    cases: tuple[Case, ...]
    parts: tuple[Part, ...]
    whole: Timed

    @property
    def expected_us(self) -> float:
        """The mean."""
        return _mean(self.cases)

    @property
    def expected_uj(self) -> float:
        """The mean of the device's energy."""
        return sum(case.probability * case.energy_uj for case in self.cases)

    @property
    def gain(self) -> float:
        """How many times as fast as the whole in one call, on average."""
        return self.whole.us / self.expected_us

    def quantile_us(self, share: float) -> float:
        """The time that so large a share of inferences does not exceed."""
        total = 0.0
        ordered = sorted(self.cases, key=lambda case: case.us)
        for case in ordered:
            total += case.probability
            if total >= share - 1e-12:
                return case.us
        return ordered[-1].us


def mix(bench: Bench, spec: Mix) -> Mixed:
    """The distribution of a mix. Raises UserError where a program cannot be simulated, or none runs."""
    whole = bench.timed(spec.whole)
    if spec.outcomes:
        cases = [_case(bench, one.runs, one.probability, one.gate_us) for one in spec.outcomes]
        cases = [replace(case, break_even=_crossing(case, cases, whole.us)) for case in cases]
        names = dict.fromkeys(name for one in spec.outcomes for name in one.runs)
        likely = {name: sum(one.probability for one in spec.outcomes if name in one.runs) for name in names}
        parts = [_part(bench.timed(name), likely[name], 0.0, None) for name in names]
    else:
        gates_us = sum(one.gate_us for one in spec.segments)
        cases = []
        for runs in product((True, False), repeat=len(spec.segments)):
            chosen = list(zip(spec.segments, runs, strict=True))
            likely_one = prod(one.probability if run else 1 - one.probability for one, run in chosen)
            if likely_one > 0:
                cases.append(_case(bench, [one.program for one, run in chosen if run], likely_one, gates_us))
        parts = [
            _part(timed, one.probability, one.gate_us, even if one.probability < 1 else None)
            for one in spec.segments
            for timed in [bench.timed(one.program)]
            for even in [break_even(timed.device_us, timed.call_us, one.gate_us)]
        ]
    mixed = Mixed(tuple(cases), tuple(parts), whole)
    if not mixed.expected_us > 0:
        raise UserError("the mix: nothing of it ever runs, so that there is no time to tell")
    return mixed


def break_even(device_us: float, call_us: float, gate_us: float) -> float:
    """The probability up to which a segment gains by a call of its own, against being part of its neighbour's."""
    saved = (device_us - gate_us) / (device_us + call_us) if device_us + call_us > 0 else 0.0
    return min(max(saved, 0.0), 1.0)


def _mean(cases: Sequence[Case]) -> float:
    return sum(case.probability * case.us for case in cases)


def _crossing(case: Case, cases: Sequence[Case], whole_us: float) -> float | None:
    """The probability of one outcome at which the mean is ``whole_us``, the others in proportion."""
    others = [one for one in cases if one is not case]
    likely = sum(one.probability for one in others)
    if not likely:
        return None
    rest_us = _mean(others) / likely
    share = (rest_us - whole_us) / (rest_us - case.us) if rest_us != case.us else -1.0
    return share if 0 <= share <= 1 else None


def _case(bench: Bench, runs: Sequence[str], probability: float, gates_us: float) -> Case:
    calls = [bench.timed(name) for name in runs]
    us = sum(call.us for call in calls) + gates_us
    return Case(tuple(runs), probability, us, sum(call.energy_uj for call in calls))


def _part(timed: Timed, probability: float, gate_us: float, even: float | None) -> Part:
    return Part(timed.name, probability, timed.device_us, timed.call_us, gate_us, even)
