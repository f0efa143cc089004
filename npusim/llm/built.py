"""Language models built from a config.json, a layer at a time: equal layers are one part."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from npusim.errors import UserError
from npusim.graph.ir import Graph
from npusim.llm.calls import Memory, Part, Rewrite, as_it_is

if TYPE_CHECKING:
    from npusim.workloads.llm import DecoderConfig

_UNROLLED_ROWS = 64


@dataclass(frozen=True)
class Built:
    """A decoder whose weights are stored in a format (``fp16``, ``int8``, ``int4``, ``int4:128``), every layer after
    ``rewrite``, which ``passes`` names."""

    config: DecoderConfig
    weights: str = "int4"
    passes: str = ""
    rewrite: Rewrite = as_it_is

    @property
    def name(self) -> str:
        """The config's, with how it is stored and rewritten."""
        rewrites = f", {self.passes}" if self.passes else ""
        return f"{self.config.name} ({self.weights}{rewrites})"

    @property
    def layers(self) -> int:
        """How many layers there are."""
        return self.config.layers

    @property
    def attentions(self) -> int:
        """How many of them attend to a cache."""
        return sum(kind == "attention" for kind in self.config.kinds)

    @property
    def width(self) -> int:
        """Numbers of one hidden state."""
        return self.config.width

    @property
    def memory(self) -> Memory:
        """By the sizes of the matrices; the table of embeddings is stored as the vocabulary is."""
        from npusim.workloads.llm import Stored

        stored, c = Stored.parse(self.weights), self.config
        layers = sum(stored.bytes(1, c.layer_parameters(i)) for i in range(c.layers))
        vocabulary = stored.head.bytes(c.vocabulary, c.width)
        return Memory(layers, vocabulary, vocabulary, c.cache_bytes(1), c.state_bytes())

    @property
    def most_rows(self) -> int | None:
        """Mamba's scan is unrolled token by token: a prompt goes in short passes."""
        return _UNROLLED_ROWS if "mamba" in self.config.kinds else None

    def parts(self, rows: int, past: int) -> Sequence[Part]:
        """The layers by kind, in order of first appearance."""
        c = self.config
        first: dict[str, int] = {}
        kinds = [f"{kind}{' unrotated' if i in c.unrotated else ''}" for i, kind in enumerate(c.kinds)]
        for index, kind in enumerate(kinds):
            first.setdefault(kind, index)
        counts = Counter(kinds)
        return [
            Part(f"{kind} {rows}x{past}", counts[kind], self._layer(index, rows, past))
            for kind, index in first.items()
        ]

    def groups(self, rows: int, past: int) -> int | None:
        """Not known: there is no whole model to ask about."""
        return None

    def head(self, rows: int = 1) -> Part:
        """Final norm and logits."""
        from npusim.workloads import llm

        def build() -> Graph:
            return self._graph(llm.head_model(self.config, weights=self.weights, rows=rows))

        return Part(f"head {rows}", 1, build)

    def lookup(self, rows: int) -> Part | None:
        """Rows of an FP16 table."""
        from npusim.workloads.llm.model import lookup

        return Part(f"lookup {rows}", 1, lambda: self._graph(lookup(self.config, rows)))

    def _layer(self, index: int, rows: int, past: int) -> Callable[[], Graph]:
        from npusim.workloads import llm

        def build() -> Graph:
            model = llm.layer_model(self.config, index, rows=rows, past=past, weights=self.weights)
            return self._graph(self.rewrite(model))

        return build

    def _graph(self, model: Any) -> Graph:
        from npusim.graph.load import graph_of

        name = model.get_friendly_name()
        return graph_of(model, name, name)


def built(config: DecoderConfig, weights: str, passes: str = "", rewrite: Rewrite = as_it_is) -> Built:
    """A decoder of a config. Raises UserError for weights that are no format."""
    from npusim.workloads.llm import Stored

    try:
        Stored.parse(weights)
    except ValueError as error:
        raise UserError(f"--weights: {error}") from None
    return Built(config, weights, passes, rewrite)
