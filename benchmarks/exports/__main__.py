"""Architectures exported as people have them, and what npusim makes of each: python -m benchmarks.exports

Exports every form of every architecture of catalogue.py with random weights, one at a time, and runs npusim on what
comes out: microseconds, or the line in which it is refused. What is done is kept in --work, and a run that was ended
goes on where it was; --again runs npusim anew on models that are there already. The first run makes an environment of
its own for the exporters (several GB), unless --python names one that has requirements.txt. Writes docs/exports.md.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import venv
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.exports.catalogue import ARCHITECTURES, FORMS
from npusim import api  # noqa: F401 (loaded before the forks)
from npusim.cli.main import main as main_of_npusim

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "exports.md"
MACHINE = "lunarlake.yaml"
SECONDS = 300
GUESS = "--allow-guess"


@dataclass
class Outcome:
    """What became of a form of an architecture: where its file is and which shapes to give, or why there is none; its
    latency, µs, or npusim's own words. ``guessed``: --allow-guess was asked for."""

    name: str
    build: str
    form: str
    file: str = ""
    shapes: list[str] = field(default_factory=list)
    error: str = ""
    found: float | str = ""
    guessed: bool = False


class Exporter:
    """The process that exports, in the environment of the exporters."""

    def __init__(self, python: str) -> None:
        """Not started yet."""
        self.python = python
        self.process: subprocess.Popen[str] | None = None

    def __call__(self, name: str, form: str, folder: Path) -> dict[str, Any]:
        """Have one made; raises where the exporter itself is broken."""
        if self.process is None:
            environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
            environment["TF_CPP_MIN_LOG_LEVEL"] = "3"
            self.process = subprocess.Popen(
                [self.python, str(HERE / "make.py")],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=(folder.parent / "exporter.log").open("a"),
                text=True, env=environment,
            )  # fmt: skip
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(json.dumps({"name": name, "form": form, "folder": str(folder)}) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"error: the exporter ended: see {folder.parent / 'exporter.log'}")
        return dict(json.loads(line))


def environment(work: Path) -> str:
    """The interpreter of an environment with all exporters, made where it is not there yet."""
    folder = work / "venv"
    python = folder / "bin" / "python"
    if not (folder / "complete").exists():
        print(f"installing the exporters in {folder}", file=sys.stderr)
        venv.create(folder, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "-q", "-r", HERE / "requirements.txt"], check=True)
        (folder / "complete").touch()
    return str(python)


def _call(argv: list[str], out: Path, error: Path) -> None:
    """What the command line does with these words, in this process."""
    with out.open("w") as told, error.open("w") as said, redirect_stdout(told), redirect_stderr(said):
        main_of_npusim(argv)


def simulate(outcome: Outcome, *more: str) -> float | str:
    """Latency, µs, or the last line of what npusim says: its error, or the end of a traceback. Each is a process of its
    own, forked from this one that has npusim loaded already."""
    given = [word for shape in outcome.shapes for word in ("--shape", shape)]
    argv = ["run", "--hw", MACHINE, "--model", outcome.file, *given, "--no-report", "--json", *more]
    with tempfile.TemporaryDirectory() as name:
        out, error = Path(name, "out"), Path(name, "error")
        child = multiprocessing.get_context("fork").Process(target=_call, args=(argv, out, error))
        child.start()
        child.join(SECONDS)
        if child.is_alive():
            child.kill()
            child.join()
            return f"over {SECONDS} s"
        if child.exitcode == 0:
            return float(json.loads(out.read_text())["latency_us"])
        said = error.read_text()
    last = [line for line in said.splitlines() if line.strip()][-1:] or [f"exit code {child.exitcode}"]
    return ("TRACEBACK " if "Traceback" in said else "") + last[0].replace(
        str(Path(outcome.file).parent) + "/", ""
    )


def run(outcome: Outcome) -> None:
    """npusim on the model, with guessed costs where it asks for that."""
    outcome.found = simulate(outcome)
    outcome.guessed = isinstance(outcome.found, str) and GUESS in outcome.found
    if outcome.guessed:
        outcome.found = simulate(outcome, GUESS)


def wanted(only: list[str]) -> Iterator[Outcome]:
    """All forms of all architectures, or of those whose name or name/form is in ``only``."""
    for one in ARCHITECTURES:
        for form in one.forms:
            if not only or {one.name, form, f"{one.name}/{form}"} & set(only):
                yield Outcome(one.name, one.build, form)


def table(outcomes: list[Outcome]) -> str:
    """The page."""
    lines = [
        "# Exports\n",
        "Generated by `python -m benchmarks.exports`: models with random weights, of small widths and depths where ops"
        f"\ndo not depend on them, and their latency on {MACHINE}, µs, or the line in which npusim refuses them."
        "\n`~`: with costs that `--allow-guess` guesses. What the exporters themselves refuse is listed at the end.\n",
        *(f"- {form}: {what}" for form, what in FORMS.items()),
        "\n| architecture | form | µs |\n|---|---|---|",
    ]
    for one in outcomes:
        if not one.error:
            us = (
                f"{'~' * one.guessed}{one.found:,.0f}"
                if isinstance(one.found, float)
                else one.found.replace("|", "\\|")
            )
            lines.append(f"| {one.name} | {one.form} | {us} |")
    failed = [f"- {one.name}, {one.form}: {one.error}" for one in outcomes if one.error]
    return "\n".join([*lines, *(["\nNot exported:\n", *failed] if failed else []), ""])


def main() -> int:
    """Export and run what was asked for and is not done."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--work", type=Path, default=Path("build/exports"), help="models and what is done [%(default)s]"
    )
    parser.add_argument(
        "--python", help="interpreter of the exporters' environment [one that is made in --work]"
    )
    parser.add_argument(
        "--only", nargs="*", default=[], metavar="NAME", help="architectures, forms, or NAME/FORM"
    )
    parser.add_argument("--again", action="store_true", help="run npusim anew on what is exported")
    parser.add_argument("--retry", action="store_true", help="export anew what could not be exported")
    asked = parser.parse_args()
    asked.work.mkdir(parents=True, exist_ok=True)
    kept = asked.work / "outcomes.json"
    done = (
        {(one["name"], one["form"]): Outcome(**one) for one in json.loads(kept.read_text())}
        if kept.exists()
        else {}
    )
    exporter = Exporter(asked.python or environment(asked.work))
    everything = list(wanted([]))
    todo = list(wanted(asked.only))
    for number, new in enumerate(todo, 1):
        outcome = done.get((new.name, new.form), new)
        if (outcome.found and not asked.again) or (outcome.error and not asked.retry):
            continue
        print(f"{number}/{len(todo)} {outcome.name} {outcome.form}", end=" ", file=sys.stderr, flush=True)
        if not outcome.file:
            told = exporter(outcome.name, outcome.form, asked.work / f"{outcome.name}-{outcome.form}")
            outcome = Outcome(new.name, new.build, new.form, **told)
        if outcome.file:
            run(outcome)
        print(outcome.error or outcome.found, file=sys.stderr, flush=True)
        done[outcome.name, outcome.form] = outcome
        kept.write_text(json.dumps([asdict(one) for one in done.values()], indent=1))
    shown = [done[key] for one in everything if (key := (one.name, one.form)) in done]
    PAGE.write_text(table(shown))
    broken = [one for one in shown if str(one.found).startswith("TRACEBACK")]
    print(f"{len(shown)} of {len(everything)} done, {len(broken)} tracebacks: {PAGE}", file=sys.stderr)
    return min(len(broken), 1)


if __name__ == "__main__":
    sys.exit(main())
