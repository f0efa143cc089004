"""What a hardware file may say, and how files, parents and overrides make one Hardware."""

import time
from pathlib import Path

import pytest
from pydantic import BaseModel

from npusim.hardware import Hardware, check, dump, json_schema, load_hardware, shipped
from npusim.hardware.base import Section
from npusim.hardware.dpu import CellCost, ConvCost
from npusim.lowering.ir.kernels import called_kernels


@pytest.mark.parametrize("name", shipped())
def test_shipped_files_load_and_raise_no_warning(name: str, folder: Path) -> None:
    hardware = load_hardware(name)
    (folder / "own.yaml").write_text(f"extends: {name}\n")
    assert check("own.yaml", (), called_kernels()) == []
    assert load_hardware(name.removesuffix(".yaml")) == hardware


@pytest.mark.parametrize("name", shipped())
def test_dump_is_the_hardware_again(name: str, folder: Path) -> None:
    hardware = load_hardware(name)
    (folder / "again.yaml").write_text(dump(hardware))
    assert load_hardware("again.yaml") == hardware


def test_shipped_platforms(folder: Path) -> None:
    facts = {name: (hw.platform, hw.tiles) for name in shipped() for hw in [load_hardware(name)]}
    assert facts["lunarlake.yaml"] == ("4000", 6)
    assert facts["meteorlake.yaml"] == facts["arrowlake.yaml"] == ("3720", 2)
    assert facts["pantherlake.yaml"] == ("5010", 3)
    assert load_hardware("arrowlake").shave == load_hardware("meteorlake").shave


def test_loading_is_fast(folder: Path) -> None:
    def once() -> float:
        start = time.process_time()
        load_hardware("lunarlake-vpunn")
        return time.process_time() - start

    assert min(once() for _ in range(5)) < 0.06


def test_current_folder_comes_first(small: Path) -> None:
    small.rename(small.with_name("lunarlake.yaml"))
    assert load_hardware("lunarlake").name == "small"
    assert load_hardware(Path("lunarlake.yaml")).name == "small"


def test_scalars_follow_yaml_1_2(small: Path) -> None:
    text = small.read_text().replace("dpu_mhz: 1000", "dpu_mhz: 1e3").replace("tiles: 2", "tiles: 010")
    text = text.replace("kib_per_tile: 1024", "kib_per_tile: 1_024").replace("name: small", "name: on")
    small.write_text(text.replace('"4000"', "4000"))
    hardware = load_hardware("small.yaml")
    assert (hardware.clocks.dpu_mhz, hardware.tiles, hardware.cmx.kib_per_tile) == (1000, 10, 1024)
    assert (hardware.name, hardware.platform) == ("on", "4000")


def test_byte_order_mark_and_line_ends(small: Path) -> None:
    plain = load_hardware("small.yaml")
    small.write_bytes(b"\xef\xbb\xbf" + small.read_bytes().replace(b"\n", b"\r\n"))
    assert load_hardware("small.yaml") == plain


def test_aliases(small: Path) -> None:
    path = "{startup_cycles: 100, bytes_per_cycle: 50}"
    text = small.read_text().replace(f"ddr_to_cmx: {path}", f"ddr_to_cmx: &p {path}")
    small.write_text(text.replace(f"cmx_to_cmx: {path}", "cmx_to_cmx: *p"))
    paths = load_hardware("small.yaml").dma.paths
    assert paths.cmx_to_cmx == paths.ddr_to_cmx


def test_extends_merges_mappings_and_replaces_the_rest(small: Path) -> None:
    (small.parent / "child.yaml").write_text(
        "extends: small.yaml\n"
        "clocks: {vpu_mhz: 400}\n"
        "shave: {kernels: {exp: {per_cycle: 2}}}\n"
        "software: {fused_activations: [Tanh]}\n"
    )
    parent, child = load_hardware("small.yaml"), load_hardware("child.yaml")
    assert (child.clocks.dpu_mhz, child.clocks.vpu_mhz) == (1000, 400)
    assert child.shave.kernels.keys() == {"default", "exp"}
    assert child.software.fused_activations == ("Tanh",)
    assert (
        child.model_copy(update={key: getattr(parent, key) for key in ("clocks", "shave", "software")})
        == parent
    )


def test_replace_drops_the_parents_rows(folder: Path) -> None:
    (folder / "child.yaml").write_text(
        "extends: lunarlake\nshave:\n  kernels: !replace\n    default: {startup_cycles: 1}\n"
    )
    assert load_hardware("child.yaml").shave.kernels.keys() == {"default"}


def test_parent_beside_the_child_and_grandparents(small: Path) -> None:
    sub = small.parent / "sub"
    sub.mkdir()
    small.rename(sub / "lunarlake.yaml")
    (sub / "child.yaml").write_text("extends: lunarlake\n")
    (sub / "grandchild.yaml").write_text("extends: child\ntiles: 1\n")
    assert load_hardware("sub/child.yaml").name == "small"
    assert load_hardware("sub/grandchild.yaml").tiles == 1


def test_a_child_may_have_the_name_of_its_shipped_parent(folder: Path) -> None:
    (folder / "lunarlake.yaml").write_text("extends: lunarlake.yaml\ntiles: 3\n")
    assert load_hardware("lunarlake").tiles == 3


def test_one_key_of_a_table_keeps_the_defaults_of_the_others(small: Path) -> None:
    costs = load_hardware("small.yaml", ["dpu.costs.stencil_channels.16x16=32"]).dpu.costs
    assert costs.stencil_channels == {"16x16": 32, "8x16": 128, "4x16": 256}


def test_overrides_are_typed_and_in_order(small: Path) -> None:
    hardware = load_hardware(
        "small.yaml",
        [
            "tiles=1",
            "tiles=4",
            "clocks.dpu_mhz = 1.7e3",
            "software.fused_activations=[Relu, Swish]",
            "dpu.ppe.lut={functions: [swish], segments: 16}",
            "ddr.contention=false",
            "shave.kernels.exp={per_cycle: 3}",
            "platform=3720",
        ],
    )
    assert (hardware.tiles, hardware.clocks.dpu_mhz) == (4, 1700)
    assert hardware.software.fused_activations == ("Relu", "Swish")
    assert hardware.dpu.ppe.lut is not None
    assert hardware.dpu.ppe.lut.segments == 16
    assert hardware.ddr.contention is False
    assert hardware.shave.kernels["exp"].per_cycle == 3
    assert hardware.platform == "3720"


@pytest.mark.parametrize(
    ("override", "path"),
    [
        ("clocks.dpu_mhz=3000", "clocks.dpu_mhz"),
        ("clocks.vpu_mhz=900", "clocks.vpu_mhz"),
        ("dpu.macs_per_cycle.fp16=9999", "dpu.macs_per_cycle.fp16"),
        ("energy.mac_int8_pj=9", "energy.mac_int8_pj"),
        ("energy.cmx_byte_pj=99", "energy.cmx_byte_pj"),
        ("dma.paths.ddr_to_cmx.bytes_per_cycle=99", "dma.paths.ddr_to_cmx.bytes_per_cycle"),
        ("ddr.bandwidth_gbps=900", "ddr.bandwidth_gbps"),
        ("dpu.ppe.lut={functions: [swish]}", "dpu.ppe.lut.functions"),
        ("software.fused_activations=[Swish]", "software.fused_activations"),
        ("software.unsplit_kernels=[exq]", "software.unsplit_kernels"),
        ("software.pipelined_kernels=[exq]", "software.pipelined_kernels"),
    ],
)
def test_check_warns_of_the_unlikely(folder: Path, override: str, path: str) -> None:
    warnings = check("lunarlake", [override])
    assert any(line.startswith(f"--set {override}: {path}: ") for line in warnings), warnings


def test_check_tells_the_line(small: Path) -> None:
    assert (
        "small.yaml:6:3: clocks.vpu_mhz: 500 MHz is 0.500 of the DPU clock; platform 4000 has 0.571"
        in check("small.yaml")
    )


def sections(model: type[BaseModel] = Section) -> list[type[BaseModel]]:
    return [found for child in model.__subclasses__() for found in (child, *sections(child))]


def test_every_field_is_documented() -> None:
    schema = json_schema()
    assert schema["properties"]["extends"]
    bare = [
        f"{section.__name__}.{name}"
        for section in sections()
        if section not in (ConvCost, CellCost)  # coefficients of the formula in the class's docstring
        for name, field in section.model_fields.items()
        if not field.description and not _is_section(field.annotation)
    ]
    assert bare == []


def _is_section(annotation: object) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, Section)


def test_hardware_is_frozen(folder: Path) -> None:
    hardware: Hardware = load_hardware("lunarlake")
    with pytest.raises(ValueError, match="frozen"):
        hardware.tiles = 3
