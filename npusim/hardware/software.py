"""The software section of a hardware file: what a compiler and driver generation decides."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from npusim.hardware.base import Count, NonNegative, Positive, Section

Activation = Literal[
    "Clamp", "ClampAny", "Elu", "Exp", "Gelu", "HSigmoid", "HSwish", "HardSigmoid", "LeakyRelu", "Mish", "PRelu",
    "Relu", "Selu", "Sigmoid", "SoftPlus", "Sqrt", "Swish", "Tanh",
]  # fmt: skip


class Fetch(Section):
    """How task descriptors reach the NPU before they run (evidence/costs.md#5)."""

    us: NonNegative
    """Duration of one fetch transfer, µs."""
    tasks_per_group: Count = 32
    """DPU tasks that one fetch covers at most."""
    variants_per_group: Count = 64
    """DPU workloads (variants) that one fetch covers at most."""
    shave_tasks_per_group: Count = 32
    """SHAVE tasks that one fetch covers at most."""
    shave_queues_per_tile: Count = 1
    """FIFOs that SHAVE tasks of one tile are grouped by."""
    program_transfers: Annotated[int, Field(ge=0, le=10_000)] = 0
    """Transfers before the fetches (barrier programming)."""
    enqueue_transfers: bool = False
    """One more transfer per FIFO after the start barrier."""


class Dispatch(Section):
    """What starting a task costs besides its work: the barrier it waits on, and its descriptor. It is part of the
    task's duration, and the compiler does not weigh it."""

    dma_us: NonNegative = 0.0
    """µs per transfer; it comes before the first byte."""
    dpu_us: NonNegative = 0
    """µs per DPU task."""
    shave_us: NonNegative = 0
    """µs per SHAVE kernel call."""


class Hint(Section):
    """What OpenVINO compiles and runs for one performance hint."""

    tiles: Count | None = None
    """Tiles that one inference is compiled for, at most those that there are; null: all."""
    requests: Count = 1
    """Inferences that are in flight at most."""


class Hints(Section):
    """The two performance hints of OpenVINO."""

    latency: Hint = Hint()
    """One inference at a time."""
    throughput: Hint = Hint()
    """Several at a time: as many run side by side as the tiles allow, the others queue behind them."""


class Tiling(Section):
    """What the compiler's estimate of a MatMul's slices takes for granted (``lowering.tiling``)."""

    buffer_bytes: Count = 32_768
    """Buffers of an op are counted in steps of so many bytes where it is asked whether all of it fits CMX."""
    large_weights: Annotated[float, Field(ge=1e-6, le=1)] = 0.45
    """Share of CMX from which the weights of one slice count as large, as do weights that are no constants."""
    large_activations: Positive = 1.0
    """Share of CMX from which a slice's activation or result counts as large."""
    large_pools: Positive = 1.0
    """The same of pools."""
    nested_overlap: bool = False
    """Slices along rows and channels are made to overlap, too."""
    sums_overlap: bool = False
    """Products over so many terms that two small slices do not fit CMX are cut into sums of shorter ones."""
    rows_preference: Positive = 1.08
    """A split over rows is taken up to this multiple of the estimate for one over channels, whose result goes to every
    tile (where both could be: rows at 1.065 at most and channels at 1.086 at least on 4000, 1.024 and 1.026 on 3720,
    1.056 and 1.060 on 5010)."""
    finer_tolerance: Positive = 1.05
    """Slices of which results overlap, too, are taken up to this multiple of the estimate without them, for ours of
    small slices is high (of 140 MatMuls as many have the compiler's slices: 133, 132 and 134 on 4000, 3720 and
    5010)."""
    dma_latency_us: NonNegative = 100 / 1850
    """Start of a transfer, µs."""
    dma_gbps: Positive = 45.0
    """Rate of one engine, GB/s."""
    shared_by: Literal["busiest", "largest", "mean"] = "busiest"
    """What transfers to all tiles take: what the busiest engine does, the largest one, or all by the engines."""
    read_again: NonNegative = 0.7
    """What the readers of a kernel take to load its result counts so much against cutting it along rows together with a
    MatMul that is split over channels (0.59 to 0.86 on 4000, 2.1 to 2.5 on 3720)."""
    spills_weighed: bool = True
    """Splits of a MatMul are weighed with what the layer before it would have to bring through DDR for each."""
    short_line_bytes: Count = 64
    """Channels of a pixel that are written in parts of less than so many bytes take longer in proportion."""


class Runtime(Section):
    """How OpenVINO's pipeline runs a language model, and what its host part costs (evidence/llm.md)."""

    version: Annotated[str, Field(pattern=r"^20\d\d\.\d$")] = "2026.4"
    """OpenVINO's release. From 2026.2 on a chunk of a prompt attends to what is before it only, from 2026.3 on a token
    to the least of several caches."""
    prompt_tokens: Count = 1024
    """The longest prompt unless a longer one is asked for (NPUW_LLM_MAX_PROMPT_LEN); shorter ones are padded to it."""
    response_tokens: Count = 128
    """Room for an answer (NPUW_LLM_MIN_RESPONSE_LEN)."""
    chunk_tokens: Count = 1024
    """Rows of a pass where prompts may be longer (NPUW_LLM_PREFILL_CHUNK_SIZE)."""
    one_graph: bool = False
    """All layers are one call (GENERATE_HINT=BEST_PERF)."""
    host_lookup_width: Count = 2048
    """Width of a model from which the host looks embeddings up."""
    copy_gbps: Positive = 4.0
    """Rate at which the host copies caches and states: 403 MB of Phi-3-mini in about 100 ms (openvino#30519)."""
    rename_us: NonNegative = 2.6
    """Finding a cache's tensor by its name, µs (timed on a machine of two cores)."""
    strided_ns: NonNegative = 5.0
    """Writing one number of a transposed cache, ns. Guess: a cache miss that prefetching half hides."""
    token_us: NonNegative = 0
    """Host time of a generated token that no call, copy or graph accounts for, µs (fitted)."""
    stream_gbps: Positive | None = None
    """Most bytes of weights a second that reach the NPU from arguments of calls (fitted); null: as ``ddr`` allows."""

    @field_validator("version", mode="before")
    @classmethod
    def _unquoted(cls, version: object) -> object:
        return str(version) if type(version) is float else version

    @property
    def release(self) -> tuple[int, int]:
        """The version as numbers."""
        year, number = self.version.split(".")
        return int(year), int(number)


class Software(Section):
    """What the compiler and driver generation decides: the same silicon has several."""

    name: str
    """Compiler release and platform, as reports name it."""
    fetch: Fetch | None = None
    """Fetching of descriptors; null: it costs nothing visible."""
    dispatch: Dispatch = Dispatch()
    """What starting a task costs besides its work."""
    hints: Hints = Hints()
    """What OpenVINO's performance hints choose."""
    runtime: Runtime = Runtime()
    """How language models are run."""
    grouped_matmul: bool = True
    """A batched MatMul of two activations runs as one op whose groups are split over tiles; else one conv a batch."""
    attention_scale: Literal["smallest", "unpadded", "scores"] = "unpadded"
    """What an attention is scaled at: the smallest of query, keys and scores; the same, but the scores of heads that
    run one by one and whose rows or columns are padded to 16; or the scores, as models write it. Scores of heads that
    run one by one are scaled by what makes them."""
    attention_kernel: tuple[tuple[Count, Count, Count], ...] | None = None
    """Attention that one SHAVE kernel computes: of these numbers of heads, rows and columns, and, as far as it fits
    CMX, all whose heads share one head of keys; null: none."""
    contract_multiply_reduce: bool = True
    """Broadcast Multiply + ReduceSum becomes a batched MatMul; else the whole product is made and then reduced."""
    contraction_engine: Literal["dpu", "shave"] = "dpu"
    """Where that MatMul runs: on the DPU, or as the SHAVE kernel ``dot``, which multiplies and adds, so that the
    product is not made either."""
    contract_ones: bool = False
    """A MatMul of a broadcast product with a constant vector of ones (ReduBA) is read as the sum that it is and becomes
    a batched MatMul on the DPU; else the whole product is made."""
    split_projections: bool = True
    """A MatMul by constant weights whose result is only read in slices of whole channel granules is cut: one MatMul a
    slice, and one a head before an attention."""
    joined_rows: Annotated[int, Field(ge=0, le=1 << 40)] = 64
    """Rows of a MatMul up to which an elementwise kernel runs slice by slice behind it although tiles and slices cut
    its output channels (4000: those of 64 rows do, those of 128 do not)."""
    outlined_attention: bool = False
    """An attention of floats that is cut per head is a function of its own: nothing is prefetched into it or out of it,
    and what it reads and returns goes through DDR."""
    reduce_sum_engine: Literal["dpu", "shave"] = "dpu"
    """Where ReduceSum runs: as convolutions and pools on the DPU, or as a SHAVE kernel."""
    fused_activations: tuple[Activation, ...] = ("Relu", "Clamp", "LeakyRelu")
    """Activations that the PPE applies while the DPU writes its output, by OpenVINO op type. ``Clamp`` means a lower
    bound of 0, ``ClampAny`` any bounds, ``LeakyRelu`` a PRelu with one slope. What is curved needs ``dpu.ppe.lut``."""
    eltwise_multiply_on_dpu: bool = False
    """Multiply of an activation by a broadcast activation runs on the DPU's eltwise path."""
    upright_matrices: bool = True
    """A matrix that the DPU permutes has its rows as height, over the tiles; else as width (3720)."""
    debatch: bool = True
    """A small batch is run image by image, each as a call of one function (``lowering.rewrite.debatch``)."""
    norm_granules: bool = False
    """The SHAVEs of a tile share its channels of an image that is normalised in whole granules of 16, or not at all."""
    row_fold: Count = 4
    """Width that MatMul rows are folded to where it divides them and they are no less high."""
    dma_gather: bool = True
    """Gather of rows runs as one DMA; else on SHAVE."""
    dma_convert: bool = True
    """Convert f32 to f16 runs as a DMA; else on SHAVE."""
    reciprocal_ratio: Count = 1
    """How many times smaller a divisor is from which 1/y is computed first, and multiplied with; else one SHAVE kernel
    divides."""
    wide_viewed_elements: Count | None = None
    """Elements beyond which the DPU writes a result as FP32, as the interface has it, although the model sees it in
    other dimensions than the DPU makes it in; null: a SHAVE kernel converts all of those (evidence/lowering.md#1.6)."""
    storage_elements: Literal["mapped", "plain"] | None = None
    """What the DPU loads to read pixels through their addresses, as resizing and transposed convolutions do: those and
    a map of what is not zero, or those alone for resizing; null: it does neither: pixels are copied, or written
    between zeros."""
    whole_transposed_channels: Annotated[int, Field(ge=0, le=1 << 20)] = 32
    """Channels up to which a transposed convolution of 4 x 4 that doubles an image of as many channels is computed
    whole; one of more channels, or of others, as four convolutions of 2 x 2 pixels."""
    shifted_transposed_pixels: Annotated[int, Field(ge=1, le=1 << 40)] = 1 << 40
    """Pixels that such a one makes from which each of the four has 3 x 3 pixels, five of them zeros."""
    wide_activations: bool = False
    """The DPU writes FP32 also behind activations that are curved or bounded, and maxima; else a kernel converts."""
    kept_rows_bytes: Annotated[int, Field(ge=0, le=1 << 40)] = 0
    """Bytes of one of several products by a constant up to which its rows, where the tiles do not share them evenly,
    are written to all tiles, and those of all products stored at once."""
    broadcast_output: bool = True
    """A MatMul split over output channels multicasts its result to all tiles; else every tile keeps its part."""
    shared_stencil: bool = True
    """The channels of all tiles choose the stencil of an image's DPU task whose result reaches all; else its own do."""
    whole_stencil: bool = False
    """The rows of all tiles choose the stencil of a DPU task whose rows the tiles share; else a tile's own do."""
    refold_in_cmx: bool = True
    """A product or a change of layout hands its result over in CMX to a sum that folds it to other dimensions."""
    permuted_in_cmx: bool = True
    """What DMA permutes in one tile's CMX is copied from there to its reader; else it goes through DDR."""
    shared_refolds_in_cmx: bool = True
    """A sum that folds its operands to other dimensions hands its result over in CMX to several readers; else to one
    only, or to products alone."""
    scaled_refolds_in_cmx: bool = True
    """Such a sum hands its result over in CMX to what scales it, which sees other rows again."""
    uneven_refolds_in_cmx: bool = False
    """A MatMul whose rows the tiles share unevenly hands them over in CMX to a sum that folds them to others."""
    fused_widening: bool = False
    """The convolution that gives one plane 16 channels runs in slices together with the poolings that reduce it."""
    broadcast_by_planes: bool = False
    """A broadcast along the innermost axis expands every plane by a transfer of its own; else all in one."""
    dma_split_bytes: Count = 80_295
    """A lone transfer between DDR and CMX that is charged for so many bytes is cut in two, one an engine: those that
    take 6,000 cycles of the compiler's estimate (evidence/lowering.md#3.1)."""
    dma_split_ddr_bytes: Count = 115_808
    """The same of a transfer within DDR."""
    tiling: Tiling = Tiling()
    """How slices of a MatMul are estimated."""
    pipeline_share: Annotated[float, Field(ge=1e-6, le=1)] = 0.85
    """Share of CMX that two slices of a convolution may take, so that one is loaded while the other computes."""
    channel_patience: Annotated[float, Field(ge=1, le=1e6)] = 1.0
    """A depth-wise image or pool is split over channels while that takes so many times as long as rows do."""
    pooled_window: Count = 11
    """Most rows or columns of a window by which a reduction is pooled."""
    narrow_channels: Annotated[int, Field(ge=0, le=1 << 20)] = 0
    """Channels a tile up to which a depth-wise convolution over channels, whose result reaches every tile, is taken to
    cost twice what it does (npu_compiler's cost of a layer)."""
    images_by_rows: bool = False
    """Depth-wise convolutions and pools of a batch are split over rows, whichever split takes the DPU less long."""
    barrier_workloads: Count = 64
    """Workloads that one barrier counts; a depth-wise op with more than half as many on a tile is cut for it."""
    task_workloads: Count = 16
    """Workloads that one depth-wise task may have; more are a second task on the same tile."""
    sparse_saving: Annotated[float, Field(ge=0, lt=1)] = 0.58
    """Share of the multiply-accumulates that the weights of a first convolution save, which are stored sparse, but in
    its first 16 output channels."""
    compressed_saving: Annotated[float, Field(ge=0, lt=1)] = 0.35
    """The same where the first convolution is of 8 bits, whose few input channels are compressed instead."""
    ones_saving: Annotated[float, Field(ge=0, lt=1)] = 0.33
    """The same for the convolution with ones that ReduceSum becomes, of whose 16 output channels 15 are zero (14 unique
    variants on 3720 and 4000: 0.28 to 0.38 with 128 channels and more, 0.4 to 0.55 with 16)."""
    halo_copies: bool = True
    """Rows that two tiles need are copied to both; else a tile reads them from its neighbour's CMX."""
    real_channels: bool = False
    """A depth-wise op, or the convolution that adds up a row, writes no more channels than there are; else the 16 that
    it is padded to, of which those that there are go through DDR to a reader that folds them (scans of 4 and 8 heads)
    or adds them to a row."""
    even_planes_in_cmx: bool = False
    """What a scale by a computed column writes row-major stays in CMX where the tiles share its channels evenly."""
    padding_copies: bool = True
    """Rows that are padded to a multiple of 16 elements are copied so in DDR; else the padding is loaded by itself."""
    rows_tolerance: Positive = 1.175
    """A split over rows is chosen up to this multiple of the DPU time of one over channels (rows at 1.17 at most,
    channels at 1.18 at least in the schedules of 2026)."""
    neighbour_tolerance: Positive = 1.4
    """The same for a convolution beside one whose tiles are rows, where channels would mean multicasting or spilling
    (rows were seen up to 1.48 times as long, channels from there on)."""
    matmul_ties: Literal["rows", "channels"] = "rows"
    """How the tiles share a MatMul whose DPU time is the same for a split over rows and over output channels, and a
    depth-wise convolution alone whose channels they can only share unevenly."""
    unsplit_kernels: tuple[str, ...] = ()
    """SHAVE kernels that are not cut over the SHAVEs of a tile."""
    pipelined_kernels: tuple[str, ...] = ()
    """SHAVE kernels that, where they must be sliced at all, get slices of which two fit CMX side by side."""
    single_tile_kernels: tuple[str, ...] = ()
    """SHAVE kernels that run on one tile only."""
    prefetch_slices: Count = 9
    """How many slices ahead of the one that computes loads are issued, as far as CMX has room and they start while it
    computes."""
