"""Names of a model's ops: which repeated block of the network an op belongs to."""

from __future__ import annotations

import re

_LAYER = re.compile(r"(?:layers?|blocks?|h|b|stages?)[./](\d+)(?=[./_]|$)")


def layer_of(name: str) -> str:
    """The repeated block of the network that an op is named after (``layers.3``); empty where there is none."""
    match = _LAYER.search(name)
    return match[0].replace("/", ".") if match else ""
