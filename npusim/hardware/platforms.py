"""Which hardware file stands for a platform: the one that says so itself, by its ``platform`` and ``role``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path

from npusim.hardware.errors import HardwareError
from npusim.hardware.files import shipped
from npusim.hardware.load import load_hardware
from npusim.hardware.schema import Hardware, Role


def file_of(platform: str, *roles: Role) -> str:
    """The hardware file of a platform with the first of these roles that one has: a shipped one, else one of the
    current folder. Raises HardwareError where there is none."""
    for files in (_shipped, _of_folder):
        found = files()
        for role in roles:
            if (platform, role) in found:
                return found[platform, role]
    raise HardwareError(
        f"no hardware file for platform {platform}; known are {', '.join(sorted(files_of(*roles)))}, and what a YAML "
        f'file of the current folder declares (platform: "{platform}", role: {roles[0]})'
    )


def files_of(*roles: Role) -> dict[str, str]:
    """The shipped files with one of these roles, by platform; of several, the first role's."""
    files = _shipped()
    return {
        platform: files[platform, role] for role in reversed(roles) for platform, own in files if own == role
    }


def names_of(platform: str) -> list[str]:
    """What the NPUs of a platform are called, and those of other machines that are not named after one of them."""
    mine = [hw for hw in _loaded() if hw.platform == platform]
    found = [hw.name for role in ("silicon", "machine") for hw in mine if hw.role == role]
    return [name for name in found if not any(name.startswith(f"{other},") for other in found)]


@cache
def _shipped() -> Mapping[tuple[str, Role], str]:
    return {(hw.platform, hw.role): name for name, hw in _declared(reversed(shipped()))}


@cache
def _loaded() -> tuple[Hardware, ...]:
    return tuple(map(load_hardware, shipped()))


def _of_folder() -> Mapping[tuple[str, Role], str]:
    files = sorted(Path.cwd().glob("*.yaml"), reverse=True)
    return _of_files(tuple((str(path), path.stat().st_mtime_ns) for path in files if path.is_file()))


@cache
def _of_files(files: tuple[tuple[str, int], ...]) -> Mapping[tuple[str, Role], str]:
    """Of files as they were at some times."""
    return {(hw.platform, hw.role): name for name, hw in _declared(name for name, _ in files)}


def _declared(files: Iterable[str]) -> Iterator[tuple[str, Hardware]]:
    """Those of some YAML files that are hardware files."""
    for name in files:
        try:
            yield name, load_hardware(name)
        except HardwareError:
            continue
