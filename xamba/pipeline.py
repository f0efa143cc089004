"""Pipelines as text: `cumba{block=256},reduba,actiba{segments=32,range=-8:8}`."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable
from dataclasses import Field, fields
from typing import Any

from npusim.xamba.actiba import ActiBA
from npusim.xamba.contract import Contract
from npusim.xamba.cumba import CumBA
from npusim.xamba.errors import PipelineError
from npusim.xamba.prune import Prune
from npusim.xamba.quantize import Binary, Quantize
from npusim.xamba.reduba import ReduBA
from npusim.xamba.rule import Rule
from npusim.xamba.segsum import SegSum

RULES: dict[str, type[Rule[Any]]] = {
    rule.name: rule for rule in (CumBA, ReduBA, ActiBA, Contract, SegSum, Prune, Quantize, Binary)
}
_STEP = re.compile(r"\s*([^{},]*?)\s*(?:\{([^{}]*)\})?\s*(?:,|$)")


def parse(text: str) -> list[Rule[Any]]:
    """The rules of a pipeline, in order. Raises PipelineError: unknown rule or option, value out of range, bad form."""
    return [rule for _, rule in steps(text)]


def steps(text: str) -> list[tuple[str, Rule[Any]]]:
    """The rules of a pipeline, in order, each with its own text (``cumba{block=64}``). Raises PipelineError."""
    rules: list[tuple[str, Rule[Any]]] = []
    if not text.strip():
        return rules
    position = 0
    while position < len(text):
        match = _STEP.match(text, position)
        if match is None or not match[1]:
            raise PipelineError(
                f"'{text}': expected rules separated by commas, such as cumba{{block=256}},reduba"
            )
        position = match.end()
        options = "".join((match[2] or "").split())
        rules.append((match[1] + (f"{{{options}}}" if options else ""), _rule(match[1], match[2] or "")))
    if text.rstrip().endswith(","):
        raise PipelineError(f"'{text}': a rule is missing after the last comma")
    return rules


def describe_rule(name: str) -> str:
    """What a rule does and its options."""
    rule = RULES[name]
    said = " ".join((rule.__doc__ or "").split("\n\n")[0].split())
    options = [f"{field.name}: {field.metadata['about']}" for field in _options(rule)]
    return " ".join([said, *(f"Option {text}" for text in options)])


def _options(rule: type[Rule[Any]]) -> list[Field[Any]]:
    every = fields(rule)  # type: ignore[arg-type]  # every rule is a dataclass
    return [field for field in every if "read" in field.metadata]


def _rule(name: str, text: str) -> Rule[Any]:
    if name not in RULES:
        raise PipelineError(f"there is no rule '{name}': {_hint(name, RULES)}")
    known = {field.name: field for field in _options(RULES[name])}
    given: dict[str, Any] = {}
    for item in filter(None, (part.strip() for part in text.split(","))):
        key, equals, value = (part.strip() for part in item.partition("="))
        if key not in known:
            raise PipelineError(f"{name} has no option '{key}': {_hint(key, known)}")
        if not equals or key in given:
            raise PipelineError(f"{name}{{{item}}}: {'given twice' if equals else f'expected {key}=VALUE'}")
        read: Callable[[str], Any] = known[key].metadata["read"]
        try:
            given[key] = read(value)
        except ValueError as error:
            raise PipelineError(f"{name}{{{key}={value}}}: {error}") from None
    try:
        return RULES[name](**given)
    except ValueError as error:
        raise PipelineError(f"{name}{{{text}}}: {error}") from None


def _hint(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name.lower(), list(known), n=1, cutoff=0.5)
    if near:
        return f"did you mean '{near[0]}'?"
    return f"there are {', '.join(known)}" if known else "it has none"
