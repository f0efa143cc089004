"""How weights are stored, as it is asked for: fp16, int8, int4, int4:128."""

from __future__ import annotations

from dataclasses import dataclass

WEIGHTS = ("fp16", "int8", "int4", "int4:128")


@dataclass(frozen=True, slots=True)
class Stored:
    """``bits`` of one number (16: floating), and how many numbers of a row share a scale (None: all of them)."""

    bits: int
    group: int | None = None

    @classmethod
    def parse(cls, text: str) -> Stored:
        """``int4:128`` to Stored(4, 128). Raises ValueError for what is no format."""
        name, colon, group = text.partition(":")
        bits = {"fp16": 16, "int8": 8, "int4": 4}.get(name)
        if bits is None or (
            colon and (bits != 4 or not (group.isascii() and group.isdigit() and int(group) >= 16))
        ):
            raise ValueError(
                f"weights must be {', '.join(WEIGHTS)} (or another group than 128), not {text!r}"
            )
        return cls(bits, int(group) if colon else None)

    @property
    def head(self) -> Stored:
        """How the vocabulary is stored: NNCF takes 8 bits for it where the layers have 4."""
        return self if self.bits > 4 else Stored(8)

    def bytes(self, rows: int, columns: int) -> int:
        """Bytes of a matrix with its scales (FP16)."""
        scales = 0 if self.bits == 16 else rows * (columns // self.group if self.group else 1)
        return rows * columns * self.bits // 8 + 2 * scales
