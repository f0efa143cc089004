"""Hardware back to text: the resolved file, and the schema."""

from __future__ import annotations

from typing import Any

import yaml

from npusim.hardware.schema import Hardware


def dump(hardware: Hardware) -> str:
    """YAML of the whole hardware, parents and overrides resolved; loading it gives ``hardware`` again."""
    return yaml.safe_dump(
        tidy(hardware.model_dump(mode="json")),
        sort_keys=False,
        default_flow_style=None,
        width=110,
        allow_unicode=True,
    )


def json_schema() -> dict[str, Any]:
    """JSON schema of a hardware file, for editors and for the documentation."""
    schema = Hardware.model_json_schema()
    schema["properties"]["extends"] = {
        "type": "string",
        "description": "Another hardware file (beside this one, or shipped) that this one is merged over.",
    }
    return schema


def editor_schema() -> dict[str, Any]:
    """JSON schema for an editor that completes and checks a file while it is written: nothing is required, as a file
    may extend another one, and a section may be null, as it is where it is begun."""
    schema = json_schema()
    for part in (schema, *schema["$defs"].values()):
        part.pop("required", None)
    return schema


def tidy(value: Any) -> Any:
    """Whole numbers without ``.0``, so that they read as they were written."""
    if isinstance(value, dict):
        return {key: tidy(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [tidy(entry) for entry in value]
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return int(value)
    return value
