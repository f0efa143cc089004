"""A simulation as OpenVINO's benchmark_app reports a measurement (``-json_stats``), for tools that read those."""

from __future__ import annotations

import json

from npusim.api import Result
from npusim.report.subject import Subject

#: Requests in flight that the NPU plugin asks benchmark_app for under the throughput hint, by platform (OpenVINO,
#: intel_npu plugin, optimal_number_of_infer_requests).
_REQUESTS, _REQUESTS_OF = 8, {"3720": 4}


def benchmark_report(result: Result, subject: Subject) -> str:
    """benchmark_report.json of what is seen under the hint that was asked for: one inference at a time, or requests in
    flight that wait for one another, so that each takes as many times as long as results are apart."""
    seen, model, hardware = subject.seen, subject.model, result.hardware
    assert seen is not None
    requests = 1 if seen.hint == "latency" else _REQUESTS_OF.get(hardware.platform, _REQUESTS)
    latency_ms = f"{seen.us * requests / 1e3:.3f}"
    inputs = model.inputs if model else ()
    shapes = ",".join(f"{name}[{','.join(map(str, shape))}]" for name, shape in inputs)
    report = {
        "cmd_options": {
            "-m": subject.workload, "-d": "NPU", "-hint": seen.hint, "-nireq": str(requests),
            **({"-shape": shapes} if shapes else {}), "-report_type": "no_counters", "-json_stats": "",
        },
        "configuration_setup": {
            "topology": result.program.name, "target device": "NPU", "API": "async", "inference_only": True,
            "precision": "UNSPECIFIED", "number of parallel infer requests": str(requests),
            "simulated by": f"npusim, {hardware.name}",
        },
        "execution_results": {
            **dict.fromkeys(("latency (ms)", "avg latency", "min latency", "max latency"), latency_ms),
            "throughput": f"{1e6 / seen.us:.3f}",
        },
    }  # fmt: skip
    return json.dumps(report, indent=4) + "\n"
