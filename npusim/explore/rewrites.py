"""The Graph of a model after rewrites, those that npusim chooses itself included."""

from __future__ import annotations

from npusim.graph.ir import Graph
from npusim.hardware.schema import Hardware
from npusim.source import ModelSource

#: The pipeline that holds whatever is predicted to pay on the hardware at hand; and the one that may approximate too.
AUTO, AUTO_APPROXIMATE = "auto", "auto{approximate=yes}"


def graph_for(source: ModelSource, passes: str, hw: Hardware) -> Graph:
    """The Graph of ``source`` for ``hw`` after ``passes``: none, rules such as ``cumba,reduba``, or ``auto``
    (exact rewrites only, unless ``auto{approximate=yes}``).

    Raises UserError as ``ModelSource.graph`` does.
    """
    if passes not in (AUTO, AUTO_APPROXIMATE):
        return source.graph(passes)
    from npusim.explore.auto import best_rewrites

    model, notes = source.read()
    return source.graph_of(
        best_rewrites(model, hw, approximate=passes == AUTO_APPROXIMATE, name=source.name).model, notes
    )
