"""How kinds of time, engines and provenances are called and coloured, on every page."""

from __future__ import annotations

#: Okabe and Ito's colours, told apart with any colour vision, in the order of assets/core.js.
PALETTE = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442")
#: Colours of op types: none of an engine or a kind of time, in the order of assets/core.js.
TYPE_PALETTE = ("#aa3377", "#b8a425", "#8c6bb1", "#9c755f", "#ee6677", "#b5a1d6", "#7d8f3c")
#: Kinds of time on the critical path (analysis.bottleneck.KINDS): title and colour.
KINDS = {
    "shave": ("SHAVE", "var:shave"), "dpu": ("DPU", "var:dpu"), "dma": ("DMA moving bytes", "var:dma"),
    "start-up": ("DMA starting up", "var:startup"), "ddr": ("DMA slowed by shared DDR", "#d55e00"),
    "block": ("unit beside the tiles", "var:block"), "barrier/dependency": ("waiting", "var:idle"),
}  # fmt: skip
PROVENANCE = {"measured": "#009e73", "fitted": "#0072b2", "roofline": "#e69f00", "guess": "#d55e00"}
ENGINE_NAMES = {"dma": "DMA", "dpu": "DPU", "shave": "SHAVE", "block": "BLOCK"}
ENGINE_COLOUR = {"dma": "var:dma", "dpu": "var:dpu", "shave": "var:shave", "block": "var:block"}
