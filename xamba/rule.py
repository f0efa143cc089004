"""Rules and how they are run: pattern, check, rewrite, over openvino.passes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Generic, TypeVar

import openvino as ov
from openvino import Node, Output, Type
from openvino.passes import Manager, Matcher, MatcherPass, WrapType

from npusim.xamba.maker import REAL, Maker, constant_integers
from npusim.xamba.sites import Site

Found = TypeVar("Found")


@dataclass(frozen=True, slots=True)
class Rewritten:
    """What replaces `root`, said in a `note`; see Site for `error_bound`. It takes root's name, unless it is ``known``:
    a node of the model that goes on being what it was."""

    root: Node
    replacement: Node
    note: str
    error_bound: float | None = None
    known: bool = False


class Skip(Exception):
    """A site that a rule does not take; the message is a sentence that says why."""


class Rule(ABC, Generic[Found]):
    """A rewrite of one kind of place; the fields of a subclass, a frozen dataclass, are its options."""

    name: ClassVar[str]
    #: The pattern: types of the ops that the rule looks at.
    types: ClassVar[tuple[str, ...]]

    @abstractmethod
    def check(self, node: Node) -> Found | None:
        """What `rewrite` needs to know of a site; None: no site at all. Raises Skip with why it is not taken."""

    @abstractmethod
    def rewrite(self, node: Node, found: Found, make: Maker) -> Rewritten:
        """The nodes that take the site's place."""


class _Pass(MatcherPass):
    """One rule over one model."""

    def __init__(
        self, rule: Rule[Any], make: Maker, choose: Callable[[str], bool], sites: list[Site]
    ) -> None:
        super().__init__()
        self.rule, self.make, self.choose, self.sites = rule, make, choose, sites
        root = WrapType([f"opset15.{kind}" for kind in rule.types])
        self.register_matcher(Matcher(root, rule.name), lambda match: self.visit(match.get_match_root()))

    def visit(self, node: Node) -> bool:
        """Take or skip one site; whether the model changed."""
        name, kind = node.get_friendly_name(), node.get_type_name()
        try:
            found = self.rule.check(node)
            if found is None:
                return False
            if not self.choose(name):
                raise Skip("it was not chosen")
        except Skip as reason:
            self.sites.append(Site(self.rule.name, name, kind, False, str(reason)))
            return False
        done = self.rule.rewrite(node, found, self.make)
        if not done.known:
            done.replacement.set_friendly_name(done.root.get_friendly_name())
        ov.utils.replace_node(done.root, done.replacement)
        self.sites.append(Site(self.rule.name, name, kind, True, done.note, done.error_bound))
        return True


def rewrite(
    model: ov.Model, steps: Sequence[tuple[str, Rule[Any]]], choose: Callable[[str, str], bool]
) -> tuple[ov.Model, list[Site]]:
    """A copy of `model` after all steps, and their sites; see `xamba.apply`."""
    copy = model.clone()
    make, sites = Maker(copy), list[Site]()
    for step, rule in steps:
        manager = Manager()
        manager.register_pass(_Pass(rule, make, partial(choose, step), sites))
        manager.run_passes(copy)
    copy.validate_nodes_and_infer_types()
    return copy, sites


def real(node: Node) -> Type:
    """The element type of a node's output. Raises Skip unless a MatMul computes in it."""
    kind = node.get_output_element_type(0)
    if kind not in REAL:
        raise Skip(f"the element type is {kind.get_type_name()}, and a MatMul computes in floating point")
    return kind


def static_axes(value: Output, rank: int) -> list[int]:
    """The axes that an input names, each once and ascending, from 0 on. Raises Skip unless they are constant."""
    axes = constant_integers(value)
    if axes is None:
        raise Skip("the axis is not a constant")
    return sorted({axis % rank for axis in axes if rank})


def lengths(value: Output) -> tuple[int, ...]:
    """A shape with -1 for dynamic lengths. Raises Skip where not even the rank is known, or there is nothing in it."""
    shape = value.get_partial_shape()
    if shape.rank.is_dynamic:
        raise Skip("the rank is dynamic")
    if any(d.is_static and d.get_length() == 0 for d in shape):
        raise Skip("the tensor is empty")
    return tuple(-1 if d.is_dynamic else d.get_length() for d in shape)
