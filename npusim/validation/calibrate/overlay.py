"""What ``npusim calibrate`` writes: a hardware file over the one that was fitted, and the whole outcome as JSON."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from math import isnan
from pathlib import Path
from typing import Any

from npusim import hwconfigs
from npusim.hardware.files import find
from npusim.validation.calibrate.fit import Calibration, CaseFit
from npusim.validation.calibrate.identify import ParameterFit

#: Name and version of the document; the number grows when a key changes its meaning or goes.
SCHEMA = "npusim.calibrate/1"

_ADVICE = {
    "identified": "",
    "not identified": "not identified: the rows hardly tell it, so it is no fact about the machine",
    "at its bound": "at its bound: the rows ask for more than the bounds allow",
    "flat": "flat: no row depends on it; kept as it was",
}

#: How a loss counts squares, for people.
_COUNTED = {
    "linear": "",
    "soft_l1": ", less of those above 10 %",
    "cauchy": ", hardly any of those above 10 %",
}


def overlay_text(found: Calibration, out: Path, command: str) -> str:
    """The YAML: the fitted values over the file that was fitted, and in comments how well they fit and are known.

    ``out`` is where it will stand; ``command`` is what writes it again. Same inputs, same bytes.
    """
    lines = [
        f"# Written by {_printable(command)}",
        f"# {summary(found)}",
        "#",
        *(f"# {line}" for line in _rows(found.cases)),
        "#",
        *(f"# {line}" for line in _parameters(found.parameters)),
        *(f"# {line}" for line in _caveats(found)),
        f"extends: {_quoted(_parent(found.space.file, out))}",
        f"name: {_quoted(found.space.base.name + ', calibrated')}",
        "",
    ]
    tree: dict[str, Any] = {}
    for one in found.parameters:
        for path in [] if one.verdict == "flat" else one.path.split(","):
            branch = tree
            *sections, key = path.split(".")
            for section in sections:
                branch = branch.setdefault(section, {})
            branch[key] = one
    return "\n".join([*lines, *_tree(tree, 0)]) + "\n"


def summary(found: Calibration) -> str:
    """One line: how many rows, the median errors before, after, and of models left out, and what was minimised."""
    models = len({one.case.model for one in found.cases})
    alone = found.median("left_out_us")
    left = "" if isnan(alone) else f", {alone:.1%} for models left out of the fit"
    return (
        f"{len(found.cases)} rows of {models} models: median error {found.median('fitted_us'):.1%} (it was "
        f"{found.median('base_us'):.1%}){left}. Minimised, the sum of squares of log(predicted / measured)"
        f"{_COUNTED[found.loss]}: {found.minimised('fitted_us'):.4g} (it was {found.minimised('base_us'):.4g})."
    )


def _rows(cases: Sequence[CaseFit]) -> Iterator[str]:
    width = max(len(one.case.label) for one in cases)
    yield f"{'row':<{width}}  {'measured µs':>12}  {'before':>8}  {'fitted':>8}  {'left out':>8}"
    for one in cases:
        left = "" if one.left_out_us is None else f"{one.error(one.left_out_us):+.1%}"
        yield (
            f"{_printable(one.case.label):<{width}}  {one.case.measured_us:>12,.1f}  {one.error(one.base_us):>+8.1%}  "
            f"{one.error(one.fitted_us):>+8.1%}  {left:>8}"
        )


def _parameters(parameters: Sequence[ParameterFit]) -> Iterator[str]:
    width = max(len(one.path) for one in parameters)
    yield f"{'parameter':<{width}}  {'was':>9}  {'fitted':>9}  95 % interval"
    for one in parameters:
        interval = "unknown" if one.interval is None else f"{one.interval[0]:g} to {one.interval[1]:g}"
        said = "; ".join(filter(None, (_ADVICE[one.verdict], _tied(one))))
        yield f"{one.path:<{width}}  {one.base:>9g}  {one.value:>9g}  {interval}{' - ' + said if said else ''}"


def _tied(one: ParameterFit) -> str:
    return f"tied to {', '.join(one.tied_to)}: known together only" if one.tied_to else ""


def _caveats(found: Calibration) -> Iterator[str]:
    if not found.settled:
        yield f"Lowering still changes with these values after {found.rounds} rounds: the best round is kept."
    if len({one.case.model for one in found.cases}) == 1:
        yield "All rows are of one model: nothing could be left out, and other models may be predicted worse."


def _tree(tree: dict[str, Any], depth: int) -> Iterator[str]:
    for key, entry in tree.items():
        label = f"{'  ' * depth}{_quoted(key)}:"
        if isinstance(entry, dict):
            yield label
            yield from _tree(entry, depth + 1)
        else:
            yield f"{label} {entry.value:.6g}  # was {entry.base:g}; {entry.verdict}"


def _parent(file: str, out: Path) -> str:
    """The fitted file as an overlay at ``out`` names it: shipped ones by name, others relative to its folder."""
    path = find(file).path
    if path.parent == hwconfigs.FOLDER:
        return path.name
    try:
        return Path(os.path.relpath(path, out.parent)).as_posix()
    except ValueError:  # another drive
        return path.absolute().as_posix()


def _quoted(text: str) -> str:
    """``text`` as YAML, in quotes where it is not plain."""
    if (
        text
        and all(char.isalnum() or char in "_-./ " for char in text)
        and text == text.strip()
        and text[0].isalpha()
    ):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _printable(text: str) -> str:
    """A comment is one line, whatever a name has in it."""
    return " ".join(text.split())


def calibration_document(found: Calibration, command: str) -> dict[str, Any]:
    """The outcome as one JSON document; errors are signed shares, times µs, what is not known null."""
    return {
        "schema": SCHEMA,
        "command": command,
        "hardware": found.space.file,
        "rows": [
            {
                "row": one.case.label,
                "model": one.case.model,
                "metric": one.case.metric,
                "measured_us": one.case.measured_us,
                "base_us": round(one.base_us, 6),
                "fitted_us": round(one.fitted_us, 6),
                "left_out_us": None if one.left_out_us is None else round(one.left_out_us, 6),
                "machine_out_us": None if one.machine_out_us is None else round(one.machine_out_us, 6),
                "error": round(one.error(one.fitted_us), 6),
            }
            for one in found.cases
        ],
        "median_error": {
            "base": _share(found.median("base_us")),
            "fitted": _share(found.median("fitted_us")),
            "left_out": _share(found.median("left_out_us")),
            "machine_out": _share(found.median("machine_out_us")),
        },
        "parameters": [
            {
                "path": one.path,
                "base": one.base,
                "value": one.value,
                "bounds": [one.low, one.high],
                "interval": None if one.interval is None else list(one.interval),
                "moves": round(one.moves, 6),
                "verdict": one.verdict,
                "tied_to": list(one.tied_to),
            }
            for one in found.parameters
        ],
        "correlation": [[_share(value) for value in row] for row in found.correlation.tolist()],
        "rounds": found.rounds,
        "settled": found.settled,
    }


def _share(value: float) -> float | None:
    return None if isnan(value) else round(value, 6)
