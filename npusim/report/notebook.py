"""Figures of the pages as Plotly's own objects, for notebooks."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import plotly.graph_objects as go


def plotly_figure(figure: Mapping[str, Any]) -> go.Figure:
    """A page's figure as Plotly's own, in the page's light colours."""
    import plotly.graph_objects as go

    made = go.Figure(_coloured({"data": figure["data"], "layout": figure["layout"]}))
    return made.update_layout(height=figure.get("height"), template="plotly_white")


def _coloured(value: Any) -> Any:
    """``var:dma`` and the like as the style sheet has them."""
    if isinstance(value, Mapping):
        return {key: _coloured(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_coloured(entry) for entry in value]
    return (
        _colours().get(value[4:], "#888888") if isinstance(value, str) and value.startswith("var:") else value
    )


@cache
def _colours() -> dict[str, str]:
    style = (files("npusim.report") / "assets" / "page.css").read_text(encoding="utf-8")
    return dict(reversed(re.findall(r"--([\w-]+):\s*(#[0-9a-fA-F]{3,8})", style)))
