"""The speed-ups that the XAMBA paper reports (arXiv 2502.06924), beside those that npusim simulates in its setting.

The setting is that of the authors' code (github.com/arghadippurdue/XAMBA, convert.py and benchmark.py): one layer of
Mamba-2 130M without LM head, 4 tokens padded to one chunk of 256, FP16, one inference at a time. The hardware file
states what is assumed of the software of the time, with its evidence; nothing is fitted to the figures.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from npusim import api
from npusim.source import NONE, rewritten

HARDWARE = "lunarlake-2025.yaml"
"""The silicon with the software of early 2025."""
LOOK_UP = "dpu.ppe.lut={functions: [swish, softplus]}"
"""The piecewise-linear unit of the paper, for the tables of ActiBA alone."""
PROMPTS = (1, 4, 16, 32, 64, 256)
"""Prompt lengths at which ActiBA is shown; the paper names none."""


@dataclass(frozen=True, slots=True)
class Claim:
    """One speed-up of the paper: of which rewrites, on what. ``found`` says that the prompt length is not the paper's,
    but one at which its figure is reached."""

    name: str
    passes: str
    speedup: float
    workload: str = "mamba2-130m"
    tokens: int = 4
    overrides: tuple[str, ...] = ()
    found: bool = False

    @property
    def setting(self) -> str:
        """What is simulated, for people."""
        padded = " padded to 256" if self.workload.startswith("mamba2") else ""
        tokens = f"{self.tokens} tokens{padded}" + (
            " (found; the paper names no length)" if self.found else ""
        )
        options = "".join(f" --set '{text}'" for text in self.overrides)
        return f"{self.workload}, 1 layer, {tokens}, FP16, no LM head, --hw {HARDWARE}{options}"


#: The figures and what each is of: evidence/xamba.md#2, from the abstracts of v1 to v4 and a summary of v3.
CLAIMS = (
    Claim("CumBA", "cumba", 2.7),
    Claim("ReduBA", "reduba", 1.2),
    Claim("CumBA + ReduBA", "cumba,reduba", 4.8),
    Claim("ActiBA", "actiba", 2.6, "mamba-130m", 32, (LOOK_UP,), found=True),
)


@dataclass(frozen=True, slots=True)
class Reproduced:
    """A claim and the latencies that npusim simulates without and with the rewrites, µs."""

    claim: Claim
    stock_us: float
    rewritten_us: float

    @property
    def speedup(self) -> float:
        """Stock over rewritten."""
        return self.stock_us / self.rewritten_us

    @property
    def error(self) -> float:
        """How far the speed-up is from the paper's, as a share of that."""
        return self.speedup / self.claim.speedup - 1


def reproduce(
    claims: Sequence[Claim] = CLAIMS,
    overrides: Sequence[str] = (),
    step: Callable[[str], None] = lambda text: None,
) -> list[Reproduced]:
    """Every claim simulated; ``overrides`` change the hardware for all of them, ``step`` is told what is under way."""
    known: dict[tuple[object, ...], float] = {}

    def latency(claim: Claim, passes: str) -> float:
        key = (claim.workload, claim.tokens, claim.overrides, passes)
        if key not in known:
            step(f"simulating {claim.workload} with {passes}")
            known[key] = latency_us(claim.workload, claim.tokens, passes, (*overrides, *claim.overrides))
        return known[key]

    return [Reproduced(claim, latency(claim, NONE), latency(claim, claim.passes)) for claim in claims]


def latency_us(workload: str, tokens: int, passes: str, overrides: Sequence[str]) -> float:
    """Latency of one layer without LM head after a pipeline of `xamba`, µs."""
    from npusim import workloads
    from npusim.graph import from_openvino

    hw = api.load_hardware(HARDWARE, overrides)
    model = workloads.build(workload, layers=1, tokens=tokens, lm_head=False)
    graph = from_openvino(rewritten(model, passes))
    return api.simulate(api.lower(graph, hw), hw).latency_us


def reproduction_document(found: Sequence[Reproduced]) -> dict[str, object]:
    """What ``npusim reproduce xamba --json`` prints."""
    return {
        "rows": [
            {
                "name": one.claim.name,
                "paper_speedup": one.claim.speedup,
                "simulated_speedup": round(one.speedup, 4),
                "setting": one.claim.setting,
            }
            for one in found
        ]
    }


@dataclass(frozen=True, slots=True)
class Alternative:
    """Other assumptions about the software of early 2025, as overrides, and why they could be made."""

    name: str
    overrides: tuple[str, ...]
    evidence: str


_ONE_SHAVE = (
    "software.single_tile_kernels=[softplus, rms, cumsum]",
    "software.unsplit_kernels=[erf, elu, softplus, rms, cumsum]",
)
_PRODUCTS = ("software.contract_multiply_reduce=false",)
#: Which assumptions the paper's figures bear out, and which not.
ALTERNATIVES = (
    Alternative("six tiles", ("tiles=6",), "the silicon has them; the compiler takes them only if told to"),
    Alternative(
        "sums of products at the rate of the table's vectorised kernels",
        ("shave.kernels.dot.per_cycle=24.7",),
        "24.7 FP16 terms a cycle, as the plain sums of `lunarlake.yaml`, and not a full vector of 32",
    ),
    Alternative(
        "sums of products on the DPU",
        ("software.contraction_engine=dpu",),
        "the compiler of 2026 contracts them",
    ),
    Alternative(
        "products with ones as they are written",
        ("software.contract_ones=false",),
        "the compiler of 2026 contracts a ReduceSum only",
    ),
    Alternative(
        "products in DDR",
        _PRODUCTS,
        "no public pass of the time avoids it; the compiler of 2026 does so on 3720",
    ),
    Alternative("CumSum on one SHAVE", _ONE_SHAVE, "the compiler of December 2024 does not cut it"),
    Alternative("products in DDR, CumSum on one SHAVE", (*_PRODUCTS, *_ONE_SHAVE), "both of the above"),
)
