"""The static graphs give the logits of the stateful model, token by token, on OpenVINO's CPU plugin."""

from __future__ import annotations

import numpy as np
import openvino as ov
import pytest
from openvino import opset15 as op

from npusim import make_static
from npusim.errors import UserError
from tests.llm import stateful

PROMPT = [3, 17, 42, 8, 8, 25, 60]
GREEDY_TOKENS = 6
EXACT = {"INFERENCE_PRECISION_HINT": "f32"}


def as_published(model: ov.Model, prompt: list[int], count: int) -> list[np.ndarray]:
    """Logits of every step: the prompt at once, then token by token."""
    request = ov.Core().compile_model(model, "CPU", EXACT).create_infer_request()
    inputs = {name for port in model.inputs for name in port.get_names()}
    found, seen, tokens = [], 0, prompt
    for _ in range(count):
        seen += len(tokens)
        every = {
            "input_ids": np.array([tokens]),
            "attention_mask": np.ones((1, seen), np.int64),
            "position_ids": np.arange(seen - len(tokens), seen)[None],
            "beam_idx": np.zeros(1, np.int32),
        }
        request.infer({name: value for name, value in every.items() if name in inputs})
        found.append(request.get_tensor("logits").data[0, -1].copy())
        tokens = [int(found[-1].argmax())]
    return found


class Host:
    """What the runtime does around the static graphs: padding, and carrying what is remembered."""

    def __init__(self, models: object) -> None:
        self.m = models
        core = ov.Core()
        self.requests = [
            core.compile_model(one, "CPU", EXACT).create_infer_request()
            for one in (models.prefill, models.generate)
        ]
        self.kept = {
            one.past: np.zeros(models.generate.input(one.past).get_shape(), np.float32)
            for one in models.remembered
        }
        self.seen = 0

    def prefill(self, prompt: list[int]) -> np.ndarray:
        rows = self.m.rows
        first = len(prompt) % rows or rows  # padding is before the first token, where windows are zeros, too
        for chunk in (prompt[:first], *(prompt[i : i + rows] for i in range(first, len(prompt), rows))):
            logits = self._call(self.requests[0], self.m.prefill, chunk, rows, self.m.past)
        return logits

    def step(self, token: int) -> np.ndarray:
        return self._call(self.requests[1], self.m.generate, [token], 1, self.m.cache - 1)

    def _call(self, request: object, model: ov.Model, tokens: list[int], rows: int, past: int) -> np.ndarray:
        padding = rows - len(tokens)
        mask = np.zeros((1, past + rows), np.int64)
        mask[0, : self.seen] = 1
        mask[0, past + padding :] = 1
        every = {
            "input_ids": np.array([[0] * padding + tokens]),
            "attention_mask": mask,
            "position_ids": np.array([[0] * padding + list(range(self.seen, self.seen + len(tokens)))]),
        }
        for one in self.m.remembered:
            kept = self.kept[one.past]
            every[one.past] = kept[:, :, :past].copy() if one.grows else kept
        inputs = {name for port in model.inputs for name in port.get_names()}
        request.infer({name: value for name, value in every.items() if name in inputs})
        for one in self.m.remembered:
            new = request.get_tensor(one.present).data
            if one.grows:
                new = new[:, :, -len(tokens) :]
                self.kept[one.past][:, :, self.seen : self.seen + len(tokens)] = new
            else:
                self.kept[one.past] = new.copy()
        self.seen += len(tokens)
        return request.get_tensor("logits").data[0, -1].copy()


@pytest.mark.parametrize("kinds", ["aa", "ss", "sas"])
@pytest.mark.parametrize("chunk", [None, 3, 1])
def test_static_graphs_say_what_the_stateful_model_says(kinds: str, chunk: int | None) -> None:
    model = stateful.build(kinds)
    wanted = as_published(model.clone(), PROMPT, GREEDY_TOKENS)
    host = Host(make_static(model, prompt=12, response=8, chunk=chunk))
    found = [host.prefill(PROMPT)]
    while len(found) < GREEDY_TOKENS:
        found.append(host.step(int(found[-1].argmax())))
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_allclose(one, other, rtol=2e-4, atol=2e-5)
    assert len({int(one.argmax()) for one in wanted}) > 1, "a model that always says the same shows nothing"


def test_the_shapes_are_those_of_the_pipeline() -> None:
    models = make_static(stateful.build("as"), prompt=64, response=16)
    shapes = {p.get_any_name(): list(p.get_shape()) for p in models.generate.inputs}
    assert shapes["input_ids"] == [1, 1]
    assert shapes["attention_mask"] == [1, 80]
    assert shapes["past_key_values.0.key"] == [1, stateful.KEY_HEADS, 79, stateful.HEAD]
    assert shapes["cache_params.past.conv.1"] == [1, stateful.TAPS, stateful.MIXED]
    assert "beam_idx" not in shapes
    before = {p.get_any_name() for p in models.prefill.inputs}
    assert "past_key_values.0.key" not in before
    assert "cache_params.past.conv.1" in before
    assert list(models.prefill.output("logits").get_shape()) == [1, 1, stateful.VOCABULARY]
    assert not models.prefill.is_dynamic()
    assert not models.generate.is_dynamic()


def test_the_model_given_stays_as_it_is() -> None:
    model = stateful.build("a")
    make_static(model, prompt=8, response=8)
    assert len(model.get_sinks()) == 2
    assert model.is_dynamic()


def test_past_and_present_as_inputs_and_outputs_are_taken_too() -> None:
    models = make_static(stateful.build("a"), prompt=8, response=4)
    from npusim.llm.static import stateless

    again = make_static(stateless(stateful.build("a"))[0], prompt=8, response=4)
    assert again.remembered == models.remembered


def test_what_is_no_language_model_is_refused_in_a_line() -> None:
    x = op.parameter([1, 8], np.float32, name="x")
    x.output(0).set_names({"x"})
    with pytest.raises(UserError, match="no input input_ids"):
        make_static(ov.Model([op.result(op.relu(x))], [x], "net"))
    ids = op.parameter([1, 8], np.int64, name="input_ids")
    ids.output(0).set_names({"input_ids"})
    logits = op.convert(ids, "f32")
    logits.output(0).set_names({"logits"})
    with pytest.raises(UserError, match="remembers nothing"):
        make_static(ov.Model([op.result(logits)], [ids], "net"))
    with pytest.raises(UserError, match="chunk"):
        make_static(stateful.build("a"), prompt=8, chunk=9)
