"""Tables that fit: a narrow terminal loses whole columns, the least useful first, and never the unit of a number."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from npusim.text import printable

if TYPE_CHECKING:
    from rich.table import Table

#: Columns of what goes to a pipe or a file, unless COLUMNS says otherwise.
PIPED = 100
_GAP = 2
#: What the first column, the name, is never narrower than.
_LEAST_NAME = 32


@dataclass(frozen=True, slots=True)
class Column:
    """One column. ``rank`` says how soon it goes where there is no room: the highest first, 0 never. A text longer
    than ``most`` is folded over lines."""

    title: str
    align: Literal["left", "right"] = "left"
    rank: int = 0
    most: int = 0


def width_of_output(piped: int = PIPED) -> int:
    """Columns of the terminal; of anything else COLUMNS, or ``piped``."""
    if not sys.stdout.isatty():
        given = os.environ.get("COLUMNS", "")
        return int(given) if given.isdecimal() and int(given) > 0 else piped
    return shutil.get_terminal_size((PIPED, 25)).columns


def clipped(text: str, width: int) -> str:
    """``text`` in ``width`` characters: what is too much is taken from the middle, as names differ at their ends."""
    if len(text) <= width:
        return text
    tail = (width - 1) * 2 // 3
    return f"{text[: width - 1 - tail]}…{text[len(text) - tail :]}" if width > 3 else text[:width]


def folded(parts: Sequence[str], width: int, label: str = "", between: str = " · ") -> str:
    """``parts`` in one text behind a label; a line ends between parts, and the next begins below the first."""
    lines, indent = [label + parts[0]], " " * len(label)
    for part in parts[1:]:
        if len(lines[-1]) + len(between) + len(part) <= width:
            lines[-1] += between + part
        else:
            lines[-1] += between.strip(" ·")
            lines.append(indent + part)
    return "\n".join(lines)


def fitted(columns: Sequence[Column], rows: Sequence[Sequence[str]], width: int) -> Table:
    """A table of at most ``width`` columns of characters; the first column is a name and is clipped last of all."""
    from rich.table import Table
    from rich.text import Text

    texts = [[printable(cell) for cell in row] for row in rows]
    natural = [
        max(len(cell) for cell in (c.title, *(row[i] for row in texts))) for i, c in enumerate(columns)
    ]
    shown = [min(size, c.most) if c.most else size for size, c in zip(natural, columns, strict=True)]
    kept = list(range(len(columns)))
    while _room(kept, shown, width) < min(_LEAST_NAME, shown[0]):
        last = max(kept[1:], key=lambda i: columns[i].rank, default=0)
        if not columns[last].rank:
            break
        kept.remove(last)
    name_width = max(4, min(shown[0], _room(kept, shown, width)))
    table = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), header_style="dim")
    for i in kept:
        table.add_column(
            columns[i].title, justify=columns[i].align, no_wrap=not columns[i].most, overflow="fold",
            width=name_width if i == 0 else shown[i],
        )  # fmt: skip
    for row in texts:
        table.add_row(*(Text(clipped(row[i], name_width) if i == 0 else row[i]) for i in kept))
    return table


def _room(kept: Sequence[int], shown: Sequence[int], width: int) -> int:
    """What is left for the first column beside the others that are kept."""
    return width - sum(shown[i] + _GAP for i in kept[1:]) - _GAP
