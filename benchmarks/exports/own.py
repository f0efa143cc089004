"""Networks that people write themselves, from torch.nn."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

Made = tuple[nn.Module, dict[str, Tensor]]


class _Calls(nn.Module):
    """Layers, and what is done with them."""

    def __init__(self, layers: dict[str, nn.Module], call: Callable[..., Tensor]) -> None:
        super().__init__()
        self.layers, self.call = nn.ModuleDict(layers), call

    def forward(self, *tensors: Tensor) -> Tensor:
        return self.call(self.layers, *tensors)


def _recurrent(kind: type[nn.Module], **options: bool) -> Made:
    cell = kind(40, 64, num_layers=2, batch_first=True, **options)
    width = 128 if options else 64
    module = _Calls(
        {"cell": cell, "head": nn.Linear(width, 10)}, lambda layers, x: layers["head"](layers["cell"](x)[0])
    )
    return module, {"sequence": torch.rand(1, 50, 40)}


def lstm() -> Made:
    """Two layers of LSTM and a classifier of each step."""
    return _recurrent(nn.LSTM)


def gru() -> Made:
    """Two layers of GRU."""
    return _recurrent(nn.GRU)


def bidirectional_lstm() -> Made:
    """LSTMs both ways."""
    return _recurrent(nn.LSTM, bidirectional=True)


def transformer() -> Made:
    """An encoder and a decoder as torch.nn has them."""
    module = nn.Transformer(64, 4, 2, 2, 128, batch_first=True)
    return module, {"source": torch.rand(1, 32, 64), "target": torch.rand(1, 16, 64)}


def _double(given: int, out: int) -> nn.Module:
    convolutions = []
    for channels in (given, out):
        convolutions += [nn.Conv2d(channels, out, 3, padding=1), nn.BatchNorm2d(out), nn.ReLU()]
    return nn.Sequential(*convolutions)


def unet() -> Made:
    """Down, up, and what is joined between."""
    layers = {
        "first": _double(3, 16), "second": _double(16, 32), "third": _double(32, 64), "pool": nn.MaxPool2d(2),
        "up2": nn.ConvTranspose2d(64, 32, 2, 2), "back2": _double(64, 32),
        "up1": nn.Upsample(scale_factor=2, mode="bilinear"), "back1": _double(48, 16), "head": nn.Conv2d(16, 2, 1),
    }  # fmt: skip

    def call(m: dict[str, nn.Module], x: Tensor) -> Tensor:
        first = m["first"](x)
        second = m["second"](m["pool"](first))
        third = m["third"](m["pool"](second))
        second = m["back2"](torch.cat([m["up2"](third), second], 1))
        return m["head"](m["back1"](torch.cat([m["up1"](second), first], 1)))

    return _Calls(layers, call), {"image": torch.rand(1, 3, 128, 128)}


def wavenet() -> Made:
    """Dilated convolutions of a wave, gated."""
    layers: dict[str, nn.Module] = {"first": nn.Conv1d(1, 32, 1), "head": nn.Conv1d(32, 256, 1)}
    for layer in range(8):
        layers[f"both{layer}"] = nn.Conv1d(32, 64, 2, dilation=2**layer, padding=2**layer)
        layers[f"out{layer}"] = nn.Conv1d(32, 32, 1)

    def call(m: dict[str, nn.Module], x: Tensor) -> Tensor:
        x = m["first"](x)
        for layer in range(8):
            value, gate = m[f"both{layer}"](x)[..., : x.shape[-1]].chunk(2, 1)
            x = x + m[f"out{layer}"](torch.tanh(value) * torch.sigmoid(gate))
        return m["head"](torch.relu(x))

    return _Calls(layers, call), {"wave": torch.rand(1, 1, 4096)}


def super_resolution() -> Made:
    """Channels to pixels."""
    return nn.Sequential(
        nn.Conv2d(3, 32, 5, padding=2), nn.PReLU(), nn.Conv2d(32, 32, 3, padding=1), nn.PReLU(),
        nn.Conv2d(32, 12, 3, padding=1), nn.PixelShuffle(2),
    ), {"image": torch.rand(1, 3, 180, 320)}  # fmt: skip


def pointnet() -> Made:
    """A network of each point, and the largest of all."""
    return nn.Sequential(
        nn.Conv1d(3, 64, 1), nn.BatchNorm1d(64), nn.ReLU(), nn.Conv1d(64, 256, 1), nn.ReLU(), nn.AdaptiveMaxPool1d(1),
        nn.Flatten(), nn.Linear(256, 40), nn.LogSoftmax(-1),
    ), {"points": torch.rand(1, 3, 1024)}  # fmt: skip


def crnn() -> Made:
    """Convolutions over a line of text, then an LSTM both ways."""
    layers = {
        "image": nn.Sequential(
            nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(),
            nn.MaxPool2d((8, 2)), nn.Conv2d(64, 64, (2, 1)), nn.InstanceNorm2d(64),
        ),
        "cell": nn.LSTM(64, 64, bidirectional=True),
        "head": nn.Linear(128, 37),
    }  # fmt: skip

    def call(m: dict[str, nn.Module], x: Tensor) -> Tensor:
        rows = m["image"](x).squeeze(2).permute(2, 0, 1)
        return m["head"](m["cell"](rows)[0]).log_softmax(-1)

    return _Calls(layers, call), {"line": torch.rand(1, 1, 32, 100)}


def tcn() -> Made:
    """Causal convolutions of ever wider dilation."""
    layers: list[nn.Module] = []
    for layer in range(4):
        layers += [
            nn.ConstantPad1d((2 << layer, 0), 0.0),
            nn.Conv1d(16, 16, 3, dilation=1 << layer),
            nn.GELU(),
        ]
    return nn.Sequential(*layers), {"series": torch.rand(1, 16, 200)}


def mel_front_end() -> Made:
    """Spectra as a long strided convolution of a wave, their size on a mel scale, in decibels."""
    layers = {"spectrum": nn.Conv1d(1, 402, 400, stride=160), "mel": nn.Conv1d(201, 80, 1)}

    def call(m: dict[str, nn.Module], x: Tensor) -> Tensor:
        real, imaginary = m["spectrum"](x).chunk(2, 1)
        return torch.log10(torch.clamp(m["mel"](real**2 + imaginary**2), min=1e-10))

    return _Calls(layers, call), {"wave": torch.rand(1, 1, 16000)}


def gan_generator() -> Made:
    """Transposed convolutions, from a vector to an image."""
    layers: list[nn.Module] = [nn.ConvTranspose2d(100, 128, 4, 1, 0), nn.BatchNorm2d(128), nn.ReLU()]
    for out in (64, 32):
        layers += [
            nn.ConvTranspose2d(2 * out, out, 4, 2, 1),
            nn.InstanceNorm2d(out, affine=True),
            nn.LeakyReLU(0.2),
        ]
    return nn.Sequential(*layers, nn.ConvTranspose2d(32, 3, 4, 2, 1), nn.Tanh()), {
        "noise": torch.rand(1, 100, 1, 1)
    }
