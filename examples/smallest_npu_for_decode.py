"""The smallest NPU that decodes Mamba-2 1.3B at 50 tokens a second: fewest tiles, then
fewest DMA engines, then least DDR bandwidth.

    python examples/smallest_npu_for_decode.py [TOKENS_PER_SECOND [LAYERS]]
"""

import sys

from npusim import load_hardware
from npusim.explore.axes import bind, parse_axis
from npusim.explore.space import Space, grid
from npusim.explore.sweep import sweep
from npusim.source import ModelSource

wanted = float(sys.argv[1]) if len(sys.argv) > 1 else 50.0
layers = int(sys.argv[2]) if len(sys.argv) > 2 else None

hw = load_hardware("lunarlake.yaml")
model = ModelSource("mamba2-1.3b", phase="decode", layers=layers)
texts = ["tiles=2,4,6", "dma.engines=2,4,6", "ddr.bandwidth_gbps=80:280:6"]
axes = bind([parse_axis(text) for text in texts], hw, model)
space = Space(hw, model, axes, allow_guess=True)

names = [axis.name for axis in axes]
table = sweep(space, grid(axes)).table.sort_values(names)

print(
    f"{model.name}, one token after the other, around {hw.name}: least DDR bandwidth for {wanted:g} tokens/s"
)
for (tiles, engines), rows in table.groupby(names[:2]):
    enough = rows[rows["tokens_per_s"] >= wanted]
    best = enough.iloc[0] if len(enough) else rows.iloc[-1]
    words = f"{best[names[2]]:.0f} GB/s" if len(enough) else "never"
    rate = f"{best['tokens_per_s']:.1f} tokens/s, {best['bound']} bound"
    print(f"  {tiles} tiles, {engines} DMA engines: {words:>9}  ({rate})")
enough = table[table["tokens_per_s"] >= wanted]
if len(enough):
    tiles, engines, bandwidth = enough.iloc[0][names]
    print(f"The smallest: {tiles} tiles, {engines} DMA engines and {bandwidth:.0f} GB/s")
else:
    print("None of these is fast enough.")
