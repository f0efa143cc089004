"""The SHAVE kernels: one row a kernel says which ops it runs for and how it may be cut.

The attributes are those of Intel's compiler (``sw_utils.hpp``, ``layer_cost_model``), confirmed by one-op models
compiled for three platforms; where a row says nothing, a kernel has those of most. What a call costs stands in the
hardware file (``shave.kernels``), what a compiler generation does with it in the software profile
(``software.unsplit_kernels``, ``single_tile_kernels``, ``pipelined_kernels``).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from typing import Any, Literal

from npusim.lowering.ir.shapes import C, H, W

#: Axes that tiles may share, that which the compiler tries first in front.
CH, CHW, HC = (C, H), (C, H, W), (H, C)


class Reads(Enum):
    """How a kernel reads the operands of its op."""

    ONE = "one activation; what else there is are constants that the kernel is compiled with"
    BROADCAST = "several, which broadcast"
    WHOLE = "all of them as they are"
    GATES = "the products of a recurrent cell's inputs and of its state with their weights"


@dataclass(frozen=True, slots=True, kw_only=True)
class ShaveKernel:
    """One SHAVE kernel."""

    name: str = ""
    """The compiler's name, that of its row in ``shave.kernels``."""
    ops: tuple[str, ...] = ()
    """The OpenVINO op types that it runs for."""
    reads: Reads = Reads.ONE
    """How it reads their operands."""
    compiled: tuple[int, ...] = ()
    """The operands of its op that are part of the kernel, whatever they are."""
    loaded: tuple[int, ...] = ()
    """Those that it loads, though they are but a few numbers."""
    axis: Literal["attribute", "operand"] | None = None
    """Where they say along which axis they run."""
    whole: Literal["axis", "last"] | None = None
    """What no tile or SHAVE has a part of: that axis, or the last dimension."""

    axes: tuple[int, ...] = CH
    """The axes that the tiles may share (evidence/lowering.md#2.4, its group A are those with rows in front). Where
    channels come first and there is only one, rows do; W comes last of all, where nothing else has an even share for
    every tile."""
    columns: bool = False
    """The tiles may share W where the kernel runs along H."""
    granules: bool = False
    """Rows that do not divide evenly are shared in granules."""
    first_if_small: bool = False
    """A small result is shared along the first axis, however unevenly."""

    outermost: bool = False
    """The SHAVEs share the outermost axis whatever axis the tiles share (activations)."""
    fuses: Literal["always", "unbroken"] | None = None
    """Whether the axes of a tile's part are fused where it can't be halved evenly: always, or where no operand is
    broadcast along one of them."""
    agnostic: bool = False
    """Sees its tensors in any order of the axes, so that the axis of the SHAVEs may be the outermost."""
    aligned: bool = False
    """The second SHAVE begins at a multiple of 32 bytes."""
    lines: bool = False
    """The SHAVEs share whole rows of the last dimension."""
    rows: Literal["all", "some"] | None = None
    """Whether rows count as channels where it runs along them: all, or some where channels are fewer than SHAVEs."""
    small_elements: int = 0
    """Elements of a tile's part below which one SHAVE does it all."""

    contiguous: bool = False
    """The SHAVEs of a tile share its part only where the result of each then lies in one piece; the tiles that have
    more than others are the first."""
    dense: bool = False
    """Can't read a strided part of a tile's buffer: each SHAVE then gets transfers of its own (seen of these with a cut
    inner axis; multiply, subtract and exp take one a tile)."""
    full_operands: bool = False
    """Broadcast operands are counted at the size of the result when slices are chosen (max, less and divide count their
    real size)."""
    outer_slices: bool = False
    """Sliced along its outermost axis unless it is pipelined; the others along H."""
    slices: Literal["any", "balanced", "equal"] = "any"
    """Which slices it may have: any, those that give each tile and SHAVE the same, or equal ones."""
    windows: bool = False
    """Slides over its operand: a part of the result needs about that share of it. Where tiles share it at all, they
    share channels, of all images, however few."""
    flat_operands: bool = False
    """Where tiles and SHAVEs share a flat vector, broadcast operands are read as if they had the result's shape
    (``max_g`` and ``min_g`` on 5010)."""
    reads_twice: bool = False
    """Reads its one operand twice where it is seen in another shape (``pow2_h``, and four shapes of 3 or 4 channels;
    not of 8)."""

    on_dpu: bool = False
    """The DPU runs it where it can."""
    batch: Literal["whole", "folded", "one by one"] = "whole"
    """What becomes of a batch, the first of four dimensions: every tile does all of it and its SHAVEs share the items,
    it is folded into the axis behind it, or one item runs after the other."""
    constant: Literal["bias", "scale"] | None = None
    """What its op is to the DPU where one operand is constant."""
    any_layout: bool = False
    """Runs on what lies channels last as it lies (Exp_1 of Mamba)."""
    slices_first: bool = False
    """A Slice of its result is taken of its operands instead."""


_PLAIN = ShaveKernel()
_ACTIVATION = ShaveKernel(outermost=True)
_SMOOTH = replace(_ACTIVATION, agnostic=True, aligned=True)
_SOFTMAX = ShaveKernel(
    axis="attribute", whole="axis", columns=True, lines=True, outer_slices=True, batch="folded"
)
_ALONG_AXIS = ShaveKernel(axis="operand", whole="axis")
_PAIR = ShaveKernel(reads=Reads.BROADCAST)
_SUM = replace(
    _PAIR, axes=CHW, fuses="always", aligned=True, full_operands=True, constant="bias", slices_first=True
)
_PRODUCT = replace(
    _PAIR, axes=CHW, fuses="unbroken", agnostic=True, aligned=True, full_operands=True, small_elements=512,
    batch="folded",
)  # fmt: skip
_TEST = replace(_PAIR, fuses="always", dense=True)
_EXTREME = replace(_TEST, aligned=True, slices_first=True, flat_operands=True)
_ALL = ShaveKernel(reads=Reads.WHOLE)
_GATES = ShaveKernel(reads=Reads.GATES)


def _row(*ops: str, like: ShaveKernel = _PLAIN, name: str = "", **more: Any) -> ShaveKernel:
    """A kernel for ``ops``, named as the first of them in lower case; ``more`` are attributes that differ."""
    return replace(like, name=name or ops[0].lower(), ops=ops, **more)


ROWS: tuple[ShaveKernel, ...] = (
    # Activations.
    _row("Abs", like=_SMOOTH),
    _row("Clamp", like=_SMOOTH, fuses="always"),
    _row("Cos", like=_SMOOTH, fuses="always"),
    _row("Erf", axes=HC),
    _row(
        "Exp", like=_ACTIVATION, axes=HC, fuses="always", agnostic=True, any_layout=True, batch="one by one",
    ),
    _row("Floor", like=_ACTIVATION, axes=HC, aligned=True, dense=True),
    _row("Gelu", like=_SMOOTH, batch="folded"),
    _row("HardSigmoid", like=_SMOOTH),
    _row("HSigmoid", like=_ACTIVATION, agnostic=True),
    _row("HSwish", agnostic=True, aligned=True),
    _row("LeakyRelu", on_dpu=True),
    _row("Mish", like=_SMOOTH),
    _row("Negative", like=_ACTIVATION, on_dpu=True),
    _row("PRelu", like=_ACTIVATION, fuses="unbroken", aligned=True, batch="folded"),
    _row("Relu", like=_SMOOTH, fuses="always", on_dpu=True),
    _row("Sigmoid", like=_SMOOTH, small_elements=2048, first_if_small=True),
    _row("Sin", like=_SMOOTH, axes=HC, fuses="always"),
    _row("SoftPlus", like=_ACTIVATION, fuses="always", agnostic=True),
    _row("Swish", like=_SMOOTH, axes=CHW, fuses="always", batch="folded"),
    _row("Tanh", like=_SMOOTH, axes=(H,)),
    # Other functions of one activation.
    _row("Acos"),
    _row("Acosh"),
    _row("Asin"),
    _row("Asinh"),
    _row("Atan"),
    _row("Atanh"),
    _row("Ceiling", dense=True),
    _row(
        "Convert", axes=CHW, fuses="always", aligned=True, dense=True, small_elements=2048, batch="folded",
    ),
    _row("Cosh"),
    _row("BitwiseNot"),
    _row("Elu"),
    _row("ErfInv"),
    _row("IsFinite"),
    _row("IsInf"),
    _row("IsNaN"),
    _row("Log", agnostic=True, aligned=True),
    _row("LogicalNot"),
    _row("Round", agnostic=True, fuses="always"),
    _row("Selu"),
    _row("Sign", dense=True),
    _row("Sinh"),
    _row("SoftSign"),
    _row("Sqrt", agnostic=True, aligned=True),
    _row("Tan"),
    # Along an axis.
    _row("CumSum", like=_ALONG_AXIS, dense=True),
    _row("DetectionOutput", whole="axis"),
    _row("LogSoftmax", like=_SOFTMAX),
    _row("MVN", axis="operand", whole="last", lines=True, rows="all", batch="folded"),
    _row("NormalizeL2", like=_ALONG_AXIS),
    _row("ReduceL1", like=_ALONG_AXIS),
    _row("ReduceL2", like=_ALONG_AXIS),
    _row("ReduceProd", like=_ALONG_AXIS),
    _row("ReduceLogicalAnd", like=_ALONG_AXIS),
    _row("ReduceLogicalOr", like=_ALONG_AXIS),
    _row(name="reducesum", whole="axis"),
    _row(name="rms", whole="last", lines=True, dense=True, batch="folded"),
    _row("SoftMax", "Softmax", like=_SOFTMAX, granules=True, rows="some", slices="equal"),
    # Arithmetic, comparison and logic of operands that broadcast.
    _row("RoPE", like=_PAIR, whole="last", batch="folded"),
    _row("Add", like=_SUM, on_dpu=True),
    _row("Subtract", like=_SUM),
    _row("Multiply", like=_PRODUCT, constant="scale", slices_first=True),
    _row(name="square", like=_PRODUCT, reads_twice=True),
    _row(name="select_2in", like=_PRODUCT),
    _row(
        "Select", like=_PAIR, axes=CHW, aligned=True, dense=True, outer_slices=True, slices="balanced",
        small_elements=512,
    ),
    _row(
        "Divide", like=_PAIR, axes=HC, fuses="unbroken", aligned=True, dense=True, constant="scale",
        slices_first=True,
    ),
    _row("Power", like=_PAIR, axes=HC, aligned=True, dense=True, batch="folded"),
    _row("SquaredDifference", like=_TEST, axes=CHW),
    _row("Maximum", like=_EXTREME, axes=CHW),
    _row("Minimum", like=_EXTREME),
    _row("Equal", like=_TEST, axes=CHW),
    _row("NotEqual", like=_TEST),
    _row("Greater", like=_TEST, aligned=True),
    _row("GreaterEqual", like=_TEST, axes=CHW),
    _row("Less", like=_TEST, aligned=True),
    _row("LessEqual", like=_TEST, aligned=True),
    _row("LogicalAnd", like=_TEST),
    _row("LogicalOr", like=_TEST),
    _row("LogicalXor", like=_TEST),
    *(
        _row(f"Bitwise{how}", like=_PAIR)
        for how in ("And", "Or", "Xor", "LeftShift", "RightShift")
    ),
    _row("FloorMod", like=_PAIR),
    _row("Mod", like=_PAIR),
    # The gates of recurrent cells, of which the others are written out (``rewrite.recurrent``).
    _row("LSTMCell", like=_GATES),
    _row("LSTMSequence", like=_GATES, name="lstm"),
    _row("ScatterElementsUpdate", like=_ALL, axis="operand", whole="axis", columns=True, dense=True),
    _row("TopK", like=_ALL, compiled=(1,), axis="attribute", whole="axis", dense=True, contiguous=True),
    _row("NonMaxSuppression", like=_ALL, compiled=(2, 5)),
    _row("OneHot", like=_ALL, compiled=(1, 2, 3)),
    _row("AdaptiveAvgPool", like=_ALL, loaded=(1,)),
    _row("AdaptiveMaxPool", like=_ALL, loaded=(1,)),
    # Those of which only the cost is known.
    # Pools of volumes and with windows larger than the DPU's, and those of which the places of the largest are read.
    _row(name="maxpool", like=_ALL, windows=True),
    _row(name="avgpool", like=_ALL, windows=True),
    _row(name="maxpool8", like=_ALL, windows=True, axes=(C,)),
    *(
        _row(op, like=_ALL)
        for op in (
            "BatchToSpace", "Bucketize", "CTCGreedyDecoder",
            "CTCGreedyDecoderSeqLen", "Col2Im", "DFT", "DeformableConvolution", "DeformablePSROIPooling",
            "EmbeddingBagOffsets", "EmbeddingBagOffsetsSum", "EmbeddingBagPacked", "EmbeddingBagPackedSum",
            "EmbeddingSegmentsSum", "ExperimentalDetectronDetectionOutput",
            "ExperimentalDetectronGenerateProposalsSingleImage", "ExperimentalDetectronPriorGridGenerator",
            "ExperimentalDetectronROIFeatureExtractor", "ExperimentalDetectronTopKROIs", "ExtractImagePatches", "Eye",
            "GRN", "GatherElements", "GatherND", "GatherTree", "GenerateProposals", "GridSample", "I420toBGR",
            "I420toRGB", "IDFT", "IRDFT", "ISTFT", "Interpolate", "Inverse", "LRN", "MatrixNms", "MulticlassNms",
            "Multinomial", "NMSRotated", "NV12toBGR", "NV12toRGB", "NonZero",
            "PSROIPooling",
            "PriorBox", "PriorBoxClustered", "Proposal", "RDFT", "ROIAlign", "ROIAlignRotated", "ROIPooling",
            "RandomUniform", "Range", "RegionYolo", "ReorgYolo", "Reverse", "ReverseSequence", "Roll", "STFT",
            "ScatterNDUpdate", "ScatterUpdate", "SearchSorted", "SegmentMax", "SliceScatter",
            "SpaceToBatch", "Unique",
        )
    ),
)  # fmt: skip

#: The rows by their names.
KERNELS: dict[str, ShaveKernel] = {row.name: row for row in ROWS}
#: The rows by the op types that they run for.
KERNEL_OF: dict[str, ShaveKernel] = {op: row for row in ROWS for op in row.ops}


def called_kernels() -> frozenset[str]:
    """Names of all kernels that a Program may call, and so of all rows of ``shave.kernels`` that are read: those of
    KERNELS, a gather's, a contraction's and a whole attention's, and the row that prices what has none."""
    return frozenset({*KERNELS, "gather", "dot", "attention", "default"})
