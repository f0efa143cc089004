"""Which attributes of OpenVINO's ops lowering reads: those alone are kept in the Graph."""

from __future__ import annotations

#: Attributes that lowering reads, by op type.
ATTRIBUTES: dict[str, tuple[str, ...]] = {
    "Interpolate": ("mode", "coordinate_transformation_mode", "nearest_mode"),
    "AvgPool": ("strides", "pads_begin", "pads_end", "kernel"),
    "Clamp": ("min", "max"),
    "Convolution": ("strides", "pads_begin", "pads_end", "dilations"),
    "ConvolutionBackpropData": ("strides", "pads_begin", "pads_end", "dilations"),
    "CumSum": ("exclusive", "reverse"),
    "Concat": ("axis",),
    "Convert": ("destination_type",),
    "DepthToSpace": ("block_size", "mode"),
    "DetectionOutput": ("num_classes", "share_location"),
    "Einsum": ("equation",),
    "FakeQuantize": ("levels",),
    "Gather": ("batch_dims",),
    "GroupConvolution": ("strides", "pads_begin", "pads_end", "dilations"),
    "GroupConvolutionBackpropData": ("strides", "pads_begin", "pads_end", "dilations"),
    "GroupNormalization": ("num_groups",),
    "LogSoftmax": ("axis",),
    "MVN": ("normalize_variance", "eps"),
    "MatMul": ("transpose_a", "transpose_b"),
    "MaxPool": ("strides", "pads_begin", "pads_end", "kernel"),
    "Pad": ("pad_mode",),
    "ReduceMax": ("keep_dims",),
    "ReduceMean": ("keep_dims",),
    "ReduceMin": ("keep_dims",),
    "ReduceSum": ("keep_dims",),
    "ScaledDotProductAttention": ("causal",),
    "ShuffleChannels": ("axis", "group"),
    "SoftMax": ("axis",),
    "Softmax": ("axis",),
    "TopK": ("axis",),
    "SpaceToDepth": ("block_size", "mode"),
    "StridedSlice": ("begin_mask", "end_mask", "shrink_axis_mask", "new_axis_mask", "ellipsis_mask"),
}
