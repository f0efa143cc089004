"""Run the carried calibrations again: ``python -m benchmarks.calibrations [NAME...]``.

Every ``npusim/validation/data/measured/calibration-NAME.json`` has the command that wrote it. Each is run as it stands
against today's lowering and hardware files, and its outcome put in place of the old one; what is fitted is printed
beside what the file has, for whoever keeps the file. docs/accuracy.md and the error bars come after it:
``npusim validate --against silicon --markdown docs/accuracy.md --residuals FILE``.
"""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

from npusim.validation.silicon.measurements import PACKAGED

PREFIX = "calibration-"


def files(names: list[str]) -> list[Path]:
    """The documents of these names, or all."""
    found = {path.stem.removeprefix(PREFIX): path for path in sorted(PACKAGED.glob(f"{PREFIX}*.json"))}
    unknown = [name for name in names if name not in found]
    if unknown:
        sys.exit(f"no calibration is called {unknown[0]}; there are {', '.join(found)}")
    return [found[name] for name in names or found]


def again(path: Path) -> dict[str, Any]:
    """The outcome of a document's command as it is today; the document is written only when that has ended well."""
    program, *arguments = shlex.split(json.loads(path.read_text(encoding="utf-8"))["command"])
    command = [sys.executable, "-m", program, *arguments]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    document: dict[str, Any] = json.loads(text)
    path.write_text(text, encoding="utf-8")
    return document


def main() -> None:
    """Run them one after the other."""
    for path in files(sys.argv[1:]):
        document = again(path)
        error = document["median_error"]
        print(f"{path.name}: median {error['fitted']:.1%}, models left out {error['left_out']:.1%}")
        for one in document["parameters"]:
            print(f"  {one['path']}: {one['base']:g} in the file, {one['value']:g} fitted, {one['verdict']}")


if __name__ == "__main__":
    main()
