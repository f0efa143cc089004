"""A self-contained HTML page from a description of its tabs and blocks: everything inlined, nothing loaded.

A page is ``{"tabs": [{"id", "title", "blocks": [...]}], "tables": {...}}``. A block has a ``kind`` (``cards``,
``split``, ``facts``, ``command``, ``notes``, ``plot``, ``table``, ``breakdown``, ``timeline``, ``graph``: each one
function in ``assets/``), and may have a ``title``, a ``lead`` sentence and a ``width`` (``half``, ``third``,
``two-thirds``). Texts are shown as text; only strings inside a ``plot`` block reach Plotly as they are, and go through
plot_text first.
"""

from __future__ import annotations

import base64
import html
import json
import re
import zlib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
import numpy.typing as npt

from npusim import __version__
from npusim.text import printable

_SCRIPTS = (
    "core.js",
    "blocks.js",
    "plotkeys.js",
    "plots.js",
    "table.js",
    "breakdown.js",
    "parallel.js",
    "explore.js",
    "lanes.js",
    "decisions.js",
    "timeline.js",
    "layered.js",
    "graph.js",
    "app.js",
)
_SLOT = re.compile("@@([A-Z]+)@@")


def render(title: str, subtitle: str, page: Mapping[str, Any]) -> str:
    """The HTML text of a page."""
    parts = {
        "TITLE": html.escape(printable(title)),
        "SUBTITLE": html.escape(printable(subtitle)),
        "GENERATOR": f"npusim {__version__}",
        "CSS": _asset("page.css"),
        "PAYLOAD": embedded_json(page),
        "PLOTLY": _plotly_js(),
        "JS": "\n".join(map(_asset, _SCRIPTS)),
    }
    return _SLOT.sub(lambda slot: parts[slot[1]], _asset("page.html"))


def embedded_json(value: object) -> str:
    """JSON that can stand inside a script element: no ``<`` in it ends the element or opens a comment."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    # Lone surrogates, which JSON allows and UTF-8 does not, can only come from names.
    return text.replace("<", "\\u003c").encode("utf-8", "replace").decode("utf-8")


def plot_text(text: str) -> str:
    """Text for Plotly, which reads a subset of HTML, and TeX between dollars."""
    return html.escape(printable(text), quote=False).replace("$", "&#36;")


def column(values: npt.NDArray[Any], kind: str) -> dict[str, str]:
    """A numeric column of little-endian ``kind`` (``f8``, ``f4``, ``i4``, ``u4``, ``u2``, ``u1``), packed as base64.

    What is packed are the differences of one value's bits to the next one's, all first bytes before all second ones:
    a million tasks of many like layers are a megabyte. core.js unpacks them.
    """
    bits = np.ascontiguousarray(values, dtype=np.dtype("<" + kind)).view("<u" + kind[1])
    steps = np.diff(bits, prepend=bits.dtype.type(0))
    planes = np.ascontiguousarray(steps.view(np.uint8).reshape(len(bits), bits.itemsize).T)
    return {"type": kind, "data": _squeezed(planes.tobytes())}


def packed(value: object) -> dict[str, str]:
    """A value as compressed JSON, for what is shown only when it is asked for; core.js unpacks it."""
    text = json.dumps(value, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    return {"type": "json", "data": _squeezed(text.encode("ascii"))}


def _squeezed(raw: bytes) -> str:
    return base64.b64encode(zlib.compress(raw, 9)).decode("ascii")


@cache
def _asset(name: str) -> str:
    return (files("npusim.report") / "assets" / name).read_text(encoding="utf-8")


@cache
def _plotly_js() -> str:
    return (files("plotly") / "package_data" / "plotly.min.js").read_text(encoding="utf-8")
