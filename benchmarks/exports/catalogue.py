"""The architectures, and the forms in which people have them.

A name is looked up in its library: a model of timm or torchvision, a configuration of transformers, a Keras
application, or a function of ``own.py``. Widths and depths are cut where the ops do not depend on them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

#: How a model becomes a file: ``make.FORMS`` does it.
FORMS = {
    "ir": "OpenVINO IR from PyTorch, static shapes",
    "dynamic": "OpenVINO IR, batch and lengths left open, given by --shape",
    "program": "OpenVINO IR from torch.export",
    "onnx": "ONNX by torch.onnx.export, the TorchScript way",
    "dynamo": "ONNX by torch.onnx.export with dynamo",
    "onnx-dynamic": "ONNX with open axes, given by --shape",
    "ort-dynamic": "ONNX, quantised by ONNX Runtime's quantize_dynamic",
    "ort-qdq": "ONNX, quantised by ONNX Runtime's quantize_static, QuantizeLinear pairs",
    "ort-qoperator": "ONNX, quantised by ONNX Runtime's quantize_static, QLinear operators",
    "nncf-int8": "OpenVINO IR, quantised by NNCF",
    "nncf-w8": "OpenVINO IR, weights of INT8 by NNCF",
    "nncf-w4": "OpenVINO IR, weights of INT4 in groups by NNCF",
    "past": "OpenVINO IR of one step of decoding, past keys and values as inputs",
    "stateful": "OpenVINO IR of one step of decoding, past keys and values as states",
    "tflite": "TensorFlow Lite",
    "tflite-int8": "TensorFlow Lite, quantised",
    "saved-model": "TensorFlow SavedModel",
}


@dataclass(frozen=True)
class Architecture:
    """``build`` says who makes it and from which inputs, ``options`` are the configuration's or the constructor's."""

    name: str
    build: str
    forms: tuple[str, ...]
    options: Mapping[str, Any] = field(default_factory=dict)


def _listed(build: str, text: str, **options: Any) -> list[Architecture]:
    """One architecture a line: its name and its forms."""
    lines = (line.split() for line in text.strip().splitlines())
    return [Architecture(name, build, tuple(forms), options) for name, *forms in lines]


_TIMM = """
resnet18 ir onnx ort-qdq ort-qoperator nncf-int8
efficientnet_b0 dynamo ort-qdq nncf-int8
mobilenetv3_small_100 onnx ort-dynamic
mobilenetv4_conv_small ir nncf-int8
convnext_atto ir dynamo
convnextv2_atto onnx
vit_tiny_patch16_224 ir onnx-dynamic ort-dynamic nncf-int8
deit3_small_patch16_224 onnx
swin_tiny_patch4_window7_224 ir onnx
swinv2_cr_tiny_ns_224 dynamo
maxvit_pico_rw_256 ir
coatnet_pico_rw_224 onnx
levit_128s ir ort-qdq
efficientformer_l1 onnx
efficientvit_b0 program
fastvit_t8 ir
repvgg_a0 onnx
regnety_002 ir
densenet121 onnx
inception_v3 ir
xception41 dynamo
ghostnet_100 onnx
mixer_s32_224 ir
gmlp_s16_224 onnx
poolformer_s12 ir
edgenext_xx_small onnx dynamic
mobileone_s0 ir
mobilevitv2_050 dynamo
hrnet_w18_small onnx
dla34 ir
ese_vovnet19b_dw onnx
cspdarknet53 ir
rexnet_100 onnx
sebotnet33ts_256 ir
halonet26t onnx
volo_d1_224 ir
xcit_nano_12_p16_224 onnx
cait_xxs24_224 ir
pit_ti_224 onnx
crossvit_tiny_240 ir
twins_pcpvt_small onnx
nest_tiny ir
focalnet_tiny_srf onnx
davit_tiny program
hiera_tiny_224 ir
eva02_tiny_patch14_224 onnx
mambaout_femto ir
skresnet18 onnx
resnest14d ir
res2net50_14w_8s onnx
lcnet_050 ort-qdq
pvt_v2_b0 ir
convmixer_768_32 onnx
sequencer2d_s ir
visformer_tiny onnx
inception_next_atto ir
starnet_s1 dynamo
nfnet_f0 onnx
tinynet_e tflite
"""

_TORCHVISION = """
alexnet onnx
vgg11 ir
squeezenet1_1 onnx ort-qoperator
googlenet ir
shufflenet_v2_x0_5 dynamo
mnasnet0_5 onnx
deeplabv3_mobilenet_v3_large ir onnx
fcn_resnet50 onnx
lraspp_mobilenet_v3_large ir
fasterrcnn_mobilenet_v3_large_320_fpn onnx
retinanet_resnet50_fpn onnx
ssdlite320_mobilenet_v3_large onnx
maskrcnn_resnet50_fpn onnx
"""

_VIDEO = """
r3d_18 ir
r2plus1d_18 onnx
s3d ir
mvit_v2_s onnx
swin3d_t ir
"""

_KERAS = """
MobileNetV2 tflite tflite-int8 saved-model
EfficientNetB0 tflite tflite-int8
MobileNetV3Small tflite
ResNet50V2 tflite-int8
NASNetMobile tflite
DenseNet121 saved-model
"""


def _bert(**more: Any) -> dict[str, Any]:
    return {
        "hidden_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 256,
        "vocab_size": 1000, **more,
    }  # fmt: skip


def _llama(**more: Any) -> dict[str, Any]:
    return _bert(num_key_value_heads=2, head_dim=32, max_position_embeddings=512, pad_token_id=0, **more)


def _of(build: str, name: str, forms: str, **options: Any) -> Architecture:
    return Architecture(name, build, tuple(forms.split()), options)


_TEXT = [
    _of("text", "BertModel", "ir onnx onnx-dynamic ort-dynamic nncf-int8", **_bert()),
    _of("text", "RobertaForSequenceClassification", "dynamo dynamic", **_bert()),
    _of("text", "DistilBertForTokenClassification", "onnx ort-dynamic", dim=128, n_layers=2, n_heads=4, hidden_dim=256),
    _of("text", "AlbertModel", "ir", **_bert(embedding_size=64)),
    _of("text", "ElectraForMaskedLM", "onnx", **_bert(embedding_size=64)),
    _of("text", "DebertaV2Model", "onnx dynamic",
        **_bert(relative_attention=True, pos_att_type=["p2c", "c2p"], position_buckets=64)),
    _of("text", "MPNetModel", "ir", **_bert()),
    _of("text", "MobileBertModel", "onnx ort-qdq", **_bert(embedding_size=64, intra_bottleneck_size=64)),
    _of("text", "ModernBertModel", "dynamo ir", **_bert(pad_token_id=0, cls_token_id=1, sep_token_id=2)),
    _of("text", "FNetModel", "onnx ir", **_bert()),
    _of("text", "SqueezeBertModel", "ir", **_bert(embedding_size=128)),
    _of("text", "XLNetModel", "onnx", d_model=128, n_layer=2, n_head=4, d_inner=256, vocab_size=1000),
    _of("text", "FunnelModel", "ir", block_sizes=[1, 1], d_model=128, n_head=4, d_head=32, d_inner=256,
        vocab_size=1000),
    _of("text", "RoFormerModel", "onnx", **_bert(embedding_size=128)),
    _of("text", "LongformerModel", "ir", **_bert(attention_window=[64, 64])),
    _of("text", "BigBirdModel", "onnx", **_bert(block_size=16, attention_type="original_full")),
    _of("text", "NomicBertModel", "dynamo", **_bert()),
    _of("text", "T5EncoderModel", "ir ort-dynamic", d_model=128, d_ff=256, num_layers=2, num_heads=4, d_kv=32,
        vocab_size=1000),
]  # fmt: skip

_CAUSAL = [
    _of("causal", "LlamaForCausalLM", "ir onnx past stateful nncf-w4 ort-dynamic", **_llama()),
    _of("causal", "Qwen2ForCausalLM", "stateful nncf-w8", **_llama()),
    _of("causal", "Qwen3ForCausalLM", "past dynamo", **_llama()),
    _of("causal", "Gemma2ForCausalLM", "stateful", **_llama(sliding_window=32)),
    _of("causal", "Gemma3ForCausalLM", "past", **_llama(sliding_window=32)),
    _of("causal", "Phi3ForCausalLM", "stateful nncf-w4", **_llama()),
    _of("causal", "MistralForCausalLM", "onnx", **_llama()),
    _of("causal", "GPT2LMHeadModel", "onnx past ort-dynamic", n_embd=128, n_layer=2, n_head=4, vocab_size=1000),
    _of("causal", "GPTNeoXForCausalLM", "past", **_bert()),
    _of("causal", "OPTForCausalLM", "ir", hidden_size=128, num_hidden_layers=2, num_attention_heads=4, ffn_dim=256,
        vocab_size=1000, word_embed_proj_dim=128),
    _of("causal", "BloomForCausalLM", "onnx", hidden_size=128, n_layer=2, n_head=4, vocab_size=1000),
    _of("causal", "FalconForCausalLM", "ir", **_bert()),
    _of("causal", "StableLmForCausalLM", "past", **_llama()),
    _of("causal", "Olmo2ForCausalLM", "stateful", **_llama()),
    _of("causal", "GraniteForCausalLM", "dynamo", **_llama()),
    _of("causal", "CohereForCausalLM", "ir", **_llama()),
    _of("causal", "SmolLM3ForCausalLM", "stateful", **_llama()),
    _of("causal", "MixtralForCausalLM", "ir onnx", **_llama(num_local_experts=4)),
    _of("causal", "Qwen3MoeForCausalLM", "ir",
        **_llama(num_experts=4, num_experts_per_tok=2, moe_intermediate_size=64)),
    _of("plain-causal", "MambaForCausalLM", "ir onnx", hidden_size=128, num_hidden_layers=2, state_size=16,
        vocab_size=1000),
    _of("plain-causal", "Mamba2ForCausalLM", "ir", hidden_size=128, num_hidden_layers=2, state_size=16, num_heads=8,
        head_dim=32, n_groups=1, vocab_size=1000, chunk_size=32),
    _of("plain-causal", "FalconMambaForCausalLM", "ir", hidden_size=128, num_hidden_layers=2, state_size=16,
        vocab_size=1000),
    _of("plain-causal", "RwkvForCausalLM", "ir", hidden_size=128, num_hidden_layers=2, vocab_size=1000,
        attention_hidden_size=128, intermediate_size=256, context_length=64),
    _of("plain-causal", "RecurrentGemmaForCausalLM", "ir", **_llama(lru_width=128, attention_window_size=32)),
    _of("plain-causal", "Lfm2ForCausalLM", "ir", **_llama(layer_types=["conv", "full_attention"])),
    _of("plain-causal", "JambaForCausalLM", "ir", **_llama(use_mamba_kernels=False, num_experts=2,
        attn_layer_period=2, attn_layer_offset=1, expert_layer_period=2, expert_layer_offset=1)),
    _of("plain-causal", "GraniteMoeHybridForCausalLM", "ir", **_llama(layer_types=["mamba", "attention"],
        mamba_n_heads=8, mamba_d_head=32, mamba_d_state=16, num_local_experts=2, num_experts_per_tok=1)),
    _of("plain-causal", "Qwen3NextForCausalLM", "ir", **_llama(num_experts=2, num_experts_per_tok=1,
        linear_num_value_heads=4, linear_num_key_heads=2, linear_key_head_dim=32, linear_value_head_dim=32,
        layer_types=["linear_attention", "full_attention"], moe_intermediate_size=64)),
]  # fmt: skip

_PAIRS = [
    _of("pair", "T5Model", "ir onnx", d_model=128, d_ff=256, num_layers=2, num_heads=4, d_kv=32, vocab_size=1000),
    _of("pair", "BartModel", "ir", d_model=128, encoder_layers=2, decoder_layers=2, encoder_attention_heads=4,
        decoder_attention_heads=4, encoder_ffn_dim=256, decoder_ffn_dim=256, vocab_size=1000),
    _of("pair", "MarianModel", "onnx", d_model=128, encoder_layers=2, decoder_layers=2, encoder_attention_heads=4,
        decoder_attention_heads=4, encoder_ffn_dim=256, decoder_ffn_dim=256, vocab_size=1000, pad_token_id=0),
    _of("mel", "WhisperModel", "ir onnx ort-dynamic", d_model=128, encoder_layers=2, decoder_layers=2,
        encoder_attention_heads=4, decoder_attention_heads=4, encoder_ffn_dim=256, decoder_ffn_dim=256,
        vocab_size=1000, pad_token_id=0, decoder_start_token_id=1, bos_token_id=1, eos_token_id=2),
    _of("wave-pair", "MoonshineModel", "ir", hidden_size=144, intermediate_size=256, encoder_num_hidden_layers=2,
        decoder_num_hidden_layers=2, vocab_size=1000, pad_token_id=0),
]  # fmt: skip

_SOUND = [
    _of("wave", "Wav2Vec2Model", "ir onnx ort-dynamic", **_bert()),
    _of("wave", "HubertModel", "dynamo", **_bert()),
    _of("wave", "SEWModel", "ir", **_bert()),
    _of("spectrum", "ASTModel", "onnx", **_bert()),
    _of("features", "Wav2Vec2BertModel", "ir", **_bert(position_embeddings_type="relative_key")),
    _of("features80", "Wav2Vec2ConformerModel", "ir", **_bert(position_embeddings_type="relative")),
]

_IMAGES = [
    _of("image", "ViTForImageClassification", "ir nncf-int8", **_bert()),
    _of("image", "DeiTModel", "onnx", **_bert()),
    _of("image", "BeitModel", "ir", **_bert()),
    _of("image", "Dinov2Model", "dynamo", hidden_size=128, num_hidden_layers=2, num_attention_heads=4),
    _of("image", "SwinModel", "onnx", embed_dim=48, depths=[1, 2], num_heads=[2, 4]),
    _of("image", "Swin2SRForImageSuperResolution", "ir", embed_dim=48, depths=[2, 2], num_heads=[2, 2]),
    _of("image", "SegformerForSemanticSegmentation", "ir onnx", hidden_sizes=[16, 32, 64, 128]),
    _of("image", "MobileViTForSemanticSegmentation", "onnx"),
    _of("image", "DPTForDepthEstimation", "ir",
        **_bert(num_hidden_layers=4, backbone_out_indices=[0, 1, 2, 3], neck_hidden_sizes=[16, 32, 64, 64])),
    _of("image", "GLPNForDepthEstimation", "onnx", hidden_sizes=[16, 32, 64, 64], depths=[1, 1, 1, 1]),
    _of("image", "YolosForObjectDetection", "ir onnx", **_bert(image_size=[224, 224])),
    _of("pixels", "DetrForObjectDetection", "ir", d_model=64, encoder_layers=1, decoder_layers=1,
        encoder_attention_heads=4, decoder_attention_heads=4, encoder_ffn_dim=128, decoder_ffn_dim=128,
        use_pretrained_backbone=False),
    _of("pixels", "RTDetrForObjectDetection", "ir onnx", d_model=64, encoder_hidden_dim=64, encoder_ffn_dim=128,
        decoder_layers=1, decoder_ffn_dim=128, decoder_attention_heads=4, encoder_attention_heads=4, num_queries=50),
    _of("pixels", "DeformableDetrForObjectDetection", "ir", d_model=64, encoder_layers=1, decoder_layers=1,
        encoder_attention_heads=4, decoder_attention_heads=4, encoder_ffn_dim=128, decoder_ffn_dim=128,
        use_pretrained_backbone=False),
    _of("image", "UperNetForSemanticSegmentation", "onnx"),
    _of("image", "ConvNextV2Model", "dynamic", hidden_sizes=[16, 32, 64, 64], depths=[1, 1, 1, 1]),
    _of("frames", "VideoMAEModel", "ir", **_bert()),
    _of("frames", "TimesformerModel", "onnx", **_bert()),
    _of("clip", "CLIPModel", "ir onnx"),
    _of("clip", "SiglipModel", "dynamo"),
    _of("clip", "OwlViTForObjectDetection", "ir"),
    _of("image", "SamVisionModel", "ir", hidden_size=96, num_hidden_layers=2, num_attention_heads=4, image_size=512,
        global_attn_indexes=[1], output_channels=64),
    _of("image", "Mask2FormerForUniversalSegmentation", "ir", hidden_dim=64, feature_size=64, mask_feature_size=64,
        encoder_layers=1, decoder_layers=2, num_attention_heads=4, encoder_feedforward_dim=128, dim_feedforward=128),
    _of("series", "PatchTSTForPrediction", "ir onnx", num_input_channels=4, context_length=96, d_model=64,
        num_hidden_layers=2, prediction_length=24),
    _of("series", "PatchTSMixerForPrediction", "onnx", num_input_channels=4, context_length=96, d_model=32,
        num_layers=2, prediction_length=24),
]  # fmt: skip

_OWN = """
lstm ir onnx dynamo
gru onnx
bidirectional_lstm onnx ir
transformer ir onnx
unet onnx ort-qdq
wavenet ir
super_resolution onnx
pointnet ir
crnn onnx
tcn dynamo
mel_front_end onnx
gan_generator ir
"""

ARCHITECTURES = (
    *_listed("timm", _TIMM),
    *_listed("torchvision", _TORCHVISION),
    *_listed("video", _VIDEO),
    *_TEXT,
    *_CAUSAL,
    *_PAIRS,
    *_SOUND,
    *_IMAGES,
    *_listed("own", _OWN),
    *_listed("keras", _KERAS),
)
