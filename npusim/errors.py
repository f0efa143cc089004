"""The one exception that the command line turns into a one-line message."""

from __future__ import annotations


class UserError(Exception):
    """A mistake of the user's, told in one line; the command line exits with 2."""
