"""The Graph of a model after rewrites, those that npusim chooses itself included."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from npusim.graph.ir import Graph
from npusim.hardware.schema import Hardware
from npusim.source import ModelSource, rewritten

#: The pipeline that holds whatever is predicted to pay on the hardware at hand; and the one that may approximate too.
AUTO, AUTO_APPROXIMATE = "auto", "auto{approximate=yes}"


def rewrite_for(passes: str, hw: Hardware) -> Callable[[Any], Any]:
    """What ``passes`` does to an openvino.Model on ``hw``. Raises UserError, when it is done, as `graph_for` does."""
    if passes not in (AUTO, AUTO_APPROXIMATE):
        return lambda model: rewritten(model, passes)
    from npusim.explore.auto import best_rewrites

    return lambda model: best_rewrites(model, hw, approximate=passes == AUTO_APPROXIMATE).model


def graph_for(source: ModelSource, passes: str, hw: Hardware) -> Graph:
    """The Graph of ``source`` for ``hw`` after ``passes``: none, rules such as ``cumba,reduba``, or ``auto``
    (exact rewrites only, unless ``auto{approximate=yes}``).

    Raises UserError as ``ModelSource.graph`` does.
    """
    if passes not in (AUTO, AUTO_APPROXIMATE):
        return source.graph(passes)
    model, notes = source.read()
    return source.graph_of(rewrite_for(passes, hw)(model), notes)
