"""npusim: how long will this model take on this NPU, what holds it back, and what would change that?

The public names are loaded on first use, so that ``import npusim`` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from npusim.api import Result, build_workload, load_hardware, load_model, lower, simulate
    from npusim.errors import UserError
    from npusim.jobs.public import (
        advise,
        compare,
        optimize,
        run,
        sensitivity,
        sweep,
        transform,
        validate,
        verify,
    )
    from npusim.jobs.saved import load
    from npusim.jobs.scenario import scenario
    from npusim.llm.static import make_static
    from npusim.report import write_report

__version__ = "0.1.0"

__all__ = [
    "Result",
    "UserError",
    "advise",
    "build_workload",
    "compare",
    "load",
    "load_hardware",
    "load_model",
    "lower",
    "make_static",
    "optimize",
    "run",
    "scenario",
    "sensitivity",
    "simulate",
    "sweep",
    "transform",
    "validate",
    "verify",
    "write_report",
]

_JOBS = ("advise", "compare", "optimize", "run", "sensitivity", "sweep", "transform", "validate", "verify")
_HOME = {
    "UserError": "npusim.errors",
    "load": "npusim.jobs.saved",
    "make_static": "npusim.llm.static",
    "scenario": "npusim.jobs.scenario",
    "write_report": "npusim.report",
    **dict.fromkeys(_JOBS, "npusim.jobs.public"),
}


def __getattr__(name: str) -> object:
    """Load a public name when it is first asked for (PEP 562)."""
    if name in __all__:
        return getattr(import_module(_HOME.get(name, "npusim.api")), name)
    raise AttributeError(f"module 'npusim' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
