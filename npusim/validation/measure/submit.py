"""A measurement as rows of the project's table of what real NPUs were measured to do (data/measured/measured.csv)."""

from __future__ import annotations

import csv
import io
import re

from npusim.hints import DEFAULT_CLIENT
from npusim.validation.measure.file import MeasurementFile
from npusim.validation.silicon.measurements import COLUMNS

_SHOWS = "npusim measure; inputs stay where they are between inferences"
_MARKS = re.compile(r"\((R|TM)\)|\bIntel\b|\bCore\b|\bProcessor\b", re.IGNORECASE)


def submission(found: MeasurementFile) -> str:
    """CSV text: the table's header and a row a hint."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n", restval="")
    writer.writeheader()
    machine, model = found.machine, found.model
    device = " ".join(_MARKS.sub(" ", machine.processor).split())
    power = ", ".join(
        filter(None, (machine.power_mode, {True: "mains", False: "battery", None: ""}[machine.mains]))
    )
    clocks = (
        f"NPU at {min(machine.clocks_mhz):g} to {max(machine.clocks_mhz):g} MHz" if machine.clocks_mhz else ""
    )
    memory = f"memory at {machine.memory_mts} MT/s" if machine.memory_mts else ""
    for run in found.runs:
        writer.writerow(
            {
                "model": model.name,
                "workload": model.workload or "",
                "tokens": model.tokens or "",
                "batch": model.batch,
                "shape": ", ".join(f"{name} {shape}" for name, shape in model.inputs.items()),
                "platform": found.device.architecture,
                "device": device or found.device.full_name,
                "precision": _precision(model.name),
                "metric": run.hint,
                "measured_us": f"{run.measured_us:g}",
                "grade": "B",
                "use": "score" if model.workload else "aside",
                "openvino": found.device.openvino.partition("-")[0],
                "driver": found.device.driver,
                "client": DEFAULT_CLIENT,
                "shows": "; ".join(filter(None, (_SHOWS, power, memory, clocks))),
                "source": f"npusim {found.npusim}, {found.created:%Y-%m-%d}",
            }
        )
    return text.getvalue()


def _precision(name: str) -> str:
    """What the name of a built-in workload says of its precision; FP16 where it says nothing."""
    endings = {"-int8-weights": "INT8 weights", "-int8": "INT8", "-int4": "INT4", "-fp8": "FP8"}
    return next((text for ending, text in endings.items() if name.endswith(ending)), "FP16")
