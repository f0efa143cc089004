"""The command that asks for a job, to be shown and pasted."""

from __future__ import annotations

import shlex
from collections.abc import Iterable


def command_line(command: str, options: Iterable[tuple[str, object]]) -> str:
    """The shell command that asks for the same run: options that are None or empty are left out."""
    words = ["npusim", command]
    for option, value in options:
        for each in value if isinstance(value, list) else [value]:
            if each is True:
                words.append(option)
            elif each not in (None, False):
                words += [option, str(each)]
    return shlex.join(words)
