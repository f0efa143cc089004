"""What npusim makes of graphs drawn by chance, kept: python -m benchmarks.drawn [--renew | --draw COUNT --seed SEED]

Networks that people built use few of the forms that lowering decides between, so rows of references tell few wrong
decisions. tests/references/drawn.zip has random graphs (``benchmarks.fuzzing``) without their weights, and drawn.csv a
row each: the machine, its tiles and scratchpad, and npusim's own prediction. The command predicts them again and prints
what moved; --renew writes the table anew. --draw draws COUNT graphs and keeps those that take a way through lowering
that none before them took on their generation; ``benchmarks.mutants --draw`` adds graphs that tell wrong decisions.
"""

from __future__ import annotations

import argparse
import csv
import functools
import io
import re
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from math import isclose
from pathlib import Path
from zipfile import ZIP_LZMA, ZipFile, ZipInfo

import coverage
import openvino as ov
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from benchmarks.fuzzing.graphs import models
from benchmarks.limits import Hangs, limited
from benchmarks.references import KEPT, MOVED, ROOT, ROUNDING_US
from benchmarks.vendor.reference import without_weights
from npusim import api
from npusim.errors import UserError
from npusim.graph import Graph
from npusim.graph.load import load_model_bytes
from npusim.hardware import Hardware

TABLE = ROOT / "tests/references/drawn.csv"
MODELS = ROOT / "tests/references/drawn.zip"
MACHINES = ("meteorlake-vpunn", "lunarlake-vpunn", "pantherlake-vpunn")
TILES = (1, 2, 3, 4, 5, 6, 8, 12)
CMX_KIB = (64, 256, 512, 1024, 1440, 4096)
#: Seconds of the processor that a graph may take under the watch of coverage, which is several times slower.
MOST_SECONDS = 2
COLUMNS = ("model", "machine", "tiles", "cmx_kib", *KEPT, "error")
_TIME = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Drawn:
    """A graph on a machine; ``cmx_kib`` is of a tile. ``statistics`` has KEPT, or nothing where npusim refuses it, and
    ``error`` the first words of why."""

    model: str
    machine: str
    tiles: int
    cmx_kib: int
    statistics: Mapping[str, float]
    error: str = ""

    @property
    def hardware(self) -> Hardware:
        """The machine."""
        return _hardware(self.machine, self.tiles, self.cmx_kib)

    def predicted(self, graph: Graph) -> Drawn:
        """What npusim says now."""
        try:
            program = api.lower(graph, self.hardware)
            found = api.simulate(program, self.hardware, engine="fast", allow_guess=True).metrics.statistics
        except UserError as error:
            return replace(self, statistics={}, error=type(error).__name__)
        return replace(self, statistics={name: round(found[name], 6) for name in KEPT}, error="")


@functools.cache
def _hardware(machine: str, tiles: int, cmx_kib: int) -> Hardware:
    return api.load_hardware(f"{machine}.yaml", [f"tiles={tiles}", f"cmx.kib_per_tile={cmx_kib}"])


# -- the kept ones ----------------------------------------------------------------------------------------------------


def kept() -> list[Drawn]:
    """The rows of the table."""
    return [
        Drawn(
            fields["model"],
            fields["machine"],
            int(fields["tiles"]),
            int(fields["cmx_kib"]),
            {name: float(fields[name]) for name in KEPT} if fields["total_us"] else {},
            fields["error"],
        )
        for fields in csv.DictReader(io.StringIO(TABLE.read_text()))
    ]


def graphs() -> dict[str, Graph]:
    """The graphs by name."""
    with ZipFile(MODELS) as archive:
        names = [name.removesuffix(".xml") for name in archive.namelist() if name.endswith(".xml")]
        return {
            name: load_model_bytes(archive.read(f"{name}.xml"), archive.read(f"{name}.bin"), name)
            for name in names
        }


def predict_all(rows: Sequence[Drawn], workers: int | None = None) -> list[Drawn]:
    """What npusim says of the rows now."""
    known = graphs()
    with ProcessPoolExecutor(workers) as pool:
        return list(pool.map(Drawn.predicted, rows, (known[row.model] for row in rows), chunksize=20))


def moved(before: Drawn, after: Drawn) -> tuple[str, ...]:
    """What differs of a row: statistics, or ``error``."""
    if before.error != after.error:
        return ("error",)
    return tuple(
        name
        for name, was in before.statistics.items()
        if not isclose(was, after.statistics[name], rel_tol=MOVED, abs_tol=ROUNDING_US)
    )


def moves_text(before: Sequence[Drawn], after: Sequence[Drawn]) -> str:
    """The rows that moved, a line each, or nothing."""
    lines = []
    for old, new in zip(before, after, strict=True):
        if what := moved(old, new):
            said = (one.error or f"{one.statistics['total_us']:.3f} µs" for one in (old, new))
            where = f"{old.model} on {old.machine}, {old.tiles} tiles of {old.cmx_kib} KiB"
            lines.append(f"{where}: {' -> '.join(said)} ({' '.join(what)})")
    return "\n".join(lines)


def write_table(rows: Sequence[Drawn]) -> str:
    """The table as CSV text."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in rows:
        figures = (f"{row.statistics[name]:.6f}" if row.statistics else "" for name in KEPT)
        writer.writerow((row.model, row.machine, row.tiles, row.cmx_kib, *figures, row.error))
    return text.getvalue()


# -- drawing ----------------------------------------------------------------------------------------------------------


def draw(count: int, number: int) -> Iterator[tuple[bytes, bytes, Drawn]]:
    """The model's files and the row of each graph worth keeping among ``count`` drawn with a seed."""
    seen: set[tuple[str, str, tuple[int, int]]] = set()
    kept_now = 0
    for xml, weights, fresh in drawn(count, number):
        row = replace(fresh, model=f"g{kept_now:03}")
        graph = load_model_bytes(xml, weights, row.model)
        _ = row.hardware
        watch = coverage.Coverage(data_file=None, branch=True, include=[str(ROOT / "npusim/lowering/*")])
        watch.start()
        try:
            with limited(MOST_SECONDS):
                row = row.predicted(graph)
        except Hangs:
            continue
        finally:
            watch.stop()
        data = watch.get_data()
        ways = {(row.machine, file, arc) for file in data.measured_files() for arc in data.arcs(file) or ()}
        if ways - seen:
            seen |= ways
            kept_now += 1
            yield xml, weights, row


def drawn(count: int, number: int) -> list[tuple[bytes, bytes, Drawn]]:
    """``count`` graphs drawn with a seed: the model's files, and a row without name and prediction."""
    found: list[tuple[bytes, bytes, Drawn]] = []

    @seed(number)
    @settings(
        max_examples=count, phases=[Phase.generate], database=None, deadline=None,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(models(), st.sampled_from(MACHINES), st.sampled_from(TILES), st.sampled_from(CMX_KIB))
    def each(model: ov.Model, machine: str, tiles: int, cmx_kib: int) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "m.xml")
            try:
                ov.save_model(model, path, compress_to_fp16=False)
            except RuntimeError:  # OpenVINO can not write some models that it can build
                return
            xml, weights = without_weights(path.read_text(), path.with_suffix(".bin"))
        xml = re.sub(r"<rt_info>.*?</rt_info>", "", xml, flags=re.DOTALL)
        found.append((xml.encode(), weights, Drawn("", machine, tiles, cmx_kib, {})))

    each()
    return found


def _store(found: Iterator[tuple[bytes, bytes, Drawn]]) -> list[Drawn]:
    rows = []
    with ZipFile(MODELS, "w", ZIP_LZMA) as archive:
        for xml, weights, row in found:
            rows.append(row)
            _pack(archive, xml, weights, row.model)
    return rows


def _pack(archive: ZipFile, xml: bytes, weights: bytes, model: str) -> None:
    for suffix, data in ((".xml", xml), (".bin", weights)):
        entry = ZipInfo(model + suffix, _TIME)
        entry.compress_type = ZIP_LZMA
        archive.writestr(entry, data)


def add(xml: bytes, weights: bytes, fresh: Drawn) -> Drawn:
    """Keep one more graph, and npusim's prediction of it."""
    rows = kept()
    name = f"g{len(rows):03}"
    row = replace(fresh, model=name).predicted(load_model_bytes(xml, weights, name))
    with ZipFile(MODELS, "a", ZIP_LZMA) as archive:
        _pack(archive, xml, weights, name)
    TABLE.write_text(write_table([*rows, row]))
    return row


def main() -> int:
    """Print what moved; the exit code is 1 if anything did and it was not renewed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--renew", action="store_true", help="write the table anew")
    parser.add_argument("--draw", type=int, metavar="COUNT", help="draw graphs anew")
    parser.add_argument("--seed", type=int, default=14)
    parser.add_argument("--workers", type=int, help="processes (default: one a processor)")
    asked = parser.parse_args()
    if asked.draw:
        TABLE.write_text(write_table(_store(draw(asked.draw, asked.seed))))
        return 0
    before = kept()
    after = predict_all(before, asked.workers)
    text = moves_text(before, after)
    print(text or "no row moved")
    if asked.renew:
        TABLE.write_text(write_table(after))
        return 0
    return int(bool(text))


if __name__ == "__main__":
    sys.exit(main())
