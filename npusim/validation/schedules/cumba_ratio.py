"""What CumBA costs or gains by the vendor's own schedules, and by npusim's prediction of them.

The estimator of Intel's compiler charges nothing for CumSum on 3720 and 4000, so there CumBA costs time; what is
compared is how lowering and scheduling take the rewrite.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from npusim.validation.schedules.predict import predict
from npusim.validation.schedules.references import Reference, Row

_STOCK, _CUMBA = "_base", "_cumba"


@dataclass(frozen=True, slots=True)
class CumbaRatio:
    """Latency of the CumBA form over that of the stock one, of the same model on the same machine."""

    stock: Row
    cumba: Row
    predicted: float

    @property
    def vendor(self) -> float:
        """By the vendor's schedules."""
        return self.cumba.truth["total_us"] / self.stock.truth["total_us"]

    @property
    def error(self) -> float:
        """How far the predicted ratio is from the vendor's, as a share of that."""
        return self.predicted / self.vendor - 1


def cumba_pairs(reference: Reference) -> list[tuple[Row, Row]]:
    """The rows of stock models that have a CumBA form beside them, with that, in the order of the index."""
    machines = {(row.case, *row.key[1:]): row for row in reference.rows}
    found = []
    for row in reference.rows:
        stock = machines.get((row.case.removesuffix(_CUMBA) + _STOCK, *row.key[1:]))
        if row.case.endswith(_CUMBA) and stock is not None:
            found.append((stock, row))
    return found


def cumba_ratios(
    reference: Reference, pairs: Sequence[tuple[Row, Row]], workers: int | None = None
) -> list[CumbaRatio]:
    """The pairs predicted, by the path that ``npusim validate`` takes. Raises ValueError for a row that fails."""
    rows = [row for pair in pairs for row in pair]
    totals = {}
    for one in predict(reference, rows, workers):
        if one.error:
            raise ValueError(f"{one.row.label}: {one.error}")
        totals[one.row.key] = one.statistics["total_us"]
    return [CumbaRatio(stock, cumba, totals[cumba.key] / totals[stock.key]) for stock, cumba in pairs]
