"""Which axes of a SHAVE kernel the tiles and the two SHAVEs of a tile share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod

from npusim.hardware.schema import Hardware
from npusim.lowering.ir.images import CHANNELS_LAST
from npusim.lowering.ir.kernels import ShaveKernel
from npusim.lowering.ir.nodes import Eltwise, Node, Unary, axis_of
from npusim.lowering.ir.shapes import CHANNELS, FLAT_GRANULE, C, H, N, Shape, W, filled, segments
from npusim.lowering.ir.tiling import Tiling
from npusim.lowering.ir.values import Dist, Value, canonical4, even


def seen_by_rows(shape: Shape, kernel: ShaveKernel, engines: int) -> Shape:
    """A shape whose rows the compiler counts otherwise among the channels for a kernel along them: all of them, or the
    fewest that leave each SHAVE of the machine a channel (5 x 100 rows on 8 SHAVEs as 10 x 50; its pass
    AdjustForOptimizedLayers). One that has as many channels, or rows that can't be so divided, stays."""
    each = shape[H]
    if kernel.rows == "some":
        fits = (n for n in range(2, shape[H]) if shape[H] % n == 0 and shape[C] * n >= engines)
        each = 1 if shape[C] >= engines else next(fits, 1)
    return shape[N], shape[C] * each, shape[H] // each, shape[W]


def splits_behind(shape: Shape, kernel: ShaveKernel, operands: Sequence[Shape | None], hw: Hardware) -> bool:
    """Whether a product is cut behind its channels for tiles and SHAVEs alike, each with transfers of its own: of as
    many channels as tiles, along which or along whose rows an operand is broadcast. Another that lacks columns only has
    lines for channels."""
    few = shape[C] == hw.tiles > 1 and shape[N] == 1 and kernel.fuses == "unbroken"
    others = [a for a in operands if a is not None and a != shape]
    return few and any(a[C] < shape[C] or a[H] < shape[H] for a in others)


def tile_axis(
    shape: Shape, kernel: ShaveKernel, tiles: int, shaves: int, locked: int | None, behind: bool = False
) -> int | None:
    """The axis that the tiles share, if one has an index for each of them.

    Those that prefer H take C after it; the others C, then H, or a later axis if C is neither long enough for all
    SHAVEs nor evenly shared (5 or 6 channels on 4 tiles), or W. A kernel along an axis takes another one; a softmax may
    be cut over W too (``SoftMaxOp::checkStrategyCompatibility`` of Intel's compiler), a running sum is not."""
    if locked is None:
        return next(
            (d for d in _order(shape, kernel, tiles, shaves, behind) if _enough(shape, d, tiles)), None
        )
    if locked == C:
        prefer = (H, W)
    elif locked == H and kernel.columns:
        prefer = (C, W)
    else:
        prefer = (C, H)
    return next((d for d in prefer if d != locked and shape[d] >= tiles), None)


def _order(shape: Shape, kernel: ShaveKernel, tiles: int, shaves: int, behind: bool) -> list[int]:
    """The axes over which an elementwise kernel may be cut, the one that the compiler tries first in front; ``behind``
    its channels though the tiles could share those."""
    order = [*kernel.axes]
    if order[0] != C:
        return order
    if shape[C] == 1:
        order[:2] = [H, C]
    outermost, threads = shape[order[0]], tiles * shaves
    # Divided twice, as the compiler does.
    small = kernel.first_if_small and prod(shape) < kernel.small_elements * tiles * tiles
    if outermost < threads and (outermost % tiles or behind) and not small:
        later = [d for d in order if d > order[0] and shape[d] >= threads]
        order = [*later[:1], *(d for d in order if d not in later[:1])]
    return order


def _enough(shape: Shape, axis: int, tiles: int) -> bool:
    return shape[axis] > FLAT_GRANULE * tiles if axis == W else shape[axis] >= tiles


def shave_axis(
    shape: Shape, kernel: ShaveKernel, locked: int | None, axis: int | None, cuts: tuple[int, ...]
) -> int | None:
    """The axis that the SHAVEs of a tile share: that of the tiles, or the outermost one, for activations and where
    nothing or C is cut, if a tile's second SHAVE then begins at one offset on all tiles."""
    outermost = next((d for d in (C, H, W) if d != locked and shape[d] > 1), None)
    if axis is None or outermost is None:
        return outermost
    one_offset = axis <= outermost or len(set(cuts)) == 1
    wanted = kernel.outermost or axis == C or locked is not None
    return outermost if wanted and one_offset else axis


def find_axis(shape: Shape, dist: Dist) -> tuple[int, tuple[int, ...]] | None:
    """The axis along which a Dist cuts a shape, with the cuts in its indices."""
    for axis in range(4):
        inner = prod(shape[axis + 1 :])
        fits = prod(shape[:axis]) == dist.outer and shape[axis] > 1 and sum(dist.cuts) == shape[axis] * inner
        if fits and all(c % inner == 0 for c in dist.cuts):
            return axis, tuple(c // inner for c in dist.cuts)
    return None


#: Bytes of one line of CMX.
CMX_LINE = 32


def share(
    node: Node,
    hw: Hardware,
    kernel: ShaveKernel,
    shape: Shape,
    aligned: list[Shape | None],
    hint: Dist | None,
    granule: int,
) -> tuple[Tiling, list[Shape | None]]:
    """How tiles and SHAVEs share a kernel whose result has ``shape``, and its operands' shapes as it then sees them."""
    if kernel.windows and kernel.name not in hw.software.single_tile_kernels:
        return _by_channels(node.output, hw.tiles), aligned
    batch = 0 if kernel.name in hw.software.single_tile_kernels else _batch(node, kernel)
    if batch:
        whole = _with_batch(shape, batch)
        return _repeated(whole, kernel, hw), [_batched_operand(a, shape, whole) for a in aligned]
    if isinstance(node, Unary) and node.outer and kernel.axis == "operand":
        return _running(shape, _locked(node, kernel, shape), hw), aligned
    if isinstance(node, Eltwise) and node.batched:
        tiling = _batched(shape, node.batched, kernel, hw)
        return tiling, [_batched_operand(a, shape, tiling.shape) for a in aligned]
    if (
        isinstance(node, Eltwise)
        and len(node.output.shape) == 2
        and shape[H] == 1
        and (1, 1, 1, 1) in aligned
    ):
        # One row and a number for each: its elements are channels to the compiler.
        shape, aligned = _in_channels(shape), [a and _in_channels(a) for a in aligned]
    locked = _locked(node, kernel, shape)
    if isinstance(node, Unary) and is_image_norm(node):
        return _of_channels(node, shape, granule, hw)
    cut = find_axis(shape, hint) if hint is not None else None
    if kernel.rows and locked == W and aligned == [shape] and shape[N] == 1 and (cut is None or cut[0] != H):
        shape = seen_by_rows(shape, kernel, hw.tiles * hw.shave.per_tile)
        aligned = [shape]
    tiling = split(shape, kernel, locked, hw, hint, aligned, granule)
    return replace(tiling, granule=_granule(tiling, kernel, node.output)), aligned


def _by_channels(output: Value, tiles: int) -> Tiling:
    """A window that slides over images: the tiles that get a channel share those, one SHAVE of each does it all."""
    shape = canonical4(output.shape)
    cuts = even(shape[C], tiles)
    return (
        Tiling(shape, C, cuts, None, 1, slice_axis=C) if len(cuts) > 1 else Tiling(shape, None, (), None, 1)
    )


def _in_channels(row: Shape) -> Shape:
    """A row as channels of one pixel."""
    return row[N], row[W], 1, 1


def is_image_norm(node: Unary) -> bool:
    """Whether the channels of an image are normalised, each by itself."""
    last = node.inputs[0].order == CHANNELS_LAST and len(node.output.shape) == 4
    return node.runs("mvn") and (node.planes or (last and node.axis == 3))


def _of_channels(node: Unary, shape: Shape, granule: int, hw: Hardware) -> tuple[Tiling, list[Shape | None]]:
    """The norm of an image: tiles and SHAVEs share its channels. Those of a tile are whole ``granule``, where every
    tile gets one, and lie innermost or as planes; where innermost, those of its first SHAVE are whole granules. On 3720
    (``norm_granules``) the SHAVEs share granules too, or nothing; tiles that work on an image each have its planes."""
    last = not node.planes
    axis = W if last else H
    seen = (1, 1, prod(shape[:W]), shape[W]) if last else shape
    channels = seen[axis]
    shared = channels % granule == 0 and channels >= granule * hw.tiles
    cuts = even(channels, hw.tiles, granule) if shared else segments(channels, hw.tiles)
    shaves = hw.shave.per_tile
    granules = hw.software.norm_granules and shared and granule > 1
    if node.each and node.planes:
        fit = channels % (CHANNELS * shaves) == 0
        return Tiling(seen, C, (1,) * seen[C], H, shaves if fit else 1, locked=W, slice_axis=H), [seen]
    if min(cuts) < shaves or (granules and any(cut % (granule * shaves) for cut in cuts)):
        shaves = 1
    tiling = Tiling(
        seen, axis, cuts, axis, shaves, locked=H if last else W, slice_axis=axis,
        granule=CHANNELS * prod(seen[axis + 1 :]) if last else 1,
    )  # fmt: skip
    return tiling, [seen]


def _locked(node: Node, kernel: ShaveKernel, shape: Shape) -> int | None:
    """The dimension that must stay whole, in the four of memory order."""
    output = node.output
    if kernel.whole == "last":
        return W
    axis = axis_of(node)
    if axis is None or kernel.whole is None:
        return None
    order = output.order or tuple(range(len(output.shape)))
    inner = prod(output.shape[d] for d in order[order.index(axis) + 1 :])
    if output.shape[axis] == 1:
        return None
    return next((d for d in (W, H, C) if prod(shape[d + 1 :]) == inner and shape[d] == output.shape[axis]), W)


def split(
    shape: Shape,
    kernel: ShaveKernel,
    locked: int | None,
    hw: Hardware,
    hint: Dist | None = None,
    operands: Sequence[Shape | None] = (),
    granule: int = 1,
) -> Tiling:
    """How a kernel's output is cut over tiles and SHAVEs, before slicing. Where every tile has its own part of all
    ``operands``, the axes of it may be fused, but not those of a product along which an operand is broadcast."""
    tiles = 1 if kernel.name in hw.software.single_tile_kernels else hw.tiles
    hint = hint if tiles == hw.tiles else None
    total, fusible = prod(shape), locked is None
    found = find_axis(shape, hint) if hint is not None and not hint.whole else None
    if found is not None and found[0] != locked:
        axis, cuts = found
    elif hint is not None and locked is None and hint.outer == 1 and sum(hint.cuts) == total:
        return Tiling(shape, None, hint.cuts, None, _shaves(kernel, max(hint.cuts), hw))
    else:
        behind = tiles == hw.tiles and splits_behind(shape, kernel, operands, hw)
        picked = tile_axis(shape, kernel, tiles, hw.shave.per_tile, locked, behind)
        if picked is None:
            return _short(shape, kernel, locked, tiles, hw)
        axis = picked
        cuts = even(shape[axis], tiles) if kernel.contiguous else segments(shape[axis], tiles)
        if granule > 1 and shape[axis] % granule == 0 and shape[axis] >= tiles * granule:
            cuts, fusible = even(shape[axis], tiles, granule), False
        if kernel.granules and axis == H and shape[H] % tiles:
            cuts = filled(shape[H], tiles, FLAT_GRANULE)
    lines = kernel.lines and locked == W
    inner = shave_axis(shape, kernel, locked, axis, cuts)
    shaves = _shaves(kernel, max(cuts) * total // shape[axis], hw)
    extents = cuts if inner == axis else (shape[inner],) if inner is not None else ()
    if lines:
        extents = tuple(cut * prod(shape[:W]) // shape[axis] for cut in cuts)
    uneven = any(extent % hw.shave.per_tile for extent in extents)
    parts = [a is None or a[axis] == shape[axis] for a in operands]
    unbroken = kernel.fuses != "unbroken" or all(a is None or a == shape for a in operands)
    fused = fusible and all(parts) and unbroken and uneven and inner == axis and kernel.fuses is not None
    if not fused and min(extents, default=0) < hw.shave.per_tile:
        shaves = 1
    if kernel.contiguous and _strided(shape, axis, cuts, inner):
        shaves = 1
    alike = kernel.agnostic or fused or lines or axis == C
    return Tiling(shape, axis, cuts, None if fused else inner, shaves, lines, locked, alike=alike)


def _strided(shape: Shape, axis: int | None, cuts: tuple[int, ...], inner: int | None) -> bool:
    """Whether what the SHAVEs of a tile have of its part is not one piece each."""
    part = [*shape]
    if axis is not None:
        part[axis] = max(cuts)
    return inner is not None and prod(part[:inner]) > 1


def _granule(tiling: Tiling, kernel: ShaveKernel, output: Value) -> int:
    """Elements that the piece of a SHAVE is a multiple of, so that the next one begins at a whole line of CMX."""
    aligned = kernel.aligned and tiling.alike and not tiling.lines
    return CMX_LINE * 8 // output.bits if aligned else 1


def _short(shape: Shape, kernel: ShaveKernel, locked: int | None, tiles: int, hw: Hardware) -> Tiling:
    """No axis has an index for every tile: a flat vector in granules, or everything repeated on every tile."""
    total = prod(shape)
    if locked is None and W in kernel.axes and total > FLAT_GRANULE * tiles > FLAT_GRANULE:
        exact = total % tiles == 0 and total // tiles % (FLAT_GRANULE // 2) == 0  # 4,000 on 4: 1,000 each
        cuts = segments(total, tiles, 1 if exact or total % FLAT_GRANULE else FLAT_GRANULE)
        return Tiling(shape, None, cuts, None, _shaves(kernel, cuts[0], hw))
    lines = kernel.lines and locked == W
    inner = shave_axis(shape, kernel, locked, None, ())
    shaves = _shaves(kernel, total, hw)
    if inner is None or (kernel.contiguous and _strided(shape, None, (), inner)):
        shaves = 1
    return Tiling(shape, None, (), inner, shaves, lines, locked)


def _shaves(kernel: ShaveKernel, elements: int, hw: Hardware) -> int:
    small = elements < kernel.small_elements
    return 1 if small or kernel.name in hw.software.unsplit_kernels else hw.shave.per_tile


def _batch(node: Node, kernel: ShaveKernel) -> int:
    """Items of a batch, as it lies in memory, that a kernel leaves to the SHAVEs of every tile; 0 for none. One along
    rows by a number is not such: it is cut over them."""
    if isinstance(node, Unary) and node.repeated:
        return node.repeated
    shape = node.output.physical
    batched = len(shape) == 4 and shape[0] > 1 and kernel.batch == "whole" and axis_of(node) != 0
    by_number = kernel.axes[0] == H and any(v.elements == 1 for v in node.inputs)
    together = all(v.physical[0] == shape[0] for v in node.inputs[:1] if len(v.shape) == 4)
    return shape[0] if batched and together and not by_number else 0


def _with_batch(shape: Shape, batch: int) -> Shape:
    """A shape whose leading dimensions are seen as a batch of so many items again."""
    return batch, prod(shape) // (batch * shape[H] * shape[W]), shape[H], shape[W]


def _repeated(whole: Shape, kernel: ShaveKernel, hw: Hardware) -> Tiling:
    """A kernel over a batch: every tile does all of it, the SHAVEs share the batch, and the longest of the other axes
    is sliced (evidence/lowering.md#2.4)."""
    longest = max((C, H, W), key=lambda d: whole[d])
    return Tiling(whole, None, (), N, _shaves(kernel, prod(whole), hw), slice_axis=longest)


def _running(shape: Shape, locked: int | None, hw: Hardware) -> Tiling:
    """A running sum of an image [rows, columns, channels]: the tiles share its rows, or where it runs along those the
    channels, and the SHAVEs then the columns; in halves."""
    along, inner = (W, H) if locked == C else (C, C)
    cuts = segments(shape[along], hw.tiles)
    return Tiling(
        shape, along, cuts, inner, hw.shave.per_tile, locked=locked, slice_axis=inner, slices=2, alike=False
    )


def _batched(shape: Shape, batch: int, kernel: ShaveKernel, hw: Hardware) -> Tiling:
    """A Select over a batch by one mask: the rows are cut over tiles and SHAVEs, the batch is sliced."""
    whole = _with_batch(shape, batch)
    cuts = segments(shape[H], hw.tiles) if shape[H] >= hw.tiles else (shape[H],)
    inner = H if hw.tiles > 1 else N
    return Tiling(whole, H, cuts, inner, _shaves(kernel, prod(shape) // hw.tiles, hw), slice_axis=N)


def _batched_operand(operand: Shape | None, shape: Shape, whole: Shape) -> Shape | None:
    """An operand's shape where the output's leading dimensions are seen as a batch."""
    if operand is None or operand == shape:
        return None if operand is None else whole
    if operand[:H] == shape[:H] and prod(operand[:H]) % whole[N] == 0:
        return _with_batch(operand, whole[N])
    return (1, 1, operand[H], operand[W]) if operand[N] == operand[C] == 1 else None
