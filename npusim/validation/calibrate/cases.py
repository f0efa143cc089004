"""What to fit to: a case for every figure that was measured, published or a user's own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from npusim.errors import UserError
from npusim.graph.ir import Graph
from npusim.hardware import Hardware, load_hardware
from npusim.source import ModelSource
from npusim.validation.calibrate.bench import Case
from npusim.validation.measure.rows import SILICON, read_measured
from npusim.validation.silicon.measurements import measurements


def cases_of(names: Sequence[str], file: str, grades: Sequence[str]) -> tuple[list[Case], list[str]]:
    """A case for every figure in the files, and remarks for the user; ``silicon`` are the published rows of ``grades``
    and of the machines of the hardware ``file``: of those that it names, or of all of its platform where it names none.

    Raises UserError as `read_measured` does, for a model that cannot be read, and for one that was measured on another
    platform than ``platform``.
    """
    hw = load_hardware(file)
    platform = hw.platform
    cases: list[Case] = []
    notes: list[str] = []
    graphs: dict[str, tuple[ModelSource, Graph]] = {}
    for name in names:
        if name == SILICON:
            cases += _silicon(hw, grades)
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


def _silicon(hw: Hardware, grades: Sequence[str]) -> list[Case]:
    """The published rows that are to be scored; both precisions of a network are one model."""
    rows = [
        row
        for row in measurements()
        if row.platform == hw.platform
        and row.use == "score"
        and row.grade in grades
        and row.workload
        and (not hw.machines or row.on(hw.machines))
    ]
    if not rows:
        raise UserError(f"--against {SILICON}: no row of {hw.name} is of grade {', '.join(grades)}")
    graphs = {
        repr(source): source.graph()
        for source in {repr(row.model_source): row.model_source for row in rows}.values()
    }
    cases = []
    for row in rows:
        graph = graphs[repr(row.model_source)]
        cases.append(
            Case(row.label, row.workload, row.metric, row.measured_us, graph, row.client, row.device)
        )
    return cases
