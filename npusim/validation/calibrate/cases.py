"""What to fit to: a case for every figure that was measured, published or a user's own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from npusim.errors import UserError
from npusim.graph.ir import Graph
from npusim.source import ModelSource
from npusim.validation.calibrate.bench import Case
from npusim.validation.measure.rows import SILICON, read_measured
from npusim.validation.silicon.measurements import measurements


def cases_of(names: Sequence[str], platform: str, grades: Sequence[str]) -> tuple[list[Case], list[str]]:
    """A case for every figure in the files, and remarks for the user; ``silicon`` are the published rows of ``grades``.

    Raises UserError as `read_measured` does, for a model that cannot be read, and for one that was measured on another
    platform than ``platform``.
    """
    cases: list[Case] = []
    notes: list[str] = []
    graphs: dict[str, tuple[ModelSource, Graph]] = {}
    for name in names:
        if name == SILICON:
            cases += _silicon(platform, grades)
            continue
        for found in read_measured(Path(name)):
            if found.platform and found.platform != platform:
                raise UserError(
                    f"{found.label}: was measured on platform {found.platform}, the hardware file is of {platform}"
                )
            if not found.device.startswith("NPU"):
                notes.append(f"{found.label}: was measured on {found.device}, not on an NPU")
            known = graphs.get(found.model)
            if known is None or known[0] != found.source:
                known = graphs[found.model] = (found.source, found.source.graph())
            cases += [
                Case(f"{found.model} {hint} ({Path(name).name})", found.model, hint, us, known[1])
                for hint, us in found.us.items()
            ]
    return cases, notes


def _silicon(platform: str, grades: Sequence[str]) -> list[Case]:
    """The published rows that are to be scored; both precisions of a network are one model."""
    rows = [
        row
        for row in measurements()
        if row.platform == platform and row.use == "score" and row.grade in grades and row.workload
    ]
    if not rows:
        raise UserError(f"--against {SILICON}: no row of platform {platform} is of grade {', '.join(grades)}")
    sources = {source.name: source for source in (row.model_source for row in rows)}
    graphs = {name: source.graph() for name, source in sources.items()}
    cases = []
    for row in rows:
        release = f", OpenVINO {row.openvino}" if row.openvino else ""
        label = f"{row.workload} {row.precision} {row.metric} ({row.device}{release})"
        graph = graphs[row.model_source.name]
        cases.append(Case(label, row.workload, row.metric, row.measured_us, graph))
    return cases
