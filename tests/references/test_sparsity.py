"""Pruned chains as Intel's compiler schedules them (benchmarks/vendor/sparsity.csv) and as npusim predicts them."""

from __future__ import annotations

import csv
from pathlib import Path
from statistics import median

import pytest
from scipy.stats import spearmanr

import npusim
from benchmarks.vendor.sparsity import CHAINS, PLATFORMS, predicted_us, pruned, table
from npusim.costs.dpu import STENCIL_PIXELS, cycles
from npusim.hardware.platforms import file_of
from npusim.program.work import DpuWork

#: Sparse convolutions as the compiler's estimator prices them, a task of one tile each.
TASKS = Path("benchmarks/vendor/sparse_tasks.csv")
#: Median error of their DPU time that is allowed (5010: of its images, whose windows have no table).
TASK_MOST = {"3720": 0.05, "4000": 0.035, "5010": 0.08}
#: Median error of the latency that is allowed.
MOST = {"3720": 0.10, "4000": 0.105, "5010": 0.15}
HALF, NARROWED = "50 %", "narrowed by half"

Times = dict[tuple[str, str, str], tuple[float, float]]


@pytest.fixture(scope="module")
def times() -> Times:
    """The compiler's µs and npusim's, by chain, form and platform."""
    models = {(chain, form): model for chain in CHAINS for form, model in pruned(chain)}
    return {
        (chain, form, platform): (us, predicted_us(models[chain, form], platform))
        for chain, form, platform, us in table()
    }


def test_every_form_of_every_chain_is_in_the_table(times: Times) -> None:
    assert {key[0] for key in times} == set(CHAINS)
    assert {key[2] for key in times} == set(PLATFORMS)


@pytest.mark.parametrize("platform", PLATFORMS)
def test_latencies_of_pruned_models(times: Times, platform: str) -> None:
    errors = [abs(ours / theirs - 1) for (_, _, on), (theirs, ours) in times.items() if on == platform]
    assert median(errors) <= MOST[platform]


def test_narrowed_models_are_predicted_as_any_other(times: Times) -> None:
    errors = [abs(ours / theirs - 1) for (_, form, _), (theirs, ours) in times.items() if form == NARROWED]
    assert median(errors) <= 0.08


@pytest.mark.parametrize("platform", PLATFORMS)
def test_forms_rank_as_the_compiler_ranks_them(times: Times, platform: str) -> None:
    ranks = []
    for chain in CHAINS:
        both = [pair for (name, _, on), pair in times.items() if (name, on) == (chain, platform)]
        ranks.append(spearmanr([pair[0] for pair in both], [pair[1] for pair in both]).statistic)
    assert median(ranks) >= 0.8


def test_products_of_one_row_are_slower_with_half_of_their_weights(times: Times) -> None:
    for chain in (name for name in CHAINS if "1 row" in name):
        for platform in PLATFORMS:
            for side in (0, 1):
                assert times[chain, HALF, platform][side] > times[chain, "dense", platform][side]


@pytest.mark.parametrize("platform", PLATFORMS)
def test_tasks_with_zeros_cost_what_the_network_answers(platform: str) -> None:
    """The estimator asks its network for the share of zeros; of the stencils, which the table has not, the nearest."""
    hw = npusim.load_hardware(file_of(platform, "estimator"))
    errors = []
    with TASKS.open(newline="") as stream:
        for row in csv.DictReader(stream):
            if row["platform"] == platform:
                kernel, rows, columns, terms, channels = (
                    int(row[key]) for key in ("kernel", "rows", "columns", "terms", "channels")
                )
                sparse = {"zeros": float(row["zeros"]), "in_bits": 16, "out_bits": 16, "weight_bits": 16}
                works = (
                    DpuWork("conv", rows, columns, channels, terms, kernel, kernel, mpe_mode=mode, **sparse)  # type: ignore[arg-type]
                    for mode in STENCIL_PIXELS
                )
                us = [cycles(work, hw) / hw.clocks.dpu_mhz / float(row["dpu_us"]) for work in works]
                errors.append(min(abs(one - 1) for one in us))
    assert len(errors) > 45
    assert median(errors) <= TASK_MOST[platform]
