"""Language models read from files: made static, and cut into the parts that the runtime calls.

A layer is what is named after it; what comes before all layers (masks, positions, embeddings) and what comes behind
them (the last norm and the head) are parts of their own. Layers that are alike in all that lowering sees are one part.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import prod
from pathlib import Path
from typing import Any

from npusim.errors import UserError
from npusim.graph.ir import Graph, Op
from npusim.llm.cache import where_it_lies
from npusim.llm.calls import Memory, Part, Rewrite, as_it_is
from npusim.llm.partition import groups
from npusim.llm.static import Remembered, fixed, stateless
from npusim.program.names import layer_of

_BEFORE, _BEHIND = "before", "behind"
#: Constants of fewer bytes are no weights: axes, shapes, scalars.
_LEAST_WEIGHT_BYTES = 1024


@dataclass
class Read:
    """A language model of a file, every graph after ``rewrite``."""

    name: str
    stateless_model: Any
    remembered: tuple[Remembered, ...]
    rewrite: Rewrite = as_it_is
    _graphs: dict[tuple[int, int, bool], dict[str, Graph]] = field(default_factory=dict)
    _groups: dict[tuple[int, int], int | None] = field(default_factory=dict)

    @cached_property
    def _names(self) -> list[str]:
        return [name for name in self._cut(1, 63) if name not in (_BEFORE, _BEHIND)]

    @property
    def layers(self) -> int:
        """How many layers there are."""
        return len(self._names)

    @property
    def attentions(self) -> int:
        """How many states are keys or values, in pairs."""
        return sum(one.grows for one in self.remembered) // 2

    @cached_property
    def width(self) -> int:
        """Numbers of one hidden state: the last dimension of what goes into the head."""
        behind = self._cut(1, 63)[_BEHIND]
        return max((behind.tensors[i].shape[-1] for i in behind.inputs if behind.tensors[i].shape), default=1)

    @cached_property
    def memory(self) -> Memory:
        """Constants as they are stored, and states in FP16."""
        cut = self._cut(1, 63)
        weights = {name: _weight_bytes(graph) for name, graph in cut.items()}
        tables = weights.get(_BEFORE, 0)
        generate = fixed(self.stateless_model, self.remembered, 1, 63)
        shapes = {one.past: generate.input(one.past).get_shape() for one in self.remembered}
        sizes = {one.past: 2 * prod(shapes[one.past]) for one in self.remembered}
        grown = sum(sizes[one.past] // 63 for one in self.remembered if one.grows)
        return Memory(
            sum(size for name, size in weights.items() if name not in (_BEFORE, _BEHIND)), weights[_BEHIND], tables,
            grown, sum(sizes[one.past] for one in self.remembered if not one.grows),
        )  # fmt: skip

    @property
    def most_rows(self) -> int | None:
        """Any number."""
        return None

    def parts(self, rows: int, past: int) -> Sequence[Part]:
        """The layers, equal ones once, and what comes before them."""
        counts: dict[str, int] = {}
        graphs: dict[str, Graph] = {}
        for name, graph in self._cut(rows, past).items():
            if name in (_BEFORE, _BEHIND):
                continue
            alike = _signature(graph)
            graphs.setdefault(alike, graph)
            counts[alike] = counts.get(alike, 0) + 1
        parts = [
            Part(f"{rows}x{past} {alike}", counts[alike], _given(graph)) for alike, graph in graphs.items()
        ]
        before = self._cut(rows, past).get(_BEFORE)
        return [*parts, Part(f"{rows}x{past} before", 1, _given(before))] if before and before.ops else parts

    def groups(self, rows: int, past: int) -> int | None:
        """As OpenVINO on this machine plans it; None where it does not tell."""
        if (rows, past) not in self._groups:
            model = fixed(self.stateless_model, self.remembered, rows, past)
            self._groups[rows, past] = groups(self.rewrite(model))
        return self._groups[rows, past]

    def head(self, rows: int = 1) -> Part:
        """What comes behind the layers."""
        return Part(f"head {rows}", 1, _given(self._cut(rows, 63, every_row=True)[_BEHIND]))

    def lookup(self, rows: int) -> Part | None:
        """None: it is in the graph that comes before the layers."""
        return None

    def _cut(self, rows: int, past: int, every_row: bool = False) -> dict[str, Graph]:
        key = (rows, past, every_row and rows > 1)
        if key not in self._graphs:
            from npusim.graph.load import graph_of

            model = fixed(self.stateless_model, self.remembered, rows, past, every_row)
            graph = graph_of(self.rewrite(model), self.name, self.name)
            grown = {one.past for one in self.remembered if one.grows}
            self._graphs[key] = cut(where_it_lies(graph, grown), self.name)
        return self._graphs[key]


def read(path: Path, passes: str = "", rewrite: Rewrite = as_it_is) -> Read:
    """The language model of a file, or of the openvino_model.xml of a folder. Raises UserError where it is none."""
    from npusim.graph.load import read_as_it_is

    file = path / "openvino_model.xml" if path.is_dir() else path
    made, remembered = stateless(read_as_it_is(file)[0])
    name = file.resolve().parent.name if file.name == "openvino_model.xml" else file.stem
    return Read(f"{name} ({passes})" if passes else name, made, remembered, rewrite)


def cut(graph: Graph, label: str) -> dict[str, Graph]:
    """A Graph by layers, in order, with what comes before and behind them. Raises UserError where none is named."""
    place = _places(graph)
    if not any(name not in (_BEFORE, _BEHIND) for name in place.values()):
        raise UserError(
            f"{label}: no layers are found in the names of its ops (layers.0, h.0, blocks.0 ...): export it with them"
        )
    groups: dict[str, list[Op]] = {}
    for op in graph.ops:
        groups.setdefault(place[op.outputs[0]], []).append(op)
    groups.setdefault(_BEHIND, [])
    return {name: _sub(graph, name, ops) for name, ops in groups.items()}


def _places(graph: Graph) -> dict[int, str]:
    """Where the tensors that ops make belong: to the layer that the op is named after; else to the latest layer that it
    depends on while a later one depends on it; else before or behind all."""
    maker = {out: op for op in graph.ops for out in op.outputs}
    own = {out: layer_of(op.name) for out, op in maker.items()}
    order = list(dict.fromkeys(name for op in graph.ops if (name := layer_of(op.name))))
    rank = {name: i for i, name in enumerate(order)}
    needed: dict[int, bool] = {}
    for op in reversed(graph.ops):
        wanted = any(needed.get(out, False) for out in op.outputs)
        for source in op.inputs:
            needed[source] = needed.get(source, False) or wanted or bool(layer_of(op.name))
    latest: dict[int, int] = {}
    place = {}
    for op in graph.ops:
        ranks = [latest[i] for i in op.inputs if i in latest]
        mine = rank.get(own[op.outputs[0]], max(ranks, default=-1))
        for out in op.outputs:
            latest[out] = mine
            if own[out]:
                place[out] = own[out]
            elif mine < 0:
                place[out] = _BEFORE
            else:
                place[out] = order[mine] if needed.get(out, False) else _BEHIND
    return place


def _sub(graph: Graph, name: str, ops: list[Op]) -> Graph:
    """The Graph of some ops: what others made is its input, what others or the caller read its output."""
    made = {out for op in ops for out in op.outputs}
    mine = {id(op) for op in ops}
    read_here = dict.fromkeys(i for op in ops for i in op.inputs)
    read_elsewhere = {i for op in graph.ops if id(op) not in mine for i in op.inputs} | set(graph.outputs)
    kept = [*dict.fromkeys([*read_here, *(out for op in ops for out in op.outputs)])]
    number = {old: new for new, old in enumerate(kept)}
    return Graph(
        name=f"{graph.name}.{name}",
        tensors=tuple(replace(graph.tensors[old], id=new) for old, new in number.items()),
        ops=tuple(
            replace(
                op, inputs=tuple(number[i] for i in op.inputs), outputs=tuple(number[o] for o in op.outputs)
            )
            for op in ops
        ),
        inputs=tuple(number[i] for i in read_here if i not in made and not graph.tensors[i].constant),
        outputs=tuple(number[o] for o in kept if o in made and o in read_elsewhere),
    )


def _signature(graph: Graph) -> str:
    """What lowering sees of a Graph, without names."""
    ops = [(op.type, op.inputs, op.outputs, sorted(map(repr, op.attrs.items()))) for op in graph.ops]
    tensors = [
        (t.shape, t.dtype, t.stored_dtype, t.constant, t.coding.groups, t.coding.shift) for t in graph.tensors
    ]
    return repr((ops, tensors, graph.inputs, graph.outputs))


def _weight_bytes(graph: Graph) -> int:
    sizes = (t.bytes for t in graph.tensors if t.constant)
    return sum(size for size in sizes if size >= _LEAST_WEIGHT_BYTES)


def _given(graph: Graph) -> Any:
    return lambda: graph
