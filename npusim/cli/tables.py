"""Tables that fit: a narrow terminal loses whole columns, the least useful first, and never the unit of a number; a key
that is to be typed again is folded over lines, and never cut."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from npusim.text import printable

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

#: Columns of what goes to a pipe or a file, unless COLUMNS says otherwise.
PIPED = 100
#: The same where no line is to be folded, as programs search them.
WHOLE = 10_000
_GAP = 2
#: What the first column, the name, and others that fold are left with before columns go; and at the very least.
_LEAST_NAME, _LEAST_FOLDED, _LEAST = 32, 16, 4


@dataclass(frozen=True, slots=True)
class Column:
    """One column. ``rank`` says how soon it goes where there is no room: the highest first, 0 never. A text longer
    than ``most`` is folded over lines, and so is one that has no room where the column ``folds``."""

    title: str
    align: Literal["left", "right"] = "left"
    rank: int = 0
    most: int = 0
    folds: bool = False


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


def fitted(
    columns: Sequence[Column],
    rows: Sequence[Sequence[str | Text]],
    width: int,
    title: str = "",
    bold: Collection[int] = (),
) -> Table:
    """A table of at most ``width`` columns of characters; the first column is a name, and is clipped last of all unless
    it folds. The rows at the positions ``bold`` stand out."""
    from rich.table import Table
    from rich.text import Text

    cells = [[cell if isinstance(cell, Text) else Text(printable(cell)) for cell in row] for row in rows]
    natural = [max(len(c.title), *(len(row[i]) for row in cells), 0) for i, c in enumerate(columns)]
    whole = [min(size, c.most) if c.most else size for size, c in zip(natural, columns, strict=True)]
    kept = _kept(columns, whole, width)
    shown = _narrowed(columns, whole, kept, width)
    table = Table(
        title=title or None, title_justify="left", box=None, pad_edge=False, padding=(0, _GAP, 0, 0),
        header_style="dim",
    )  # fmt: skip
    for i in kept:
        column = columns[i]
        table.add_column(
            column.title, justify=column.align, no_wrap=not (column.most or column.folds), overflow="fold",
            width=shown[i],
        )  # fmt: skip
    for number, row in enumerate(cells):
        if not columns[0].folds and len(row[0]) > shown[0]:
            row[0] = Text(clipped(row[0].plain, shown[0]))
        table.add_row(*(row[i] for i in kept), style="bold" if number in bold else "")
    return table


def _kept(columns: Sequence[Column], whole: Sequence[int], width: int) -> list[int]:
    """The columns for which there is room when names are as narrow as they may be; the first is one of them."""

    def least(i: int) -> int:
        return min(whole[i], _LEAST_FOLDED if i and columns[i].folds else whole[i] if i else _LEAST_NAME)

    kept = list(range(len(columns)))
    while _line(kept, least) > width:
        last = max(kept[1:], key=lambda i: columns[i].rank, default=0)
        if not columns[last].rank:
            break
        kept.remove(last)
    return kept


def _narrowed(columns: Sequence[Column], whole: Sequence[int], kept: Sequence[int], width: int) -> list[int]:
    """Widths that fit: where there is no room, columns that fold are narrowed first, and then the name."""
    most = max(whole)
    limits = (
        *((most, folded) for folded in range(most, _LEAST_FOLDED, -1)),
        *((name, _LEAST_FOLDED) for name in range(most, _LEAST_NAME, -1)),
        *((name, min(name, _LEAST_FOLDED)) for name in range(_LEAST_NAME, _LEAST - 1, -1)),
    )
    for name, folded in limits:
        shown = [
            min(w, folded if i else name) if columns[i].folds or not i else w for i, w in enumerate(whole)
        ]
        if _line(kept, shown.__getitem__) <= width:
            break
    return shown


def _line(kept: Sequence[int], size: Callable[[int], int]) -> int:
    """Characters of a line of the columns ``kept``, each of its ``size``."""
    return sum(size(i) + _GAP for i in kept) - _GAP
