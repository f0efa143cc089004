"""Names, sizes and messages; nothing here builds a model of any size."""

import subprocess
import sys

import numpy as np
import pytest

from npusim import workloads
from npusim.workloads import nets
from npusim.workloads.config import PUBLISHED, Mamba2Config, MambaConfig


def test_every_published_size_is_there() -> None:
    assert list(PUBLISHED) == [
        *(f"mamba2-{size}" for size in ("130m", "370m", "780m", "1.3b", "2.7b")),
        *(f"mamba-{size}" for size in ("130m", "370m", "790m", "1.4b", "2.8b")),
    ]
    assert workloads.names() == [*PUBLISHED, *nets.names()]


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_size_is_the_number_of_its_parameters(name: str) -> None:
    size = name.split("-")[1]
    claimed = float(size[:-1]) * {"m": 1e6, "b": 1e9}[size[-1]]
    assert PUBLISHED[name].parameter_count() == pytest.approx(claimed, rel=0.04)


def test_shapes_of_the_smallest_mamba2() -> None:
    """As in the reference exports: in_proj 768 -> 3352, 1792 convolution channels."""
    config = PUBLISHED["mamba2-130m"]
    assert isinstance(config, Mamba2Config)
    shapes = config.parameter_shapes()
    assert shapes["backbone.embeddings.weight"] == (50288, 768)
    assert shapes["backbone.layers.23.mixer.in_proj.weight"] == (3352, 768)
    assert shapes["backbone.layers.0.mixer.conv1d.weight"] == (1792, 1, 4)
    assert config.heads == 24
    assert config.ssm_state_shape == (24, 64, 128)


def test_shapes_of_the_smallest_mamba() -> None:
    config = PUBLISHED["mamba-130m"]
    assert isinstance(config, MambaConfig)
    shapes = config.parameter_shapes()
    assert shapes["backbone.embeddings.weight"] == (50280, 768)
    assert shapes["backbone.layers.0.mixer.x_proj.weight"] == (80, 1536)
    assert shapes["backbone.layers.0.mixer.dt_proj.weight"] == (1536, 48)


@pytest.mark.parametrize("name", [*workloads.names(), "mamba-1.3b"])
def test_a_description_is_one_line(name: str) -> None:
    text = workloads.describe(name)
    assert "\n" not in text
    assert ("state-spaces" if name.startswith("mamba") else " (") in text


def test_another_name_for_the_same_size() -> None:
    assert workloads.describe("mamba-1.3b") == workloads.describe("mamba-1.4b")


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("mamba2-130M", "mamba2-130m"), ("mamba2_2.7b", "mamba2-2.7b"), ("mamba-780m", "mamba-790m")],
)
def test_a_mistyped_name_gets_a_suggestion(typed: str, meant: str) -> None:
    with pytest.raises(workloads.UnknownWorkload, match=meant) as caught:
        workloads.build(typed)
    assert meant in caught.value.suggestions


def test_a_name_like_no_other_gets_the_list() -> None:
    with pytest.raises(ValueError, match="mamba2-130m, mamba2-370m"):
        workloads.describe("zzz")


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("mamba2-130m", {"tokens": 0}, "tokens must be a whole number of at least 1, not 0"),
        ("mamba2-130m", {"tokens": 2.5}, "tokens must be a whole number of at least 1, not 2.5"),
        ("mamba2-130m", {"batch": -1}, "batch must be a whole number of at least 1, not -1"),
        ("mamba2-130m", {"layers": 25}, "mamba2-130m has 24 layers, so layers=25 cannot be built"),
        ("mamba2-130m", {"layers": True}, "layers must be a whole number of at least 1, not True"),
        ("mamba2-130m", {"chunk": 0}, "chunk must be a whole number of at least 1, not 0"),
        ("mamba-130m", {"chunk": 64}, "chunk applies to Mamba-2 only, and mamba-130m is Mamba"),
        ("resnet-50", {"tokens": 8}, "resnet-50 takes an image: it has no tokens"),
        ("resnet-50", {"layers": 8}, "resnet-50 has no layers to choose"),
        ("bert-base", {"tokens": -8}, "tokens must be a whole number of at least 1, not -8"),
        ("bert-base-int8", {"phase": "decode"}, "bert-base-int8 has no phase to choose"),
        ("conv1d", {"batch": 2}, "conv1d is built for one sequence"),
        ("mamba-130m", {"phase": "train"}, "phase must be 'prefill' or 'decode', not 'train'"),
        ("mamba-130m", {"phase": "decode", "tokens": 8}, "decode runs one token at a time"),
        ("mamba-130m", {"weights": "none"}, "weights must be 'shared', 'random', a mapping or a function"),
        ("mamba-130m", {"weights": {}}, "the weights have no parameter 'backbone.embeddings.weight'"),
        (
            "mamba-130m",
            {"weights": {"backbone.embeddings.weight": np.zeros((2, 3))}},
            r"'backbone.embeddings.weight' has shape \[2, 3\], and the model needs \[50280, 768\]",
        ),
    ],
)
def test_a_bad_value_is_one_sentence(name: str, arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        workloads.build(name, **arguments)
    assert "\n" not in str(caught.value)


def test_a_value_fp16_cannot_hold_is_refused() -> None:
    config = MambaConfig(name="tiny", title="", layers=1, d_model=16, vocab=8)
    parameters = {k: v.astype(np.float32) for k, v in workloads.parameters(config).items()}
    parameters["backbone.norm_f.weight"][3] = 1e6
    with pytest.raises(ValueError, match=r"'backbone.norm_f.weight' has values that FP16 cannot hold"):
        workloads.build(config, tokens=1, weights=parameters)


def test_heads_must_fill_the_width() -> None:
    with pytest.raises(ValueError, match="d_inner 64 is not a multiple of head_dim 48"):
        Mamba2Config(name="odd", title="", layers=1, d_model=32, vocab=8, head_dim=48)


def test_the_initialisation_is_the_published_one() -> None:
    for config in (
        Mamba2Config(name="a", title="", layers=3, d_model=64, vocab=8, head_dim=8),
        MambaConfig(name="b", title="", layers=3, d_model=64, vocab=8),
    ):
        parameters = workloads.parameters(config, layers=1)
        assert all(array.dtype == np.float16 for array in parameters.values())
        mixer = "backbone.layers.0.mixer"
        bias = "dt_bias" if isinstance(config, Mamba2Config) else "dt_proj.bias"
        step = np.log1p(np.exp(parameters[f"{mixer}.{bias}"].astype(np.float64)))
        assert step.min() > 0.9e-3
        assert step.max() < 1.1e-1
        rates = np.exp(parameters[f"{mixer}.A_log"].astype(np.float64))
        np.testing.assert_allclose(
            rates, np.broadcast_to(np.arange(rates.shape[-1]) + 1, rates.shape), rtol=2e-3
        )


def test_parameters_are_repeatable_and_do_not_depend_on_the_number_of_layers() -> None:
    config = Mamba2Config(name="a", title="", layers=3, d_model=32, vocab=8, head_dim=8)
    whole, first = workloads.parameters(config, seed=4), workloads.parameters(config, seed=4, layers=1)
    assert set(first) < set(whole)
    for name, array in first.items():
        np.testing.assert_array_equal(array, whole[name])


def test_listing_workloads_imports_neither_openvino_nor_numpy() -> None:
    code = (
        "import sys, workloads; [workloads.describe(name) for name in workloads.names()];"
        "sys.exit(any(module in sys.modules for module in ('openvino', 'numpy')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
