"""The built models compute Mamba and Mamba-2: OpenVINO's CPU plugin against the recurrence in f64, token by token.

The recurrence here is written from the papers (h' = exp(dt A) h + dt B x, y = C h' + D x), not from the builders.
"""

from dataclasses import replace

import numpy as np
import openvino as ov
import pytest

from npusim import workloads
from npusim.workloads import Mamba2Config, MambaConfig, ModelConfig

MAMBA2 = Mamba2Config(
    name="tiny-mamba2", title="", layers=2, d_model=32, vocab=40, d_state=16, head_dim=8, chunk=8
)
MAMBA = MambaConfig(name="tiny-mamba", title="", layers=2, d_model=32, vocab=40, d_state=8)
FAMILIES = pytest.mark.parametrize("config", [MAMBA2, MAMBA], ids=["mamba2", "mamba"])

F32_TOLERANCE = 2e-5
"""Largest error of f32 activations, relative to the largest value of the tensor."""


class Recurrence:
    """One model in f64, fed a token at a time; states start at zero."""

    def __init__(
        self, config: ModelConfig, parameters: dict[str, np.ndarray], layers: int, batch: int
    ) -> None:
        self.config = config
        self.layers = layers
        self._parameters = parameters
        self.conv = [np.zeros((batch, config.conv_channels, config.conv)) for _ in range(layers)]
        self.ssm = [np.zeros((batch, *config.ssm_state_shape)) for _ in range(layers)]

    def logits(self, ids: np.ndarray) -> np.ndarray:
        """[batch, tokens] -> [batch, tokens, vocab]"""
        embedding = self._get("embeddings.weight")
        steps = [self._norm(self.blocks(embedding[ids[:, t]]), "norm_f.weight") for t in range(ids.shape[1])]
        return np.stack(steps, 1) @ embedding.T

    def blocks(self, hidden: np.ndarray) -> np.ndarray:
        """One token through the layers, [batch, d_model] -> [batch, d_model]."""
        for layer in range(self.layers):
            normalised = self._norm(hidden, f"layers.{layer}.norm.weight")
            hidden = hidden + self._mixer(layer, normalised)
        return hidden

    def _mixer(self, layer: int, u: np.ndarray) -> np.ndarray:
        p = f"layers.{layer}.mixer"
        # The model holds A rounded to FP16, not its logarithm.
        a = (-np.exp(self._get(f"{p}.A_log"))).astype(np.float16).astype(np.float64)
        projected = u @ self._get(f"{p}.in_proj.weight").T
        if isinstance(self.config, Mamba2Config):
            y = self._mamba2(layer, projected, a)
        else:
            y = self._mamba(layer, projected, a)
        return y @ self._get(f"{p}.out_proj.weight").T

    def _mamba2(self, layer: int, projected: np.ndarray, a: np.ndarray) -> np.ndarray:
        config, p = self.config, f"layers.{layer}.mixer"
        assert isinstance(config, Mamba2Config)
        inner, n = config.d_inner, config.d_state
        gate = projected[:, :inner]
        xbc = self._conv(layer, projected[:, inner : -config.heads])
        dt = _softplus(projected[:, -config.heads :] + self._get(f"{p}.dt_bias"))
        x = xbc[:, :inner].reshape(-1, config.heads, config.head_dim)
        b, c = xbc[:, inner : inner + n], xbc[:, inner + n :]
        decay = np.exp(dt * a)
        self.ssm[layer] = decay[..., None, None] * self.ssm[layer] + np.einsum("bh,bn,bhp->bhpn", dt, b, x)
        y = np.einsum("bhpn,bn->bhp", self.ssm[layer], c) + self._get(f"{p}.D")[:, None] * x
        return self._norm(y.reshape(-1, inner) * _silu(gate), f"{p}.norm.weight")

    def _mamba(self, layer: int, projected: np.ndarray, a: np.ndarray) -> np.ndarray:
        config, p = self.config, f"layers.{layer}.mixer"
        assert isinstance(config, MambaConfig)
        rank, n = config.dt_rank, config.d_state
        x, gate = np.split(projected, 2, axis=1)
        x = self._conv(layer, x)
        selected = x @ self._get(f"{p}.x_proj.weight").T
        dt = selected[:, :rank] @ self._get(f"{p}.dt_proj.weight").T + self._get(f"{p}.dt_proj.bias")
        dt = _softplus(dt)
        b, c = selected[:, rank : rank + n], selected[:, rank + n :]
        self.ssm[layer] = np.exp(dt[..., None] * a) * self.ssm[layer] + np.einsum("bi,bi,bn->bin", dt, x, b)
        y = np.einsum("bin,bn->bi", self.ssm[layer], c) + self._get(f"{p}.D") * x
        return y * _silu(gate)

    def _conv(self, layer: int, x: np.ndarray) -> np.ndarray:
        p = f"layers.{layer}.mixer.conv1d"
        self.conv[layer] = np.concatenate([self.conv[layer][..., 1:], x[..., None]], axis=-1)
        weight = self._get(f"{p}.weight")[:, 0]
        return _silu(np.einsum("bck,ck->bc", self.conv[layer], weight) + self._get(f"{p}.bias"))

    def _norm(self, x: np.ndarray, weight: str) -> np.ndarray:
        return x / np.sqrt(np.mean(x**2, -1, keepdims=True) + self.config.norm_eps) * self._get(weight)

    def _get(self, name: str) -> np.ndarray:
        return self._parameters[f"backbone.{name}"].astype(np.float64)


def _silu(x: np.ndarray) -> np.ndarray:
    return x / (1 + np.exp(-x))


def _softplus(x: np.ndarray) -> np.ndarray:
    return np.logaddexp(0, x)


def _run(model: ov.Model, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    compiled = ov.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    outputs = compiled(inputs)
    return {port.get_any_name(): outputs[port] for port in compiled.outputs}


def _assert_equal(actual: np.ndarray, expected: np.ndarray) -> None:
    assert actual.shape == expected.shape
    scale = np.abs(expected).max() or 1.0
    assert np.abs(actual - expected).max() <= F32_TOLERANCE * scale


def _assert_states_equal(outputs: dict[str, np.ndarray], reference: Recurrence) -> None:
    for layer in range(reference.layers):
        _assert_equal(outputs[f"cache_params.present.conv.{layer}"], reference.conv[layer])
        _assert_equal(outputs[f"cache_params.present.ssm.{layer}"], reference.ssm[layer])


def _ids(config: ModelConfig, batch: int, tokens: int) -> np.ndarray:
    return np.random.default_rng(7).integers(0, config.vocab, (batch, tokens))


@FAMILIES
@pytest.mark.parametrize(
    ("tokens", "batch"),
    [(1, 1), (3, 1), (4, 2), (8, 1), (9, 1), (16, 2), (21, 1), (24, 1)],
)
def test_prefill_is_the_recurrence(config: ModelConfig, tokens: int, batch: int) -> None:
    """Below, at and past the convolution's width; one chunk and several, whole and padded; one sequence and two."""
    ids = _ids(config, batch, tokens)
    reference = Recurrence(config, workloads.parameters(config), config.layers, batch)
    expected = reference.logits(ids)
    model = workloads.build(config, tokens=tokens, batch=batch, weights="random", with_state=True)
    outputs = _run(model, {"input_ids": ids})
    _assert_equal(outputs["logits"], expected)
    _assert_states_equal(outputs, reference)


@FAMILIES
@pytest.mark.parametrize("batch", [1, 2])
def test_decode_goes_on_from_prefill(config: ModelConfig, batch: int) -> None:
    ids = _ids(config, batch, 16)
    prompt = 11
    reference = Recurrence(config, workloads.parameters(config), config.layers, batch)
    expected = reference.logits(ids)
    prefill = workloads.build(config, tokens=prompt, batch=batch, weights="random", with_state=True)
    outputs = _run(prefill, {"input_ids": ids[:, :prompt]})
    decode = workloads.build(config, phase="decode", batch=batch, weights="random")
    step = ov.Core().compile_model(decode, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    for token in range(prompt, ids.shape[1]):
        state = {k.replace("present", "past"): v for k, v in outputs.items() if "present" in k}
        results = step({"input_ids": ids[:, token : token + 1], **state})
        outputs = {port.get_any_name(): results[port].copy() for port in step.outputs}
        _assert_equal(outputs["logits"], expected[:, token : token + 1])
    _assert_states_equal(outputs, reference)


@pytest.mark.parametrize("chunk", [1, 3, 8, 64])
def test_the_chunk_size_changes_nothing(chunk: int) -> None:
    ids = _ids(MAMBA2, 1, 13)
    expected = Recurrence(MAMBA2, workloads.parameters(MAMBA2), MAMBA2.layers, 1).logits(ids)
    outputs = _run(workloads.build(MAMBA2, tokens=13, chunk=chunk, weights="random"), {"input_ids": ids})
    _assert_equal(outputs["logits"], expected)


@FAMILIES
def test_another_seed_is_another_model(config: ModelConfig) -> None:
    ids = _ids(config, 1, 5)
    expected = Recurrence(config, workloads.parameters(config, seed=3), config.layers, 1).logits(ids)
    outputs = _run(workloads.build(config, tokens=5, weights="random", seed=3), {"input_ids": ids})
    _assert_equal(outputs["logits"], expected)
    assert np.abs(expected - Recurrence(config, workloads.parameters(config), 2, 1).logits(ids)).max() > 1e-3


@FAMILIES
def test_the_users_own_weights(config: ModelConfig) -> None:
    """A mapping and a function from Hugging Face names; wider than FP16, with entries the model does not need."""
    parameters = {k: v.astype(np.float64) for k, v in workloads.parameters(config, seed=5).items()}
    ids = _ids(config, 1, 6)
    expected = Recurrence(config, parameters, config.layers, 1).logits(ids)
    given = {**parameters, "lm_head.weight": parameters["backbone.embeddings.weight"]}
    for weights in (given, given.__getitem__):
        outputs = _run(workloads.build(config, tokens=6, weights=weights), {"input_ids": ids})
        _assert_equal(outputs["logits"], expected)


@pytest.mark.parametrize("name", ["mamba2-130m", "mamba-130m"])
def test_a_block_of_published_size(name: str) -> None:
    tokens = 12
    config = workloads.config.PUBLISHED[name]
    parameters = workloads.parameters(replace(config, vocab=8), layers=1)
    hidden = np.random.default_rng(1).standard_normal((1, tokens, config.d_model)).astype(np.float32)
    reference = Recurrence(config, parameters, 1, 1)
    expected = np.stack([reference.blocks(hidden[:, t].astype(np.float64)) for t in range(tokens)], 1)
    chunk = 8 if isinstance(config, Mamba2Config) else None
    model = workloads.build(
        name, tokens=tokens, chunk=chunk, weights="random", block_only=True, with_state=True
    )
    outputs = _run(model, {"hidden_states": hidden})
    _assert_equal(outputs["block_output"], expected)
    _assert_states_equal(outputs, reference)


@FAMILIES
def test_the_final_norm_without_the_head(config: ModelConfig) -> None:
    ids = _ids(config, 1, 4)
    parameters = workloads.parameters(config)
    outputs = _run(workloads.build(config, tokens=4, weights="random", lm_head=False), {"input_ids": ids})
    expected = Recurrence(config, parameters, config.layers, 1).logits(ids)
    embedding = parameters["backbone.embeddings.weight"].astype(np.float64)
    _assert_equal(outputs["last_hidden_state"] @ embedding.T, expected)
