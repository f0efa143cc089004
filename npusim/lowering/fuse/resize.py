"""Interpolate: an image resized by the DPU, by copies, or by a SHAVE kernel."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod

from npusim.graph.ir import Op
from npusim.lowering.fuse import kernels
from npusim.lowering.fuse.fuser import Fuser
from npusim.lowering.fuse.matmul import channels_last
from npusim.lowering.ir.nodes import Concat, Depthwise, Pool, Resize, Window
from npusim.lowering.ir.shapes import CHANNELS
from npusim.lowering.ir.values import ADDED_CONSTANT, Value

#: Channels from which pixels are read through addresses (npu_compiler, nce_interpolate_utils.cpp), and most taps of the
#: windows that average copied ones (convert_bilinear_to_strided_concat_and_conv.cpp).
LEAST_CHANNELS, MOST_TAPS = 8, 4


@dataclass(frozen=True, slots=True)
class _Side:
    """How one axis is enlarged: every pixel in so many ``copies``, edges once more so often ``before`` and ``behind``,
    then means of ``taps``, every ``stride`` of them."""

    copies: int = 1
    taps: int = 1
    stride: int = 1
    before: int = 0
    behind: int = 0

    @property
    def addressed_taps(self) -> int:
        """Taps where the copies are only addresses, which are so chosen that the stride is 1."""
        return self.taps // self.stride + (self.stride > 1)


def interpolate(fuser: Fuser, op: Op) -> None:
    """Images enlarged by whole factors are read, or copied, pixel by pixel and averaged with those beside; a SHAVE
    kernel does all else."""
    x, made = fuser.values[op.inputs[0]], fuser.fresh(op)
    kept = -2 if x.shape[:-2] == made.shape[:-2] else -3  # the channels; behind them are rows and columns
    channels = _image(made.shape, kept)[1]
    addressed = fuser.software.storage_elements is not None and channels >= LEAST_CHANNELS
    image = len(made.shape) == 4 and (addressed or made.shape[0] == 1)
    seen = x if image else replace(fuser.plain(x, op), shape=_image(x.shape, kept), order=())
    shape = made.shape if image else _image(made.shape, kept)
    rows, columns = (_side(op, *sizes) for sizes in zip(seen.shape[2:], shape[2:], strict=True))
    if rows is None or columns is None:
        _by_kernel(fuser, op, x)
        return
    same = rows.taps == columns.taps <= MOST_TAPS and rows.stride == columns.stride
    if addressed:
        result = _addressed(fuser, op, seen, replace(made, shape=shape, order=()), rows, columns)
    elif rows.taps == columns.taps == 1 and _repeats(op, rows, columns):
        result = _copied(fuser, op, seen, rows, columns)
    elif rows.taps > 1 and same and channels >= CHANNELS:
        result = _averaged(fuser, op, fuser.plain(seen, op), shape, rows, columns)
    else:
        _by_kernel(fuser, op, x)
        return
    fuser.values[op.outputs[0]] = (
        result if image else replace(fuser.plain(result, op), shape=made.shape, order=())
    )


def _by_kernel(fuser: Fuser, op: Op, x: Value) -> None:
    """By a kernel, which takes an image in the memory order that it has, and whose rows the SHAVEs share."""
    made = fuser.fresh(op)
    if len(x.shape) != 4 or x.shape[:2] != made.shape[:2] or x.shape[0] > 1 or made.shape[2] < fuser.tiles:
        kernels.kernel(fuser, op)
        return
    mode = str(op.attrs.get("mode", "nearest")).lower()
    corners = op.attrs.get("coordinate_transformation_mode") == "align_corners"
    step = (x.shape[2] - corners) / max(made.shape[2] - corners, 1)
    before, behind = (1, 2) if mode == "cubic" else (0, int(mode.startswith("linear")))
    node = Resize(
        op.name, op.type, (x,), replace(made, order=x.order), kernel="interpolate",
        step=step, before=before, behind=behind, weighted=mode.startswith("linear"),
    )  # fmt: skip
    fuser.emit(op, node)


def _repeats(op: Op, rows: _Side, columns: _Side) -> bool:
    """Whether the compiler sees that nearest neighbours are every pixel as often as the factor says: where they are
    counted from the corner and rounded down, or twice from the centres and rounded as usual."""
    places = op.attrs.get("coordinate_transformation_mode"), op.attrs.get("nearest_mode")
    twice = {rows.copies, columns.copies} <= {1, 2}
    return places == ("asymmetric", "floor") or (places == ("half_pixel", "round_prefer_floor") and twice)


def _image(shape: tuple[int, ...], kept: int) -> tuple[int, int, int, int]:
    """A shape as that of an image: the first dimensions, up to ``kept``, are its channels."""
    shape = (1,) * (3 - len(shape)) + shape
    return 1, prod(shape[:kept]), prod(shape[kept:-1]), shape[-1]


def _side(op: Op, into: int, out: int) -> _Side | None:
    """One axis by its extents before and after; None where no whole factor or no mean of neighbours makes it."""
    mode = str(op.attrs.get("mode", "nearest")).lower()
    places = str(op.attrs.get("coordinate_transformation_mode", "half_pixel"))
    corners = places == "align_corners"
    steps, made = (into - 1, out - 1) if corners else (into, out)
    if out == into:
        return _Side()
    if out < into or not steps or made % steps or places == "tf_half_pixel_for_nn":
        return None
    factor = made // steps
    if mode == "nearest":
        return None if corners else _Side(factor)
    if not mode.startswith("linear"):
        return None
    if places.endswith("half_pixel"):
        if factor % 2:
            return _Side(factor, factor, 1, factor // 2, factor // 2)
        return _Side(2 * factor, 2 * factor, 2, factor - 1, factor - 1)
    return _Side(factor, factor, 1, 0, 0 if corners else factor - 1)


def _addressed(fuser: Fuser, op: Op, x: Value, result: Value, rows: _Side, columns: _Side) -> Value:
    """On the DPU, which reads pixels through a table of their addresses (storage elements): nearest ones at once,
    others along columns, then along rows."""
    height, width = rows.addressed_taps, columns.addressed_taps
    windows = [(1, width)] * (width > 1) + [(height, 1)] * (height > 1) or [(1, 1)]
    for kernel in windows:
        last = kernel is windows[-1]
        narrow = (*x.shape[:3], result.shape[3])
        out = result if last else Value(fuser.storage(), narrow, x.bits, x.bits)
        window = Window(kernel, addressed=True)
        node = Pool(op.name, op.type, (x,), channels_last(out, 2), window=window, largest=False)
        fuser.emit(op, node) if last else fuser.add(node)
        x = node.output
    return x


def _copied(fuser: Fuser, op: Op, x: Value, rows: _Side, columns: _Side) -> Value:
    """Every column, then every row written as often as there are copies, in the memory order that the image has."""
    order = x.order or (0, 1, 2, 3)
    for axis, copies in ((3, columns.copies), (2, rows.copies)):
        if copies > 1:
            place = order.index(axis) + 1
            outer, inner = (prod(x.shape[d] for d in part) for part in (order[:place], order[place:]))
            line = replace(x, shape=(1, outer, 1, inner), order=())
            made = _joined(fuser, op, [line] * copies, (1, outer, copies, inner), 2)
            shape = tuple(size * copies if d == axis else size for d, size in enumerate(x.shape))
            x = replace(made, shape=shape, order=x.order)
    return x


def _averaged(fuser: Fuser, op: Op, x: Value, shape: tuple[int, ...], rows: _Side, columns: _Side) -> Value:
    """Copies, the edges once more, and a depth-wise convolution."""
    x = _copied(fuser, op, x, rows, columns)
    for axis, side in ((3, columns), (2, rows)):
        edges = [
            replace(x, shape=(*x.shape[:axis], size, *x.shape[axis + 1 :]), order=(), partial=True)
            for size in (side.before, side.behind)
            if size
        ]
        if edges:
            extent = x.shape[axis] + side.before + side.behind
            wider = (*x.shape[:axis], extent, *x.shape[axis + 1 :])
            parts = [edges[0], x, *edges[1:]] if side.before else [x, *edges]
            x = _joined(fuser, op, parts, wider, axis)
    taps = Value(ADDED_CONSTANT, (shape[1], 1, 1, rows.taps, columns.taps), constant=True)
    out = channels_last(Value(fuser.storage(), tuple(shape), x.bits, x.bits), 2)
    window = Window((rows.taps, columns.taps), (rows.stride, columns.stride))
    return fuser.add(Depthwise(op.name, op.type, (x, taps), out, window=window)).output


def _joined(fuser: Fuser, op: Op, parts: list[Value], shape: tuple[int, ...], axis: int) -> Value:
    made = Value(fuser.storage(), shape, parts[0].bits, parts[0].bits)
    return fuser.add(Concat(op.name, op.type, tuple(parts), made, axis=axis)).output
