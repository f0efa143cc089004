"""Reports: JSON, tables, traces and the HTML page. Plotly is used nowhere else."""

from __future__ import annotations

from npusim.report.write import write_report

__all__ = ["write_report"]
