"""``npusim advise``: what would make a model faster, each change simulated."""

from __future__ import annotations

from typing import TYPE_CHECKING

from npusim.cli.machines import machine_with_warnings
from npusim.cli.options import GuessOption, HwOption, JsonOption, ModelOptions, SetOption
from npusim.cli.progress import progress
from npusim.cli.terminal import console, print_json

if TYPE_CHECKING:
    from npusim.jobs.advise import AdviceFor


def advise_command(
    hw: HwOption,
    asked: ModelOptions,
    overrides: SetOption = None,
    allow_guess: GuessOption = False,
    as_json: JsonOption = False,
) -> None:
    """Say what would make a model faster: rewrites, 8-bit numbers, tiles, hints, chunks; each simulated."""
    source = asked.source()
    with progress() as step:
        step("reading the hardware")
        from npusim.jobs.advise import advise_model

        found = advise_model(source, machine_with_warnings(hw, overrides), allow_guess=allow_guess, step=step)
    if as_json:
        print_json(found.document())
    else:
        print_advice(found)


def print_advice(found: AdviceFor) -> None:
    """What holds the model back, and the changes, the most helpful first."""
    from rich.text import Text

    from npusim.cli.tables import folded, width_of_output
    from npusim.report.units import time_text
    from npusim.text import printable

    advised, width = found.advised, width_of_output()
    screen = console(width=width)
    title = (found.subject.title, found.machine.hardware.name, time_text(advised.result.latency_us))
    screen.print(Text(folded(["{} on {}: {}".format(*map(printable, title)), advised.bottleneck], width)))
    if not advised.advice:
        screen.print(Text("None of the changes that npusim knows would gain a per cent."))
    for number, one in enumerate(advised.advice, 1):
        faster = f"{one.gain:.2f} × as fast" if one.measure == "latency" else f"{one.gain:.2f} × the results"
        times = f"{one.measure} {time_text(one.before_us)} → {time_text(one.after_us)}"
        screen.print()
        screen.print(Text.assemble(f"{number}. ", (printable(one.what), "bold"), f": {faster}, {times}"))
        if command := found.command(one):
            screen.print(Text(f"   {printable(command)}"), soft_wrap=True)
        for label, words in (("how", one.how), ("rests on", one.rests_on)):
            screen.print(Text(folded(words.split(" "), width, f"   {label}: ", " ")))
    shares = [
        f"{share:.1%} {name}" for name, share in advised.result.metrics.provenance_share.items() if share > 0
    ]
    screen.print()
    screen.print(Text(f"Costs of the latency as it stands are {', '.join(shares)}  ({found.wall_s:.1f} s)"))
