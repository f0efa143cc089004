"""docs/xamba.md: how far the XAMBA paper is reproduced, and what its rewrites are worth on today's software."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from npusim.hardware import load_hardware
from npusim.validation.paper.speedups import ALTERNATIVES, CLAIMS, HARDWARE, PROMPTS, Reproduced, reproduce
from npusim.validation.paper.tokens import MACHINES, PROMPT, SHOWN, LayerSpeed, Speed, speeds
from npusim.validation.schedules.cumba_ratio import CumbaRatio, cumba_pairs, cumba_ratios
from npusim.validation.schedules.references import open_reference

_INTRODUCTION = f"""\
[XAMBA](https://arxiv.org/abs/2502.06924) (Das, Raha, Kundu, Ghosh, Mathaikutty, Raghunathan, 2025) rewrites
Mamba and Mamba-2 for the NPU of Core Ultra Series 2: CumSum as a MatMul with a triangle of ones (CumBA),
ReduceSum as one with a vector of ones (ReduBA), Swish and Softplus as straight lines that the drain path looks
up (ActiBA). `xamba/` has these rewrites, and two that go further: broadcast products that are summed become
MatMuls of their factors (`contract`), and segment sums become differences of one prefix sum (`segsum`).

## The paper's speed-ups

In the setting of the authors' released code: one layer of Mamba-2 130M without LM head, 4 tokens that the model
pads to one chunk of 256, FP16, one inference at a time. The hardware file is `{HARDWARE}`: Lunar Lake with the
software of early 2025. No figure of it is fitted to the paper's."""

_COMPOSITION = """\
The paper's three figures fit savings that add up: 1 - (1 - 1/2.7) - (1 - 1/1.2) = 0.204, and 1 / 0.204 is 4.9.
They say that CumSum took about 63 % of the stock layer, sums of products 17 % and everything else 20 %; here it
is {cumsum:.0f} %, {sums:.0f} % and {rest:.0f} %."""

_ASSUMPTIONS = f"""\
## What it rests on

The compiler of the time can't be run any more. `hwconfigs/{HARDWARE}` numbers every assumption and gives its
source; in short:

- **CumSum is scalar code, shared by all SHAVEs.** Intel's table of its kernels (npu-nn-cost-model) has 24.8 ns
  an element for it, 130 times that of Swish. The compiler of December 2024 does not list it among the kernels
  that it cuts; the one of 2026 cuts it over tiles and SHAVEs in all public schedules, and on one SHAVE CumBA
  alone would gain far more than 2.7x.
- **Broadcast products were summed on SHAVE, without being written to memory**, one vector of 32 products a
  cycle, the most that a SHAVE can do. That they were not made into MatMuls is known: that pass
  (`fuse_ops_to_matmul`) entered the public compiler in 2026. That the 806 MB of products did not pass through
  DDR follows from the paper's figures, as the table below shows; the rate is the width of the vector unit, and
  no measurement.
- **A product with ones takes in the Multiply before it.** Without that ReduBA makes a product of 403 MB, and no
  4.8x is left. Whether the compiler did so or the authors' own rewrite is not known: what they released has no
  ReduBA in its prefill path.
- **Four tiles.** Under the hint "latency", which the authors' benchmark gives, the compiler takes four of Lunar
  Lake's six unless told otherwise (`performance-hint-override`, default "efficiency").
- **Softplus runs on one SHAVE**, as the compiler of December 2024 leaves it, in scalar code, 19.5 ns an element
  (the same table). ActiBA's unit is in no public compiler for this NPU: it is switched on with `--set`.

What other assumptions give for CumBA, ReduBA and both:"""

_FOLLOWS = """\
Since then Intel's compiler has taken up both ideas: it contracts broadcast products of which each factor lacks one
axis, if there are as many of them as tiles, and has a pass that makes MatMuls with triangles of CumSums of up to 256
elements (`convert-cumsum-to-matmul`, off unless asked for)."""

_ACTIBA = """\
## ActiBA

The paper says "up to 2.6x" and names no model or prompt. Mamba has no CumSum, and Softplus over its wide inner
state is what grows with the prompt, so the gain depends on how many tokens are taken in at once. One layer of
Mamba 130M, as above:"""

_FOUND = CLAIMS[-1].tokens
_ACTIBA_AFTER = f"""\
2.6x is reached at about {_FOUND} tokens. At the 4 tokens of the authors' Mamba-2 script it falls short: weights and
the recurrence, which ActiBA leaves as they are, take more than half of the layer. Longer prompts change little: the
recurrence grows as fast as Softplus, which is taken to run on one SHAVE."""

_RATIO = """\
## Against the vendor's schedules

The packaged reference holds what the compiler of OpenVINO 2026.4.1 makes of the stock model and of its CumBA
form. Its estimator charges nothing for CumSum on 3720 and 4000, so CumBA costs a few percent there; 5010
charges it. Latency with CumBA over latency without, by the vendor's schedules and by npusim with the
estimator's constants (`*-vpunn.yaml`):"""

_DECODE = """\
## Decode

Tokens per second of the whole model, one sequence, FP16, without what an inference costs on the host, with the
software of 2026: as the model is, with the fastest of all fixed pipelines of exact rewrites, and with `auto`. A
decode step reads every weight once, so it is bound by memory; there is one sum of products left to rewrite in a
layer."""

_PREFILL = f"""\
## Prefill

Tokens per second of the whole model over a prompt of {PROMPT} tokens, in the same way. `auto` chooses op by op,
fixed pipelines rewrite all that they can."""

_AUTO = """\
In all {count} rows of both tables `auto` is at least as fast as the model as it is and as every fixed pipeline that
was simulated on the whole model; it is faster than the best of them in {faster}."""

_LAYER = f"""\
## One layer

One layer over {PROMPT} tokens on `{MACHINES[0]}`, µs. Today's compiler contracts most of its broadcast products by
itself; ReduBA takes that from it, as it matches a ReduceSum only, and then the product is made. Mamba has no sums to
rewrite there: its layers run token by token."""


def xamba_page(
    found: Sequence[Reproduced],
    command: str,
    workers: int | None = None,
    step: Callable[[str], None] = lambda text: None,
) -> str:
    """The page as Markdown; ``command`` is what writes it again, ``step`` is told what is under way."""
    prompts = [replace(CLAIMS[-1], tokens=tokens, found=False) for tokens in PROMPTS]
    step("ActiBA")
    by_prompt = reproduce(prompts)
    others = []
    for one in ALTERNATIVES:
        step(one.name)
        others.append((one, reproduce(CLAIMS[:3], one.overrides)))
    step("the vendor's schedules")
    reference = open_reference(sets=["vendor_schedules"])
    ratios = cumba_ratios(reference, cumba_pairs(reference), workers)
    whole, layers = speeds(workers, lambda done, all: step(f"decode and prefill: {done} of {all} models"))
    parts = [
        "# XAMBA, reproduced and taken further",
        f"Written by `{command}`: every number below comes from that run.",
        _INTRODUCTION,
        _table(
            ("rewrite", "model", "stock µs", "rewritten µs", "simulated", "paper", "difference"),
            [(one.claim.name, _model(one), f"{one.stock_us:,.0f}", f"{one.rewritten_us:,.0f}", f"{one.speedup:.2f}x",
              f"{one.claim.speedup:.1f}x", f"{one.error:+.0%}") for one in found],
            left=2,
        ),
        _COMPOSITION.format(**_shares(found)),
        _ASSUMPTIONS,
        _table(
            ("assumption", "why it could be", "CumBA", "ReduBA", "both", "stock µs"),
            [
                *(("paper", "", *(f"**{claim.speedup:.1f}x**" for claim in CLAIMS[:3]), ""),),
                (f"`{HARDWARE}`", "above", *_speedups(found[:3])),
                *((one.name, one.evidence, *_speedups(made)) for one, made in others),
            ],
            left=2,
        ),
        _FOLLOWS,
        _ACTIBA,
        _table(
            ("tokens", "stock µs", "rewritten µs", "speed-up"),
            [(str(one.claim.tokens), f"{one.stock_us:,.0f}", f"{one.rewritten_us:,.0f}", f"{one.speedup:.2f}x")
             for one in by_prompt],
        ),
        _ACTIBA_AFTER,
        _RATIO,
        _ratios(ratios),
        _DECODE,
        _rates([one for one in whole if one.phase == "decode"], 1),
        _PREFILL,
        _rates([one for one in whole if one.phase == "prefill"], PROMPT),
        _auto(whole),
        _LAYER,
        _layers(layers),
    ]  # fmt: skip
    return "\n\n".join(parts) + "\n"


def _model(one: Reproduced) -> str:
    return f"{one.claim.workload}, {one.claim.tokens} tokens"


def _speedups(made: Sequence[Reproduced]) -> list[str]:
    return [*(f"{one.speedup:.2f}x" for one in made), f"{made[0].stock_us:,.0f}"]


def _shares(found: Sequence[Reproduced]) -> dict[str, float]:
    """What CumBA and ReduBA save of the stock latency, and what both leave."""
    cumba, reduba, both = (one.rewritten_us / one.stock_us for one in found[:3])
    return {"cumsum": 100 * (1 - cumba), "sums": 100 * (1 - reduba), "rest": 100 * both}


def _ratios(ratios: Sequence[CumbaRatio]) -> str:
    return _table(
        ("case", "platform", "tiles", "vendor", "npusim", "difference"),
        [(f"`{one.cumba.case}`", one.cumba.platform, str(one.cumba.tiles), f"{one.vendor:.3f}", f"{one.predicted:.3f}",
          f"{one.error:+.1%}") for one in ratios],
        left=1,
    )  # fmt: skip


def _rates(found: Sequence[Speed], tokens: int) -> str:
    """Tokens per second by model and machine."""
    by_model: dict[str, list[Speed]] = {}
    for one in found:
        by_model.setdefault(one.workload, []).append(one)
    header = ["model"]
    for machine in dict.fromkeys(one.machine for one in found):
        header += [_name(machine), "fixed", "by", "`auto`"]
    rows = []
    for model, machines in by_model.items():
        cells = [model]
        for one in machines:
            stock, fixed, auto = (
                f"{tokens * 1e6 / us:,.1f}" for us in (one.stock_us, one.fixed_us, one.auto_us)
            )
            cells += [stock, fixed, one.fixed, auto]
        rows.append(cells)
    return _table(header, rows, left=1)


def _auto(found: Sequence[Speed]) -> str:
    """What the tables say of ``auto``; its rows would say otherwise if a fixed pipeline were faster."""
    slower = [one for one in found if one.auto_us > min(one.fixed_us, one.stock_us)]
    if slower:
        names = ", ".join(f"{one.workload} {one.phase} on {_name(one.machine)}" for one in slower)
        return f"`auto` is slower than a fixed pipeline in {len(slower)} of {len(found)} rows: {names}."
    faster = sum(one.auto_us < min(one.fixed_us, one.stock_us) for one in found)
    return _AUTO.format(count=len(found), faster=faster)


def _layers(found: Sequence[LayerSpeed]) -> str:
    header = ("model", "stock", *(f"`{passes}`" for passes in SHOWN[1:]), "best gain")
    rows = [
        (one.workload, *(f"{one.latency_us[passes]:,.0f}" for passes in SHOWN), f"{one.gain:.2f}x")
        for one in found
    ]
    return _table(header, rows, left=1)


def _name(machine: str) -> str:
    return load_hardware(machine).name.removesuffix(" NPU")


def _table(header: Sequence[str], rows: Iterable[Sequence[str]], left: int = 0) -> str:
    """A table whose first ``left`` columns are aligned left, the others right."""
    rule = ["---" if number < left else "---:" for number in range(len(header))]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (header, rule, *rows))
