"""Packing a folder of reference schedules into the files that the package carries, and unpacking them.

``python -m benchmarks.vendor.pack SOURCE TARGET``: SOURCE has an index.csv and below it the models and traces that
it names. The same source gives the same bytes: entries are sorted and have one fixed time. Gzipped traces are packed
as the JSON in them, which packs tighter.
"""

from __future__ import annotations

import gzip
import shutil
import sys
from pathlib import Path
from zipfile import ZIP_LZMA, ZipFile, ZipInfo

_TIME = (1980, 1, 1, 0, 0, 0)
_GZIPPED = ".gz"


def pack(source: Path, target: Path) -> None:
    """Write index.csv, models.zip and traces.zip of ``source`` to ``target``."""
    target.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source / "index.csv", target / "index.csv")
    for folder in ("models", "traces"):
        with ZipFile(target / f"{folder}.zip", "w", ZIP_LZMA) as archive:
            for path in sorted(path for path in (source / folder).rglob("*") if path.is_file()):
                data = path.read_bytes()
                entry = ZipInfo(path.relative_to(source).as_posix().removesuffix(_GZIPPED), _TIME)
                entry.compress_type = ZIP_LZMA
                entry.external_attr = 0o644 << 16
                archive.writestr(entry, gzip.decompress(data) if path.suffix == _GZIPPED else data)


def unpack(source: Path, target: Path) -> None:
    """Write what was packed to ``source`` as plain files below ``target``, traces gzipped as the index says."""
    shutil.copyfile(source / "index.csv", target / "index.csv")
    for name in ("models.zip", "traces.zip"):
        shutil.unpack_archive(source / name, target)
    for path in (target / "traces").rglob("*.json"):
        Path(f"{path}{_GZIPPED}").write_bytes(gzip.compress(path.read_bytes(), 1))
        path.unlink()


if __name__ == "__main__":
    pack(Path(sys.argv[1]), Path(sys.argv[2]))
