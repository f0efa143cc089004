"""How results of jobs show themselves: short in a terminal, as a table in a notebook."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

#: Rows of a table that a notebook shows; the frame has them all.
_MOST_ROWS = 12


class Shown:
    """A result with a headline, facts and a table."""

    def headline(self) -> str:
        """One line: what came of it."""
        raise NotImplementedError

    def facts(self) -> Sequence[tuple[str, str]]:
        """Names and values that stand above the table."""
        return ()

    def to_frame(self) -> pd.DataFrame:
        """The table as a DataFrame."""
        raise NotImplementedError

    def __repr__(self) -> str:
        """The headline."""
        return f"<{type(self).__name__}: {self.headline()}>"

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        frame = self.to_frame()
        rest = f"<p>{len(frame) - _MOST_ROWS} more rows in to_frame()</p>" if len(frame) > _MOST_ROWS else ""
        facts = "".join(
            f"<tr><th style='text-align:left'>{html.escape(name)}</th><td>{html.escape(value)}</td></tr>"
            for name, value in self.facts()
        )
        table = frame.head(_MOST_ROWS).to_html(
            index=False, float_format=lambda value: f"{value:,.4g}", na_rep=""
        )
        return f"<p><b>{html.escape(self.headline())}</b></p><table>{facts}</table>{table}{rest}"
