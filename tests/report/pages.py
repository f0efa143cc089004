"""Every kind of page that npusim writes, made by hand with names from strangers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from npusim.analysis.compare import Case, compare
from npusim.analysis.sensitivity import Sensitivity
from npusim.hardware import load_hardware
from npusim.llm.document import document
from npusim.llm.predict import Predictor
from npusim.llm.source import built
from npusim.program.journal import Entry
from npusim.report.compare_page import compare_page
from npusim.report.explore_page import explore_page
from npusim.report.llm_page import llm_page
from npusim.report.run_page import run_page
from npusim.report.scenario_page import scenario_page
from npusim.report.sensitivity_page import sensitivity_page
from npusim.report.subject import AdviceRow, Subject
from npusim.report.validate_page import silicon_page, validate_page
from npusim.scenarios.answer import Answer
from npusim.scenarios.mix import mix
from npusim.scenarios.read import scenario_of
from npusim.validation.schedules.predict import Prediction
from npusim.validation.schedules.references import Row
from npusim.validation.silicon.measurements import measurements
from npusim.validation.silicon.scores import Scored
from npusim.workloads.llm import published
from tests.report.explored import synthetic_explored
from tests.report.synthetic import HOSTILE, synthetic_result
from tests.scenario.known import Call, Known


def _predictions() -> list[Prediction]:
    """Two families on two platforms, two numbers of tiles, one row that failed."""
    found = []
    for number in range(24):
        platform, tiles = ("3720", 2) if number % 2 else ("4000", 4 if number % 4 else 6)
        case = HOSTILE if number == 1 else f"case{number // 3}"
        truth = 3.0 * 1.5**number
        row = Row((), case, f"family {HOSTILE}" if number > 12 else "micro", "", platform, tiles, 2, "",
                  {"total_us": truth}, number)  # fmt: skip
        failed = number == 5
        statistics = {} if failed else {"total_us": truth * (0.7 + 0.03 * number)}
        found.append(Prediction(row, statistics, {}, (), f"cannot {HOSTILE}" if failed else ""))
    return found


def _compare() -> str:
    before, after = synthetic_result(layers=5, kernels=6), synthetic_result(layers=5, kernels=2)
    cases = [
        Case(label, result.program.ops, result.metrics)
        for label, result in (("base", before), (HOSTILE, after))
    ]
    return compare_page(compare(cases), [before, after], HOSTILE, "", "npusim compare")


_WHAT_IF = [
    Sensitivity("clocks.vpu_mhz", 1057.0, "MHz", -12.5, -0.6),
    Sensitivity(HOSTILE, 0.5, "", 2.0, 0.1),
]


def _sensitivity() -> str:
    return sensitivity_page(_WHAT_IF, HOSTILE, "", "npusim sensitivity")


def _run() -> str:
    result = synthetic_result(layers=6)
    advice = AdviceRow(
        HOSTILE, 1.5, "latency", 300.0, 200.0, f"so: {HOSTILE}", "npusim run --xamba auto", "itself"
    )
    edges = tuple((op, op + 1) for op in range(11))
    subject = Subject(HOSTILE, "lunarlake.yaml", phase="prefill", tokens=4, command="npusim run", edges=edges)
    entries = [Entry("split", result.program.ops[2].name, "channels", (("channels", 12.5),))]
    return run_page(result, replace(subject, advice=(advice,)), _WHAT_IF, entries)


def _silicon() -> str:
    rows = [
        Scored(row, row.measured_us * 1.2, row.measured_us * 0.8 if number % 2 else None)
        for number, row in enumerate(measurements()[:20])
    ]
    return silicon_page(HOSTILE, rows)


def _llm() -> str:
    """A model of one layer, by a name from a stranger."""
    config = replace(published("qwen3-0.6b"), name=HOSTILE, kinds=("attention",))
    predictor = Predictor(built(config, "int4"), load_hardware("lunarlake.yaml"), allow_guess=True)
    answers = [predictor.answer(prompt, 16) for prompt in (128, 2000)]
    return llm_page([(predictor, answers)], [document(predictor, answers)], "npusim llm")


def _scenario() -> str:
    """Leaving early, half the time."""
    outcomes = [{"runs": ["head"], "probability": 0.5}, {"runs": ["whole"], "probability": 0.5}]
    programs = {name: {"model": "mlp-4x512"} for name in ("head", "whole")}
    spec = scenario_of(
        {"name": HOSTILE, "programs": programs, "mix": {"whole": "whole", "outcomes": outcomes}}
    )
    assert spec.mix is not None
    bench: Any = Known(Call("head", 20.0, 5.0), Call("whole", 100.0, 5.0))
    return scenario_page(Answer(spec, "Lunar Lake NPU", mix(bench, spec.mix)), "npusim scenario")


#: Every page, with what must be drawn in each of its tabs.
PAGES: dict[str, tuple[Callable[[], str], dict[str, str]]] = {
    "run": (_run, {
        "summary": ".card", "timeline": "canvas.lanes", "graph": "canvas.model", "time": ".treemap .slice",
        "roofline": ".scatterlayer .point", "overtime": ".scatterlayer .js-line", "sensitivity": ".bars .point",
        "ops": "tbody tr",
    }),
    "compare": (_compare, {
        "summary": ".bars .point", "steps": ".waterfalllayer .point", "changes": "tbody tr",
        "timeline0": "canvas.lanes", "timeline1": "canvas.lanes",
    }),
    "explore": (lambda: explore_page(synthetic_explored(), HOSTILE, "", "npusim sweep"), {
        "front": ".pareto .point", "points": "canvas.parallel", "heat": ".heatmaplayer image",
    }),
    "validate": (lambda: validate_page(HOSTILE, _predictions(), "npusim validate"), {
        "scatter": ".scatterlayer .point", "errors": ".bars .point", "cases": "tbody tr",
        "tiles": ".scatterlayer .point", "failed": "tbody tr",
    }),
    "silicon": (_silicon, {"scatter": ".scatterlayer .point", "errors": ".bars .point", "cases": "tbody tr"}),
    "sensitivity": (_sensitivity, {"sensitivity": ".bars .point"}),
    "llm": (_llm, {"llm": ".scatterlayer .point"}),
    "scenario": (_scenario, {"scenario": ".scatterlayer .js-line"}),
}  # fmt: skip
