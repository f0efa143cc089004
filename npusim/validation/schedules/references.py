"""Reference schedules: an index of cases with what the vendor says of each, the models, and the schedules themselves.

A set that the package carries is an index beside two zip files; any other is an INDEX.csv with its files relative
to it. Columns: ``case``, ``model``, ``platform``, ``tiles`` and ``dma_engines`` say what to predict; ``family`` groups
cases, ``trace`` names the schedule, and the statistics columns (STATISTICS) are the truth: each may be absent or empty.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from zipfile import ZipFile

from npusim.errors import UserError
from npusim.files import MOST_TRACE_BYTES, exists, read_bytes, read_records, read_text
from npusim.graph import Graph, load_model, load_model_bytes
from npusim.hardware.base import MOST_PARTS

DATA = Path(__file__).resolve().parents[1] / "data"
"""Where the package carries its sets, a folder each."""
SETS = {
    "vendor_schedules": "operators and short chains (micro), Mamba blocks (ssm), ResNet-50, MobileNet-v2, BERT (nets)",
    "vendor_networks": "whole networks from public packages, by class",
    "vendor_blocks": "blocks as networks have them, operators drawn at random (draw), and alternatives that serve one "
    "purpose (alt)",
    "kinds": "batches, narrow and sparse weights, broadcast sums, scans, loops, grouped queries, 1-D convolutions",
    "rewrites": "one layer of Mamba and Mamba-2, stock and after each rewrite (the name after `__`)",
    "interfaces": "inputs and results of FP32, by what makes the result and how the model sees it",
    "layers": "products of a prompt's rows, feed-forward blocks, sums as products and kernels behind them, batches",
    "vendor_probes": "one or two operators in a form that is seldom",
}
"""The sets that the package carries, and what is in them."""
KEY = ("case", "platform", "tiles", "dma_engines")
"""Columns that tell a row from all others."""
STATISTICS = (
    "total_us", "dma_us", "dpu_us", "shave_us", "dma_dpu_overlap_us", "dma_shave_overlap_us", "shave_dpu_overlap_us",
    "idle_us", "sum_dma_us", "sum_dpu_us", "sum_shave_us",
)  # fmt: skip
"""Statistics columns, µs: the names of Metrics.statistics, in its order."""
_NEEDED = ("case", "model", "platform", "tiles", "dma_engines")


@dataclass(frozen=True, slots=True)
class Row:
    """One row of an index. ``key`` has the KEY columns as the file spells them; ``line`` is where it stands in it;
    ``truth`` has the statistics that it gives; ``set`` is the packaged set that it is of, empty for any other index."""

    key: tuple[str, ...]
    case: str
    family: str
    model: str
    platform: str
    tiles: int
    dma_engines: int
    trace: str
    truth: Mapping[str, float]
    line: int
    set: str = ""

    @property
    def label(self) -> str:
        """The row, for people."""
        return f"{self.case} on {self.platform} with {self.tiles} tiles"


@dataclass(frozen=True, slots=True)
class Reference:
    """Indices that have been read. ``label`` is what messages call them; ``root`` is where the folder of every row's
    set is, which its files are relative to; ``zipped`` says that they are in models.zip and traces.zip there. Small
    enough to be sent to a worker process."""

    label: str
    root: Path
    zipped: bool
    rows: tuple[Row, ...]

    def graph(self, row: Row) -> Graph:
        """The Graph of the model of a row. Raises UserError if it cannot be read."""
        if not self.zipped:
            return load_model(self.root / row.set / row.model)
        path = Path(row.model)
        with ZipFile(self.root / row.set / "models.zip") as archive:
            weights = path.with_suffix(".bin").as_posix()
            stored = archive.read(weights) if weights in archive.namelist() else None
            return load_model_bytes(archive.read(path.as_posix()), stored, path.stem)

    def schedule(self, row: Row) -> bytes:
        """The vendor's schedule of a row, JSON that may be gzipped. Raises UserError if the index names none or it
        cannot be read."""
        if not row.trace:
            raise UserError(f"{self.label}:{row.line}: {row.case} has no trace to compare with")
        try:
            if self.zipped:
                with ZipFile(self.root / row.set / "traces.zip") as archive:
                    return archive.read(row.trace.removesuffix(".gz"))
        except (OSError, KeyError) as error:
            raise UserError(f"{self.label}:{row.line}: trace {row.trace}: {error}") from None
        return read_bytes(
            self.root / row.set / row.trace, MOST_TRACE_BYTES, f"{self.label}:{row.line}: trace {row.trace}"
        )


def open_reference(index: Path | None = None, sets: Sequence[str] = ()) -> Reference:
    """The reference of an INDEX.csv, or of the packaged ``sets`` (default: all).

    Raises UserError, in one line that names the file and where it can the row, for an index that cannot be read: no
    such file, missing columns, a number that is none, a model file that does not exist; and for an unknown set.
    """
    if index is not None:
        reference = Reference(str(index), index.parent, False, _rows(index, str(index)))
        _check_models(reference)
        return reference
    for name in sets:
        if name not in SETS:
            raise UserError(f"--set {name}: no such set; {_choices(name, SETS)}")
    label = f"the packaged {', '.join(sets)}" if sets else "the packaged reference"
    rows = [
        row for name in sets or SETS for row in _rows(DATA / name / "index.csv", f"the packaged {name}", name)
    ]
    return Reference(label, DATA, True, tuple(rows))


def _rows(path: Path, label: str, set_: str = "") -> tuple[Row, ...]:
    table, columns = read_records(read_text(path, label=label), label)
    missing = [column for column in _NEEDED if column not in columns]
    if missing:
        raise UserError(f"{label}: missing column{'s' if len(missing) > 1 else ''} {', '.join(missing)}")
    if not table:
        raise UserError(f"{label}: has no rows")
    return tuple(_row(fields, line, f"{label}:{line}", set_) for line, fields in table)


def select(
    reference: Reference,
    family: str | None = None,
    platform: str | None = None,
    tiles: int | None = None,
    case: str | None = None,
) -> list[Row]:
    """The rows that fit everything given, in the order of the index.

    Raises UserError if none does, and says what there is.
    """
    rows = list(reference.rows)
    wanted = {"case": case, "family": family, "platform": platform, "tiles": tiles}
    for name, value in wanted.items():
        if value is None:
            continue
        known = sorted({str(getattr(row, name)) for row in rows})
        rows = [row for row in rows if getattr(row, name) == value]
        if not rows:
            raise UserError(
                f"--{name} {value}: no such row in {reference.label}; {_choices(str(value), known)}"
            )
    return rows


def _choices(value: str, known: Iterable[str]) -> str:
    from difflib import get_close_matches

    known = list(known)
    if len(known) > 8:
        near = [name for name in known if value in name][:3] or get_close_matches(
            value, known, n=3, cutoff=0.4
        )
        return f"did you mean {', '.join(near)}?" if near else f"there are {len(known)} others"
    return f"there is {', '.join(known)}"


def _row(fields: Mapping[str, str], line: int, place: str, set_: str) -> Row:
    texts = {column: fields[column].strip() for column in _NEEDED}
    empty = [column for column, value in texts.items() if not value]
    if empty:
        raise UserError(f"{place}: column {empty[0]} is empty")
    for column, file in (("model", texts["model"]), ("trace", fields.get("trace", "").strip())):
        if Path(file).is_absolute() or ".." in Path(file).parts:
            raise UserError(
                f"{place}: column {column}: {file}: must be a file beside the index, or in a folder there"
            )
    return Row(
        key=tuple(fields[column] for column in KEY),
        case=texts["case"],
        family=fields.get("family", ""),
        model=texts["model"],
        platform=texts["platform"],
        tiles=_count(texts["tiles"], "tiles", place),
        dma_engines=_count(texts["dma_engines"], "dma_engines", place),
        trace=fields.get("trace", "").strip(),
        truth={name: _time(fields[name], name, place) for name in STATISTICS if fields.get(name, "").strip()},
        line=line,
        set=set_,
    )


def _count(text: str, column: str, place: str) -> int:
    try:
        value = int(text)
    except ValueError:
        value = 0
    if not 1 <= value <= MOST_PARTS:
        raise UserError(
            f"{place}: column {column}: must be a whole number from 1 to {MOST_PARTS} (got '{text:.40}')"
        )
    return value


def _time(text: str, column: str, place: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not (isfinite(value) and value >= 0):
        raise UserError(f"{place}: column {column}: must be a time in µs (got '{text:.40}')")
    return value


def _check_models(reference: Reference) -> None:
    known: set[str] = set()
    for row in reference.rows:
        if row.model not in known:
            if not exists(reference.root / row.model):
                raise UserError(
                    f"{reference.label}:{row.line}: no such model file {reference.root / row.model}"
                )
            known.add(row.model)
