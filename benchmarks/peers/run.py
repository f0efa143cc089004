"""npusim beside other simulators on one GEMM: python benchmarks/peers/run.py [--repeat N]

Installs SCALE-Sim, ZigZag and Stream from the package index, each into a virtual environment of its own below
build/peers, runs each in cold processes on 256 x 768 x 3072, and writes docs/peers.md: wall time and peak memory, the
best of N runs. Rounds take turns, so that a busy machine is busy for all of them.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
M, K, N = 256, 768, 3072


@dataclass(frozen=True)
class Peer:
    """A package of the index, what it needs besides what it declares, and the least Python it runs on."""

    name: str
    package: str
    also: tuple[str, ...]
    script: str
    remark: str
    python: tuple[int, int] = (3, 11)


PEERS = (
    Peer("SCALE-Sim", "scalesim==3.0.0", ("numpy<2.4",), "peer_scalesim.py",
         "64x64 weight-stationary array, no traces"),
    Peer("ZigZag", "zigzag-dse==3.9.1", ("six",), "peer_zigzag.py", "TPU-like core, LOMA with a limit of 6"),
    Peer("Stream", "stream-dse==2.1.1", ("six", "pydot"), "peer_stream.py",
         "four TPU-like cores, no reports", (3, 12)),
)  # fmt: skip
#: As users install it, with its bytecode.
OURS = Peer(
    "npusim", str(ROOT), (), "npusim", "`npusim run --hw lunarlake.yaml --model gemm.xml --no-report --json`"
)


@dataclass
class Best:
    """The best of several runs."""

    wall_s: float = float("inf")
    memory_mib: float = 0.0


def interpreter(least: tuple[int, int]) -> str | None:
    """A Python of at least this version: this one, or one on the path that starts."""
    if sys.version_info[:2] >= least:
        return sys.executable
    for minor in range(least[1], least[1] + 4):
        found = shutil.which(f"python{least[0]}.{minor}")
        candidates = [found] if found else []
        candidates += map(str, sorted(Path.home().glob(f".pyenv/versions/{least[0]}.{minor}.*/bin/python")))
        for python in candidates:
            if subprocess.run([python, "--version"], capture_output=True, check=False).returncode == 0:
                return python
    return None


def environment(peer: Peer, folder: Path) -> Path | str:
    """The Python of the peer's environment, made if it is not there (npusim's: always); or why there is none."""
    python = folder / peer.script.removesuffix(".py") / "bin/python"
    done = python.parent / ".installed"
    if peer is OURS or not done.exists():
        base = interpreter(peer.python)
        if base is None:
            return "needs Python {}.{} or later, and there is none".format(*peer.python)
        print(f"installing {peer.package}", file=sys.stderr)
        subprocess.run([base, "-m", "venv", "--clear", str(python.parents[1])], check=True)
        words = [str(python), "-m", "pip", "install", "-q", peer.package, *peer.also]
        installed = subprocess.run(words, capture_output=True, text=True, check=False)
        if installed.returncode:
            return f"cannot be installed: {installed.stderr.strip().splitlines()[-1]}"
        done.touch()
    return python


def cold(words: list[str], folder: Path, best: Best) -> None:
    """Run a command in a process of its own and keep the better. Peak memory is that of the process itself.

    The system counts what this process has too, as it is when it starts another: hence inputs.py.
    """
    with (folder / "output").open("w+") as output:
        begin = time.perf_counter()
        process = subprocess.Popen(words, cwd=folder, stdout=output, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
        wall_s = time.perf_counter() - begin
        output.seek(0)
        said = output.read().strip().splitlines()
    if status:
        raise RuntimeError(f"{' '.join(words)}: {said[-1] if said else status}")
    best.wall_s = min(best.wall_s, wall_s)
    best.memory_mib = max(best.memory_mib, usage.ru_maxrss / 1024)


def page(rows: list[tuple[str, Best | str, str]], repeat: int) -> str:
    """docs/peers.md."""
    ours = rows[0][1]
    assert isinstance(ours, Best)
    lines = [
        "# npusim and its peers",
        "",
        f"One GEMM, {M} x {K} x {N}, every tool in a cold process with the settings named, best of {repeat} runs in "
        f"turn on {platform.system()} {platform.machine()} with {os.cpu_count()} processors. Written by "
        "`python benchmarks/peers/run.py`. The tools model different machines, so that only what an answer costs is "
        "compared here, not the answers.",
        "",
        "| tool | wall s | times npusim | peak MiB | settings |",
        "|---|---|---|---|---|",
    ]
    for name, best, remark in rows:
        if isinstance(best, str):
            lines.append(f"| {name} | - | - | - | {best} |")
        else:
            ratio = best.wall_s / ours.wall_s
            lines.append(f"| {name} | {best.wall_s:.2f} | {ratio:.1f} | {best.memory_mib:.0f} | {remark} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Install, run and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--environments", type=Path, default=ROOT / "build/peers")
    parser.add_argument("--out", type=Path, default=ROOT / "docs/peers.md")
    chosen = parser.parse_args()
    python = environment(OURS, chosen.environments.resolve())
    command = [
        "-m",
        "npusim",
        "run",
        "--hw",
        "lunarlake.yaml",
        "--model",
        "gemm.xml",
        "--no-report",
        "--json",
    ]
    words = {OURS.name: [str(python), *command]}
    remarks = {OURS.name: OURS.remark}
    missing: dict[str, str] = {}
    for peer in PEERS:
        python = environment(peer, chosen.environments.resolve())
        remarks[peer.name] = f"{peer.package}: {peer.remark}"
        if isinstance(python, str):
            missing[peer.name] = f"{peer.package}: {python}"
        else:
            words[peer.name] = [str(python), str(HERE.resolve() / peer.script)]
    best = {name: Best() for name in words}
    with tempfile.TemporaryDirectory() as folder:
        shape = [str(size) for size in (M, K, N)]
        subprocess.run([sys.executable, str(HERE / "inputs.py"), folder, *shape], check=True)
        for turn in range(chosen.repeat):
            for name, command in words.items():
                if name != "SCALE-Sim" or turn == 0:  # the better part of a minute; once is enough
                    cold(command, Path(folder), best[name])
                    print(
                        f"{name:10} {best[name].wall_s:6.2f} s {best[name].memory_mib:6.0f} MiB",
                        file=sys.stderr,
                    )
    rows: list[tuple[str, Best | str, str]] = [(name, best[name], remarks[name]) for name in words]
    rows += [(name, why, "") for name, why in missing.items()]
    chosen.out.write_text(page(rows, chosen.repeat))
    print(f"wrote {chosen.out}")


if __name__ == "__main__":
    main()
