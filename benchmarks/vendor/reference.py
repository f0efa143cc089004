"""More reference schedules from Intel's own compiler, on Linux and without an NPU.

The Windows wheel of openvino carries the compiler (from 2026.0 on), which compiles for any platform without a device;
Wine runs it. Needs Debian's wine64 and mingw-w64; the wheel comes by pip.

    python benchmarks/vendor/reference.py setup --version 2026.4.1
    python benchmarks/vendor/reference.py add REF --platform 4000 --tiles 4 --family nets yolov8n path/to/model.xml
    npusim validate --index REF/index.csv

`add` takes IR files and names of workloads. It writes REF/models, REF/traces and a row of REF/index.csv for each case:
what the public reference set has, so that every command that reads one reads the other. A case that is there already is
compiled again. Times are the compiler's estimates, as facts of the reference set are: for lowering, not for silicon.

    python benchmarks/vendor/reference.py pack REF benchmarks/vendor/unseen

writes the index and the models without their large constants, nor any schedule: enough for scores.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import os
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from npusim.hardware import Hardware, file_of, files_of, load_hardware
from npusim.validation.schedules.references import KEY, STATISTICS
from npusim.validation.traces.file import read_trace
from npusim.validation.traces.schedule import import_trace, machine_of

HOME = Path(os.environ.get("NPUSIM_VENDOR", Path.home() / ".cache" / "npusim-vendor"))
WINE = "/usr/lib/wine/wine64"
TRACE = "compileTimeScheduleTrace.json"
SMALL = 2048
"""Bytes of a constant that is part of a packed model: axes, shapes, single numbers."""
COLUMNS = ("case", "family", "model", "platform", "tiles", "dma_engines", "dpu_mhz", *STATISTICS, "trace")


def setup(version: str) -> None:
    """The compiler of one OpenVINO release, and the small program that drives it, in HOME/VERSION."""
    target = HOME / version
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
            + ["--platform", "win_amd64", "--dest", folder, f"openvino=={version}"],
            check=True,
        )
        (wheel,) = Path(folder).glob("*.whl")
        shutil.unpack_archive(wheel, target, "zip")
    libs = target / "openvino" / "libs"
    if not (libs / "openvino_intel_npu_compiler.dll").exists():
        sys.exit(f"openvino {version} carries no NPU compiler: take 2026.0.0 or later")
    subprocess.run(
        [
            "x86_64-w64-mingw32-gcc",
            "-O1",
            f"-I{target}/openvino/include",
            Path(__file__).with_name("compile.c"),
        ]
        + ["-o", libs / "compile.exe", libs / "openvino_c.lib"],
        check=True,
    )


def compile_model(model: Path, platform: str, tiles: int, version: str, parameters: str = "") -> bytes:
    """The schedule of a model as the compiler writes it. Raises RuntimeError with the compiler's words."""
    libs = HOME / version / "openvino" / "libs"
    environment = {
        **os.environ,
        "WINEDEBUG": "-all",
        "WINEPREFIX": str(HOME / "wine"),
        "WINEPATH": f"Z:{libs}",
    }
    options = f"enable-schedule-trace=true {parameters}".strip()
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [WINE, libs / "compile.exe", f"Z:{model.resolve()}", f"NPU{platform}", str(tiles), options],
            check=False, cwd=folder, env=environment, capture_output=True, text=True, errors="replace",
        )  # fmt: skip
        if done.returncode or not Path(folder, TRACE).exists():
            raise RuntimeError(
                f"{model}: {done.stdout.strip() or done.stderr.strip() or 'no schedule written'}"
            )
        return Path(folder, TRACE).read_bytes()


def add(reference: Path, models: list[str], platform: str, tiles: int, family: str, version: str) -> None:
    """Compile models, and write them, their schedules and their rows to a reference folder."""
    paths = [_stored(reference, family, model) for model in models]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        found = list(pool.map(lambda path: _row(reference, path, platform, tiles, family, version), paths))
    index = reference / "index.csv"
    rows = list(csv.DictReader(index.open())) if index.exists() else []
    kept = {tuple(row[name] for name in KEY): row for row in [*rows, *filter(None, found)]}
    with index.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(kept[key] for key in sorted(kept))


def _stored(reference: Path, family: str, model: str) -> Path:
    """The model's file in the reference folder: a copy of a file, or a workload written out."""
    folder = reference / "models" / family
    folder.mkdir(parents=True, exist_ok=True)
    source = Path(model)
    target = folder / f"{source.stem if source.suffix else model}.xml"
    if source.suffix == ".xml":
        for suffix in (".xml", ".bin"):
            if source.with_suffix(suffix).resolve() != target.with_suffix(suffix).resolve():
                shutil.copyfile(source.with_suffix(suffix), target.with_suffix(suffix))
        return target
    if not target.exists():
        import openvino

        from npusim import workloads

        openvino.save_model(workloads.build(model), target, compress_to_fp16=False)
    return target


def estimator_of(platform: str) -> Hardware:
    """What the compiler takes the NPU for in its estimates: the tiles where none are asked for, and the clock."""
    return load_hardware(file_of(platform, "estimator"))


def _row(
    reference: Path, model: Path, platform: str, tiles: int, family: str, version: str
) -> dict[str, str] | None:
    try:
        data = compile_model(model, platform, tiles, version)
    except RuntimeError as error:
        print(error, file=sys.stderr)
        return None
    usual = estimator_of(platform)
    folder = f"{platform}_t{tiles}" if tiles != usual.tiles else platform
    trace = Path("traces", folder, f"{model.stem}.json.gz")
    (reference / trace).parent.mkdir(parents=True, exist_ok=True)
    (reference / trace).write_bytes(gzip.compress(data, mtime=0))
    file = read_trace(data, model.stem)
    machine = machine_of(file)
    result = import_trace(file, machine.hardware)
    statistics = {name: f"{value:.3f}" for name, value in result.metrics.statistics.items()}
    return {
        "case": model.stem, "family": family, "model": model.relative_to(reference).as_posix(), "platform": platform,
        "tiles": str(tiles), "dma_engines": "2", "dpu_mhz": str(usual.clocks.dpu_mhz), **statistics,
        "trace": trace.as_posix(),
    }  # fmt: skip


def pack(reference: Path, out: Path) -> None:
    """The index of a reference folder, and its models without large constants."""
    rows = list(csv.DictReader((reference / "index.csv").open()))
    for model in {row["model"] for row in rows}:
        (out / model).parent.mkdir(parents=True, exist_ok=True)
        xml, stored = without_weights(
            (reference / model).read_text(), (reference / model).with_suffix(".bin")
        )
        (out / model).write_text(xml)
        (out / model).with_suffix(".bin").write_bytes(stored)
    with (out / "index.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows({**row, "trace": ""} for row in rows)


def without_weights(xml: str, weights: Path) -> tuple[str, bytes]:
    """An IR whose constants of more than SMALL bytes lie past the end of its .bin, as in the public reference set."""
    data, kept = weights.read_bytes(), bytearray()

    def moved(match: re.Match[str]) -> str:
        offset, size = int(match[1]), int(match[2])
        if size > SMALL:
            return f'offset="PAST" size="{size}"'
        kept.extend(b"\0" * (-len(kept) % 64))
        kept.extend(data[offset : offset + size])
        return f'offset="{len(kept) - size}" size="{size}"'

    text = re.sub(r'offset="(\d+)" size="(\d+)"', moved, xml)
    return text.replace("PAST", str(len(kept) + -len(kept) % 64)), bytes(kept)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--version", default="2026.4.1", help="OpenVINO release of the compiler")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("setup")
    adding = commands.add_parser("add")
    adding.add_argument("reference", type=Path)
    adding.add_argument("models", nargs="+", help="IR files or names of workloads")
    adding.add_argument("--platform", choices=sorted(files_of("estimator")), required=True)
    adding.add_argument("--tiles", type=int, default=0)
    adding.add_argument("--family", default="nets")
    packing = commands.add_parser("pack")
    packing.add_argument("reference", type=Path)
    packing.add_argument("out", type=Path)
    given = parser.parse_args()
    if given.command == "pack":
        pack(given.reference, given.out)
    elif given.command == "setup":
        setup(given.version)
    else:
        tiles = given.tiles or estimator_of(given.platform).tiles
        add(given.reference, given.models, given.platform, tiles, given.family, given.version)


if __name__ == "__main__":
    main()
