"""How many wrong thresholds and comparisons would be noticed: python -m benchmarks.mutants [--count 100] [--seed 1]

Draws small changes of npusim/lowering, or of --path (a comparison that is off by its equality, a threshold that is half
or twice as large, an `and` that is an `or`), makes each in a fork of this process, and predicts the drawn graphs and
reference rows that execute the changed function, quick ones first, until one is not what tests/references says: the
mutant is killed by the guard. With --tests, pytest then runs them (tests/lowering) on each survivor; they have to pass
without a mutant. What numba compiles is changed for tests alone: --rows 0. Prints what became of each as it comes, and
the share killed; docs/evidence/mutants.md says why those of the last runs survived. With --draw, as many fresh random
graphs are tried on what survives the rows, and one that tells it is kept for ever (benchmarks.drawn).
"""

from __future__ import annotations

import argparse
import ast
import functools
import gc
import importlib
import os
import random
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

from benchmarks import drawn
from benchmarks.references import ROOT
from benchmarks.rows import Case, cases, drawn_cases, executed, forget
from npusim.graph.load import load_model_bytes

COMPARISONS = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.In: ast.NotIn, ast.NotIn: ast.In, ast.And: ast.Or, ast.Or: ast.And,
}  # fmt: skip
#: Seconds after which tests hang.
HANGS_S = 900


@dataclass(frozen=True)
class Mutant:
    """One change of one file: ``source`` is the whole file with it; ``names`` are the functions that it may change."""

    path: Path
    line: int
    what: str
    source: str
    names: frozenset[str]


# -- mutants ------------------------------------------------------------------------------------------------------


#: A file, the number of a node of its tree, and the number of a way to change that.
_Site = tuple[Path, int, int]


def sites(path: Path) -> Iterator[_Site]:
    """Where a file can be changed, and how."""
    for index, node in enumerate(ast.walk(ast.parse(path.read_text()))):
        for variant in range(len(_variants(node))):
            yield path, index, variant


def mutant_at(site: _Site) -> Mutant:
    """The mutant that a change makes."""
    path, index, variant = site
    text = path.read_text()
    tree = ast.parse(text)
    target: Any = next(n for i, n in enumerate(ast.walk(tree)) if i == index)
    before = ast.unparse(target)
    _variants(target)[variant]()
    what = f"{before}  ->  {ast.unparse(target)}"
    return Mutant(path, target.lineno, what, ast.unparse(tree), _changed(text, target.lineno))


def _variants(node: ast.AST) -> list[Callable[[], None]]:
    """Ways to change a node in place."""
    found: list[Callable[[], None]] = []
    if isinstance(node, ast.Compare):
        for i, op in enumerate(node.ops):
            if type(op) in COMPARISONS:
                found.append(functools.partial(node.ops.__setitem__, i, COMPARISONS[type(op)]()))
        found += [change for side in (node.left, *node.comparators) for change in _numbers(side)]
    if isinstance(node, ast.BoolOp):
        found.append(functools.partial(setattr, node, "op", COMPARISONS[type(node.op)]()))
    if isinstance(node, ast.Assign) and all(isinstance(t, ast.Name | ast.Tuple) for t in node.targets):
        names = [n.id for t in node.targets for n in ast.walk(t) if isinstance(n, ast.Name)]
        if all(name.isupper() for name in names):
            found += [change for n in ast.walk(node.value) for change in _numbers(n)]
    return found


def _numbers(node: ast.AST) -> list[Callable[[], None]]:
    """A number half and twice as large; small integers one less and one more."""
    if not isinstance(node, ast.Constant) or type(node.value) not in (int, float):
        return []
    n = node.value
    near = (
        (n - 1, n + 1)
        if isinstance(n, int) and n < 4
        else (n // 2, n * 2)
        if isinstance(n, int)
        else (n / 1.5, n * 1.5)
    )
    return [functools.partial(setattr, node, "value", value) for value in near]


def _changed(text: str, line: int) -> frozenset[str]:
    """The qualified name of the outermost function around a line, or the names that a line of the module assigns."""
    for node in ast.parse(text).body:
        if not node.lineno <= line <= (node.end_lineno or line):
            continue
        if isinstance(node, ast.ClassDef):
            inner = [
                n.name
                for n in node.body
                if isinstance(n, ast.FunctionDef) and n.lineno <= line <= (n.end_lineno or 0)
            ]
            return frozenset(f"{node.name}.{name}" for name in inner)
        if isinstance(node, ast.FunctionDef):
            return frozenset({node.name})
        return frozenset(n.id for n in ast.walk(node) if isinstance(n, ast.Name))
    return frozenset()


def _relevant(
    mutant: Mutant, callers: dict[CodeType, list[int]], functions: Sequence[FunctionType]
) -> list[int]:
    """Cases that execute a function that the mutant changes, or one that reads a constant that it changes."""
    own = str(mutant.path)
    readers = {
        f.__code__
        for f in functions
        if (f.__code__.co_filename == own and f.__code__.co_qualname.split(".<locals>")[0] in mutant.names)
        or mutant.names & {*f.__code__.co_names}
    }
    return sorted({number for code in readers for number in callers.get(code, ())})


# -- running a mutant -----------------------------------------------------------------------------------------------


def _functions() -> list[FunctionType]:
    return [
        f
        for f in gc.get_objects()
        if isinstance(f, FunctionType) and (f.__module__ or "").startswith("npusim.")
    ]


def _become(mutant: Mutant, functions: Sequence[FunctionType]) -> None:
    """Let this process be the mutant: its functions get the changed code, and whoever imported them the constants."""
    code = compile(mutant.source, str(mutant.path), "exec")
    module = importlib.import_module(".".join(mutant.path.relative_to(ROOT).with_suffix("").parts))
    fresh: dict[str, Any] = {"__name__": module.__name__, "__file__": str(mutant.path)}
    exec(code, fresh)
    changed = {f.__code__.co_qualname: f.__code__ for f in _made(fresh, str(mutant.path))}
    for function in functions:
        if function.__code__.co_filename == str(mutant.path):
            new = changed.get(function.__code__.co_qualname)
            if new is not None and new.co_freevars == function.__code__.co_freevars:
                function.__code__ = new
    for name in mutant.names:
        if name.isupper():
            before = vars(module)[name]
            for other in list(sys.modules.values()):
                if getattr(other, "__name__", "").startswith("npusim.") and vars(other).get(name) is before:
                    setattr(other, name, fresh[name])
    forget()


def _made(namespace: dict[str, Any], filename: str) -> list[FunctionType]:
    return [
        f for f in gc.get_objects()
        if isinstance(f, FunctionType) and f.__code__.co_filename == filename and f.__globals__ is namespace
    ]  # fmt: skip


def noticed(mutant: Mutant, some: Sequence[Case], functions: Sequence[FunctionType]) -> bool:
    """Whether a case comes out otherwise, fails or hangs in a fork that is the mutant."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != 0
    sys.stderr = sys.stdout = open(os.devnull, "w")  # noqa: PTH123, SIM115 - the child ends in a line
    try:
        _become(mutant, functions)
        os._exit(any(case.moved() for case in some))
    except BaseException:
        os._exit(2)


def telling(mutant: Mutant, some: Sequence[Case], functions: Sequence[FunctionType]) -> Case | None:
    """The first case that comes out otherwise, found by halves: each look is a fork."""
    if not noticed(mutant, some, functions):
        return None
    while len(some) > 1:
        half = some[: len(some) // 2]
        some = half if noticed(mutant, half, functions) else some[len(some) // 2 :]
    return some[0]


def failing_test(mutant: Mutant | None, tests: Sequence[str]) -> str:
    """The first of the tests that fails on a copy of the project that has the mutant, or nothing."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, "project")
        shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(".git", "__pycache__", "npusim-out"))
        if mutant:
            (copy / mutant.path.relative_to(ROOT)).write_text(mutant.source)
        environment = {**os.environ, "PYTHONPATH": str(copy)}
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-n", "0", "--tb=no", "-rfE", *tests]
        try:
            done = subprocess.run(
                command,
                cwd=copy,
                env=environment,
                capture_output=True,
                text=True,
                check=False,
                timeout=HANGS_S,
            )
        except subprocess.TimeoutExpired:
            return "pytest hangs"
        named = [line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
        return " ".join(named[:1]) or (f"pytest ends with {done.returncode}" if done.returncode else "")


def main() -> None:
    """Draw mutants, run them, and say which were noticed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=100, help="mutants to draw (default 100)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--rows",
        type=int,
        help="rows and graphs to predict for a mutant, drawn by chance (default: all; 0: none)",
    )
    parser.add_argument("--path", nargs="+", default=["npusim/lowering"], help="files and folders to change")
    parser.add_argument("--tests", nargs="*", help="tests to run on what the guard lets pass")
    parser.add_argument("--draw", type=int, default=0, metavar="COUNT", help="graphs to draw for the rest")
    parser.add_argument(
        "--only", type=int, nargs="*", help="numbers of mutants, as an earlier run printed them"
    )
    asked = parser.parse_args()
    targets = [(ROOT / path).resolve() for path in asked.path]
    files = [file for path in targets for file in (sorted(path.rglob("*.py")) if path.is_dir() else [path])]
    everything = [site for path in files for site in sites(path)]
    mutants = [
        mutant_at(site)
        for site in random.Random(asked.seed).sample(everything, min(asked.count, len(everything)))
    ]
    print(f"{len(mutants)} of {len(everything)} mutants of {len(files)} files", flush=True)
    known, callers = executed([*cases(), *drawn_cases()] if asked.rows != 0 else [], targets)
    fresh = drawn.drawn(asked.draw, secrets.randbelow(1 << 31)) if asked.draw else []
    tried, called = executed([_case(number, *one) for number, one in enumerate(fresh)], targets)
    functions = _functions()
    gc.freeze()
    tests = None if asked.tests is None else asked.tests or ["tests/lowering"]
    if tests and (failing := failing_test(None, tests)):
        sys.exit(f"without a mutant: {failing}")
    killed = 0
    for number, mutant in enumerate(mutants, 1):
        if asked.only and number not in asked.only:
            continue
        some = [known[i] for i in _relevant(mutant, callers, functions)]
        random.Random(0).shuffle(some)
        some = sorted(some[: asked.rows], key=lambda case: case.seconds)
        fate = "killed by rows" if noticed(mutant, some, functions) else ""
        if not fate and (
            case := telling(mutant, [tried[i] for i in _relevant(mutant, called, functions)], functions)
        ):
            fate = f"killed by {drawn.add(*fresh[int(case.key[1])]).model}, drawn now"
        if not fate and tests:
            fate = failing_test(mutant, tests)
        killed += bool(fate)
        where = f"{mutant.path.relative_to(ROOT)}:{mutant.line}: {mutant.what}"
        print(f"{number} {where}: {fate or f'survives {len(some)} rows'}", flush=True)
    count = len(asked.only or mutants)
    print(f"killed {killed} of {count}: {killed / count:.0%} (seed {asked.seed})")


def _case(number: int, xml: bytes, weights: bytes, row: drawn.Drawn) -> Case:
    return Case(("fresh", str(number)), load_model_bytes(xml, weights, str(number)), row.hardware, {})


if __name__ == "__main__":
    main()
