"""``npusim transform``: rewrite a model with xamba, say what was rewritten and what was not, and write the result."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from npusim.cli.machines import machine_with_warnings
from npusim.cli.observed import read_calibration
from npusim.cli.options import GivenModel, JsonOption, SetOption
from npusim.cli.progress import progress
from npusim.cli.terminal import print_json
from npusim.errors import UserError
from npusim.files.models import check_model_path, save_model

if TYPE_CHECKING:
    from npusim.explore.accuracy import Weighed
    from npusim.explore.auto import SiteGain
    from npusim.xamba import Site


def transform_command(
    asked: GivenModel,
    passes: Annotated[
        str,
        typer.Option(
            metavar="RULES",
            help="Rules in order, such as cumba,reduba or cumba{block=256}; or auto, for --hw.",
        ),
    ] = "",
    hw: Annotated[
        str | None,
        typer.Option("--hw", metavar="FILE", help="Hardware that auto chooses for, yours or a shipped file."),
    ] = None,
    overrides: SetOption = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "-o", "--out", metavar="OUT.xml", help="Where the result is written, with its .bin beside it."
        ),
    ] = None,
    accuracy_budget: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            help="For auto: weigh pruned and narrower weights, too, and take the fastest whose outputs are off by no "
            "more (relative, on random inputs).",
        ),
    ] = None,
    observe: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE.npz",
            help="Calibration inputs, an array an input by name, for actiba{range=observed}; may be repeated.  "
            "[default: random ones]",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Rewrite an OpenVINO model so that it runs better on an NPU."""
    source = asked.required("rewritten")
    from npusim import xamba

    if not passes.strip():
        raise UserError(f"--passes is missing; there are the rules {', '.join(xamba.names())}")
    if out is not None:
        check_model_path(out)
    from npusim.explore.rewrites import AUTO, AUTO_APPROXIMATE

    automatic = passes in (AUTO, AUTO_APPROXIMATE)
    if accuracy_budget is not None and passes != AUTO:
        raise UserError(f"--accuracy-budget is for --passes auto: {passes} says itself what is done")
    _check_passes(passes, automatic, hw, overrides)
    if observe and "range=observed" not in "".join(passes.split()):
        raise UserError("--observe is for --passes with actiba{range=observed}")
    with progress() as step:
        step("reading the model" if asked.model else "building the model")
        stock, notes = source.read()
        step("rewriting")
        sites: Sequence[Site | SiteGain]
        latencies: dict[str, float] = {}
        weighed: tuple[Weighed, ...] = ()
        if hw is not None and accuracy_budget is not None:
            from npusim.explore.accuracy import within_budget

            machine = machine_with_warnings(hw, overrides).hardware
            bargain = within_budget(stock, machine, accuracy_budget, name=source.name)
            result, sites, weighed = bargain.model, bargain.sites, bargain.weighed
            latencies = {"stock_us": bargain.stock_us, "latency_us": bargain.chosen.latency_us}
            passes = f"{passes}: {bargain.chosen.passes}"
        elif hw is not None:
            from npusim.explore.auto import best_rewrites

            machine = machine_with_warnings(hw, overrides).hardware
            chosen = best_rewrites(stock, machine, approximate=passes == AUTO_APPROXIMATE, name=source.name)
            result, sites = chosen.model, chosen.sites
            latencies = {"stock_us": chosen.stock_us, "latency_us": chosen.latency_us}
        else:
            calibration = read_calibration(observe, stock) if observe else None
            try:
                result, sites = xamba.apply(stock, passes, calibration=calibration)
            except xamba.CannotRun as error:
                raise UserError(str(error)) from None
        if out is not None:
            step("writing")
            save_model(result, out)
    if as_json:
        document = _document(source.name, passes, out, sites, latencies, notes)
        print_json(document | ({"weighed": [asdict(one) for one in weighed]} if weighed else {}))
    else:
        if weighed:
            _print_weighed(weighed, passes)
        _print(sites, latencies, out, notes)


def _print_weighed(weighed: Sequence[Weighed], chosen: str) -> None:
    """The front of latency and damage, and what it beats."""
    from rich.text import Text

    from npusim.cli.tables import Column, fitted, width_of_output
    from npusim.cli.terminal import console

    width = width_of_output()
    columns = [Column("rewrites"), Column("latency, µs", "right"), Column("damage", "right"), Column("")]
    rows = [
        (one.passes, f"{one.latency_us:,.1f}", f"{one.damage:.2%}", "on the front" if one.front else "")
        for one in weighed
    ]
    screen = console(width=width)
    screen.print(fitted(columns, rows, width))
    screen.print(Text(f"{chosen}; damage: worst relative error of an output, of the weights in the file\n"))


def _check_passes(passes: str, automatic: bool, hw: str | None, overrides: list[str] | None) -> None:
    """A mistake is told before a large model is read."""
    if automatic:
        if hw is None:
            raise UserError(f"--passes {passes} chooses for one NPU: give it as --hw FILE")
        return
    if any(rule.split("{")[0].strip() == "auto" for rule in passes.split(",")):
        raise UserError(
            f"--passes {passes}: auto chooses among all rules itself; give auto or auto{{approximate=yes}} alone"
        )
    if hw is not None or overrides:
        option = "--hw" if hw is not None else "--set"
        raise UserError(f"{option} is for --passes auto: {passes} takes every site it can, whatever the NPU")
    from npusim import xamba
    from npusim.xamba.pipeline import parse

    try:
        parse(passes)
    except xamba.PipelineError as error:
        raise UserError(f"--passes: {error}") from None


def _document(
    subject: str,
    passes: str,
    out: Path | None,
    sites: Sequence[Site | SiteGain],
    latencies: dict[str, float],
    notes: tuple[str, ...],
) -> dict[str, Any]:
    return {
        "schema": "npusim.transform/1",
        "model": subject,
        "passes": passes,
        "written": str(out) if out else None,
        "taken": sum(site.taken for site in sites),
        "skipped": sum(not site.taken for site in sites),
        **{name: round(value, 6) for name, value in latencies.items()},
        "sites": [
            {
                "rule": site.rule,
                "op": site.op,
                "type": site.type,
                "taken": site.taken,
                "note": site.note,
                "error_bound": site.error_bound,
                **({"gain_us": _gain_us(site)} if latencies else {}),
            }
            for site in sites
        ],
        "notes": list(notes),
    }


def _gain_us(site: Site | SiteGain) -> float | None:
    """What a site that was simulated gains, µs; None where nothing that could be simulated takes it."""
    gain_us = getattr(site, "gain_us", -math.inf)
    return round(gain_us, 6) if math.isfinite(gain_us) else None


def _gain(site: Site | SiteGain, latencies: dict[str, float]) -> tuple[str, ...]:
    if not latencies:
        return ()
    gain_us = _gain_us(site)
    return ("" if gain_us is None else f"{gain_us:+.1f}",)


def _print(
    sites: Sequence[Site | SiteGain], latencies: dict[str, float], out: Path | None, notes: tuple[str, ...]
) -> None:
    from npusim.cli.tables import WHOLE, Column, fitted, width_of_output
    from npusim.cli.terminal import console

    rows = [
        (s.rule, s.op, s.type, "taken" if s.taken else "skipped", *_gain(s, latencies), s.note) for s in sites
    ]
    columns = (
        Column("rule"), Column("op", folds=True), Column("type", rank=2, most=16), Column(""),
        *([Column("gain, µs", "right")] if latencies else []), Column("what it became, or why not", folds=True),
    )  # fmt: skip
    if rows:
        width = width_of_output(WHOLE)
        console(width=width).print(fitted(columns, rows, width))
    taken, skipped = (
        Counter(site.rule for site in sites if site.taken is wanted) for wanted in (True, False)
    )
    counts = [
        f"{rule}: {taken[rule]} taken, {skipped[rule]} skipped"
        for rule in dict.fromkeys(s.rule for s in sites)
    ]
    print(
        ("\n" if rows else "")
        + ("; ".join(counts) or "no site: the model has no op that these rules look at")
    )
    if latencies:
        before, after = latencies["stock_us"], latencies["latency_us"]
        print(f"predicted latency: {before:,.1f} µs as it stands, {after:,.1f} µs rewritten")
    for note in notes:
        print(f"note: {note}")
    if out is not None:
        print(f"written: {out}, {out.with_suffix('.bin')}")
