"""What a scenario file says: programs by name, and the one operator that composes them."""

from __future__ import annotations

from math import isclose
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from npusim.hardware.base import Gbps, Kib, NonNegative, Positive, Section
from npusim.hardware.outside import ClientName
from npusim.limits import MOST_SEED

Share = Annotated[float, Field(ge=0, le=1)]
Phase = Literal["prefill", "decode"]
#: Independent segments of a mix: each doubles the cases.
MOST_SEGMENTS = 16
#: Values that one thing is asked for, each a row of the answer or a curve's point.
MOST_VALUES = 1024
#: Tokens that are generated for all requests at all rates together: each may be a call, of which a second does 50,000.
MOST_GENERATED = 500_000
Bits = Literal[4, 8, 16, 32]


class ProgramSpec(Section):
    """A model, or the part of it from one op to another, on a machine."""

    model: str
    """A built-in workload's name or a model file (relative to the scenario file)."""
    hardware: str | None = None
    """A hardware file; null: the scenario's."""
    set: tuple[str, ...] = ()
    """Overrides of the hardware, as ``tiles=2``, behind the scenario's."""
    xamba: str = ""
    """Rewrites of the model, as ``prune{pattern=2:4},quantize``."""
    tokens: Annotated[int, Field(ge=1)] | None = None
    """Of a language model's prompt."""
    layers: Annotated[int, Field(ge=1)] | None = None
    """First layers only."""
    phase: Phase = "prefill"
    """Of a language model."""
    batch: Annotated[int, Field(ge=1)] = 1
    """Sequences or images."""
    shapes: dict[str, tuple[int, ...]] = Field(default={})
    """Static shapes of a model file's inputs."""
    after: str | None = None
    """The op behind which the part begins; null: the inputs."""
    until: str | None = None
    """The op with which it ends; null: the outputs."""


class Segment(Section):
    """A part of a model that runs in a call of its own, with some probability, whatever the others do."""

    program: str
    """Which."""
    probability: Share = 1
    """That it runs."""
    gate_us: NonNegative = 0
    """Time that the decision takes, µs, whether it runs or not."""


class Outcome(Section):
    """One of several courses, of which exactly one is taken."""

    runs: tuple[str, ...]
    """Programs, a call each."""
    probability: Share
    """That this one is taken."""
    gate_us: NonNegative = 0
    """Time that decisions take on the way, µs."""


class Mix(Section):
    """Programs that run with probabilities: early exits (``outcomes``), skipped parts (``segments``)."""

    whole: str
    """The program that is run where nothing is decided: what a mix has to beat."""
    segments: Annotated[tuple[Segment, ...], Field(max_length=MOST_SEGMENTS)] = ()
    """Parts that run or not by themselves."""
    outcomes: tuple[Outcome, ...] = ()
    """Courses of which one is taken."""

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        if bool(self.segments) == bool(self.outcomes):
            raise ValueError(
                "give either segments (each runs or not by itself) or outcomes (one of them is taken)"
            )
        total = sum(one.probability for one in self.outcomes)
        if self.outcomes and not isclose(total, 1, abs_tol=1e-9):
            raise ValueError(f"the probabilities of outcomes must sum to 1 (they sum to {total:.6g})")
        return self


class Link(Section):
    """What lies between this NPU and the far side."""

    gbps: Positive
    """Gigabits a second."""
    rtt_ms: NonNegative = 0
    """Time there and back of an empty message."""
    jitter_ms: NonNegative = 0
    """Standard deviation of that."""
    nj_per_byte: NonNegative = 0
    """Energy that sending takes on this side."""


class Far(Section):
    """The far side: another hardware file, or a machine by its peak alone."""

    hardware: str | None = None
    """A hardware file."""
    tops: Positive | None = None
    """Tera-operations a second (a multiply-accumulate is two)."""
    gbps: Gbps | None = None
    """Gigabytes a second of its memory."""

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        if (self.hardware is None) == (self.tops is None) or (self.tops is None) != (self.gbps is None):
            raise ValueError("give hardware, or tops and gbps")
        return self


class SplitSpec(Section):
    """A model that begins here and ends behind a link."""

    program: str
    """Which."""
    link: Link
    """What lies between."""
    far: Far
    """What is behind it."""
    bits: Annotated[tuple[Bits, ...], Field(min_length=1, max_length=4)] = (16,)
    """Bits of a number that is sent."""
    at: tuple[str, ...] = ()
    """Ops behind which it may be cut; empty: behind every op that only one tensor leaves."""
    gbps: Annotated[tuple[Positive, ...], Field(max_length=MOST_VALUES)] = ()
    """Bandwidths that the best cut is told for; empty: a thousandth to a thousand times the link's."""


class TogetherSpec(Section):
    """Programs that share one NPU."""

    programs: Annotated[tuple[str, ...], Field(min_length=2, max_length=6)]
    """Which."""
    by: Literal["tiles", "turns"] = "tiles"
    """Each on tiles of its own at once, or each on all tiles in turns."""
    tiles: tuple[Annotated[int, Field(ge=1)], ...] = ()
    """Tiles of each; empty: as even as they go."""
    switch_us: NonNegative = 0
    """Time between two turns, µs."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.tiles and (self.by == "turns" or len(self.tiles) != len(self.programs)):
            raise ValueError("tiles are for by: tiles, one number a program")
        return self


class RowsSpec(Section):
    """A language model that serves many users: rows of prompts, tokens and drafts in common calls."""

    model: str
    """A published name such as llama-3.2-1b, or a folder with a config.json."""
    weights: str = "int4"
    """How they are stored."""
    requests_per_s: Annotated[tuple[Positive, ...], Field(min_length=1, max_length=MOST_VALUES)]
    """Arrival rates, each served by itself."""
    prompt: Annotated[int, Field(ge=1)] = 512
    """Tokens of a prompt."""
    generate: Annotated[int, Field(ge=1)] = 128
    """Tokens of an answer."""
    most_rows: Annotated[int, Field(ge=1, le=1024)] = 64
    """Rows of a call at most."""
    pad_to: Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(min_length=1, max_length=MOST_VALUES)] = (
        1, 8, 16, 32, 64,
    )  # fmt: skip
    """Rows that the model is compiled for; a call is padded to the next."""
    draft: Annotated[int, Field(ge=0, le=63)] = 0
    """Tokens that are guessed for each sequence at no cost (from its own text), and verified in the next call."""
    accept: Share = 0.7
    """Chance that such a token is right."""
    requests: Annotated[int, Field(ge=1, le=10_000)] = 64
    """Requests that are served at each rate."""
    seed: Annotated[int, Field(ge=0, le=MOST_SEED)] = 0
    """Of the arrivals."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.most_rows > max(self.pad_to):
            raise ValueError(
                f"most_rows is {self.most_rows}, and pad_to ends at {max(self.pad_to)}: add {self.most_rows}"
            )
        generated = self.generate * self.requests * len(self.requests_per_s)
        if generated > MOST_GENERATED:
            raise ValueError(
                f"{generated:,} tokens are generated for all requests at all rates, of at most {MOST_GENERATED:,}: "
                "give fewer requests, or a smaller generate"
            )
        if self.draft + 1 > self.most_rows:
            raise ValueError(f"a sequence has {self.draft + 1} rows with its drafts, more than most_rows")
        return self


class BudgetSpec(Section):
    """A program whose live activations stay within so much scratchpad."""

    program: str
    """Which."""
    kib_per_tile: Annotated[tuple[Kib, ...], Field(min_length=1, max_length=MOST_VALUES)]
    """Limits of a tile's live buffers."""


class ScenarioSpec(Section):
    """A scenario file."""

    name: str
    """What it is about, for people."""
    hardware: str = "lunarlake.yaml"
    """The machine of all programs that name none."""
    set: tuple[str, ...] = ()
    """Overrides of it."""
    client: ClientName = "benchmark_app"
    """Who asks for inferences: what a call costs on the host."""
    allow_guess: bool = False
    """Whether kernels without a known cost are priced by a guess."""
    programs: dict[str, ProgramSpec] = Field(default={})
    """By name."""
    mix: Mix | None = None
    """Programs that run with probabilities."""
    split: SplitSpec | None = None
    """A model that ends behind a link."""
    together: TogetherSpec | None = None
    """Programs that share one NPU."""
    rows: RowsSpec | None = None
    """A language model that serves many."""
    budget: BudgetSpec | None = None
    """A program within a limit of memory."""

    @model_validator(mode="after")
    def _one_operator(self) -> Self:
        given = [name for name in OPERATORS if getattr(self, name) is not None]
        if len(given) != 1:
            said = f"it has {' and '.join(given)}" if given else "it has none"
            raise ValueError(f"a scenario has exactly one of {', '.join(OPERATORS)}: {said}")
        return self


OPERATORS = ("mix", "split", "together", "rows", "budget")
