"""Odd inputs for every reader and command: python -m benchmarks.fuzz [--inputs N] [--seed N] [--replay LINE]

Draws documents that are mended badly, odd options, random valid graphs on random machines, and models with numbers of
any size (benchmarks/fuzzing), and runs npusim on each: it must end with exit code 0, or 2 and one line, within 10 s and
2 GB, and leave nothing behind (benchmarks/fuzzing/case.py). A find is printed as one line, which --replay runs again:
as an argument, or from a file. Seeds are fresh and printed; the same seed draws the same inputs. What was found, and
the test of each kind, is in evidence/faults.md.
"""

from __future__ import annotations

import argparse
import faulthandler
import resource
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.strategies import SearchStrategy

from benchmarks.fuzzing import compositions, documents, graphs, nets, options
from benchmarks.fuzzing.case import SECONDS, Broken, Case, check

#: Kinds of input, and the share of each.
KINDS: dict[str, tuple[Callable[[], SearchStrategy[Case]], float]] = {
    "hardware": (documents.hardware, 0.1),
    "settings": (options.shows, 0.1),
    "options": (options.options, 0.12),
    "axes": (options.axes, 0.05),
    "spaces": (documents.spaces, 0.05),
    "pipelines": (options.pipelines, 0.05),
    "traces": (documents.traces, 0.1),
    "profiles": (documents.profiles, 0.08),
    "measured": (documents.measured, 0.06),
    "indexes": (documents.indexes, 0.06),
    "models": (documents.models, 0.07),
    "calibrations": (documents.calibrations, 0.03),
    "scenarios": (compositions.scenarios, 0.06),
    "llms": (compositions.llms, 0.05),
    "rules": (compositions.rules, 0.04),
    "graphs": (graphs.graphs, 0.13),
    "operators": (nets.operators, 0.05),
    "protobufs": (nets.protobufs, 0.02),
    "attributes": (nets.attributes, 0.05),
}
_CHUNK = 100


@dataclass(frozen=True)
class Chunk:
    """So many inputs of a kind, drawn from a seed."""

    kind: str
    seed: int
    inputs: int


def chunks(inputs: int, first_seed: int, kinds: Sequence[str]) -> list[Chunk]:
    """All inputs, in parts that are each a process."""
    whole = sum(KINDS[kind][1] for kind in kinds)
    made = []
    for kind in kinds:
        left = max(1, round(inputs * KINDS[kind][1] / whole))
        while left > 0:
            made.append(Chunk(kind, first_seed + len(made), min(left, _CHUNK)))
            left -= _CHUNK
    return made


def run_chunk(chunk: Chunk, log: Path) -> list[str]:
    """Try the inputs of a chunk in this process, each noted in ``log`` before; lines of what was found."""
    found: dict[str, str] = {}
    documents.warm()

    @seed(chunk.seed)
    @settings(
        max_examples=chunk.inputs, deadline=None, database=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(KINDS[chunk.kind][0]())
    def each(case: Case) -> None:
        log.write_text(case.line())
        _end_after(10 * SECONDS)
        try:
            check(case)
        except Broken as broken:
            found.setdefault(_sort(str(broken)), f"{chunk.kind}: {broken}\n  {case.line()}")

    each()
    return list(found.values())


def _end_after(seconds: int) -> None:
    """End this process with a traceback where it takes so much more of the processor's time, in whatever library."""
    faulthandler.register(signal.SIGXCPU, chain=True)
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    resource.setrlimit(resource.RLIMIT_CPU, (int(time.process_time()) + seconds, hard))


def _sort(message: str) -> str:
    """What finds of one fault have in common: the last two places of the traceback, or how the message begins."""
    places = [line.strip() for line in message.splitlines() if line.strip().startswith("File ")]
    return " ".join(places[-2:]) or message[:40]


def _in_process(chunk: Chunk) -> list[str]:
    """Run a chunk in a process of its own, so that one that dies names the input."""
    with tempfile.NamedTemporaryFile() as log:
        command = [
            sys.executable,
            "-m",
            "benchmarks.fuzz",
            "--chunk",
            chunk.kind,
            str(chunk.seed),
            str(chunk.inputs),
        ]
        done = subprocess.run(
            [*command, log.name], capture_output=True, text=True, errors="backslashreplace", check=False
        )
        lines = [line for line in done.stdout.split("\0") if line.strip()]
        if done.returncode:
            lines.append(
                f"{chunk.kind}: died with {done.returncode}: {done.stderr[-800:]}\n  {Path(log.name).read_text()}"
            )
        return lines


def fuzz(inputs: int, first_seed: int, kinds: Sequence[str], processes: int = 2) -> list[str]:
    """Finds among ``inputs`` inputs, each with the line that reproduces it."""
    found: list[str] = []
    with ThreadPoolExecutor(processes) as pool:
        for lines in pool.map(_in_process, chunks(inputs, first_seed, kinds)):
            for line in lines:
                print(line, flush=True)
            found += lines
    return found


def main() -> None:
    """Draw inputs and say what broke, or try one again."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--inputs", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1 << 31))
    parser.add_argument("--kinds", default=",".join(KINDS), help="of " + ", ".join(KINDS))
    parser.add_argument("--replay", metavar="LINE", help="an input, or a file of one")
    parser.add_argument("--chunk", nargs=4, help=argparse.SUPPRESS)
    given_ = parser.parse_args()
    if given_.chunk:
        kind, seed_, inputs, log = given_.chunk
        print("\0".join(run_chunk(Chunk(kind, int(seed_), int(inputs)), Path(log))))
        return
    if given_.replay:
        line = given_.replay if given_.replay.startswith("[") else Path(given_.replay).read_text()
        case = Case.of(line)
        print(case.argv)
        check(case)
        return
    began = time.monotonic()
    print(f"seed {given_.seed}", flush=True)
    found = fuzz(given_.inputs, given_.seed, given_.kinds.split(","))
    print(f"{given_.inputs} inputs in {time.monotonic() - began:.0f} s: {len(found)} finds")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
