"""Every mistake in a hardware file is one line that says where and what."""

from pathlib import Path

import pytest

from npusim.errors import UserError
from npusim.hardware import HardwareError, load_hardware


def mistake(name: str, *overrides: str) -> str:
    with pytest.raises(HardwareError) as caught:
        load_hardware(name, overrides)
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_is_a_user_error() -> None:
    assert issubclass(HardwareError, UserError)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("dpu_mhz: 1000", "dpu_mhz: -1", "5:3: clocks.dpu_mhz: must be at least 1 (got -1)"),
        ("dpu_mhz: 1000", "dpu_mhz: fast", "5:3: clocks.dpu_mhz: must be a number (got 'fast')"),
        ("dpu_mhz: 1000", 'dpu_mhz: "1000"', "5:3: clocks.dpu_mhz: must be a number (got '1000')"),
        ("dpu_mhz: 1000", "dpu_mhz:", "5:3: clocks.dpu_mhz: must be a number (got null)"),
        ("dpu_mhz: 1000", "dpu_mhz: true", "5:3: clocks.dpu_mhz: must be a number (got true)"),
        ("dpu_mhz: 1000", "dpu_mhz: [1]", "5:3: clocks.dpu_mhz: must be a number (got a list)"),
        ("dpu_mhz: 1000", "dpu_mhz: {a: 1}", "5:3: clocks.dpu_mhz: must be a number (got a mapping)"),
        ("dpu_mhz: 1000", "dpu_mhz: .inf", "5:3: clocks.dpu_mhz: must be a finite number (got inf)"),
        ("dpu_mhz: 1000", "dpu_mhz: .nan", "5:3: clocks.dpu_mhz: must be a finite number (got nan)"),
        ("dpu_mhz: 1000", "dpu_mhz: 1e999", "5:3: clocks.dpu_mhz: must be a finite number (got inf)"),
        (
            "dpu_mhz: 1000",
            "dpu_mzh: 1000",
            "5:3: clocks: unknown key 'dpu_mzh'; did you mean 'dpu_mhz'?",
        ),
        ("  dpu_mhz: 1000\n", "", "4:1: clocks: missing key 'dpu_mhz'"),
        ("tiles: 2\n", "", "1:1: missing key 'tiles'"),
        ("tiles: 2", "tilse: 2", "3:1: unknown key 'tilse'; did you mean 'tiles'?"),
        ("tiles: 2", "tiles: 2\ntiels: 2", "4:1: unknown key 'tiels'; did you mean 'tiles'?"),
        ("tiles: 2", "tiles: 2\nzzz: 2", "4:1: unknown key 'zzz'"),
        ("tiles: 2", "tiles: 2.5", "3:1: tiles: must be a whole number (got 2.5)"),
        ("tiles: 2", "tiles: 0", "3:1: tiles: must be at least 1 (got 0)"),
        ("tiles: 2", "tiles: 2\ntiles: 3", "4:1: key 'tiles' is given twice (first at 3:1)"),
        ('"4000"', "lunar", "2:1: platform: must be a number, as 4000 (got 'lunar')"),
        ("  per_tile: 2\n", "", "12:1: shave: missing key 'per_tile'"),
        ("default:", "dflt:", "14:3: shave.kernels: needs a 'default' row"),
        (
            "{startup_cycles: 1000,",
            "{startup_cycle: 1000,",
            "15:15: shave.kernels.default: unknown key 'startup_cycle'; did you mean 'startup_cycles'?",
        ),
        ("contention: true", "contention: yes", "27:3: ddr.contention: must be true or false (got 'yes')"),
        ("[Relu, Clamp]", "Relu", "33:3: software.fused_activations: must be a list (got 'Relu')"),
        ("  kib_per_tile: 1024\n", "", "28:1: cmx: must be a mapping (key: value) (got null)"),
        (
            "cmx:\n",
            "<<: {a: 1}\ncmx:\n",
            "28:1: merge keys (<<) are not supported; use 'extends' or an alias",
        ),
        ("cmx:\n", "? [a]\n: 1\ncmx:\n", "28:3: a key must be one word, not a list or a mapping"),
        (
            "tiles: 2",
            "tiles: !!python/name:os.system 2",
            "3:8: unknown tag 'tag:yaml.org,2002:python/name:os.system'",
        ),
        ("tiles: 2", "tiles: !replace 2", "3:8: unknown tag '!replace'"),
        ("tiles: 2", "\ttiles: 2", "3:1: not YAML: a tab; YAML is indented by spaces"),
        ("tiles: 2", "tiles: 2: 3", "3:9: not YAML: mapping values are not allowed in this context"),
        ("tiles: 2", "tiles: *two", "3:8: not YAML: found undefined alias"),
        ("tiles: 2", "tiles: &two [*two]", "3:8: an alias that contains itself"),
        ("tiles: 2", "tiles: \x07", "3:8: not YAML: character '\\x07' is not allowed"),
        (
            "tiles: 2",
            "tiles: 1" + 400 * "0",
            f"3:8: a number that is too long ('1{38 * '0'}...)",
        ),
        (
            "tiles: 2",
            "tiles: 2\n---\na: 1",
            "4:1: not YAML: expected a single document in the stream, but found another document",
        ),
    ],
)
def test_mistakes_in_a_file(small: Path, old: str, new: str, message: str) -> None:
    text = small.read_text()
    assert old in text
    small.write_text(text.replace(old, new, 1))
    found = mistake("small.yaml")
    assert found == f"small.yaml:{message}"


def test_all_mistakes_are_told_with_their_places(small: Path) -> None:
    """What is missing because it was misspelt is not told twice."""
    slips = {"dpu_mhz: 1000": "dpu_mhzz: abc", "tiles: 2": "tiles: no", "  kib_per_tile: 1024": "  mib: 1"}
    text = small.read_text()
    for old, new in slips.items():
        text = text.replace(old, new, 1)
    small.write_text(text)
    assert mistake("small.yaml").split("; ") == [
        "small.yaml:3:1: tiles: must be a whole number (got 'no')",
        "small.yaml:5:3: clocks: unknown key 'dpu_mhzz'",
        "did you mean 'dpu_mhz'?",
        "small.yaml:29:3: cmx: unknown key 'mib'",
        "small.yaml:28:1: cmx: missing key 'kib_per_tile'",
    ]


def test_unknown_activation_is_refused(small: Path) -> None:
    small.write_text(small.read_text().replace("[Relu, Clamp]", "[Relu, Clmp]"))
    assert mistake("small.yaml").startswith(
        "small.yaml:33:29: software.fused_activations.1: must be one of 'Clamp'"
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "1:1: a hardware file is empty"),
        (b"# nothing\n", "1:1: a hardware file is empty"),
        (b"[]", "1:1: a hardware file must be a mapping (key: value), not a list"),
        (b"5", "1:1: a hardware file must be a mapping (key: value), not 5"),
        (
            b"{}",
            "1:1: missing keys 'name', 'platform', 'tiles', 'clocks', 'dpu', 'shave', 'dma', 'ddr', 'cmx', 'energy', "
            "'software'",
        ),
        (b"a: \xe9\n", "1:4: not UTF-8 text"),
        (b"a: 1\nb: \xff\n", "2:4: not UTF-8 text"),
        (b"%", "1:2: not YAML: while scanning a directive, could not find expected directive name"),
    ],
)
def test_files_that_are_no_hardware(folder: Path, content: bytes, message: str) -> None:
    (folder / "odd.yaml").write_bytes(content)
    assert mistake("odd.yaml") == f"odd.yaml:{message}"


def test_deep_nesting_is_refused(folder: Path) -> None:
    (folder / "odd.yaml").write_text("name: " + "[" * 900 + "]" * 900)
    assert mistake("odd.yaml").startswith("odd.yaml:1:")


def test_missing_file_lists_the_shipped_ones(folder: Path) -> None:
    assert mistake("lunarlak").endswith("; did you mean 'lunarlake'?")
    assert mistake("some/lunerlake.yaml").endswith("; did you mean 'lunarlake'?")
    text = mistake("x.yaml")
    assert text.startswith(
        "x.yaml: no such hardware file; shipped are arrowlake-285h-2026.3, arrowlake, lunarlake"
    )
    assert "did you mean" not in text


@pytest.mark.parametrize("name", ["", "a\0b", "x" * 5000, "a\nb"])
def test_odd_names(folder: Path, name: str) -> None:
    assert len(mistake(name)) < 500


def test_folder_and_unreadable(folder: Path, monkeypatch: pytest.MonkeyPatch, small: Path) -> None:
    (folder / "lunarlake").mkdir()
    (folder / "sub").mkdir()
    assert load_hardware("lunarlake").platform == "4000"
    assert mistake("sub") == "sub: is a folder, not a hardware file"

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    assert mistake("small.yaml") == "small.yaml: cannot be read: Permission denied"


def test_too_large(folder: Path) -> None:
    (folder / "big.yaml").write_bytes(b"#" * (5 << 20))
    assert mistake("big.yaml") == "big.yaml: larger than 4 MiB, which nothing of its kind needs"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("clocks.dpu_mhz=-1", "clocks.dpu_mhz: must be at least 1 (got -1)"),
        ("clocks.dpu_mzh=1", "unknown key 'dpu_mzh'; did you mean 'dpu_mhz'?"),
        ("clokcs.dpu_mhz=1", "unknown key 'clokcs'; did you mean 'clocks'?"),
        ("dpu.ppe.lut={functions: [a], segment: 3}", "unknown key 'segment'; did you mean 'segments'?"),
        ("dpu.ppe.lut.segments=16", "dpu.ppe.lut: missing key 'functions'"),
        ("clocks={dpu_mhz: 1}", "clocks: missing key 'vpu_mhz'"),
        ("clocks.dpu_mhz.x=1", "clocks.dpu_mhz is a single value; it has no 'x'"),
        (
            "software.fused_activations.0=Relu",
            "software.fused_activations is a list, to be set as a whole; it has no '0'",
        ),
        ("clocks.dpu_mhz=", "clocks.dpu_mhz: must be a number (got null)"),
        ("clocks.dpu_mhz", "must have the form section.key=value, as in clocks.dpu_mhz=1700"),
        ("=1", "must have the form section.key=value, as in clocks.dpu_mhz=1700"),
        ("clocks.=1", "must have the form section.key=value, as in clocks.dpu_mhz=1700"),
        ("clocks={a: 1, a: 2}", "key 'a' is given twice"),
        ("tiles=[", "not YAML: while parsing a flow node, did not find expected node content"),
        ("extends=x", "'extends' cannot be set; name the file that you mean"),
    ],
)
def test_mistakes_in_overrides(small: Path, override: str, message: str) -> None:
    assert mistake("small.yaml", override) == f"--set {override}: {message}"


def test_bytes_of_the_command_line_that_are_not_utf8(small: Path) -> None:
    assert mistake("\udcff.yaml").startswith("\ufffd.yaml: no such hardware file")
    assert (
        mistake("small.yaml", "tiles=\udcff")
        == "--set tiles=\ufffd: not YAML: character '\\udcff' is not allowed"
    )


def test_extends_mistakes(small: Path) -> None:
    folder = small.parent
    (folder / "a.yaml").write_text("extends: b.yaml")
    (folder / "b.yaml").write_text("extends: a.yaml")
    (folder / "self.yaml").write_text("# me\nextends: ./self.yaml")
    (folder / "none.yaml").write_text("extends: smal.yaml\n")
    (folder / "list.yaml").write_text("extends: [small.yaml]")
    (folder / "null.yaml").write_text("extends:")
    assert mistake("a.yaml") == "b.yaml:1:1: extends: a circle: a.yaml -> b.yaml -> a.yaml"
    assert mistake("self.yaml") == "self.yaml:2:1: extends: a circle: self.yaml -> self.yaml"
    assert mistake("none.yaml").startswith(
        "none.yaml:1:1: extends: no such hardware file 'smal.yaml'; shipped are"
    )
    assert mistake("list.yaml") == "list.yaml:1:1: extends: must be the name of one file (got a list)"
    assert mistake("null.yaml") == "null.yaml:1:1: extends: must be the name of one file (got null)"


def test_a_mistake_of_the_parent_names_the_parent(small: Path) -> None:
    small.write_text(small.read_text().replace("vpu_mhz: 500", "vpu_mhz: 0"))
    (small.parent / "child.yaml").write_text("extends: small\nclocks: {dpu_mhz: 900}\n")
    assert mistake("child.yaml") == "small.yaml:6:3: clocks.vpu_mhz: must be at least 1 (got 0)"
    assert load_hardware("child.yaml", ["clocks.vpu_mhz=4"]).clocks.vpu_mhz == 4
