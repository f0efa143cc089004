"""Into how many calls OpenVINO's pipeline cuts a static graph: asked of OpenVINO itself.

The plugin for NPUs cuts a graph before it compiles any part, and writes the plan to a file when told to. So the plan
can be had without an NPU: compiling ends where no device is found. Where there is no such plugin, the rules of
`npusim.llm.runtime` stand in.
"""

from __future__ import annotations

import re
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

from npusim.llm.static import head_of

#: What the pipeline sets for each of its networks, and that the plan is to be written.
_SETTINGS = {
    "NPU_USE_NPUW": "YES", "NPUW_DEVICES": "NPU", "NPUW_FOLD": "YES", "NPUW_FUNCALL_FOR_ALL": "YES",
    "NPUW_FUNCALL_ASYNC": "YES",
}  # fmt: skip
_GROUP = re.compile(r"<group\b")


def groups(model: Any) -> int | None:
    """Calls that one pass through the layers of a static ``openvino.Model`` is cut into, without the head, which is a
    network of its own; None where OpenVINO does not tell."""
    import openvino as ov

    body = _without_head(model)
    with tempfile.TemporaryDirectory() as folder:
        plan = Path(folder, "plan.xml")
        with suppress(RuntimeError):  # no device, or no plugin: the plan is there or not
            ov.Core().compile_model(body, "NPU", _SETTINGS | {"NPUW_ONLINE_DUMP_PLAN": str(plan)})
        found = len(_GROUP.findall(plan.read_text(encoding="utf-8"))) if plan.is_file() else 0
    return found or None


def _without_head(model: Any) -> Any:
    """A copy that ends with the hidden states that make the logits."""
    made = model.clone()
    head = head_of(made)
    if head is not None:
        logits = next(one for one in made.outputs if "logits" in one.get_names())
        logits.get_node().input(0).replace_source_output(head.input_value(0))
        made.validate_nodes_and_infer_types()
    return made
