"""Numbers with units, for people."""

from __future__ import annotations

_COUNTS = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
_TIMES = ((1e6, "s"), (1e3, "ms"), (1.0, "µs"))


def time_unit(us: float) -> tuple[float, str]:
    """The unit for an axis up to ``us`` microseconds, and how many microseconds it has."""
    return next((unit for unit in _TIMES if us >= 2 * unit[0]), _TIMES[-1])


def time_text(us: float) -> str:
    """A time of ``us`` microseconds with three to four digits: ``7.03 µs``, ``12.4 ms``, ``1.25 s``."""
    return _scaled(us, _TIMES)


def times_text(low_us: float, high_us: float) -> str:
    """A band of times with two digits each, in the unit of the upper: ``74–170 ms``."""
    scale, unit = next((each for each in _TIMES if high_us >= each[0]), _TIMES[-1])
    low, high = (f"{float(f'{us / scale:.2g}'):g}" for us in (low_us, high_us))
    return f"{low}–{high} {unit}"


def energy_text(uj: float) -> str:
    """An energy of ``uj`` microjoules."""
    return _scaled(uj, ((1e6, "J"), (1e3, "mJ"), (1.0, "µJ")))


def bytes_text(count: float) -> str:
    """A number of bytes in binary units."""
    if count < 1024:
        return f"{count:.0f} B"
    return _scaled(count, ((2.0**30, "GiB"), (2.0**20, "MiB"), (2.0**10, "KiB")))


def _scaled(value: float, units: tuple[tuple[float, str], ...]) -> str:
    scale, unit = next((each for each in units if abs(value) >= each[0]), units[-1])
    scaled = value / scale
    digits = 0 if abs(scaled) >= 1000 else 1 if abs(scaled) >= 100 else 2
    return f"{scaled:,.{digits}f} {unit}"


def count_text(count: float, unit: str = "") -> str:
    """A large number with three digits and a decimal prefix: ``129 M``, ``33.0 GMAC``."""
    scale, prefix = next((each for each in _COUNTS if count >= each[0]), (1.0, ""))
    digits = f"{count / scale:#.3g}".rstrip(".") if prefix else f"{count:.0f}"
    return f"{digits} {prefix}{unit}".strip()
