"""What the systems beside XAMBA ask, answered here: python docs/whatif.py writes docs/whatif.md.

A row a system: its mechanism, the command, npusim's figure (computed now), the published one, and why they may differ.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import npusim
from npusim import xamba
from npusim.graph.load import graph_of
from npusim.source import ModelSource

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "whatif.md"
_HW, _TABLES = "lunarlake.yaml", "whatif/pantherlake-tables.yaml"
_MRAM, _SPARSE = "whatif/lunarlake-mram.yaml", "whatif/lunarlake-sparse-activations.yaml"
_SPIKING, _STOCHASTIC = "whatif/lunarlake-spiking.yaml", "whatif/lunarlake-stochastic.yaml"
_BOOLEAN = "whatif/lunarlake-boolean.yaml"
_HEAD = """# What if: the questions of XAMBA's neighbours

Written by `python docs/whatif.py`: every figure of npusim's below comes from that run. The commands give them one by
one; what is published was measured by others on other machines, with trained models. Weights here are random: figures
are times and bytes, never accuracy.

| system | what it does | command | npusim | published | why they may differ |
| --- | --- | --- | --- | --- | --- |
"""


@dataclass(frozen=True)
class Question:
    """One system. ``answer`` computes npusim's figure; without it the question has no answer here yet."""

    system: str
    does: str
    command: str
    published: str
    differs: str
    answer: Callable[[], str] | None = None


def scenario(name: str) -> Any:
    """An example's answer."""
    return npusim.scenario(ROOT / "examples" / "scenarios" / f"{name}.yaml")


def simulated(model: Any, file: str = _HW) -> npusim.Result:
    """An openvino.Model on a machine."""
    hw = npusim.load_hardware(file)
    return npusim.simulate(npusim.lower(graph_of(model, "model", "model"), hw), hw, "fast")


def latency_us(model: Any, file: str = _HW) -> float:
    """Of an openvino.Model, in the NPU."""
    return simulated(model, file).latency_us


def gain(workload: str, passes: str) -> str:
    """How many times as fast a workload is after a pipeline."""
    model, _ = ModelSource(workload).read()
    before, after = latency_us(model), latency_us(xamba.apply(model, passes)[0])
    return f"{before / after:.2f} × ({before:,.0f} → {after:,.0f} µs in the NPU)"


def tables() -> str:
    """Bytes of tables, and what they would gain where the hardware looks weights up."""
    passes = "quantize{weights=3bit-table,sparse=0.0045}"
    model, _ = ModelSource("mlp-4x2048").read()
    before, after = (latency_us(m, _TABLES) for m in (model, xamba.apply(model, passes)[0]))
    return (
        f"{stored(passes)}; {before / after:.2f} × on the hypothetical `{_TABLES}` (what is stored apart is not "
        "priced), 1.00 × on any NPU of today"
    )


def sparse_activations() -> str:
    """Zeros of activations skipped, too."""
    model, _ = ModelSource("resnet-50").read()
    before, after = latency_us(model), latency_us(model, _SPARSE)
    return f"{before / after:.2f} × for ResNet-50 where half of what a ReLU makes were zero and skipped (`{_SPARSE}`)"


def tier() -> str:
    """ALBERT's weights of 8 bits in a tier."""
    model, _ = ModelSource("albert-base-int8-weights").read()
    without, kept = simulated(model), simulated(model, _MRAM)
    read, left = (one.metrics.ddr_bytes["read"] / 2**20 for one in (without, kept))
    saved = kept.metrics.tier_bytes["mram"]["read"] / 2**20
    return (
        f"11 of 12 reads of the shared weights: {saved:.0f} MiB of {read:.0f} MiB of DDR, {left:.0f} left; "
        f"{without.latency_us / kept.latency_us:.2f} × as fast, "
        f"{kept.metrics.energy_uj / without.metrics.energy_uj:.2f} × the energy in the NPU"
    )


def spiking() -> str:
    """A perceptron on the published unit, and the rate at which its energy breaks even."""
    model, _ = ModelSource("mlp-4x2048").read()
    hw, tiles, unit = npusim.load_hardware(_SPIKING), simulated(model), simulated(model, _SPIKING)
    events = hw.blocks["snn"].events
    assert events is not None
    even = hw.energy.mac_int8_pj / (events.steps * events.add_pj)
    return (
        f"{tiles.latency_us / unit.latency_us:.2f} × as fast as the tiles ({tiles.latency_us:,.0f} → "
        f"{unit.latency_us:,.0f} µs, as no weight is read) at a rate of {events.rate:g} and {events.steps} steps; "
        f"its adds take less energy than INT8 products only below a rate of {even:.2g}"
    )


def beside_tiles(file: str, passes: str) -> str:
    """A perceptron on a unit of fixed logic, in the NPU and with the host's call."""
    model, _ = ModelSource("mlp-4x2048").read()
    model, _ = xamba.apply(model, passes)
    tiles, unit = simulated(model), simulated(model, file)
    call_us = npusim.load_hardware(_HW).host.overhead_us
    return (
        f"{tiles.latency_us:,.0f} → {unit.latency_us:,.0f} µs in the NPU, with a host's call of {call_us:,.0f} µs "
        f"{(tiles.latency_us + call_us) / (unit.latency_us + call_us):.2f} × as fast"
    )


def stored(passes: str) -> str:
    """What a layer of 2048 x 2048 weights takes after a pipeline."""
    model, _ = ModelSource("mlp-4x2048").read()
    return next(site.note for site in xamba.apply(model, passes)[1] if site.taken)


def rows() -> str:
    """The fastest arrival rate of the example."""
    most = scenario("rows").to_frame().sort_values("tokens_per_s").iloc[-1]
    return (
        f"{most['tokens_per_s']:,.0f} tokens/s at {most['requests_per_s']:g} requests a second, "
        f"{most['padding']:.0%} of the rows padding, first token after {most['first_p50_ms']:,.0f} ms"
    )


def skipping() -> str:
    """Blocks one by one."""
    found = scenario("skip_blocks")
    block = found.to_frame().query("probability < 1").iloc[0]
    return (
        f"{found.figures_of()['gain']:.2f} × as fast as the whole: skipping a block of {block['device_us']:.0f} µs "
        f"pays only if it runs less than {block['break_even']:.0%} of the time (a call costs {block['call_us']:.0f} µs)"
    )


def early_exit() -> str:
    """Two exits."""
    found = scenario("early_exit")
    even = found.document()["cases"][0]["break_even"]
    return f"{found.figures_of()['gain']:.2f} × as fast with 60 % leaving early; it pays from {even:.0%} on"


def cutting() -> str:
    """The best cut."""
    found = scenario("split")
    over = found.document()["over"]
    moved = [one["gbps"] for before, one in pairwise(over) if before["place"] != one["place"]]
    return f"{found.headline().partition(': ')[2]}; the best cut moves at {', '.join(f'{g:.2g}' for g in moved)} Gbit/s"


def less_memory() -> str:
    """First and last limit."""
    return str(scenario("budget").headline().partition(": ")[2])


def beside() -> str:
    """Two models."""
    return str(scenario("together").headline().partition(": ")[2])


QUESTIONS = (
    Question(
        "XY-Serve ([2412.18106](https://arxiv.org/abs/2412.18106))",
        "prefill, decode and verify rows in common calls, cut into fixed tiles",
        "`npusim scenario examples/scenarios/rows.yaml`",
        "+89 % throughput, on Ascend",
        "another NPU, with paged attention; here one graph with a mask, padded to compiled sizes",
        rows,
    ),
    Question(
        "SqueezeLLM ([2306.07629](https://arxiv.org/abs/2306.07629))",
        "3-bit tables a row, 0.45 % of the weights apart in FP16",
        "`npusim transform --workload mlp-4x2048 --passes 'quantize{weights=3bit-table,sparse=0.0045}'`",
        "4.97 × fewer bytes; up to 2.3 × over FP16 on an A6000",
        "bytes are exact; Intel's compiler refuses 3-bit types and decodes tables to FP16: no time is saved today",
        tables,
    ),
    Question(
        "RAMAN ([2306.06493](https://arxiv.org/abs/2306.06493))",
        "skips zero weights and activations",
        "`npusim run --hw lunarlake.yaml --workload mobilenet-v2 --xamba 'prune{share=0.5}'`",
        "98.5 GOp/s/W on an FPGA",
        "watts of an FPGA say nothing of an NPU, whose compiler skips no zeros of activations (their share is assumed)",
        lambda: f"{gain('mobilenet-v2', 'prune{share=0.5}')}; {sparse_activations()}",
    ),
    Question(
        "pattern pruning ([2003.06513](https://arxiv.org/abs/2003.06513))",
        "4 of 9 taps of every window stay",
        "`npusim run --hw lunarlake.yaml --workload resnet-50 --xamba 'prune{pattern=4of9}'`",
        "2.0 to 4.2 × over other phone frameworks",
        "their ratios are against other frameworks, not dense weights; a pattern buys no more than zeros anywhere",
        lambda: gain("resnet-50", "prune{pattern=4of9}"),
    ),
    Question(
        "structural pruning ([2406.10576](https://arxiv.org/abs/2406.10576))",
        "channels, heads and layers go, and all that carries them",
        "`npusim run --hw lunarlake.yaml --workload bert-base --xamba 'prune{heads=0.33}'` (`{channels=0.3}`, "
        "`{layers=0.33}`)",
        "no speed-up is claimed (perplexity)",
        "widths stay multiples of 16; bytes of weights fall as much as is asked for, time less: kernels and sums stay",
        lambda: "; ".join(
            f"{name} {gain('bert-base', f'prune{{{name}=0.33}}')}" for name in ("heads", "channels", "layers")
        ),
    ),
    Question(
        "LAUDNet ([2308.15949](https://arxiv.org/abs/2308.15949))",
        "skips layers, channels or pixels by input",
        "`npusim scenario examples/scenarios/skip_blocks.yaml`",
        "-50 % on GPUs (ResNet-101)",
        "a GPU decides inside a kernel; an NPU's program is static, so that each part that may be skipped is a call",
        skipping,
    ),
    Question(
        "early exits (SAC-d, [2201.02968](https://arxiv.org/abs/2201.02968))",
        "leaves where an early classifier is sure",
        "`npusim scenario examples/scenarios/early_exit.yaml`",
        "chosen by a learned controller on a Raspberry Pi 4",
        "the exit's classifier is left out; the floor of a call decides",
        early_exit,
    ),
    Question(
        "SAC-d ([2201.02968](https://arxiv.org/abs/2201.02968))",
        "chooses where to cut between device and edge, and the bits",
        "`npusim scenario examples/scenarios/split.yaml`",
        "AlexNet between a Raspberry Pi 4 and a PC",
        "another device, another link; the sign is the same: more bandwidth moves the cut to the input",
        cutting,
    ),
    Question(
        "adapter-ALBERT ([2303.16100](https://arxiv.org/abs/2303.16100))",
        "shared layers in dense memory on the chip",
        f"`npusim run --hw {_MRAM} --workload albert-base-int8-weights`",
        "figures not readable",
        "no NPU of Intel's is known to have such a tier: its figures are guesses; activations stay in CMX and DDR",
        tier,
    ),
    Question(
        "MOTION2NX ([2408.16387](https://arxiv.org/abs/2408.16387))",
        "layers in chunks, so that memory suffices",
        "`npusim scenario examples/scenarios/budget.yaml`",
        "figures not readable",
        "theirs is secure computation in host memory; here it is the scratchpad of a tile",
        less_memory,
    ),
    Question(
        "spiking co-design ([2410.16298](https://arxiv.org/abs/2410.16298))",
        "time steps of event-driven adds",
        f"`npusim run --hw {_SPIKING} --workload mlp-4x2048`",
        "38.4 GOPS at 1.54 W",
        "rate and power are an FPGA's; one row saves reading weights, for many rows the tiles are faster",
        spiking,
    ),
    Question(
        "stochastic configuration (survey of SCM on FPGAs)",
        "hidden layers of random weights as fixed logic",
        f"`npusim run --hw {_STOCHASTIC} --workload mlp-4x2048`",
        "none is comparable",
        "a hypothetical unit: weights of the readout alone are read, a level's time is a guess, the call's floor stays",
        lambda: beside_tiles(_STOCHASTIC, ""),
    ),
    Question(
        "binary readouts, NullaNet Tiny ([2104.05421](https://arxiv.org/abs/2104.05421))",
        "weights of a bit; neurons as Boolean functions",
        f"`npusim run --hw {_BOOLEAN} --workload mlp-4x2048 --xamba 'prune{{share=0.997}}'`, "
        "`npusim transform --workload mlp-4x2048 --passes 'binary{only=layers.0}'`",
        "2.36 × lower latency than LogicNets, on FPGAs",
        "no NPU runs it: the unit is hypothetical, and a host's call is longer than any of its layers; of binary "
        "weights only bytes are told, as Intel's compiler refuses u1",
        lambda: f"{beside_tiles(_BOOLEAN, 'prune{share=0.997}')}; {stored('binary')}",
    ),
    Question(
        "BIDENT ([2606.05271](https://arxiv.org/abs/2606.05271))",
        "models side by side over the units of a Core Ultra",
        "`npusim scenario examples/scenarios/together.yaml`",
        "3.42 × (geometric mean of 190 pairs) over CPU, GPU and NPU; the NPU 1.09 to 1.17 × slower beside a busy CPU",
        "here both run on the NPU, by tiles, and share DDR; CPU and GPU are not simulated",
        beside,
    ),
)  # fmt: skip


def main() -> None:
    """Write the page."""
    lines = [
        f"| {q.system} | {q.does} | {q.command} | {q.answer() if q.answer else '-'} | {q.published} | {q.differs} |"
        for q in QUESTIONS
    ]
    PAGE.write_text(_HEAD + "\n".join(lines) + "\n", encoding="utf-8")
    print(f"written: {PAGE}")


if __name__ == "__main__":
    main()
