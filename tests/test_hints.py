"""What a user sees under a performance hint, in terms of what the NPU does."""

from __future__ import annotations

import numpy as np
import pytest

from npusim import api
from npusim.hardware import load_hardware
from npusim.hints import Interface, bound_of, compiled_for, seen
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
    asked = json.loads(CliRunner().invoke(app, [*command, "--client", "python", "--json"]).stdout)
    loop = seen(GRAPH, load_hardware("lunarlake.yaml"), "latency", client="python")
    assert asked["seen"]["us"] == pytest.approx(loop.us, abs=1e-3)
    assert loop.us > hinted["seen"]["us"]
    assert asked["interval"]["low_us"] < loop.us < asked["interval"]["high_us"]
    assert asked["energy"]["package_uj"] > asked["energy"]["npu_uj"] == asked["energy_uj"]
    cut = json.loads(CliRunner().invoke(app, [*command, "--segments", "3", "--json"]).stdout)
    assert cut["seen"]["us"] == pytest.approx(
        seen(GRAPH, load_hardware("lunarlake.yaml"), "latency", segments=3).us
    )
    none = json.loads(CliRunner().invoke(app, [*command, "--hint", "none", "--json"]).stdout)
    assert {**none, "wall_s": 0, "run": 0} == {**plain, "wall_s": 0, "run": 0}


def test_a_client_pays_by_call_byte_and_output() -> None:
    """100 µs a call, 10 a million bytes in and 20 out: as told, and never less than the device's time."""
    costs = "host.clients.python={call_us: 100, in_us_per_mb: 10e3, out_us_per_mb: 20e3, output_us: 7}"
    hw = load_hardware("lunarlake.yaml", [costs])
    given = Interface.of(GRAPH)
    plain, loop = (seen(GRAPH, hw, "latency", client=client) for client in ("benchmark_app", "python"))
    expected = 100 + (10e3 * given.in_bytes + 20e3 * given.out_bytes) / 1e6 + 7 * (given.outputs - 1)
    assert loop.us - plain.us == pytest.approx(expected)
    assert loop.device_us == plain.device_us == pytest.approx(loop.us - loop.host_us)
    assert (loop.client, plain.client) == ("python", "benchmark_app")


def test_a_segment_is_a_call_to_the_driver_and_none_to_the_client() -> None:
    """Of three: twice what a call costs beside its graph more, and what a client moves as for one. Where inferences
    follow one another, only what no number of requests hides."""
    told = ["host.overhead_us=100", "host.serial_us=30", "host.clients.python={call_us: 500}"]
    hw = load_hardware("lunarlake.yaml", told)
    one, three = (seen(GRAPH, hw, "latency", client="python", segments=n) for n in (1, 3))
    assert three.us - one.us == pytest.approx(2 * 130)
    assert (three.segments, three.device_us) == (3, one.device_us)
    busy, cut = (seen(GRAPH, hw, "throughput", segments=n) for n in (1, 3))
    assert cut.us - busy.us == pytest.approx(2 * 30)


def test_an_interface_is_counted_at_the_types_that_a_caller_sees() -> None:
    """toeplitz-attention of 256 tokens: 256 x 64 in and out, FP32 though it is executed in FP16."""
    assert Interface.of(GRAPH) == Interface(256 * 64 * 4, 256 * 64 * 4, 1)


def test_one_thread_bounds_the_rate_of_many_requests() -> None:
    hw = load_hardware("lunarlake.yaml", ["host.clients.python={call_us: 50000}"])
    assert seen(GRAPH, hw, "throughput", client="python").us == pytest.approx(50_000)


@pytest.mark.parametrize(
    ("prices_us", "host_us", "bound"), [(0.6, 0.0, "memory"), (0.4, 0.0, "compute"), (0.6, 1.0, "host")]
)
def test_what_bounds_a_call(prices_us: float, host_us: float, bound: str) -> None:
    """Of an inference of 1 µs: DDR for so much of it, and so much beside it."""
    from npusim.costs.prices import Prices

    zeros = np.zeros(1)
    prices = Prices(zeros, zeros, zeros + prices_us * 1e3, np.zeros(1, np.int8), zeros, ddr_gbps=1.0)
    assert bound_of(prices, 1.0, host_us) == bound
