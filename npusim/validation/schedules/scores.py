"""How far predictions are from the truth: errors by family and platform, worst cases, speed-up over tiles.

An error is ``|predicted - truth| / truth``; rows whose truth is 0 do not count, and rows that have no prediction (or
none above 0) are counted as missing, beside the errors of the others. The p90 is the value at place ``0.9 * rows`` in
ascending order, and ranks of equal values follow their order.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import nan
from statistics import fmean, median

from npusim.validation.schedules.predict import Prediction
from npusim.validation.schedules.references import Row

#: Statistics that are scored: the latency, and the work of every engine.
SCORED = ("total_us", "sum_dpu_us", "sum_shave_us", "sum_dma_us")


@dataclass(frozen=True, slots=True)
class Pair:
    """One statistic of one row, predicted and true."""

    row: Row
    predicted: float
    truth: float

    @property
    def error(self) -> float:
        """Absolute relative error."""
        return abs(self.predicted - self.truth) / self.truth

    @property
    def missing(self) -> bool:
        """Whether nothing was predicted."""
        return self.predicted <= 0


@dataclass(frozen=True, slots=True)
class Score:
    """Errors (relative) of one statistic over those of ``rows`` that are not ``missing``, nan where all are; ``rank``
    is Spearman's correlation, nan below three."""

    rows: int
    median: float
    p90: float
    worst: float
    missing: int
    rank: float


@dataclass(frozen=True, slots=True)
class Group:
    """Scores of SCORED over the rows of a family of a set on a platform; None where no row has that statistic."""

    set: str
    family: str
    platform: str
    scores: Mapping[str, Score | None]


@dataclass(frozen=True, slots=True)
class TilesRow:
    """Speed-up of one case with ``row.tiles`` over its usual number of tiles, predicted and true."""

    row: Row
    usual_tiles: int
    predicted: float
    truth: float

    @property
    def error(self) -> float:
        """Absolute relative error of the speed-up."""
        return abs(self.predicted - self.truth) / self.truth


def pairs(predictions: Iterable[Prediction], statistic: str) -> list[Pair]:
    """Rows whose truth has ``statistic`` and is positive."""
    return [
        Pair(one.row, one.statistics.get(statistic, 0.0), one.row.truth[statistic])
        for one in predictions
        if one.row.truth.get(statistic, 0.0) > 0
    ]


def score(found: Sequence[Pair]) -> Score | None:
    """The Score of some pairs; None of none."""
    if not found:
        return None
    there = [pair for pair in found if not pair.missing]
    errors = sorted(pair.error for pair in there) or [nan]
    return Score(
        rows=len(found),
        median=median(errors),
        p90=errors[min(len(errors) - 1, int(0.9 * len(errors)))],
        worst=errors[-1],
        missing=len(found) - len(there),
        rank=spearman([pair.predicted for pair in there], [pair.truth for pair in there]),
    )


def table(predictions: Sequence[Prediction]) -> list[Group]:
    """The Group of every family and platform, in the order of the sets and sorted, and of all rows together (unless
    they are one group)."""
    rows: dict[tuple[str, str, str], list[Prediction]] = {}
    for set_, mine in by_set(predictions).items():
        for one in sorted(mine, key=lambda one: (one.row.family, one.row.platform)):
            rows.setdefault((set_, one.row.family, one.row.platform), []).append(one)
    return _groups(rows, predictions)


def table_of_sets(predictions: Sequence[Prediction]) -> list[Group]:
    """As ``table``, with all families of a set together."""
    rows: dict[tuple[str, str, str], list[Prediction]] = {}
    for set_, mine in by_set(predictions).items():
        for one in sorted(mine, key=lambda one: one.row.platform):
            rows.setdefault((set_, "", one.row.platform), []).append(one)
    return _groups(rows, predictions)


def by_set(predictions: Iterable[Prediction]) -> dict[str, list[Prediction]]:
    """Predictions by the set of their row."""
    found: dict[str, list[Prediction]] = {}
    for one in predictions:
        found.setdefault(one.row.set, []).append(one)
    return found


def _groups(
    rows: Mapping[tuple[str, str, str], Sequence[Prediction]], predictions: Sequence[Prediction]
) -> list[Group]:
    groups = [_group(*key, members) for key, members in rows.items()]
    return groups if len(groups) == 1 else [*groups, _group("all", "all", "", predictions)]


def _group(set_: str, family: str, platform: str, members: Sequence[Prediction]) -> Group:
    return Group(set_, family, platform, {name: score(pairs(members, name)) for name in SCORED})


def worst(found: Iterable[Pair], count: int) -> list[Pair]:
    """The ``count`` largest errors, the largest first; equal ones in the order of ``found``."""
    return sorted((pair for pair in found if not pair.missing), key=lambda pair: -pair.error)[:count]


def over_tiles(found: Iterable[Pair]) -> list[TilesRow]:
    """Speed-ups of the cases that the index has with several numbers of tiles, over the number that most cases of the
    platform have."""
    found = [pair for pair in found if not pair.missing]
    usual: dict[str, dict[int, int]] = {}
    cases: dict[tuple[str, str], dict[int, Pair]] = {}
    for pair in found:
        counts = usual.setdefault(pair.row.platform, {})
        counts[pair.row.tiles] = counts.get(pair.row.tiles, 0) + 1
        cases.setdefault((pair.row.case, pair.row.platform), {})[pair.row.tiles] = pair
    rows = []
    for (_, platform), by_tiles in sorted(cases.items()):
        tiles = max(usual[platform], key=lambda count: usual[platform][count])
        base = by_tiles.get(tiles)
        if base is None or len(by_tiles) < 2:
            continue
        rows += [
            TilesRow(pair.row, tiles, base.predicted / pair.predicted, base.truth / pair.truth)
            for count, pair in sorted(by_tiles.items())
            if count != tiles
        ]
    return rows


def same_order(rows: Iterable[TilesRow]) -> dict[tuple[str, str], bool]:
    """By (case, platform): whether the numbers of tiles, the usual one among them, are ranked as in the truth."""
    cases: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for one in rows:
        cases.setdefault((one.row.case, one.row.platform), [(1.0, 1.0)]).append((one.predicted, one.truth))
    return {
        case: _ranks([p for p, _ in both]) == _ranks([t for _, t in both]) for case, both in cases.items()
    }


def spearman(one: Sequence[float], other: Sequence[float]) -> float:
    """Rank correlation; nan below three values or where all are alike."""
    if len(one) < 3:
        return nan
    a, b = _ranks(one), _ranks(other)
    mean = fmean(a)
    covariance = sum((x - mean) * (y - mean) for x, y in zip(a, b, strict=True))
    return covariance / sum((x - mean) ** 2 for x in a)


def _ranks(values: Sequence[float]) -> list[float]:
    ranks = [0.0] * len(values)
    for place, index in enumerate(sorted(range(len(values)), key=values.__getitem__)):
        ranks[index] = float(place)
    return ranks
