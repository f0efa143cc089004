"""What the runtime calls the NPU with: graphs of a layer and of the head, and how often each runs.

OpenVINO's pipeline cuts a language model into calls, folds those that are alike into one compiled function, and passes
weights as arguments, which the NPU streams from memory. A cut is about a layer long; where in the layer it lies does
not change what is computed (evidence/llm.md#1), so a layer stands for a call here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from npusim.graph.ir import Graph

#: What is done to an openvino.Model before it is compiled.
Rewrite = Callable[[Any], Any]


def as_it_is(model: Any) -> Any:
    """The rewrite that changes nothing."""
    return model


@dataclass(frozen=True, slots=True)
class Part:
    """A graph that runs ``count`` times in a pass; equal keys are equal graphs, made when asked for."""

    key: str
    count: int
    graph: Callable[[], Graph] = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes that a model needs: weights of all layers, of the head, of the table of embeddings, and of what one token
    adds to the cache; and what is remembered besides, in all."""

    layers: int
    head: int
    table: int
    per_token: int
    states: int


class LanguageModel(Protocol):
    """A language model that can be cut into calls."""

    @property
    def name(self) -> str:
        """What reports call it."""

    @property
    def layers(self) -> int:
        """How many layers there are."""

    @property
    def attentions(self) -> int:
        """How many of them attend to a cache."""

    @property
    def width(self) -> int:
        """Numbers of one hidden state."""

    @property
    def memory(self) -> Memory:
        """What it needs of memory."""

    @property
    def most_rows(self) -> int | None:
        """Rows that one pass can take; None: any number."""

    def parts(self, rows: int, past: int) -> Sequence[Part]:
        """The layers as they run for ``rows`` tokens over ``past``."""

    def groups(self, rows: int, past: int) -> int | None:
        """Calls that OpenVINO itself cuts such a pass into, without the head; None where it is not known."""

    def head(self, rows: int = 1) -> Part:
        """Final norm and logits."""

    def lookup(self, rows: int) -> Part | None:
        """The look-up of embeddings as a graph, if there is one to speak of."""
