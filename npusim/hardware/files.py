"""Finding hardware files: the current folder or a given path first, then those that are shipped."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from npusim import hwconfigs
from npusim.errors import UserError
from npusim.files import exists, read_text
from npusim.hardware.errors import HardwareError
from npusim.text import did_you_mean

_SUFFIX = ".yaml"
_MOST_BYTES = 4 << 20
_LONGEST_NAME = 120


@dataclass(frozen=True, slots=True)
class File:
    """A hardware file and the name that messages give it."""

    path: Path
    label: str

    def text(self) -> str:
        """Its text. Raises HardwareError if it cannot be read as UTF-8."""
        try:
            return read_text(self.path, _MOST_BYTES, self.label)
        except UserError as error:
            raise HardwareError(str(error)) from None


def shipped() -> list[str]:
    """File names of the shipped hardware, sorted."""
    return sorted(path.name for path in hwconfigs.FOLDER.glob(f"*{_SUFFIX}"))


def supposed() -> list[str]:
    """The same of machines that do not exist, which are named with their folder."""
    return sorted(f"whatif/{path.name}" for path in (hwconfigs.FOLDER / "whatif").glob(f"*{_SUFFIX}"))


def find(name: str | Path) -> File:
    """The file ``name`` stands for; ``.yaml`` may be left out. Raises HardwareError if there is none."""
    text = str(name)
    label = _short(text)
    if not text.strip():
        raise HardwareError(f"no hardware file is named; {_choices(text)}")
    given = [Path(text), Path(text + _SUFFIX)]
    for path in given:
        if exists(path) and not path.is_dir():
            return File(path, _short(str(path)))
    file = _among_shipped(text)
    if file is not None:
        return file
    if exists(given[0]):
        raise HardwareError(f"{label}: is a folder, not a hardware file")
    raise HardwareError(f"{label}: no such hardware file; {_choices(text)}")


def find_parent(name: str, child: File) -> File:
    """The file that ``extends: name`` of ``child`` stands for: beside the child, else shipped.

    A child that has the name of its parent means the shipped one, if there is one.
    """
    beside = [
        path for path in (child.path.parent / name, child.path.parent / (name + _SUFFIX)) if exists(path)
    ]
    files = [path for path in beside if not path.is_dir()]
    others = [path for path in files if not same(path, child.path)]
    if not others:
        file = _among_shipped(name)
        if file is not None and not same(file.path, child.path):
            return file
    if not files:
        raise HardwareError(f"no such hardware file '{_short(name)}'; {_choices(name)}")
    path = (others or files)[0]
    shown_folder = Path(child.label).parent if path.parent != hwconfigs.FOLDER else Path()
    return File(path, _short(str(shown_folder / path.name)))


def _among_shipped(name: str) -> File | None:
    names = [*shipped(), *supposed()]
    for known in (name, name + _SUFFIX):
        if known in names:
            return File(hwconfigs.FOLDER / known, known)
    return None


def _choices(name: str) -> str:
    names = [known.removesuffix(_SUFFIX) for known in shipped()]
    return f"shipped are {', '.join(names)}{did_you_mean(Path(name).name.removesuffix(_SUFFIX), names)}"


def _short(name: str) -> str:
    """A file name as messages show it: not endless."""
    half = _LONGEST_NAME // 2
    return name if len(name) <= _LONGEST_NAME else f"{name[:half]}...{name[-half:]}"


def same(left: Path, right: Path) -> bool:
    """Whether both paths lead to one file."""
    try:
        return left.samefile(right)
    except OSError:
        return False
