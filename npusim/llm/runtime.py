"""How OpenVINO's pipeline for NPUs turns a prompt into calls: padding, chunks, cache sizes, waits and host copies.

Small functions of sizes alone. The facts are those of the pipeline's sources and of the partition plans that its
wheels make (evidence/llm.md); what is fitted is a field of ``software.runtime`` and says so there.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from npusim.hardware.schema import Hardware
from npusim.hardware.software import Runtime

#: Prompt and response lengths are rounded up to this many tokens.
_STEP_TOKENS = 64
#: Where blocks are few, fusing stops at this many groups (NPUW_ONLINE_MIN_SIZE).
_FEWEST_GROUPS = 10
#: Host waits of a token: first group, repeated layers, tail, head. Between them calls are chained.
_WAITS = 4
#: First release whose chunked prefill attends to so much of the prompt as there is, a call for attention, one for the
#: rest; and first that generates over caches of several sizes.
PYRAMID_PREFILL, PYRAMID_GENERATE = (2026, 2), (2026, 3)


def padded(tokens: int, step: int = _STEP_TOKENS) -> int:
    """Tokens rounded up to a multiple of ``step``."""
    return step * ceil(tokens / step)


@dataclass(frozen=True, slots=True)
class Window:
    """Tokens that a compiled model is made for: at most so many of a prompt, and so many in answer."""

    prompt: int
    response: int

    @property
    def tokens(self) -> int:
        """Of the whole cache."""
        return self.prompt + self.response


def window(runtime: Runtime, prompt: int, generate: int) -> Window:
    """The least window of the pipeline that holds a prompt and an answer; never less than its defaults."""
    return Window(
        max(padded(runtime.prompt_tokens), padded(prompt)),
        max(padded(runtime.response_tokens), padded(generate)),
    )


def window_of(tokens: int, generate: int) -> Window:
    """A window of so many tokens in all, with room for an answer."""
    response = min(padded(generate), tokens - 1)
    return Window(tokens - response, response)


@dataclass(frozen=True, slots=True)
class Pass:
    """One run through all layers: so many rows over so many tokens before them."""

    rows: int
    past: int


def prefill_passes(runtime: Runtime, room: Window, prompt: int, most_rows: int | None = None) -> list[Pass]:
    """The passes that read a prompt: one of all rows that there may be, or one a chunk, the last one padded.

    Without a pyramid every chunk attends to the whole room for prompts. A model that takes ``most_rows`` at once, and
    attends to nothing, is given its prompt in passes of those.
    """
    if most_rows is not None:
        return [Pass(most_rows, 0)] * ceil(prompt / most_rows)
    chunk = runtime.chunk_tokens
    if room.prompt <= chunk:
        return [Pass(room.prompt, 0)]
    pyramid = runtime.release >= PYRAMID_PREFILL
    count = ceil(prompt / chunk)
    return [Pass(chunk, k * chunk if pyramid else room.prompt - chunk) for k in range(count)]


def cache_size(runtime: Runtime, room: Window, prompt: int) -> int:
    """Tokens of the cache that a generate step attends to, whatever is in it: the whole room, or the least of 1, 2, 4
    thousand and so on, and the answer's, that holds the prompt."""
    if runtime.release < PYRAMID_GENERATE:
        return room.tokens
    size = 1024
    while size < room.prompt and size < prompt:
        size *= 2
    return min(size + room.response, room.tokens)


def prefill_calls(runtime: Runtime, room: Window, layers: int, groups: int | None = None) -> int:
    """Calls of one pass of a prompt, each waited for: the host binds arguments meanwhile. ``groups``: as many as
    OpenVINO itself cuts its layers into, where that is known."""
    if runtime.one_graph:
        return 1
    if room.prompt > runtime.chunk_tokens and runtime.release >= PYRAMID_PREFILL:
        return 2 * layers + 1
    return groups or max(layers, _FEWEST_GROUPS)


def step_calls(runtime: Runtime, layers: int, groups: int | None = None) -> tuple[int, int]:
    """Calls of one token, head included, that are waited for, and that are chained; ``groups`` as above."""
    calls = 2 if runtime.one_graph else (groups or max(layers, _FEWEST_GROUPS)) + 1
    waited = min(calls, _WAITS)
    return waited, calls - waited


def waited_us(hw: Hardware) -> float:
    """What a call costs besides its graph where the host waits for it: the floor of a synchronous inference."""
    return hw.host.overhead_us + hw.host.serial_us


def copy_us(runtime: Runtime, bytes_moved: float) -> float:
    """The host moves bytes between tensors of the NPU."""
    return bytes_moved / runtime.copy_gbps / 1e3


def appending_us(runtime: Runtime, attentions: int, per_token: int) -> float:
    """The host writes one token's keys and values into the cache while the head runs: it finds each of two tensors a
    layer by name, and writes values number by number (they are kept transposed)."""
    numbers = per_token / 2 / 2  # half of the bytes are values, two bytes a number
    return 2 * attentions * runtime.rename_us + numbers * runtime.strided_ns / 1e3
