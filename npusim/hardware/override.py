"""``--set a.b.c=value``: replacing single values of a hardware file from the command line."""

from __future__ import annotations

from collections.abc import Sequence

from npusim.hardware.errors import HardwareError
from npusim.hardware.nodes import Node, parse


def apply(tree: Node, overrides: Sequence[str]) -> Node:
    """``tree`` with each ``path=value`` set in turn; the value is YAML and replaces what was there.

    ``clocks.dpu_mhz=1700``, ``software.fused_activations=[Relu]``, ``dpu.ppe.lut={functions: [swish]}``.
    Whether the path exists is the schema's business. Raises HardwareError for one that cannot be followed.
    """
    for text in overrides:
        tree = _set(tree, text)
    return tree


def _set(tree: Node, text: str) -> Node:
    where = f"--set {text}"
    path, equals, value_text = text.partition("=")
    keys = [key.strip() for key in path.split(".")]
    if not equals or not all(keys):
        raise HardwareError(f"{where}: must have the form section.key=value, as in clocks.dpu_mhz=1700")
    if keys[0] == "extends":
        raise HardwareError(f"{where}: 'extends' cannot be set; name the file that you mean")
    return _replaced(tree, keys, 0, parse(value_text, where, inline=True))


def _replaced(node: Node, keys: Sequence[str], depth: int, value: Node) -> Node:
    if depth == len(keys):
        return value
    if isinstance(node.value, dict):
        entries = dict(node.value)
    elif node.value is None:
        entries = {}
    else:
        parent = ".".join(keys[:depth])
        what = "a list, to be set as a whole" if isinstance(node.value, list) else "a single value"
        raise HardwareError(f"{value.place}: {parent} is {what}; it has no '{keys[depth]}'")
    key = keys[depth]
    entries[key] = _replaced(entries.get(key, Node(None, value.place)), keys, depth + 1, value)
    place = value.place if node.value is None else node.place
    return Node(entries, place, node.replace)
