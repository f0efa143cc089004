"""What all sections of a hardware file have in common."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

#: A trillion of any unit, and a trillionth of it, are beyond any machine; no product of a few within them leaves the
#: range of floats.
_MOST, _LEAST = 1e12, 1e-12
#: Parts of a kind: a Program has queues for each, and no NPU has as many.
MOST_PARTS = 64

Positive = Annotated[float, Field(ge=_LEAST, le=_MOST, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, le=_MOST, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1, le=int(_MOST))]
Parts = Annotated[int, Field(ge=1, le=MOST_PARTS)]
#: From the slowest that firmware idles at to a hundred GHz.
Megahertz = Annotated[float, Field(ge=1, le=1e5, allow_inf_nan=False)]
#: From memory of one byte a microsecond to a thousand times the fastest there is.
Gbps = Annotated[float, Field(ge=1e-3, le=1e6, allow_inf_nan=False)]
#: From less than an op's smallest slice to all the memory of a computer.
Kib = Annotated[float, Field(ge=1, le=1 << 24, allow_inf_nan=False)]
Provenance = Literal["measured", "fitted", "roofline", "guess"]


class Section(BaseModel):
    """Base of all sections: frozen, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)
