"""Rules and how they are run: pattern, check, rewrite, over openvino.passes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

import openvino as ov
from openvino import Node
from openvino.passes import Manager, Matcher, MatcherPass, WrapType

from xamba.maker import Maker
from xamba.sites import Site

Found = TypeVar("Found")


@dataclass(frozen=True, slots=True)
class Rewritten:
    """What replaces `root`, said in a `note`; see Site for `error_bound`."""

    root: Node
    replacement: Node
    note: str
    error_bound: float | None = None


class Rule(ABC, Generic[Found]):
    """A rewrite of one kind of place; the fields of a subclass, a frozen dataclass, are its options."""

    name: ClassVar[str]
    #: The pattern: types of the ops that the rule looks at.
    types: ClassVar[tuple[str, ...]]

    @abstractmethod
    def check(self, node: Node) -> Found | str | None:
        """What `rewrite` needs to know of a site; a sentence that says why it is skipped; None: no site at all."""

    @abstractmethod
    def rewrite(self, node: Node, found: Found, make: Maker) -> Rewritten:
        """The nodes that take the site's place."""


class _Pass(MatcherPass):  # type: ignore[misc]  # openvino's classes are untyped
    """One rule over one model."""

    def __init__(
        self, rule: Rule[Any], make: Maker, choose: Callable[[str, str], bool], sites: list[Site]
    ) -> None:
        super().__init__()
        self.rule, self.make, self.choose, self.sites = rule, make, choose, sites
        root = WrapType([f"opset15.{kind}" for kind in rule.types])
        self.register_matcher(Matcher(root, rule.name), lambda match: self.visit(match.get_match_root()))

    def visit(self, node: Node) -> bool:
        """Take or skip one site; whether the model changed."""
        name, kind = node.get_friendly_name(), node.get_type_name()
        found = self.rule.check(node)
        if found is None:
            return False
        if not isinstance(found, str) and not self.choose(self.rule.name, name):
            found = "it was not chosen"
        if isinstance(found, str):
            self.sites.append(Site(self.rule.name, name, kind, False, found))
            return False
        done = self.rule.rewrite(node, found, self.make)
        done.replacement.set_friendly_name(done.root.get_friendly_name())
        ov.utils.replace_node(done.root, done.replacement)
        self.sites.append(Site(self.rule.name, name, kind, True, done.note, done.error_bound))
        return True


def rewrite(
    model: ov.Model, rules: Sequence[Rule[Any]], choose: Callable[[str, str], bool]
) -> tuple[ov.Model, list[Site]]:
    """A copy of `model` after all rules, and their sites; see `xamba.apply`."""
    copy = model.clone()
    make, sites = Maker(), list[Site]()
    for rule in rules:
        manager = Manager()
        manager.register_pass(_Pass(rule, make, choose, sites))
        manager.run_passes(copy)
    copy.validate_nodes_and_infer_types()
    return copy, sites
