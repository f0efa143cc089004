"""Scenario files to ScenarioSpec; mistakes are told in one line that gives the position."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from npusim.errors import UserError
from npusim.files import read_text
from npusim.hardware.load import validate_as
from npusim.hardware.nodes import Node, parse
from npusim.scenarios.spec import ScenarioSpec
from npusim.text import did_you_mean

_MOST_BYTES = 1 << 20


def read_scenario(path: Path) -> ScenarioSpec:
    """The scenario of a file. Raises UserError for what it cannot be."""
    tree = parse(read_text(path, _MOST_BYTES, str(path)), str(path))
    if not isinstance(tree.value, dict):
        raise UserError(f"{path}: a scenario file must be a mapping (key: value)")
    return checked(validate_as(ScenarioSpec, tree), tree)


def scenario_of(given: Mapping[str, Any]) -> ScenarioSpec:
    """The scenario of a dictionary, as a file would say it. Raises UserError."""
    import yaml

    try:
        text = yaml.safe_dump(dict(given), sort_keys=False)
    except yaml.YAMLError as error:
        raise UserError(
            f"the scenario: only texts, numbers, lists and mappings can be in it ({error})"
        ) from None
    tree = parse(text, "the scenario")
    return checked(validate_as(ScenarioSpec, tree), tree)


def checked(spec: ScenarioSpec, tree: Node) -> ScenarioSpec:
    """``spec``, if every program that it names is there. Raises UserError."""
    named: list[str] = []
    if spec.mix is not None:
        named += [spec.mix.whole, *(one.program for one in spec.mix.segments)]
        named += [name for one in spec.mix.outcomes for name in one.runs]
    named += [spec.split.program] if spec.split else []
    named += spec.together.programs if spec.together else []
    named += [spec.budget.program] if spec.budget else []
    for name in named:
        if name not in spec.programs:
            known = ", ".join(spec.programs) or "none"
            raise UserError(
                f"{tree.place}: there is no program '{name}': programs has {known}{did_you_mean(name, spec.programs)}"
            )
    return spec
