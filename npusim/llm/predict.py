"""Time to the first token, time of every further one, memory and energy of a language model on an NPU.

What is added up, and why, is evidence/llm.md#2:

    TTFT     = passes x (graphs + calls) + copies between chunks + head
    token    = graphs of all layers + calls + max(head, appending to the cache) + copies of states + host
    token 2  = the same and the hand-over of the prompt's cache
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from npusim.errors import UserError
from npusim.hardware.schema import Hardware
from npusim.llm import runtime as rt
from npusim.llm.calls import LanguageModel
from npusim.llm.device import Device, Spent, total


@dataclass(frozen=True, slots=True)
class Step:
    """One generated token: µs inside graphs, in calls around them, and of the host, and what the graphs need at least.

    ``weights_us`` and ``cache_us`` are their bytes over the bandwidth of DDR; both are part of ``graphs``.
    """

    cache: int
    graphs: Spent
    calls_us: float
    host_us: float
    weights_us: float
    cache_us: float

    @property
    def us(self) -> float:
        """All of it."""
        return self.graphs.us + self.calls_us + self.host_us

    @property
    def floor_us(self) -> float:
        """Bytes over bandwidth."""
        return self.weights_us + self.cache_us


@dataclass(frozen=True, slots=True)
class First:
    """The way to the first token: µs inside graphs, in calls around them, and of the host."""

    passes: int
    rows: int
    graphs: Spent
    calls_us: float
    host_us: float

    @property
    def us(self) -> float:
        """All of it."""
        return self.graphs.us + self.calls_us + self.host_us


@dataclass(frozen=True, slots=True)
class Answer:
    """A prompt answered: times in µs, memory in bytes. ``steps`` are the sizes of cache that are gone through, with the
    tokens generated over each; ``handover_us`` comes with the second token."""

    prompt: int
    generate: int
    window: rt.Window
    first: First
    steps: tuple[tuple[int, Step], ...]
    handover_us: float
    memory: dict[str, int]

    @property
    def further(self) -> int:
        """Tokens behind the first."""
        return sum(tokens for tokens, _ in self.steps)

    @property
    def token_us(self) -> dict[str, float]:
        """The second token, the mean of all behind the first, and the last one."""
        first, last = self.steps[0][1], self.steps[-1][1]
        spent = sum(tokens * step.us for tokens, step in self.steps) + self.handover_us
        return {"first": first.us + self.handover_us, "mean": spent / self.further, "last": last.us}

    @property
    def tokens_per_s(self) -> float:
        """Of tokens behind the first."""
        return 1e6 / self.token_us["mean"]

    @property
    def energy_uj(self) -> float:
        """Of one token behind the first, inside the NPU."""
        return sum(tokens * step.graphs.energy_uj for tokens, step in self.steps) / self.further


@dataclass
class Predictor:
    """Answers of one model on one NPU. ``room`` is the window it is compiled for; None: the least that holds each."""

    model: LanguageModel
    hw: Hardware
    room: rt.Window | None = None
    allow_guess: bool = False

    def __post_init__(self) -> None:
        """Weights reach the NPU as fast as the runtime's figure says, if it has one."""
        self.machine = streaming(self.hw)
        self.device = Device(self.machine, self.allow_guess)

    @property
    def runtime(self) -> rt.Runtime:
        """The pipeline that is modelled."""
        return self.hw.software.runtime

    def answer(self, prompt: int, generate: int) -> Answer:
        """A prompt of so many tokens, answered by so many. Raises UserError where the window does not hold them."""
        room = self.room or rt.window(self.runtime, prompt, generate)
        if prompt > room.prompt or prompt + generate > room.tokens:
            raise UserError(
                f"a prompt of {prompt} and {generate} generated tokens do not fit a cache of {room.prompt} + "
                f"{room.response}: a larger --cache, or a shorter prompt"
            )
        return Answer(
            prompt, generate, room, self.first(room, prompt), tuple(self._steps(room, prompt, generate)),
            rt.copy_us(self.runtime, prompt * self.model.memory.per_token), self._memory(room),
        )  # fmt: skip

    def first(self, room: rt.Window, prompt: int) -> First:
        """The way to the first token."""
        passes = rt.prefill_passes(self.runtime, room, prompt, self.model.most_rows)
        calls = rt.prefill_calls(self.runtime, room, self.model.layers, self._groups(passes[0].rows, 0))
        graphs = [self.device.all_of(self.model.parts(one.rows, one.past)) for one in passes]
        if (lookup := self._lookup(passes[0].rows)) is not None:
            graphs += [lookup] * len(passes)
        graphs.append(self.device.all_of([self.model.head()]))
        memory = self.model.memory
        between = (len(passes) - 1) * (passes[0].rows * memory.per_token + memory.states)
        return First(
            len(passes), passes[0].rows, total(graphs),
            (len(passes) * calls + 1) * rt.waited_us(self.hw),
            rt.copy_us(self.runtime, between) + self.runtime.token_us,
        )  # fmt: skip

    def step(self, cache: int, rows: int = 1, heard: int | None = None) -> Step:
        """A pass of ``rows`` over a cache of so many, theirs among them; logits are made of ``heard`` (all)."""
        runtime, memory = self.runtime, self.model.memory
        body = self.device.all_of(self.model.parts(rows, cache - rows))
        if (lookup := self._lookup(rows)) is not None:
            body += lookup
        head = self.device.all_of([self.model.head(rows if heard is None else heard)])
        waited, chained = rt.step_calls(runtime, self.model.layers, self._groups(rows, cache - rows))
        appending = rows * rt.appending_us(runtime, self.model.attentions, memory.per_token)
        host = max(0.0, appending - head.us) + rt.copy_us(runtime, memory.states) + runtime.token_us
        rate = self.machine.ddr.bandwidth_gbps * 1e3
        return Step(
            cache, body + head, waited * rt.waited_us(self.hw) + chained * self.hw.host.serial_us, host,
            (memory.layers + memory.head) / rate, (cache * memory.per_token + memory.states) / rate,
        )  # fmt: skip

    def _steps(self, room: rt.Window, prompt: int, generate: int) -> list[tuple[int, Step]]:
        """Sizes of cache in the order they are gone through: the next one when one is full."""
        found: list[tuple[int, Step]] = []
        done, further = 0, max(1, generate - 1)
        while done < further:
            cache = rt.cache_size(self.runtime, room, prompt + done)
            most = max(1, cache - prompt - done) if cache < room.tokens else further
            tokens = min(further - done, most)
            if found and found[-1][1].cache == cache:
                found[-1] = (found[-1][0] + tokens, found[-1][1])
            else:
                found.append((tokens, self.step(cache)))
            done += tokens
        return found

    def _groups(self, rows: int, past: int) -> int | None:
        """Of a pass that is cut at all."""
        return None if self.runtime.one_graph else self.model.groups(rows, past)

    def _lookup(self, rows: int) -> Spent | None:
        if self.model.width >= self.runtime.host_lookup_width:
            return None
        part = self.model.lookup(rows)
        return None if part is None else self.device.once(part)

    def _memory(self, room: rt.Window) -> dict[str, int]:
        """Bytes that stay: weights (the table of embeddings, too), cache and states, activations between calls."""
        memory = self.model.memory
        passed = (
            3
            * max(
                one.rows for one in rt.prefill_passes(self.runtime, room, room.prompt, self.model.most_rows)
            )
            * self.model.width
            * 2
        )
        return {
            "weights": memory.layers + memory.head + memory.table,
            "cache": room.tokens * memory.per_token + memory.states,
            "graph": passed + room.prompt * memory.per_token,
        }


def streaming(hw: Hardware) -> Hardware:
    """The NPU with the rate at which arguments of calls reach it, where the software profile has one."""
    rate = hw.software.runtime.stream_gbps
    if rate is None or rate >= hw.ddr.bandwidth_gbps:
        return hw
    return hw.model_copy(update={"ddr": hw.ddr.model_copy(update={"bandwidth_gbps": rate})})


def answers(predictor: Predictor, prompts: Sequence[int], generate: int) -> list[Answer]:
    """Every prompt answered, in order."""
    return [predictor.answer(prompt, generate) for prompt in prompts]
