"""Packing a folder of reference schedules into the files that the package carries.

``python -m npusim.validation.pack SOURCE [TARGET]``: SOURCE has an index.csv and below it the models and traces that
it names. The same source gives the same bytes: entries are sorted and have one fixed time.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile, ZipInfo

from npusim.validation.references import PACKAGED

_TIME = (1980, 1, 1, 0, 0, 0)
_PACKED = (".gz",)


def pack(source: Path, target: Path) -> None:
    """Write index.csv, models.zip and traces.zip of ``source`` to ``target``."""
    target.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source / "index.csv", target / "index.csv")
    for folder in ("models", "traces"):
        with ZipFile(target / f"{folder}.zip", "w") as archive:
            for path in sorted(path for path in (source / folder).rglob("*") if path.is_file()):
                entry = ZipInfo(path.relative_to(source).as_posix(), _TIME)
                entry.compress_type = ZIP_STORED if path.suffix in _PACKED else ZIP_DEFLATED
                entry.external_attr = 0o644 << 16
                archive.writestr(entry, path.read_bytes(), compresslevel=9)


if __name__ == "__main__":
    pack(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else PACKAGED)
