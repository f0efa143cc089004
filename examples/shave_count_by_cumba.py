"""Does CumBA still pay on an NPU with more SHAVEs? Latency of Mamba-2 130M by SHAVEs a tile, with and without it.

Without CumBA, CumSum is a serial kernel of the SHAVEs; with it, a MatMul of the DPU.

    python examples/shave_count_by_cumba.py [LAYERS]
"""

import sys

from npusim import load_hardware
from npusim.explore.axes import bind, parse_axis
from npusim.explore.space import Space, grid
from npusim.explore.sweep import sweep
from npusim.source import ModelSource

hw = load_hardware("lunarlake.yaml")
model = ModelSource("mamba2-130m", layers=int(sys.argv[1]) if len(sys.argv) > 1 else 4)
texts = ["shave.per_tile=1,2,4,8", "xamba=none,cumba"]
axes = bind([parse_axis(text) for text in texts], hw, model)
space = Space(hw, model, axes, allow_guess=True)

table = sweep(space, grid(axes)).table
by_rewrite = table.pivot(index="shave.per_tile", columns="xamba", values="latency_us") / 1000
by_rewrite["speed-up"] = by_rewrite["none"] / by_rewrite["cumba"]

print(f"{model.name}, {model.layers} layers, {hw.name}: latency in ms")
print(by_rewrite.round(2).to_string())
best = by_rewrite["speed-up"].idxmin()
print(f"CumBA gains least with {best} SHAVEs a tile: {by_rewrite['speed-up'][best]:.2f}x")
