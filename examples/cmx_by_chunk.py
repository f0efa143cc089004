"""How much scratchpad is worth having, and which chunk length suits it? Mamba-2 130M, CMX a tile by chunk length.

Long chunks mean larger MatMuls and fewer of them; their products must fit the scratchpad or be sliced.

    python examples/cmx_by_chunk.py [LAYERS]
"""

import sys

from npusim import load_hardware
from npusim.explore.axes import bind, parse_axis
from npusim.explore.space import Space, grid
from npusim.explore.sweep import sweep
from npusim.source import ModelSource

hw = load_hardware("lunarlake.yaml")
model = ModelSource("mamba2-130m", layers=int(sys.argv[1]) if len(sys.argv) > 1 else 2)
texts = [f"cmx.kib_per_tile=512,1024,{hw.cmx.kib_per_tile:g},2048,3072", "chunk=32,64,128,256"]
axes = bind([parse_axis(text) for text in texts], hw, model)
space = Space(hw, model, axes, allow_guess=True)

table = sweep(space, grid(axes)).table
for error in table.loc[table["error"] != "", "error"].unique():
    print("cannot be:", error)
by_chunk = table.pivot(index="cmx.kib_per_tile", columns="chunk", values="latency_us") / 1000

print(f"{model.name}, {model.layers} layers, {hw.name}: latency in ms")
print(by_chunk.round(2).to_string())
for kib, chunk in by_chunk.idxmin(axis=1).items():
    print(f"with {kib:,.0f} KiB a tile the best chunk is {chunk}: {by_chunk.loc[kib].min():.2f} ms")
