"""``npusim diff``: is a model slower than a committed run or budget? For the CI of other projects."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from npusim.cli.options import JsonOption, MarkdownOption
from npusim.cli.terminal import print_json
from npusim.errors import UserError
from npusim.text import printable

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Name and version of the document; the number grows when a key changes its meaning or goes.
SCHEMA = "npusim.diff/1"
#: What a budget may limit, and what it is called. ``seen_us`` is the time seen from outside, which a run with --hint,
#: --client or --segments has.
LIMITS = {
    "latency_us": "latency", "seen_us": "from outside", "energy_uj": "energy", "ddr_bytes": "DDR traffic",
}  # fmt: skip
#: What two runs must have in common for one to be the other's budget: the key of run.json and of what is inside.
_ALIKE = (
    ("workload",), ("hardware",), ("run", "phase"), ("run", "tokens"), ("seen", "hint"), ("seen", "client"),
    ("seen", "segments"),
)  # fmt: skip


def diff_command(
    budget: Annotated[
        Path,
        typer.Argument(
            metavar="BUDGET", help='run.json or a report folder, or limits: {"latency_us": 5000}.'
        ),
    ],
    run: Annotated[Path, typer.Argument(metavar="RUN", help="run.json or a report folder of today's run.")],
    tolerance: Annotated[
        float,
        typer.Option(
            min=0, max=1000, metavar="PERCENT", help="How much more than the budget is let through."
        ),
    ] = 1.0,
    as_json: JsonOption = False,
    markdown: MarkdownOption = False,
) -> None:
    """Compare a run with a committed one, or with limits; exit code 1 if it takes more."""
    wanted, found = _document(budget), _document(run)
    limits = _limits(wanted, str(budget))
    if not _is_run(found):
        raise UserError(f"{run}: is no run: it has no latency_us and workload (npusim run --json prints one)")
    if _is_run(wanted):
        _must_be_alike(wanted, str(budget), found, str(run))
    have = _figures(found)
    rows = [
        {
            "what": name, "budget": limits[name], "run": have[name],
            "percent": (have[name] / limits[name] - 1) * 100 if limits[name] else None,
            "within": have[name] <= limits[name] * (1 + tolerance / 100),
        }
        for name in LIMITS
        if name in limits and name in have
    ]  # fmt: skip
    within = all(row["within"] for row in rows)
    if as_json:
        print_json({"schema": SCHEMA, "within": within, "tolerance_percent": tolerance, "rows": rows})
    else:
        _print(rows, str(found.get("workload", run)), markdown)
    if not within:
        raise typer.Exit(1)


def _document(path: Path) -> dict[str, Any]:
    from npusim.files import parse_json, read_bytes

    if path.is_dir() and not (path / "run.json").exists():
        raise UserError(f"{path}: holds no run.json: give a folder that npusim run wrote, or a file")
    path = path / "run.json" if path.is_dir() else path
    document = parse_json(read_bytes(path), str(path), "a run or a budget")
    if not isinstance(document, dict):
        raise UserError(f"{path}: is neither a run nor a budget: must be a mapping")
    return document


def _is_run(document: Mapping[str, Any]) -> bool:
    return {"latency_us", "workload"} <= document.keys()


def _must_be_alike(budget: Mapping[str, Any], budget_label: str, run: Mapping[str, Any], label: str) -> None:
    """Refuse a run of another model, machine or way of asking than its budget."""
    for keys in _ALIKE:
        before, after = _inside(budget, keys), _inside(run, keys)
        if before != after:
            raise UserError(
                f"{label}: its {keys[-1]} is {printable(str(after))}, that of {budget_label} {printable(str(before))}: "
                'a run is no budget for another (limits such as {"latency_us": 5000} are for any)'
            )


def _inside(document: Mapping[str, Any], keys: tuple[str, ...]) -> Any:
    """A value inside of mappings; None where there is none."""
    value: Any = document
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _figures(document: Mapping[str, Any]) -> dict[str, float]:
    """The figures of a run, or the limits of a budget, that are there."""
    figures = {name: document.get(name) for name in LIMITS}
    if _is_run(document):
        figures["seen_us"] = _inside(document, ("seen", "us"))
    traffic = figures["ddr_bytes"]
    figures["ddr_bytes"] = sum(traffic.values()) if isinstance(traffic, dict) else traffic
    return {name: float(value) for name, value in figures.items() if isinstance(value, int | float)}


def _limits(document: Mapping[str, Any], label: str) -> dict[str, float]:
    """What a budget allows. Raises UserError for what is no limit."""
    from npusim.text import did_you_mean

    limits = _figures(document)
    if not limits:
        raise UserError(f"{label}: limits nothing: give one of {', '.join(LIMITS)}, or a run.json")
    strange = () if _is_run(document) else document.keys() - limits.keys()
    if strange:
        first = min(strange)
        why = "must be a number" if first in LIMITS else f"no such limit{did_you_mean(first, LIMITS)}"
        raise UserError(f"{label}: {printable(first)}: {why}; limits are {', '.join(LIMITS)}")
    return limits


def _print(rows: list[dict[str, Any]], workload: str, markdown: bool) -> None:
    from npusim.report.units import bytes_text, energy_text, time_text

    texts = {"latency_us": time_text, "seen_us": time_text, "energy_uj": energy_text, "ddr_bytes": bytes_text}
    if markdown:
        print(
            f"### {printable(workload)} against its budget\n\n| | budget | run | |\n| --- | --- | --- | --- |"
        )
    for row in rows:
        before, after = (texts[row["what"]](row[side]) for side in ("budget", "run"))
        percent = "" if row["percent"] is None else f"{row['percent']:+.1f} %"
        verdict = "within" if row["within"] else "OVER"
        cells = (LIMITS[row["what"]], before, after, f"{percent} {verdict}".strip())
        print(
            f"| {' | '.join(cells)} |"
            if markdown
            else f"{cells[0]:<12} {before:>12} -> {after:>12}  {cells[3]}"
        )
