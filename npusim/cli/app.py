"""The commands of ``npusim``, put together. A command's module is imported when the command is asked for, so that
``npusim --help`` is instant and no command waits for the others."""

from __future__ import annotations

import os
from enum import StrEnum
from importlib import import_module
from typing import Annotated, Any, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup

from npusim import __version__
from npusim.errors import UserError


class _Place(NamedTuple):
    """Where a command is, and what ``npusim --help`` says of it in what is left of 80 columns."""

    home: str
    line: str


COMMANDS = {
    "run": _Place("run:run_command", "Simulate a model on an NPU: where does the time go?"),
    "advise": _Place("advise:advise_command", "Say what would make a model faster, as simulated."),
    "compare": _Place("compare:compare_command", "Several NPUs, or several rewrites, side by side."),
    "llm": _Place("llm:llm_command", "Tokens a second and time to the first token, and why."),
    "scenario": _Place("scenario:scenario_command", "Early exits, cuts, programs together: one answer."),
    "diff": _Place("diff:diff_command", "Exit with 1 if a run takes more than a committed one."),
    "sweep": _Place("sweep:sweep_command", "Simulate every point of a design space."),
    "optimize": _Place("optimize:optimize_command", "Search a design space for its Pareto front."),
    "sensitivity": _Place("sensitivity:sensitivity_command", "What is a per cent of each hardware number worth?"),
    "list": _Place("catalog:list_command", "List shipped hardware files and built-in workloads."),
    "validate": _Place("validate:validate_command", "Predict what is known, and say how far off npusim is."),
    "transform": _Place("transform:transform_command", "Rewrite an OpenVINO model, site by site."),
    "verify": _Place("verify:verify_command", "Are two models the same? Run both on the CPU."),
    "measure": _Place("measure:measure_command", "Measure a model on a device, layer by layer."),
    "calibrate": _Place("calibrate:calibrate_command", "Fit values of a hardware file to measurements."),
    "compare-trace": _Place("compare_trace:compare_trace_command", "Compare two profiles op by op."),
    "hw": _Place("hw:hw_app", "Make, show, compare and check hardware files."),
    "trace": _Place("trace:trace_app", "Read schedules and profiles in Chrome's trace format."),
    "reproduce": _Place("reproduce:reproduce_app", "Simulate the figures of a paper in its own setting."),
}  # fmt: skip


class _Commands(TyperGroup):
    """The group of all commands, each loaded on first use."""

    def list_commands(self, ctx: Any) -> list[str]:
        """All names, in the order of the help."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of this name; None if there is none."""
        return load(cmd_name) if cmd_name in COMMANDS else None

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that the arguments begin with; an error offers the names that are near."""
        self.commands = dict.fromkeys(COMMANDS)  # type: ignore[assignment]  # whose names alone are read
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """The list of commands in the help."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, command.line) for name, command in COMMANDS.items()])


class _Command(TyperCommand):
    """A command whose options, but for those that may be repeated, are given once."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """What is left of the arguments. Raises UserError for an option whose first value would be lost."""
        _, _, given = self.make_parser(ctx).parse_args(list(args))
        once = [each for each in given if getattr(each, "multiple", True) is False and each.nargs == 1]
        twice = next(
            (each for each in once if once.count(each) > 1 and not getattr(each, "is_flag", False)), None
        )
        if twice is not None and not ctx.resilient_parsing:
            raise UserError(
                f"{max(twice.opts, key=len)} is given {once.count(twice)} times, and takes one value"
            )
        return super().parse_args(ctx, args)


def load(name: str) -> Any:
    """The command, imported."""
    from npusim.cli.groups import grouped

    module, attribute = COMMANDS[name].home.split(":")
    found = getattr(import_module(f"npusim.cli.{module}"), attribute)
    if isinstance(found, typer.Typer):
        group = typer.main.get_group(found)
        group.name = name
        return group
    alone = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    alone.command(name, cls=_Command)(grouped(found))
    return typer.main.get_command(alone)


class Shell(StrEnum):
    """Shells that commands are completed in."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"
    POWERSHELL = "powershell"


#: In a shell's environment while it asks what a command line may go on with.
_ASKED = "_NPUSIM_COMPLETE"
if _ASKED in os.environ:
    from typer.completion import completion_init

    completion_init()

app = typer.Typer(
    cls=_Commands,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"npusim {__version__}")
        raise typer.Exit


def _show_completion(shell: Shell | None) -> None:
    if shell is not None:
        from typer.completion import get_completion_script

        typer.echo(get_completion_script(prog_name="npusim", complete_var=_ASKED, shell=shell.value))
        raise typer.Exit


def _install_completion(shell: Shell | None) -> None:
    if shell is not None:
        from typer.completion import install

        _, path = install(shell=shell.value, prog_name="npusim", complete_var=_ASKED)
        typer.echo(f"Completion is in {path}, for terminals that are opened from now on")
        raise typer.Exit


@app.callback()
def root(
    _version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit."),
    ] = False,
    _show: Annotated[
        Shell | None,
        typer.Option(
            "--show-completion",
            callback=_show_completion,
            is_eager=True,
            help="Print a shell's completion and exit.",
        ),
    ] = None,
    _install: Annotated[
        Shell | None,
        typer.Option(
            "--install-completion",
            callback=_install_completion,
            is_eager=True,
            help="Install it in a shell and exit.",
        ),
    ] = None,
) -> None:
    """How long will this model take on this NPU, what holds it back, and what would change that?"""
