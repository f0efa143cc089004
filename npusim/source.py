"""Which model is asked about: a built-in workload of some shape, or a model file; and its Graph, rewritten or not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from npusim.errors import UserError
from npusim.files import read_text

if TYPE_CHECKING:
    from npusim.graph.ir import Graph
    from npusim.xamba import Site

DEFAULT_WORKLOAD = "mamba2-130m"
DEFAULT_TOKENS = 256
#: A million tokens of context, and a batch of as many sequences as memory has room for; no network is as deep.
MOST_TOKENS, MOST_SEQUENCES, MOST_LAYERS = 1 << 20, 1 << 16, 10_000
#: Dimensions of a tensor are 32-bit numbers in the compiler, and it has at most so many of them.
MOST_DIMENSION, MOST_RANK = (1 << 31) - 1, 16
#: The pipeline of no rewrite, as the command line names it.
NONE = "none"


@dataclass(frozen=True, slots=True)
class ModelSource:
    """A model that can be built again: everything but the hardware and the rewrites. ``model`` is the openvino.Model
    itself, where it is in memory and ``file`` but what it would be called.

    Either ``file``, with ``shapes`` for its inputs by name and ``dims`` for dynamic dimensions by theirs, or
    ``workload`` with a ``phase`` (``prefill`` or ``decode``), ``tokens`` of the prompt (None: 256 for language models),
    ``layers`` (None: all), ``batch`` and Mamba-2's ``chunk`` length (None: 256).
    """

    workload: str = DEFAULT_WORKLOAD
    phase: str = "prefill"
    tokens: int | None = None
    layers: int | None = None
    batch: int = 1
    chunk: int | None = None
    file: Path | None = None
    shapes: dict[str, list[int]] = field(default_factory=dict)
    dims: dict[str, int] = field(default_factory=dict)
    model: Any = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        """Refuse what no machine has room for. Raises UserError."""
        most = {"tokens": MOST_TOKENS, "layers": MOST_LAYERS, "batch": MOST_SEQUENCES, "chunk": MOST_TOKENS}
        for name, limit in most.items():
            if (getattr(self, name) or 0) > limit:
                raise UserError(f"{name} must be at most {limit:,} (got {getattr(self, name):,})")

    @property
    def name(self) -> str:
        """The workload's name, or the path of the file."""
        return self.workload if self.file is None else str(self.file)

    @property
    def tokens_per_inference(self) -> int | None:
        """Tokens that one inference takes in or makes, all sequences together; None for a model file and for images."""
        if self.file is not None:
            return None
        from npusim.workloads import nets

        if self.workload.startswith("gemm-"):
            return None
        if self.workload in nets.names():
            tokens = self.tokens or nets.find(self.workload)[0].tokens
            return tokens and self.batch * tokens
        return self.batch * (1 if self.phase == "decode" else self.tokens or DEFAULT_TOKENS)

    def options(self) -> list[tuple[str, object]]:
        """The options of the command line that ask for this model; those at their defaults are None."""
        if self.file is not None:
            shapes = [f"{name}={list(shape)}".replace(" ", "") for name, shape in self.shapes.items()]
            dims = [f"{name}={size}" for name, size in self.dims.items()]
            return [("--model", self.file), ("--shape", shapes), ("--dim", dims)]
        return [
            ("--workload", self.workload),
            ("--phase", self.phase if self.phase != "prefill" else None),
            ("--tokens", self.tokens),
            ("--layers", self.layers),
            ("--batch", self.batch if self.batch != 1 else None),
            ("--chunk", self.chunk),
        ]

    def read(self) -> tuple[Any, tuple[str, ...]]:
        """The openvino.Model as it stands, and remarks for the user (a short .bin, for one).

        Raises UserError: no such file or workload, not a model, shapes that cannot be.
        """
        if self.model is not None:
            from npusim.graph import size_inputs

            model = self.model.clone()
            return model, size_inputs(model, self.shapes, self.dims)
        if self.file is not None and self.file.suffix == ".csv":
            return self._products(), ()
        if self.file is not None:
            from npusim.graph import read_model

            return read_model(self.file, self.shapes, self.dims)
        from npusim import workloads

        try:
            model = workloads.build(
                self.workload,
                phase=self.phase,
                tokens=self.tokens,
                layers=self.layers,
                batch=self.batch,
                chunk=self.chunk,
                weights="shared",
            )
        except ValueError as error:
            raise UserError(str(error)) from None
        return model, ()

    def _products(self) -> Any:
        """The model of a table of products. Raises UserError where the file is none."""
        from npusim.workloads import gemm

        assert self.file is not None
        try:
            return gemm.build(self.file.stem, gemm.read_table(read_text(self.file).splitlines()))
        except ValueError as error:
            raise UserError(f"{self.file}: {error}") from None

    def graph(self, passes: str = "") -> Graph:
        """The Graph after a pipeline of `xamba` such as ``cumba,reduba`` (``none`` or nothing: as it stands).

        Raises UserError as `read` does, for inputs whose shape stays dynamic, and for a pipeline that cannot be read.
        """
        model, notes = self.read()
        model, sites = _applied(model, passes)
        return self.graph_of(model, (*notes, *_unfit(passes, sites)))

    def graph_of(self, model: Any, notes: tuple[str, ...] = ()) -> Graph:
        """The Graph of this source's openvino.Model, or of what rewrites made of it."""
        from npusim.graph.load import graph_of

        return graph_of(model, self.workload if self.file is None else self.file.stem, self.name, notes)

    def at(self, **changes: Any) -> ModelSource:
        """This source with some fields changed, e.g. ``at(tokens=512)``. Raises UserError for a model file."""
        if self.file is not None:
            raise UserError(f"{self.file}: {', '.join(changes)} can be chosen for a built-in workload only")
        return replace(self, **changes)


def rewritten(model: Any, passes: str) -> Any:
    """An openvino.Model after a pipeline of `xamba`; the model itself where there is none.

    Raises UserError for a pipeline that cannot be read, and a model whose ranges it cannot observe.
    """
    return _applied(model, passes)[0]


def _applied(model: Any, passes: str) -> tuple[Any, list[Site]]:
    """The model after a pipeline, and the sites that its rules looked at."""
    if passes in ("", NONE):
        return model, []
    from npusim import xamba

    try:
        return xamba.apply(model, passes)
    except (xamba.PipelineError, xamba.CannotRun) as error:
        raise UserError(str(error)) from None


def _unfit(passes: str, sites: Sequence[Site]) -> tuple[str, ...]:
    """A remark where a pipeline leaves the model as it is."""
    if passes in ("", NONE) or any(site.taken for site in sites):
        return ()
    why = (
        f"none of {len(sites)} sites is taken ({sites[0].op}: {sites[0].note})"
        if sites
        else ("the model has no op that these rules look at")
    )
    return (f"rewrites {passes}: {why}",)
