"""The machine that a command is about; what is doubtful of its --set is said on standard error."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from npusim.jobs.machine import Machine


def machine_with_warnings(hw: str, overrides: Sequence[str] | None) -> Machine:
    """The machine. Raises UserError for a file or a value that cannot be."""
    from npusim.jobs.machine import machine_of

    machine = machine_of(hw, overrides or ())
    for doubt in machine.doubts:
        print(f"warning: {doubt}", file=sys.stderr)
    return machine
