"""What a user sees under a performance hint, in terms of what the NPU does."""

from __future__ import annotations

import pytest

from npusim import api
from npusim.hardware import load_hardware
from npusim.hints import compiled_for, seen
from npusim.source import ModelSource

GRAPH = ModelSource("toeplitz-attention", tokens=256).graph()


def test_latency_is_the_device_and_the_host() -> None:
    hw = load_hardware("lunarlake.yaml", ["host.overhead_us=100", "host.serial_us=30"])
    found = seen(GRAPH, hw, "latency")
    part = compiled_for(hw, "latency")
    assert (found.tiles, found.streams) == (part.tiles, 1) == (4, 1)
    assert found.device_us == pytest.approx(api.simulate(api.lower(GRAPH, part), part).latency_us)
    assert found.us == pytest.approx(found.device_us + 130)


def test_many_requests_hide_the_host_but_not_what_is_serial() -> None:
    hw = load_hardware("lunarlake.yaml", ["host.overhead_us=100", "host.serial_us=30"])
    found = seen(GRAPH, hw, "throughput")
    assert (found.tiles, found.streams) == (6, 1)
    assert found.us == pytest.approx(found.device_us + 30)


def test_streams_share_the_tiles() -> None:
    hints = ["software.hints.throughput.tiles=2", "host.serial_us=30"]
    found = seen(GRAPH, load_hardware("lunarlake.yaml", hints), "throughput")
    assert (found.tiles, found.streams) == (2, 3)
    assert found.us >= (found.device_us + 30) / 3 * (1 - 1e-9)


def test_a_hint_cannot_use_more_tiles_than_there_are() -> None:
    assert compiled_for(load_hardware("lunarlake.yaml", ["tiles=2"]), "latency").tiles == 2


def test_dispatch_counts_once_a_task() -> None:
    """Two microseconds more a task lengthen the latency by at least that for the longest queue, at most for all."""
    slow = load_hardware(
        "lunarlake.yaml", [f"software.dispatch.{name}_us=2" for name in ("dma", "dpu", "shave")]
    )
    hw = load_hardware(
        "lunarlake.yaml", [f"software.dispatch.{name}_us=0" for name in ("dma", "dpu", "shave")]
    )
    program = api.lower(GRAPH, hw)
    assert api.lower(GRAPH, slow) == program
    fast_us, slow_us = (api.simulate(program, one).latency_us for one in (hw, slow))
    longest = max(sum(task.queue == queue for task in program.tasks) for queue in range(len(program.queues)))
    assert slow_us - fast_us >= 2 * longest / max(queue.servers for queue in program.queues) * 0.5
    assert slow_us - fast_us <= 2 * len(program.tasks) + 1e-6


def test_the_command_says_what_is_seen() -> None:
    import json

    from typer.testing import CliRunner

    from npusim.cli.app import app

    command = [
        "run",
        "--hw",
        "lunarlake.yaml",
        "--workload",
        "toeplitz-attention",
        "--tokens",
        "256",
        "--no-report",
    ]
    plain = json.loads(CliRunner().invoke(app, [*command, "--json"]).stdout)
    hinted = json.loads(CliRunner().invoke(app, [*command, "--hint", "latency", "--json"]).stdout)
    assert "seen" not in plain
    found = seen(GRAPH, load_hardware("lunarlake.yaml"), "latency")
    assert hinted["latency_us"] == pytest.approx(found.device_us, abs=1e-3)
    assert hinted["seen"]["us"] == pytest.approx(found.us, abs=1e-3)
    shown = CliRunner().invoke(app, [*command, "--hint", "throughput"]).stdout
    assert "time between results" in shown
