"""Bands around answers: what conformal prediction promises, on rows whose errors are known."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from npusim.hardware import load_hardware
from npusim.validation.silicon.intervals import (
    Residual,
    coverage,
    interval,
    residuals,
    residuals_csv,
    scope_of,
    spread_of,
)


def row(error: float, model: str = "m") -> Residual:
    return Residual(model, "memory", "own", math.log1p(error))


def test_the_spread_is_the_conformal_rank() -> None:
    """Of nine errors the eighth ((9 + 1) x 0.8); of three the largest, whatever is promised of them."""
    assert spread_of([row(n / 100) for n in range(1, 10)]) == pytest.approx(1.08)
    assert spread_of([row(0.1), row(0.3), row(0.2)]) == pytest.approx(1.3)


def test_bands_hold_for_80_percent_of_what_is_alike() -> None:
    generator = np.random.default_rng(18)
    rows = [row(error, f"m{i}") for i, error in enumerate(np.abs(generator.normal(0, 0.1, 400)))]
    count, share = coverage(rows)["all"]
    assert count == 400
    assert 0.78 < share < 0.82


def test_a_models_own_rows_do_not_widen_its_band() -> None:
    rows = [*(row(0.01, f"m{i}") for i in range(20)), *(row(2.0, "odd") for _ in range(5))]
    assert coverage(rows)["all"] == (25, 20 / 25)


def test_the_packaged_rows_cover_as_promised() -> None:
    """Of models left out, between 70 and 90 % lie within the band: on the machine that was measured, and elsewhere."""
    for scope in ("own", "other"):
        assert 0.7 <= coverage([one for one in residuals() if one.scope == scope])["all"][1] <= 0.9


def test_a_machine_that_was_not_measured_has_the_wider_band() -> None:
    own, other = (load_hardware(file) for file in ("lunarlake-256v-2026.2.yaml", "lunarlake.yaml"))
    assert (scope_of(own), scope_of(other)) == ("own", "other")
    assert scope_of(own, changed=True) == "other"
    assert scope_of(load_hardware("lunarlake-258v-2026.2.yaml")) == "other"  # its rows tell steps alone
    narrow, wide = (interval(1000.0, "memory", scope_of(hw)) for hw in (own, other))
    assert narrow is not None and wide is not None
    assert wide.low_us < narrow.low_us < 1000 < narrow.high_us < wide.high_us
    assert narrow.low_us * narrow.high_us == pytest.approx(1e6)


@pytest.mark.parametrize(("count", "expected"), [(10, 1.0), (9, 0.0)])
def test_8_bit_models_of_a_platform_have_a_band_of_their_own(count: int, expected: float) -> None:
    """Where nine other models of them were measured; else they are judged by what bounds them, with many better."""
    others = [row(0.05, f"m{i}") for i in range(60)]
    eight_bit = [replace(row(0.3, f"q{i}"), quantised="4000") for i in range(count)]
    held = coverage([*others, *eight_bit])
    inside = sum(share * rows for name, (rows, share) in held.items() if name != "all") - len(others)
    assert inside == pytest.approx(expected * count)
    assert ("8-bit models on 4000, this machine" in held) == (expected == 1.0)


def test_rows_are_written_as_they_are_read() -> None:
    assert residuals_csv(residuals()) == residuals_csv(list(residuals()))
    assert residuals_csv(residuals()).count("\n") == len(residuals()) + 1
