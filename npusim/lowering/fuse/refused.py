"""Ops that no NPU runs, and why: what the error says, and the page of ops."""

from __future__ import annotations

#: By op type.
REFUSED: dict[str, str] = {
    "BinaryConvolution": "Intel's compiler has no element type of one bit",
    "CTCLoss": "it belongs to training, and Intel's compiler does not take it",
    "PagedAttentionExtension": "it reads its cache through tables that only a server fills",
    "SparseFillEmptyRows": "how many rows it makes depends on data without a bound",
    "StringTensorPack": "an NPU has no strings: tokenise on the host",
    "StringTensorUnpack": "an NPU has no strings: tokenise on the host",
}
