"""The commands of ``npusim``, put together."""

from __future__ import annotations

from typing import Annotated

import typer

from npusim import __version__
from npusim.cli.advise import advise_command
from npusim.cli.calibrate import calibrate_command
from npusim.cli.catalog import list_command
from npusim.cli.compare import compare_command
from npusim.cli.compare_trace import compare_trace_command
from npusim.cli.diff import diff_command
from npusim.cli.groups import grouped
from npusim.cli.hw import hw_app
from npusim.cli.llm import llm_command
from npusim.cli.measure import measure_command
from npusim.cli.optimize import optimize_command
from npusim.cli.reproduce import reproduce_app
from npusim.cli.run import run_command
from npusim.cli.sensitivity import sensitivity_command
from npusim.cli.sweep import sweep_command
from npusim.cli.trace import trace_app
from npusim.cli.transform import transform_command
from npusim.cli.validate import validate_command
from npusim.cli.verify import verify_command

app = typer.Typer(
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"npusim {__version__}")
        raise typer.Exit


@app.callback()
def root(
    _version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit."),
    ] = False,
) -> None:
    """How long will this model take on this NPU, what holds it back, and what would change that?"""


app.command("run")(grouped(run_command))
app.command("advise")(grouped(advise_command))
app.command("compare")(grouped(compare_command))
app.command("llm")(grouped(llm_command))
app.command("diff")(grouped(diff_command))
app.command("sweep")(grouped(sweep_command))
app.command("optimize")(grouped(optimize_command))
app.command("sensitivity")(grouped(sensitivity_command))
app.command("list")(grouped(list_command))
app.command("validate")(grouped(validate_command))
app.command("transform")(grouped(transform_command))
app.command("verify")(grouped(verify_command))
app.command("measure")(grouped(measure_command))
app.command("calibrate")(grouped(calibrate_command))
app.command("compare-trace")(grouped(compare_trace_command))
app.add_typer(hw_app, name="hw")
app.add_typer(trace_app, name="trace")
app.add_typer(reproduce_app, name="reproduce")
