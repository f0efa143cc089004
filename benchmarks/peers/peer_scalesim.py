"""SCALE-Sim on the GEMM: a 64x64 weight-stationary array, without traces on disk."""

from pathlib import Path

from scalesim.scale_sim import scalesim

Path("scale.cfg").write_text(
    "[general]\nrun_name = gemm\n\n"
    "[architecture_presets]\nArrayHeight: 64\nArrayWidth: 64\nIfmapSramSzkB: 512\nFilterSramSzkB: 512\n"
    "OfmapSramSzkB: 256\nIfmapOffset: 0\nFilterOffset: 10000000\nOfmapOffset: 20000000\nDataflow: ws\n"
    "Bandwidth: 64\nMemoryBanks: 1\nReadRequestBuffer: 32\nWriteRequestBuffer: 32\n\n"
    "[layout]\nIfmapCustomLayout: False\nIfmapSRAMBankBandwidth: 10\nIfmapSRAMBankNum: 10\n"
    "IfmapSRAMBankPort: 2\nFilterCustomLayout: False\nFilterSRAMBankBandwidth: 10\nFilterSRAMBankNum: 10\n"
    "FilterSRAMBankPort: 2\n\n"
    "[sparsity]\nSparsitySupport: false\nSparseRep: ellpack_block\nOptimizedMapping: false\nBlockSize: 8\n"
    "RandomNumberGeneratorSeed: 40\n\n"
    "[run_presets]\nInterfaceBandwidth: USER\nUseRamulatorTrace: False\n"
)
Path("gemm.csv").write_text("Layer, M, N, K,\ngemm, 256, 3072, 768,\n")
Path("layout.csv").write_text("Layer name,\n" + "gemm," + "1," * 19 + "\n")  # has to exist; it is not used
simulation = scalesim(
    save_disk_space=True,
    verbose=False,
    config="scale.cfg",
    topology="gemm.csv",
    layout="layout.csv",
    input_type_gemm=True,
)
simulation.run_scale(top_path="out")
