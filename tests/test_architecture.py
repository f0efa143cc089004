"""The examples of docs/architecture.md do what the page says."""

from __future__ import annotations

import ast
import sys
from collections import Counter
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from types import ModuleType

import numpy as np
import openvino as ov
import pytest
from openvino import opset15 as op

import npusim
from npusim import lowering, xamba
from npusim.errors import UserError
from npusim.graph import from_openvino
from npusim.graph.ir import Graph, Op
from npusim.hardware import check, load_hardware
from npusim.hardware.schema import Hardware
from npusim.lowering import laws
from npusim.lowering.ir import kernels
from npusim.lowering.passes import Module, Pass
from npusim.lowering.rewrite import written_out
from npusim.program import Program
from npusim.program.work import ShaveWork
from npusim.workloads import nets
from npusim.workloads.nets.maker import Maker as NetMaker
from npusim.xamba import pipeline
from npusim.xamba.check import compare
from npusim.xamba.maker import Maker
from npusim.xamba.rule import Rewritten, Rule, Skip

PAGE = Path(__file__).resolve().parents[1] / "docs/architecture.md"
SHAPE = (1, 64, 32, 32)


@cache
def examples(section: str) -> dict[str, str]:
    """The code blocks of a section of the page, by language."""
    text = PAGE.read_text().partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    return {language: code for language, _, code in (b.partition("\n") for b in text.split("```")[1::2])}


def evaluated(section: str, names: dict[str, object]) -> object:
    """What the last statement of a section's example makes, with ``names`` there: its value, or what it defines."""
    tree = ast.parse(examples(section)["python"])
    last = tree.body[-1]
    scope = dict(names)
    if isinstance(last, ast.Expr):
        exec(compile(ast.Module(tree.body[:-1], []), str(PAGE), "exec", dont_inherit=True), scope)
        return eval(compile(ast.Expression(last.value), str(PAGE), "eval"), scope)
    exec(compile(tree, str(PAGE), "exec", dont_inherit=True), scope)
    assert isinstance(last, ast.FunctionDef | ast.ClassDef)
    return scope[last.name]


def graph_of(result: ov.Node, *inputs: ov.Node) -> Graph:
    return from_openvino(ov.Model([op.result(result)], list(inputs), "example"))


def kernels_of(program: Program) -> Counter[str]:
    """Elements that SHAVE kernels make, by name."""
    found: Counter[str] = Counter()
    for task in program.tasks:
        if isinstance(task.work, ShaveWork):
            found[task.work.kernel] += task.work.out_elements
    return found


def test_a_new_elementwise_op(monkeypatch: pytest.MonkeyPatch) -> None:
    x = op.parameter(SHAPE, np.float16)
    graph = graph_of(op.log(x), x)
    graph = replace(graph, ops=tuple(replace(one, type="Logit") for one in graph.ops))
    name, _, cost = examples("A new elementwise op")["yaml"].partition(": ")
    plain, priced = load_hardware("lunarlake"), load_hardware("lunarlake", [f"shave.kernels.{name}={cost}"])
    with pytest.raises(UserError, match="Logit"):
        npusim.lower(graph, priced)
    row = evaluated("A new elementwise op", vars(kernels))
    assert isinstance(row, kernels.ShaveKernel)
    monkeypatch.setitem(kernels.KERNELS, row.name, row)
    monkeypatch.setitem(kernels.KERNEL_OF, "Logit", row)
    program = npusim.lower(graph, priced)
    assert kernels_of(program) == {name: np.prod(SHAPE)}
    assert npusim.simulate(program, priced).metrics.statistics["shave_us"] > 0
    with pytest.raises(UserError, match=f"no cost for SHAVE kernel '{name}'"):
        npusim.simulate(program, plain)


def test_a_new_composite_op(monkeypatch: pytest.MonkeyPatch) -> None:
    x = op.parameter(SHAPE, np.float16)
    graph = graph_of(op.divide(x, op.add(op.abs(x), np.float16(1))), x)
    hw = load_hardware("lunarlake")
    assert set(kernels_of(npusim.lower(graph, hw))) == {"abs", "divide"}
    form = evaluated("A new composite op", vars(written_out))
    forms = {**written_out._FORMS, "Divide": (*written_out._FORMS["Divide"], form)}
    monkeypatch.setattr(written_out, "_FORMS", forms)
    assert kernels_of(npusim.lower(graph, hw)) == {"softsign": np.prod(SHAPE)}


def test_a_new_generation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("novalake.yaml").write_text(examples("A new generation")["yaml"])
    assert check("novalake") == []
    hw, parent = load_hardware("novalake"), load_hardware("pantherlake")
    assert (hw.platform, hw.tiles) == ("6000", 6)
    graph = npusim.build_workload("mamba2-130m", layers=1)
    nova, panther = (npusim.simulate(npusim.lower(graph, one), one).latency_us for one in (hw, parent))
    assert 0 < nova < panther


def test_a_new_rewrite_of_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    names = {
        "dataclass": dataclass, "Rule": Rule, "Skip": Skip, "Rewritten": Rewritten, "Maker": Maker, "Node": ov.Node,
        "Output": ov.Output, "np": np, "op": op, "__name__": __name__,
    }  # fmt: skip
    rule = evaluated("A new rewrite of the model", names)
    assert isinstance(rule, type) and issubclass(rule, Rule)
    monkeypatch.setitem(pipeline.RULES, rule.name, rule)
    x = op.parameter(SHAPE, np.float32, "x")
    model = ov.Model(
        [op.result(op.power(op.power(op.exp(x), np.float32(0.5)), np.float32(0.3)))], [x], "example"
    )
    rewritten, sites = xamba.apply(model, "roots")
    assert [(site.taken, site.note) for site in sites] == [
        (True, "a Sqrt"), (False, "the exponent is not one half"),
    ]  # fmt: skip
    assert max(one.relative for one in compare(model, rewritten)) < 1e-6
    hw = load_hardware("lunarlake")
    before, after = (npusim.lower(from_openvino(one), hw) for one in (model, rewritten))
    assert kernels_of(before)["power"] == 2 * kernels_of(after)["power"] == 2 * kernels_of(after)["sqrt"]
    slow, fast = (npusim.simulate(one, hw).latency_us for one in (before, after))
    assert fast < slow


def test_a_new_workload(monkeypatch: pytest.MonkeyPatch) -> None:
    scope: dict[str, object] = {"Maker": NetMaker, "Net": nets.Net, "ov": ov, "op": op}
    net = evaluated("A new workload", scope)
    assert isinstance(net, nets.Net)
    module = ModuleType("gated")
    vars(module).update(scope)
    exec(compile(examples("A new workload")["python"], str(PAGE), "exec", dont_inherit=True), vars(module))
    monkeypatch.setitem(sys.modules, f"{nets.__name__}.{net.module}", module)
    monkeypatch.setitem(nets.NETS, net.name, net)
    run = npusim.run("gated", "lunarlake", tokens=64)
    assert run.subject.model is not None
    assert run.subject.model.macs == 2 * 64 * 256 * 256
    eight_bits = npusim.run("gated-int8", "lunarlake", tokens=64)
    assert eight_bits.subject.model is not None
    assert dict(eight_bits.subject.model.computed)["INT8"] > 0.9


def test_a_new_lowering_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    names = {"Module": Module, "Hardware": Hardware, "replace": replace, "Pass": Pass, "laws": laws, "Op": Op}
    new = evaluated("A new lowering pass", names)
    assert isinstance(new, Pass)
    place = [one.name for one in lowering.PASSES].index("fuse")
    x = op.parameter(SHAPE, np.float16)
    graph = graph_of(op.exp(op.negative(op.negative(x))), x)
    hw = load_hardware("lunarlake")
    plain, once = npusim.lower(graph, hw), npusim.lower(graph_of(op.exp(x), x), hw)
    monkeypatch.setattr(lowering, "PASSES", (*lowering.PASSES[:place], new, *lowering.PASSES[place:]))
    monkeypatch.setenv("NPUSIM_CHECK", "1")
    assert len(npusim.lower(graph, hw).tasks) == len(once.tasks) < len(plain.tasks)


def test_the_page_is_one_page_and_all_of_it_is_run() -> None:
    sections = [line[3:] for line in PAGE.read_text().splitlines() if line.startswith("## ")]
    tests = [name for name in vars(sys.modules[__name__]) if name.startswith("test_a_new")]
    assert [f"test_{section.lower().replace(' ', '_')}" for section in sections] == tests
    assert len(PAGE.read_text().splitlines()) < 150


def test_a_module_is_read_in_one_sitting() -> None:
    lengths = {path: len(path.read_text().splitlines()) for path in PAGE.parents[1].glob("npusim/**/*.py")}
    assert {str(path): lines for path, lines in lengths.items() if lines > 350} == {}
