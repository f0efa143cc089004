"""Zeros among the operands of a product: what the DPU saves by skipping them."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from npusim.hardware.base import Section

Share = Annotated[float, Field(ge=0, le=1)]
#: (share of zeros, share of a dense convolution's time: of single pixels, of larger windows)
Rows = tuple[tuple[Share, Share, Share], ...]


class ZerosTable(Section):
    """Shares of zeros, ascending from 0, and the share of a dense convolution's time that one with so many takes: of
    single pixels, of larger windows. Between them it is in proportion, behind the last as there."""

    int8: Rows
    """8-bit operands."""
    fp16: Rows
    """16-bit operands."""

    @field_validator("int8", "fp16")
    @classmethod
    def _falls(cls, rows: Rows) -> Rows:
        if not rows or rows[0][0] != 0 or any(a[0] >= b[0] for a, b in pairwise(rows)):
            raise ValueError("its shares of zeros must ascend from 0")
        if any(after > before for a, b in pairwise(rows) for before, after in zip(a[1:], b[1:], strict=True)):
            raise ValueError("more zeros must not take longer")
        return rows


class ZerosLaw(Section):
    """The share of a dense convolution's time that one with a share ``s`` of zeros takes: max(1 - saved * s, least)."""

    saved: Share
    """Share of the time that every share of zeros saves; 1: all of their products."""
    least: Share
    """Share of the time that stays however many zeros there are."""


class StoredFrom(Section):
    """Shares of zeros from which weights are stored without them, by the type that they are stored in."""

    int8: Share = 0.125
    """8-bit weights."""
    fp16: Share = 0.0625
    """16-bit weights."""


class Skipping(Section):
    """What zeros of one operand save: a table, a law, or what a cost model answers."""

    table: ZerosTable | None = None
    """As measured or asked of a cost model."""
    law: ZerosLaw | None = None
    """In place of a table."""
    answers: Literal["vpu-2.7-zeros", "npu-5.1-zeros"] | None = None
    """In place of both: the shipped answers of a cost model, by rows, channels and zeros."""

    @model_validator(mode="after")
    def _one(self) -> Skipping:
        if sum(one is not None for one in (self.table, self.law, self.answers)) != 1:
            raise ValueError("needs either a table, a law or answers")
        return self


class Sparsity(Section):
    """Operands whose zeros the DPU skips. Where both have zeros, the operand that saves more counts."""

    weights: Skipping | None = None
    """Constant weights, which are stored without their zeros, with a bit map; null: stored and multiplied as all."""
    stored_from: StoredFrom = StoredFrom()
    """From which share on."""
    activations: Skipping | None = None
    """What a ReLU has made; null: multiplied as all. It is stored and moved with its zeros."""
    relu_zeros: Share = 0.5
    """Share of zeros in what a ReLU has made: an assumption, as no model says it."""
