"""A 2D residual generator with sub-pixel upsampling, and the PatchGAN discriminator beside it.

The generator is the residual image-transformation network of Johnson, Alahi and Fei-Fei, 2016,
arXiv:1603.08155, with the pixel shuffle of Shi et al., 2016, arXiv:1609.05158 in place of
transposed convolutions, as in github.com/RexP10r/TelegramStyleBot (CycleGan.py), an image
translator. Two things differ here. Its Tanh output is gone, because normalised mel-cepstra reach
beyond +-1. Its residual blocks end without ReLU, as that project's documentation says and its code
does not. The discriminator is that of Isola et al., 2017, arXiv:1611.07004, with three layers.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from architectures.padding import repeat_edge, scaled
from vcbench.plugins import register_discriminator, register_generator


@register_generator(
    "residual-pixelshuffle-2d",
    paper="Johnson et al., 2016, arXiv:1603.08155",
    parameters=2_167_393,
)
def residual_pixelshuffle_2d(*, scale: float) -> nn.Module:
    """2D residual generator over the coefficient-time plane, upsampling by pixel shuffle."""
    return initialize(ResidualGenerator2d(scaled(96, scale)))


@register_discriminator(
    "patchgan", paper="Isola et al., 2017, arXiv:1611.07004", parameters=660_929
)
def patchgan(*, n_mcep: int, scale: float, sigmoid: bool = False) -> nn.Module:
    """PatchGAN with three 4 x 4 stride-2 layers, with or without a sigmoid."""
    if n_mcep < 16:
        raise ValueError(f"n_mcep ({n_mcep}) must be at least 16: three halvings must leave 2 rows")
    return initialize(PatchDiscriminator(scaled(64, scale), sigmoid=sigmoid))


class ResidualGenerator2d(nn.Module):
    """(batch, n_mcep, frames) -> the same shape, any number of frames."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(conv(1, hidden, 7), norm(hidden), nn.ReLU())
        self.down = nn.Sequential(
            nn.Conv2d(hidden, 2 * hidden, 3, stride=2, padding=1), norm(2 * hidden), nn.ReLU()
        )
        self.residual = nn.Sequential(ResidualBlock2d(2 * hidden), ResidualBlock2d(2 * hidden))
        self.up = nn.Sequential(
            conv(2 * hidden, 4 * hidden, 3), nn.PixelShuffle(2), norm(hidden), nn.ReLU()
        )
        self.head = conv(hidden, 1, 7)

    def forward(self, mcep: Tensor) -> Tensor:
        rows, frames = mcep.shape[-2:]
        # Reflection by 3 needs more than 3 values in each direction; one stride needs even sizes.
        x = repeat_edge(mcep.unsqueeze(1), multiple=(2, 2), minimum=(8, 8))  # (B, 1, 24, T)
        x = self.stem(x)  # (B, 96, 24, T)
        x = self.down(x)  # (B, 192, 12, T/2)
        x = self.residual(x)  # (B, 192, 12, T/2)
        x = self.up(x)  # (B, 96, 24, T)
        return self.head(x)[:, 0, :rows, :frames]  # (B, 24, T)


class ResidualBlock2d(nn.Module):
    """x + norm(conv(relu(norm(conv(x))))), the same shape out as in."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            conv(channels, channels, 3),
            norm(channels),
            nn.ReLU(),
            conv(channels, channels, 3),
            norm(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)


class PatchDiscriminator(nn.Module):
    """(batch, n_mcep, frames) -> (batch, 1, n_mcep/8 - 1, frames/8 - 1) scores: 24 x 128 -> 2 x 15.

    `hidden`: channels of the first layer; they double with each further one.
    """

    def __init__(self, hidden: int, *, sigmoid: bool) -> None:
        super().__init__()
        self.sigmoid = sigmoid
        self.layers = nn.Sequential(
            nn.Conv2d(1, hidden, 4, stride=2, padding=1),  # (B, 64, 12, 64)
            nn.LeakyReLU(0.2),
            nn.Conv2d(hidden, 2 * hidden, 4, stride=2, padding=1),  # (B, 128, 6, 32)
            norm(2 * hidden),
            nn.LeakyReLU(0.2),
            nn.Conv2d(2 * hidden, 4 * hidden, 4, stride=2, padding=1),  # (B, 256, 3, 16)
            norm(4 * hidden),
            nn.LeakyReLU(0.2),
            nn.Conv2d(4 * hidden, 1, 4, padding=1),  # (B, 1, 2, 15)
        )

    def forward(self, mcep: Tensor) -> Tensor:
        scores = self.layers(mcep.unsqueeze(1))
        return torch.sigmoid(scores) if self.sigmoid else scores


def conv(inputs: int, outputs: int, kernel: int) -> nn.Conv2d:
    """Size-preserving convolution with reflected edges."""
    return nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, padding_mode="reflect")


def norm(channels: int) -> nn.InstanceNorm2d:
    """Instance norm without learnt scale and shift, as in the reference."""
    return nn.InstanceNorm2d(channels)


def initialize(network: nn.Module) -> nn.Module:
    """Weights from N(0, 0.02) and zero biases, as in the reference and in pix2pix."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.normal_(module.weight, std=0.02)
            assert module.bias is not None
            nn.init.zeros_(module.bias)
    return network
