"""Graph to Graph before fusion: what slides over volumes as what slides over images.

The DPU's windows have two dimensions. Neighbouring axes along which a window is a single place are one axis of an
image. Of other convolutions the compiler makes, for every slice of the result, convolutions of the slices that it
depends on, each with the kernel's slice for it, and adds them up; then it puts the slices side by side. (Pools of
volumes that are no images are SHAVE kernels: `fuse.matmul.pool`.)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from npusim.graph.ir import Graph, Op
from npusim.lowering.rewrite.writer import Writer

_CONVOLUTIONS = frozenset(
    {"Convolution", "GroupConvolution", "ConvolutionBackpropData", "GroupConvolutionBackpropData"}
)
_POOLS = frozenset({"MaxPool", "AvgPool"})
_LISTS = ("strides", "pads_begin", "pads_end", "dilations", "kernel")


def slice_volumes(graph: Graph) -> Graph:
    """The Graph with convolutions of three dimensions in such parts, and pools of images as such."""
    return _Volumes(graph).rewritten() if any(_is_volume(op) for op in graph.ops) else graph


def _is_volume(op: Op) -> bool:
    return op.type in _CONVOLUTIONS | _POOLS and len(op.attrs["strides"]) == 3


class _Volumes(Writer):
    """Writes a Graph anew."""

    def rewritten(self) -> Graph:
        for op in self.graph.ops:
            if not _is_volume(op) or not (self._as_image(op) or self._by_slices(op)):
                self.ops.append(op)
        return self.written()

    def _window(self, op: Op) -> tuple[int, ...]:
        if op.type in _POOLS:
            return tuple(int(k) for k in op.attrs["kernel"])
        return self.tensors[op.inputs[1]].shape[-3:]

    def _as_image(self, op: Op) -> bool:
        """Join two neighbouring axes of which each place is a window by itself; those of a pool join its channels."""
        alone = [
            taps == 1
            and int(op.attrs["strides"][i]) == 1
            and not op.attrs["pads_begin"][i]
            and not op.attrs["pads_end"][i]
            for i, taps in enumerate(self._window(op))
        ]
        pairs = [-1] if op.type in _POOLS and alone[0] else []
        pairs += [i for i in (0, 1) if alone[i] and alone[i + 1]]
        if not pairs or any(self._is_read(output) for output in op.outputs[1:]):
            return False
        gone = pairs[0] + 1

        def joined(shape: tuple[int, ...]) -> tuple[int, ...]:
            at = len(shape) - 3 + gone
            return (*shape[: at - 1], shape[at - 1] * shape[at], *shape[at + 1 :])

        data, out = op.inputs[0], op.outputs[0]
        inputs = [self.emit(op.name, "Reshape", (data,), joined(self.tensors[data].shape))]
        if op.type in _CONVOLUTIONS:
            weights = self.tensors[op.inputs[1]]
            inputs.append(self.tensor(weights, joined(weights.shape)))
        flat = {k: [v for i, v in enumerate(op.attrs[k]) if i != gone] for k in _LISTS if k in op.attrs}
        image = self.tensor(self.tensors[out], joined(self.tensors[out].shape))
        self.ops.append(replace(op, inputs=tuple(inputs), outputs=(image,), attrs={**op.attrs, **flat}))
        self.ops.append(Op(op.name, "Reshape", (image,), (out,), {}))
        return True

    def _is_read(self, tensor: int) -> bool:
        return tensor in self.graph.outputs or any(tensor in op.inputs for op in self.graph.ops)

    def _by_slices(self, op: Op) -> bool:
        if op.type in _POOLS:
            return False
        data, weights, out = (self.tensors[i] for i in (*op.inputs[:2], op.outputs[0]))
        slices = [
            self.emit(
                op.name, "Reshape", (self.part(op.name, op.inputs[0], 2, d, d + 1),), _image(data.shape, 2)
            )
            for d in range(data.shape[2])
        ]
        depth = len(weights.shape) - 3
        kernels = [self.tensor(weights, _image(weights.shape, depth)) for _ in range(weights.shape[depth])]
        flat = {k: list(op.attrs[k])[1:] for k in _LISTS if k in op.attrs}
        plane = _image(out.shape, 2)
        made = []
        for d in range(out.shape[2]):
            inside = [(at, tap) for at, tap in _read(op, d, len(kernels)) if 0 <= at < len(slices)]
            parts = [  # a plane of padding alone costs what one of a single tap does
                self.emit(op.name, op.type, (slices[at], kernels[tap]), plane, **flat)
                for at, tap in inside or [(0, 0)]
            ]
            total = parts[0]
            for part in parts[1:]:
                total = self.emit(op.name, "Add", (total, part), plane)
            made.append(self.emit(op.name, "Reshape", (total,), (*out.shape[:2], 1, *out.shape[3:])))
        self.ops.append(replace(op, type="Concat", inputs=tuple(made), attrs={"axis": 2}))
        return True


def _image(shape: tuple[int, ...], depth: int) -> tuple[int, ...]:
    """A shape without its axis of depth."""
    return (*shape[:depth], *shape[depth + 1 :])


def _read(op: Op, made: int, taps: int) -> Iterator[tuple[int, int]]:
    """The slices that a slice of the result is made of, some of which may be padding, and the tap for each."""
    step, gap, before = (int(op.attrs[k][0]) for k in ("strides", "dilations", "pads_begin"))
    for tap in range(taps):
        if op.type.endswith("BackpropData"):
            at, between = divmod(made + before - tap * gap, step)
            if not between:
                yield at, tap
        else:
            yield made * step - before + tap * gap, tap
