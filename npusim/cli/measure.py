"""``npusim measure``: how long a model takes on a real NPU, as one dated file that validate and calibrate read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from npusim.cli.options import GivenModel, refuse_together
from npusim.cli.progress import progress
from npusim.cli.terminal import print_json, print_json_text
from npusim.errors import UserError

if TYPE_CHECKING:
    from npusim.validation.measure.file import Hint, MeasurementFile

_HINTS = ("latency", "throughput")
_SLOWEST = 10


def _show_schema(wanted: bool) -> None:
    if wanted:
        from npusim.validation.measure.file import json_schema

        print_json(json_schema())
        raise typer.Exit


def measure_command(
    asked: GivenModel,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", metavar="FILE", help="Where to write; .yaml or .json.")
    ] = None,
    device: Annotated[str, typer.Option(metavar="NAME", help="Device of OpenVINO.")] = "NPU",
    hint: Annotated[
        str, typer.Option(metavar="LIST", help="What to measure: latency, throughput, or both.")
    ] = "latency,throughput",
    warmup: Annotated[
        int, typer.Option(min=0, max=1_000_000, help="Inferences before those that count.")
    ] = 10,
    runs: Annotated[int, typer.Option(min=1, max=1_000_000, help="Inferences a hint.")] = 100,
    as_json: Annotated[bool, typer.Option("--json", help="Print the measurement as JSON.")] = False,
    submit: Annotated[
        bool,
        typer.Option(
            "--submit-format", help="Print rows for the project's table of measurements (docs/measuring.md)."
        ),
    ] = False,
    _schema: Annotated[
        bool,
        typer.Option(
            "--schema",
            callback=_show_schema,
            is_eager=True,
            help="Print the JSON schema of the file and exit.",
        ),
    ] = False,
) -> None:
    """Measure a model on a device: latency, throughput, and a profile layer by layer."""
    hints = _hints(hint)
    if out is not None and out.suffix not in (".yaml", ".yml", ".json"):
        raise UserError(f"-o {out}: must end in .yaml or .json")
    source = asked.required("measured")
    if submit and as_json:
        refuse_together("--submit-format", {"--json": as_json})
    if out is None and not (as_json or submit):
        raise UserError("where to? give -o FILE.yaml, or --json to print it")
    from npusim.files import new_file
    from npusim.validation.measure.device import require
    from npusim.validation.measure.file import measurement_text
    from npusim.validation.measure.run import measure

    require(device)  # told before a file is begun
    target = out or Path("measurement.json")
    with progress() as step:
        found = measure(source, device, hints, warmup, runs, target, step)
        if out is not None:
            with new_file(out) as write:
                write(measurement_text(found, as_json=out.suffix == ".json"))
    if submit:
        from npusim.validation.measure.submit import submission

        print(submission(found), end="")
    elif as_json:
        print_json_text(measurement_text(found, as_json=True))
    else:
        _print(found)
        print(f"Wrote {out}")


def _hints(text: str) -> list[Hint]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if name not in _HINTS:
            raise UserError(f"--hint {text}: '{name}' is not known; there are {' and '.join(_HINTS)}")
    if not names:
        raise UserError("--hint: nothing is named; there are latency and throughput")
    return [cast("Hint", name) for name in dict.fromkeys(names)]


def _print(found: MeasurementFile) -> None:
    device = found.device
    clock = f", {device.clock_mhz:g} MHz" if device.clock_mhz else ""
    driver = f", driver {device.driver}" if device.driver else ""
    print(
        f"{found.model.name} on {device.name} ({device.full_name}{clock}{driver}), OpenVINO {device.openvino}"
    )
    for run in found.runs:
        spread = f"p5 {run.p5_us:,.1f}, p95 {run.p95_us:,.1f}, IQR {run.iqr_us:,.1f}"
        if run.hint == "latency":
            print(f"latency     {run.median_us:,.1f} µs (median of {run.runs}; {spread})")
        else:
            print(
                f"throughput  {1e6 / run.per_inference_us:,.1f} /s, {run.per_inference_us:,.1f} µs an inference "
                f"({run.requests} in flight; each took {run.median_us:,.1f} µs; {spread})"
            )
    slowest = sorted(found.layers, key=lambda layer: -layer.real_us)[:_SLOWEST]
    if slowest:
        print(f"slowest of {len(found.layers)} layers:")
        for layer in slowest:
            print(f"  {layer.real_us:10,.1f} µs  {layer.type:<18} {layer.exec_type:<18} {layer.name}")
    for note in found.notes:
        print(f"note: {note}")
