"""A scenario answered: by the operator that it has."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from math import isnan
from pathlib import Path
from typing import Any

from npusim.scenarios.budget import Budgeted, budget
from npusim.scenarios.mix import QUANTILES, Mixed, mix
from npusim.scenarios.rows import Served, Service, rows
from npusim.scenarios.spec import OPERATORS, ScenarioSpec
from npusim.scenarios.split import Parted, SplitPoint, split
from npusim.scenarios.timed import Bench
from npusim.scenarios.together import Company, together

#: Name and version of the document; the number grows when a key changes its meaning or goes.
SCHEMA = "npusim.scenario/1"
Found = Mixed | Parted | Company | Service | Budgeted


@dataclass(frozen=True)
class Answer:
    """What was asked, on which machine, and what was found."""

    spec: ScenarioSpec
    hardware: str
    found: Found

    @property
    def operator(self) -> str:
        """Which of the five."""
        return operator_of(self.spec)


def operator_of(spec: ScenarioSpec) -> str:
    """The operator that a scenario has."""
    return next(name for name in OPERATORS if getattr(spec, name) is not None)


def answer(spec: ScenarioSpec, folder: Path = Path()) -> Answer:
    """Simulate a scenario; ``folder`` is where its relative model files are. Raises UserError."""
    bench = Bench(spec, folder)
    machine = bench.machine()
    found: Found
    if spec.mix is not None:
        found = mix(bench, spec.mix)
    elif spec.split is not None:
        found = split(bench, spec.split)
    elif spec.together is not None:
        found = together(bench, spec.together)
    elif spec.rows is not None:
        found = rows(machine, spec.rows, "", spec.allow_guess)
    else:
        assert spec.budget is not None
        found = budget(bench, spec.budget)
    return Answer(spec, machine.name, found)


def headline(one: Answer) -> str:
    """One line: what came of it."""
    match one.found:
        case Mixed() as mixed:
            return (
                f"{mixed.expected_us:,.0f} µs on average, {mixed.gain:.2f} × as fast as the whole in one call "
                f"({mixed.whole.us:,.0f} µs)"
            )
        case Parted() as parted:
            best = parted.best
            return (
                f"best {best.place} at {best.bits} bits: {best.us:,.0f} µs, {best.sent_bytes:,.0f} bytes sent"
            )
        case Company() as company:
            slow = ", ".join(f"{each.name} {each.slowdown:.2f} ×" for each in company.each)
            return f"by {company.by}: {company.per_second:,.0f} inferences a second; slower by {slow}"
        case Service() as service:
            most = service.most
            return f"up to {most.tokens_per_s:,.1f} tokens/s, {most.padding:.0%} of the rows padding"
        case Budgeted() as budgeted:
            first, last = budgeted.fits[0], budgeted.fits[-1]
            return (
                f"{last.limit_kib:,.0f} KiB a tile instead of {first.limit_kib:,.0f}: "
                f"{last.us / first.us:.2f} × the time"
            )


def table(one: Answer) -> list[dict[str, Any]]:
    """Rows of the answer's table: cases' parts, cuts, programs, rates or limits."""
    match one.found:
        case Mixed() as mixed:
            return [asdict(part) for part in mixed.parts]
        case Parted() as parted:
            return [_point(point) for point in parted.points]
        case Company() as company:
            return [
                {
                    "name": each.name, "tiles": each.tiles, "alone_us": each.alone_us, "period_us": each.period_us,
                    "slowdown": each.slowdown, "per_s": 1e6 / each.period_us,
                }
                for each in company.each
            ]  # fmt: skip
        case Service() as service:
            return [_served(each) for each in service.rates]
        case Budgeted() as budgeted:
            return [asdict(each) for each in budgeted.limits]


def summary(one: Answer) -> dict[str, Any]:
    """Figures of the whole answer."""
    match one.found:
        case Mixed() as mixed:
            return {
                "expected_us": mixed.expected_us, "whole_us": mixed.whole.us, "gain": mixed.gain,
                "expected_uj": mixed.expected_uj, "whole_uj": mixed.whole.energy_uj,
                **{f"p{share * 100:.0f}_us": mixed.quantile_us(share) for share in QUANTILES},
                "cases": [asdict(case) for case in sorted(mixed.cases, key=lambda case: -case.probability)[:64]],
            }  # fmt: skip
        case Parted() as parted:
            return {
                "best": _point(parted.best),
                "over": [{"gbps": gbps, **_point(point)} for gbps, point in parted.over],
            }
        case Company() as company:
            return {"by": company.by, "per_s": company.per_second, "alone_per_s": company.alone_per_second}
        case _:
            return {}


def document(one: Answer) -> dict[str, Any]:
    """scenario.json."""
    return {
        "schema": SCHEMA,
        "scenario": one.spec.name,
        "operator": one.operator,
        "hardware": one.hardware,
        **_plain(summary(one)),
        "rows": _plain(table(one)),
    }


def _point(point: SplitPoint) -> dict[str, Any]:
    return {"place": point.place, "us": point.us, "p95_us": point.p95_us, **asdict(point)}


def _served(served: Served) -> dict[str, Any]:
    plain = asdict(served)
    first, done = plain.pop("first_ms"), plain.pop("done_ms")
    return plain | {
        "first_p50_ms": first[0], "first_p95_ms": first[1], "done_p50_ms": done[0], "done_p95_ms": done[1],
        "rows_a_call": served.rows_a_call,
    }  # fmt: skip


def _plain(value: Any) -> Any:
    """For JSON: rounded, and null where there is no number."""
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, float):
        return None if isnan(value) else round(value, 6)
    return value
