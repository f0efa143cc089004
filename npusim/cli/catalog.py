"""``npusim list``: what is built in."""

from __future__ import annotations

from npusim.cli.options import JsonOption
from npusim.cli.terminal import print_json


def list_command(
    as_json: JsonOption = False,
) -> None:
    """List the shipped hardware files and the built-in workloads."""
    import workloads
    from npusim.hardware import load_hardware, shipped

    hardware = [(name, load_hardware(name)) for name in shipped()]
    models = [(name, workloads.describe(name)) for name in workloads.names()]
    if as_json:
        document = {
            "hardware": [
                {
                    "file": file,
                    "name": hw.name,
                    "platform": hw.platform,
                    "tiles": hw.tiles,
                    "software": hw.software.name,
                }
                for file, hw in hardware
            ],
            "workloads": [{"name": name, "description": text} for name, text in models],
        }
        print_json(document)
        return
    print("Hardware (--hw)")
    for file, hw in hardware:
        print(
            f"  {file:<24} {hw.name}: platform {hw.platform}, {hw.tiles} tiles, software {hw.software.name}"
        )
    print("\nWorkloads (--workload)")
    for name, text in models:
        print(f"  {name:<24} {text}")
