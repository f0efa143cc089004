"""Axes: what a sweep varies, as text (``tiles=1,2,4``, ``ddr.bandwidth_gbps=34:136:8``) and as checked values."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from npusim.errors import UserError
from npusim.explore.fields import DIM_AXIS, MODEL_AXES, XAMBA_AXIS, number_field
from npusim.hardware.errors import shown
from npusim.hardware.nodes import Node, parse
from npusim.hardware.schema import Hardware
from npusim.source import MOST_DIMENSION, MOST_LAYERS, MOST_SEQUENCES, MOST_TOKENS, NONE, ModelSource

Value = int | float | str | bool

#: More values than this on one axis (every worker is told all of them) are a slip of the hand.
MOST_VALUES = 10_000
#: The largest that the model's axes may be.
_MOST = {"tokens": MOST_TOKENS, "batch": MOST_SEQUENCES, "layers": MOST_LAYERS, "chunk": MOST_TOKENS}
_LEAST_PARTS, _MOST_PARTS = 3, 4
#: A value of a range this near to a whole number (relative) is that number: ``128:2048:5:log`` gives 1024.
_WHOLE = 1e-9
#: The field of a model that is a way to do the same work.
_WAY = "chunk"
_OUTSIDE_BRACES = r"(?![^{]*})"


@dataclass(frozen=True, slots=True)
class Span:
    """A range of numbers: from ``start`` to ``stop``, both included, in ``count`` equal steps or equal ratios (log)."""

    start: float
    stop: float
    count: int
    log: bool

    def at(self, share: float) -> float:
        """The number at a share of the way, 0 to 1."""
        if share in (0.0, 1.0):
            return self.stop if share else self.start
        if self.log:
            return self.start * (self.stop / self.start) ** share
        return self.start + (self.stop - self.start) * share

    def values(self) -> list[float]:
        """All ``count`` numbers."""
        return [self.at(i / (self.count - 1)) if self.count > 1 else self.start for i in range(self.count)]


@dataclass(frozen=True, slots=True)
class Axis:
    """What varies, and its values in the order asked for.

    ``name`` is a path of the hardware (``ddr.bandwidth_gbps``), a field of the model (MODEL_AXES), a dynamic dimension
    of a model file (``dim.sequence``) or ``xamba``.
    ``span`` is the range it was given as, if it was; ``whole`` says that its values are whole numbers.
    """

    name: str
    values: tuple[Value, ...]
    span: Span | None = None
    whole: bool = False

    @property
    def numeric(self) -> bool:
        """Whether its values are numbers."""
        return all(isinstance(v, int | float) and not isinstance(v, bool) for v in self.values)

    @property
    def of_hardware(self) -> bool:
        """Whether it is a path of the hardware."""
        of_model = self.name in MODEL_AXES or self.name == XAMBA_AXIS or self.name.startswith(DIM_AXIS)
        return not of_model

    @property
    def of_work(self) -> bool:
        """Whether its values ask for different work: points that differ in it cannot take each other's place."""
        return (self.name in MODEL_AXES and self.name != _WAY) or self.name.startswith(DIM_AXIS)


@dataclass(frozen=True, slots=True)
class AxisText:
    """An axis as it was written, not yet checked: values or a range, and ``where`` that stands, for errors."""

    name: str
    values: tuple[Value, ...]
    span: Span | None
    where: str


def parse_axis(text: str, option: str = "--axis") -> AxisText:
    """``NAME=1,2,4``, ``NAME=START:STOP:COUNT`` or ``NAME=START:STOP:COUNT:log``. Raises UserError for other forms."""
    where = f"{option} {text}"
    name, equals, given = text.partition("=")
    if not equals or not name.strip() or not given.strip():
        raise UserError(f"{where}: must have the form NAME=1,2,4 or NAME=START:STOP:COUNT, as in tiles=1,2,4")
    return _read(name.strip(), given.strip(), where)


def axis_of(name: str, given: Value | Iterable[Value], where: str) -> AxisText:
    """An axis whose values are ``given`` as such: a list of them, one, or a text as after ``NAME=``.

    Raises UserError for a text of another form.
    """
    if isinstance(given, str):
        return _read(name, given.strip(), where)
    values: list[Value] = list(given) if isinstance(given, Iterable) else [given]
    if name == XAMBA_AXIS:
        values = [_pipelines(str(value), where, whole=True)[0] for value in values]
    return AxisText(name, tuple(values), None, where)


def parse_rewrites(texts: Sequence[str]) -> list[AxisText]:
    """The axis of ``--xamba none,cumba,cumba+reduba``, which may be repeated; none where nothing is given."""
    if not texts:
        return []
    values = [value for text in texts for value in _pipelines(text, f"--xamba {text}")]
    return [AxisText(XAMBA_AXIS, tuple(values), None, f"--xamba {','.join(texts)}")]


def read_axes(text: str, source: str) -> list[AxisText]:
    """The axes of a YAML file: a mapping of NAME to a list of values, one value, or a range as on the command line.

    Raises UserError that begins with ``source``, the line and the column of the mistake.
    """
    root = parse(text, source)
    if not isinstance(root.value, dict) or not root.value:
        raise UserError(f"{root.place}: a space is a mapping of axes, as in 'tiles: [1, 2, 4]'")
    return [_read_node(name, node) for name, node in root.value.items()]


def bind(
    texts: Sequence[AxisText], hw: Hardware, model: ModelSource, fixed: Mapping[str, str] | None = None
) -> tuple[Axis, ...]:
    """The axes, checked against the hardware and the model that they vary. ``fixed`` is what has been given one value,
    by the name of its axis, and where.

    Raises UserError for an axis given twice or fixed, an unknown name, a value out of range or of another kind, a
    fraction where a whole number belongs, and a shape of a model file.
    """
    axes: dict[str, Axis] = {}
    for text in texts:
        if text.name in axes:
            raise UserError(f"{text.where}: '{text.name}' is given twice")
        if fixed and text.name in fixed:
            raise UserError(f"{text.where} and {fixed[text.name]} contradict each other: leave one out")
        if not text.values and text.span is None:
            raise UserError(f"{text.where}: has no values")
        if len(text.values) > MOST_VALUES:
            raise UserError(f"{text.where}: {len(text.values):,} values, more than {MOST_VALUES:,}")
        axes[text.name] = _bound(text, hw, model)
    return tuple(axes.values())


# -- text -------------------------------------------------------------------------------------------------------


def _read(name: str, given: str, where: str) -> AxisText:
    if name == XAMBA_AXIS:
        return AxisText(name, tuple(_pipelines(given, where)), None, where)
    if ":" in given:
        return AxisText(name, (), _span(given, where), where)
    return AxisText(name, tuple(_scalar(part, where) for part in given.split(",")), None, where)


def _read_node(name: str, node: Node) -> AxisText:
    where = f"{node.place}: {name}"
    if isinstance(node.value, list):
        for item in node.value:
            if isinstance(item.value, dict | list) or item.value is None:
                raise UserError(
                    f"{item.place}: {name}: a value must be a number or a word (got {shown(item.plain())})"
                )
        return axis_of(name, [item.plain() for item in node.value], where)
    if isinstance(node.value, dict) or node.value is None:
        raise UserError(
            f"{where}: must be a list of values or a range START:STOP:COUNT (got {shown(node.plain())})"
        )
    return axis_of(name, node.value, where)


def _scalar(text: str, where: str) -> Value:
    value = parse(text.strip(), where, inline=True).plain()
    if value is None or isinstance(value, dict | list):
        raise UserError(f"{where}: a value is missing, or not a number or a word (got {shown(value)})")
    return value


def _pipelines(text: str, where: str, whole: bool = False) -> list[str]:
    """Pipelines of a list, in xamba's own writing (commas between rules). In a list those separate the points, and a
    + joins the rules of one pipeline; outside ``{options}`` both."""
    parts = [text] if whole else re.split("," + _OUTSIDE_BRACES, text)
    if not all(part.strip() for part in parts):
        raise UserError(f"{where}: a pipeline is missing between two commas; 'none' stands for no rewrite")
    return [re.sub(r"\s*[+,]\s*" + _OUTSIDE_BRACES, ",", part.strip()) for part in parts]


def _span(text: str, where: str) -> Span:
    parts = [part.strip() for part in text.split(":")]
    form = "a range is START:STOP:COUNT or START:STOP:COUNT:log, as in 34:136:8"
    if not _LEAST_PARTS <= len(parts) <= _MOST_PARTS or (len(parts) == _MOST_PARTS and parts[3] != "log"):
        raise UserError(f"{where}: {form}")
    try:
        start, stop, count = float(parts[0]), float(parts[1]), int(parts[2])
    except (ValueError, OverflowError):
        raise UserError(f"{where}: {form}") from None
    log = len(parts) == _MOST_PARTS
    if not (math.isfinite(start) and math.isfinite(stop)):
        raise UserError(f"{where}: both ends of a range must be finite")
    if not 1 <= count <= MOST_VALUES:
        raise UserError(f"{where}: COUNT must be 1 to {MOST_VALUES:,} (got {shown(count)})")
    if count > 1 and start == stop:
        raise UserError(f"{where}: the range is empty: both its ends are {start:g}")
    if count == 1 and start != stop:
        raise UserError(f"{where}: COUNT is 1, and the range has two ends: choose at least 2")
    if log and (start <= 0 or stop <= 0):
        raise UserError(f"{where}: both ends of a log range must be above 0")
    return Span(start, stop, count, log)


# -- values -----------------------------------------------------------------------------------------------------


def _bound(text: AxisText, hw: Hardware, model: ModelSource) -> Axis:
    if text.name == XAMBA_AXIS:
        return _distinct(text, [_pipeline(value, text.where) for value in text.values])
    if text.name in MODEL_AXES:
        return _distinct(text, _model_values(text, model), whole=text.name not in ("workload", "phase"))
    if text.name.startswith(DIM_AXIS):
        return _distinct(text, _sizes(text, model), whole=True)
    field = number_field(hw, text.name, text.where)
    return _distinct(
        text, [field.read(value, text.where) for value in _numbers(text, field.whole)], field.whole
    )


def _sizes(text: AxisText, model: ModelSource) -> list[Value]:
    """Sizes of a dynamic dimension of a model file."""
    if model.file is None:
        raise UserError(
            f"{text.where}: a workload is sized by tokens, batch, layers and chunk; dim. is for model files"
        )
    sizes = _numbers(text, whole=True)
    wrong = next((n for n in sizes if type(n) is not int or not 1 <= n <= MOST_DIMENSION), None)
    if wrong is not None:
        raise UserError(
            f"{text.where}: a dimension is a whole number from 1 to {MOST_DIMENSION:,} (got {shown(wrong)})"
        )
    return sizes


def _distinct(text: AxisText, values: Sequence[Value], whole: bool = False) -> Axis:
    seen: set[tuple[type, Value]] = set()
    for value in values:
        if (type(value), value) in seen:
            raise UserError(f"{text.where}: {shown(value)} is given twice")
        seen.add((type(value), value))
    return Axis(text.name, tuple(values), text.span, whole)


def _numbers(text: AxisText, whole: bool) -> list[Value]:
    """Listed values as they are; those of a range as numbers, whole ones where ``whole``."""
    if text.span is None:
        return list(text.values)
    numbers = text.span.values()
    if not whole:
        return list(numbers)
    rounded = [round(number) for number in numbers]
    for number, near in zip(numbers, rounded, strict=True):
        if abs(number - near) > _WHOLE * max(1.0, abs(number)):
            raise UserError(
                f"{text.where}: the range gives {number:g}, and {text.name} is a whole number: choose a COUNT that "
                "falls on whole numbers, or list the values"
            )
    return list(rounded)


def _model_values(text: AxisText, model: ModelSource) -> list[Value]:
    if model.file is not None:
        raise UserError(
            f"{text.where}: {text.name} can be chosen for a built-in workload only, not for {model.file}"
        )
    if text.name == "phase":
        words = ("prefill", "decode")
        wrong = next((value for value in text.values if value not in words), None)
        if text.span is not None or wrong is not None:
            got = "a range" if wrong is None else shown(wrong)
            raise UserError(f"{text.where}: phase is prefill or decode (got {got})")
        return list(text.values)
    if text.name == "workload":
        from npusim import workloads

        for value in text.values:
            try:
                workloads.describe(str(value))
            except workloads.UnknownWorkload as error:
                raise UserError(f"{text.where}: {error}") from None
        if text.span is not None:
            raise UserError(f"{text.where}: workload needs a list of names")
        return [str(value) for value in text.values]
    numbers = _numbers(text, whole=True)
    for number in numbers:
        if type(number) is not int or not 1 <= number <= _MOST[text.name]:
            raise UserError(
                f"{text.where}: {text.name} must be a whole number from 1 to {_MOST[text.name]:,} (got {shown(number)})"
            )
    return numbers


def _pipeline(value: Any, where: str) -> str:
    """A pipeline that `xamba` can read, ``none`` or ``auto``."""
    from npusim.explore.rewrites import AUTO
    from npusim.xamba.errors import PipelineError
    from npusim.xamba.pipeline import parse as parse_pipeline

    if value not in (NONE, AUTO):
        try:
            parse_pipeline(str(value))
        except PipelineError as error:
            raise UserError(f"{where}: {error}") from None
    return str(value)
