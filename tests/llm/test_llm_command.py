"""``npusim llm`` end to end: documents, pages, files as they are published, and mistakes in a line."""

from __future__ import annotations

import json
from pathlib import Path

import openvino as ov
import pytest

from npusim.cli.main import main
from tests.llm import stateful

HW = ["--hw", "lunarlake.yaml", "--allow-guess"]


def asked(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as left:
        main(["llm", *arguments])
    told = capsys.readouterr()
    return int(left.value.code or 0), told.out, told.err


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as optimum-intel leaves it, with a hybrid of three layers in it."""
    folder = tmp_path_factory.mktemp("exported")
    ov.save_model(stateful.build("sas"), folder / "openvino_model.xml")
    return folder


def test_the_document_has_what_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = asked(
        capsys, "qwen3-0.6b", *HW, "--prompt", "128,2000", "--generate", "64", "--json", "--no-report"
    )
    assert code == 0
    found = json.loads(out)
    assert {"model", "hardware", "prompts"} <= found.keys()
    short, long = found["prompts"]
    wanted = {"prompt", "generate", "ttft_ms", "tpot_ms", "tokens_per_s", "energy_mj_per_token", "memory_mib",
              "device_ms", "host_ms"}  # fmt: skip
    assert wanted <= short.keys()
    assert short["tpot_ms"].keys() == {"first", "mean", "last"}
    assert short["tokens_per_s"] == pytest.approx(1e3 / short["tpot_ms"]["mean"], rel=1e-3)
    assert short["device_ms"] + short["host_ms"] == pytest.approx(short["tpot_ms"]["last"], rel=1e-3)
    assert long["ttft_ms"] > 2 * short["ttft_ms"], "two chunks"
    assert long["tpot_ms"]["last"] > short["tpot_ms"]["last"], "a larger cache"
    assert short["token"]["floor_ms"] < short["device_ms"]


def test_a_published_export_is_read_cut_and_answered(
    exported: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = asked(capsys, str(exported), *HW, "--prompt", "12", "--json", "--no-report")
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert found["layers"] == 3
    assert found["prompts"][0]["tokens_per_s"] > 0


def test_several_models_stand_on_one_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = asked(
        capsys, "mamba2-130m", "qwen2.5-0.5b", *HW, "--prompt", "64", "--out", str(tmp_path / "page")
    )
    assert code == 0
    assert "mamba2-130m" in out
    assert "qwen2.5-0.5b" in out
    page = (tmp_path / "page" / "report.html").read_text()
    assert "Tokens a second over context" in page
    rows = (tmp_path / "page" / "llm.csv").read_text().splitlines()
    assert len(rows) == 3
    assert len(json.loads((tmp_path / "page" / "llm.json").read_text())["models"]) == 2


def test_rows_drafts_and_rewrites_join_the_document(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = asked(
        capsys, "qwen2.5-0.5b", *HW, "--prompt", "64", "--rows", "decode:2@64", "--speculate", "qwen2.5-0.5b",
        "--json", "--out", str(tmp_path / "page"),
    )  # fmt: skip
    assert code == 0
    page = (tmp_path / "page" / "report.html").read_text()
    assert "qwen2.5-0.5b (int4): decode:2@64" in page
    assert "drafted by qwen2.5-0.5b (int4)" in page
    found = json.loads(out)
    assert found["rows"]["rows"] >= 2
    assert found["speculation"]["tokens_per_round"] > 1
    code, out, _ = asked(
        capsys, "mamba2-130m", *HW, "--prompt", "16", "--xamba", "cumba", "--stock", "--json", "--no-report"
    )
    assert code == 0
    stock, rewritten = json.loads(out)["models"]
    assert rewritten["model"] == "mamba2-130m (int4, cumba)"
    assert stock["prompts"][0]["ttft_ms"] != rewritten["prompts"][0]["ttft_ms"]


def test_narrow_weights_make_tokens_faster_and_models_smaller(capsys: pytest.CaptureFixture[str]) -> None:
    found = {}
    for weights in ("fp16", "int8", "int4"):
        _, out, _ = asked(
            capsys, "smollm2-1.7b", *HW, "--weights", weights, "--prompt", "64", "--json", "--no-report"
        )
        found[weights] = json.loads(out)["prompts"][0]
    assert (
        found["fp16"]["tpot_ms"]["last"] > found["int8"]["tpot_ms"]["last"] > found["int4"]["tpot_ms"]["last"]
    )
    assert found["fp16"]["memory_mib"] > found["int8"]["memory_mib"] > found["int4"]["memory_mib"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "which model?"),
        (["qwen3-9b"], "did you mean"),
        (["nowhere/model.xml"], "no such model file"),
        (["Qwen/Qwen3-8B"], "nothing is downloaded; did you mean qwen3-8b?"),
        (["."], "there is no openvino_model.xml or config.json in it"),
        (["qwen3-0.6b", "--prompt", "many"], "--prompt many"),
        (["qwen3-0.6b", "--prompt", "0"], "at least 1"),
        (["qwen3-0.6b", "--weights", "fp8"], "--weights: weights must be"),
        (["qwen3-0.6b", "--prompt", "2000", "--cache", "1152"], "do not fit a cache of"),
        (["qwen3-0.6b", "--set", "software.runtime.version=new"], "software.runtime.version"),
        (["EXPORTED", "--weights", "int4"], "has weights of its own"),
        (["qwen3-0.6b", "--rows", "decode:x@1"], "--rows decode:x@1"),
        (["qwen3-0.6b", "--speculate", "qwen3-0.7b"], "did you mean"),
        (["qwen3-0.6b", "--xamba", "cumbra"], "cumbra"),
    ],
)
def test_mistakes_are_told_in_a_line(
    arguments: list[str], said: str, exported: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [str(exported) if one == "EXPORTED" else one for one in arguments]
    code, out, err = asked(capsys, *given, *HW, "--no-report")
    assert code == 2
    assert said in err
    assert err.count("\n") == 1
    assert out == ""


def test_what_is_no_language_model_is_told_in_a_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from openvino import opset15 as op

    x = op.parameter([1, 8], ov.Type.f32, name="x")
    ov.save_model(ov.Model([op.result(op.relu(x))], [x], "net"), tmp_path / "net.xml")
    code, _, err = asked(capsys, str(tmp_path / "net.xml"), *HW, "--no-report")
    assert code == 2
    assert "no language model" in err
