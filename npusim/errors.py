"""The exceptions that the command line turns into a one-line message."""

from __future__ import annotations

from npusim.text import one_line


class UserError(Exception):
    """A mistake of the user's, told in one line that any terminal can show; the command line exits with 2."""

    def __init__(self, message: str) -> None:
        """``message`` may hold what a stranger wrote, lines and control characters included."""
        super().__init__(one_line(message))


class BrokenLaw(AssertionError):
    """A law that holds of every lowering does not: a bug of npusim, told in one line; the command line exits with 1."""
