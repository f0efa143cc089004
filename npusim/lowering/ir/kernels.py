"""Which SHAVE kernels may be cut how, as Intel's compiler lists them (``sw_utils.hpp``, ``layer_cost_model``) and 900
compiled one-op models of 14 shapes on three platforms confirm."""

from __future__ import annotations

_COMPARE = frozenset({"equal", "notequal", "greater", "greaterequal", "less", "lessequal"})
_LOGICAL = frozenset({"logicaland", "logicalor", "logicalxor"})
_PRODUCTS = frozenset({"multiply", "square", "select_2in"})

#: Kernels that are cut over tiles along H (group A of facts 2.4); all others prefer C.
ROW_KERNELS = frozenset({"exp", "tanh", "sin", "erf", "floor", "power", "divide"})
#: Of those, kernels that are not cut along C at all.
ROW_ONLY_KERNELS = frozenset({"tanh"})
#: Kernels that may be cut along W where no other axis has enough indices, or an even share of them, for every tile.
WIDE_KERNELS = _PRODUCTS | {
    "swish", "maximum", "select", "greaterequal", "equal", "squareddifference", "subtract", "add",
    "convert",
}  # fmt: skip
#: Activations: their SHAVEs share the outermost axis whatever axis the tiles share.
ACTIVATION_KERNELS = frozenset(
    {
        "swish", "gelu", "hardsigmoid", "hsigmoid", "tanh", "sigmoid", "clamp", "abs", "floor", "sin", "cos", "exp",
        "prelu", "mish", "softplus", "negative", "relu",
    }
)  # fmt: skip

#: Kernels that fuse the axes of a tile's part where it can't be halved evenly.
BALANCED_KERNELS = _PRODUCTS | _COMPARE | _LOGICAL | {
    "sin", "cos", "swish", "softplus", "clamp", "convert", "minimum", "maximum", "round", "exp", "divide", "prelu",
    "squareddifference", "relu", "add", "subtract",
}  # fmt: skip
#: Of those, kernels that tell a broadcast axis from the others, and so do not fuse it.
WHOLE_KERNELS = _PRODUCTS | {"divide", "prelu"}
#: Kernels that see their tensors in any order of the axes, so that the axis of the SHAVEs may be the outermost.
AGNOSTIC_KERNELS = _PRODUCTS | {
    "swish", "gelu", "hswish", "hardsigmoid", "hsigmoid", "tanh", "sigmoid", "clamp", "sin", "cos", "exp", "abs", "log",
    "sqrt", "round", "mish", "softplus", "relu",
}  # fmt: skip
#: Kernels whose second SHAVE begins at a multiple of 32 bytes.
ALIGNED_KERNELS = _PRODUCTS | {
    "swish", "gelu", "hswish", "hardsigmoid", "tanh", "sigmoid", "clamp", "minimum", "maximum", "power", "abs",
    "divide", "prelu", "greater", "less", "lessequal", "subtract", "add", "floor", "log", "sqrt", "select", "sin",
    "cos", "mish", "relu", "convert",
}  # fmt: skip
#: Kernels over whole rows of the last dimension.
LINE_KERNELS = frozenset({"rms", "mvn", "softmax", "logsoftmax"})
#: Kernels that can't read a strided part of a tile's buffer: each SHAVE then gets transfers of its own (max_bcc,
#: less_bcc, div_l, rms, Where_2 and CumSum with a cut inner axis; multiply, subtract and exp take one a tile).
DENSE_KERNELS = (
    _COMPARE
    | _LOGICAL
    | {
        "divide", "maximum", "minimum", "select", "cumsum", "rms", "power", "sign", "ceiling", "floor", "convert",
        "squareddifference",
    }
)  # fmt: skip

#: Kernels whose broadcast operands are counted at the size of the result when slices are chosen (mul_bcc on 3720,
#: Mul_7 and Where_1 of mamba2 at 1, 2, 3, 4, 5 and 6 tiles; max, less and divide count their real size).
FULL_OPERAND_KERNELS = frozenset({"add", "subtract", *_PRODUCTS})
#: Kernels sliced along their outermost axis unless they are pipelined; the others along H.
OUTER_SLICED_KERNELS = frozenset({"softmax", "logsoftmax", "select"})
#: Elements of a tile's part below which a kernel runs on one SHAVE (1,024 bytes of a product, 4,096 of a sigmoid).
SMALL = {"select": 512, "sigmoid": 2048, "convert": 2048, **dict.fromkeys(_PRODUCTS, 512)}
