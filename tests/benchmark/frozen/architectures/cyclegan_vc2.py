"""CycleGAN-VC2: Kaneko, Kameoka, Tanaka and Hojo, "CycleGAN-VC2: Improved CycleGAN-based
Non-parallel Voice Conversion", 2019, arXiv:1904.04631, figure of the network architectures.

The generator is "2-1-2D": 2D convolutions over the coefficient-time plane around 1D ones over
time, in which all that a frame holds are channels. The discriminator is a gated PatchGAN that ends
in a convolution: no fully connected layer, no sigmoid. Its two-step adversarial loss belongs to
training, with second discriminators made by the same plugin.

The figure's "c" is the number of channels in front of a gate, which halves them: only so does the
second downsampling layer (c512) fill the c2304 = 9 rows x 256 of the reshape behind it. Its last
layer says c35 where an output of 35 rows needs c1.

The figure leaves open: padding (here TensorFlow's "same", as in this family's CycleGAN-VC), the
pixel shuffle's order (any is the same model after a permutation of channels) and whether instance
norm learns a scale and a shift; `norm` chooses, since public implementations differ.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from vcbench_frozen.architectures.layers import (
    GatedConv2d,
    ResidualBlock1d,
    SameConv1d,
    SameConv2d,
    instance_norm,
)
from vcbench_frozen.architectures.padding import repeat_edge, scaled
from vcbench.plugins import register_discriminator, register_generator

PAPER = "Kaneko et al., 2019, arXiv:1904.04631"
SHRINK = 4  # both sides of the plane are halved twice

Norm = Literal["instance", "instance-affine"]


class Channels(NamedTuple):
    """Channels behind each gate; the convolution before a gate has twice as many outputs."""

    stem: int
    down1: int
    down2: int
    residual: int
    up1: int
    up2: int

    @classmethod
    def at(cls, scale: float) -> Channels:
        """The paper's channels times `scale`."""
        full = cls(stem=64, down1=128, down2=256, residual=256, up1=128, up2=64)
        return cls(*(scaled(c, scale) for c in full))


@register_generator("cyclegan-vc2-2-1-2d", paper=PAPER, parameters=14_603_713)
def cyclegan_vc2_2_1_2d(
    *, n_mcep: int, scale: float, residual_blocks: int = 6, norm: Norm = "instance-affine"
) -> nn.Module:
    """The paper's 2-1-2D generator; `norm` tells whether instance norms learn scale and shift."""
    if residual_blocks < 1:
        raise ValueError(f"residual_blocks ({residual_blocks}) must be at least 1")
    rows, channels = padded_rows(n_mcep), Channels.at(scale)
    return Generator212d(
        Encoder(rows, channels, residual_blocks=residual_blocks, norm=norm),
        Decoder(rows, channels, norm=norm),
    )


@register_discriminator("cyclegan-vc2-patchgan", paper=PAPER, parameters=5_729_281)
def cyclegan_vc2_patchgan(*, scale: float, sigmoid: bool = False) -> nn.Module:
    """The paper's gated PatchGAN; its figure has no sigmoid."""
    return PatchDiscriminator([scaled(c, scale) for c in (64, 128, 256, 512)], sigmoid=sigmoid)


class Generator212d(nn.Module):
    """2-1-2D generator: (batch, n_mcep, frames) -> the same shape, any number of frames."""

    def __init__(self, encoder: nn.Module, decoder: nn.Module) -> None:
        super().__init__()
        self.encoder, self.decoder = encoder, decoder

    def forward(self, mcep: Tensor) -> Tensor:
        rows, frames = mcep.shape[-2:]
        plane = padded(mcep.unsqueeze(1))  # (B, 1, 24, T)
        x = self.decoder(self.encoder(plane))  # (B, 1, 24, T)
        return x[:, 0, :rows, :frames]  # (B, 24, T)


def padded_rows(n_mcep: int) -> int:
    """Rows of the plane inside the generator: `n_mcep`, up to a multiple of 4."""
    return -(-n_mcep // SHRINK) * SHRINK


def padded(plane: Tensor) -> Tensor:
    """Repeat the last row and frame until both sides can be halved twice.

    (batch, planes, rows, frames) -> both multiples of 4; 8 frames leave two to normalise over.
    """
    return repeat_edge(plane, multiple=(SHRINK, SHRINK), minimum=(SHRINK, 2 * SHRINK))


class Encoder(nn.Module):
    """2D -> 1D: (batch, planes, rows, frames) -> (batch, 256, frames / 4)."""

    def __init__(
        self,
        rows: int,
        channels: Channels,
        *,
        planes: int = 1,
        residual_blocks: int = 6,
        norm: Norm = "instance-affine",
    ) -> None:
        super().__init__()
        c = channels
        self.stem = GatedConv2d(planes, c.stem, kernel=(5, 15), norm="none")
        self.down1 = GatedConv2d(c.stem, c.down1, kernel=(5, 5), stride=(2, 2), norm=norm)
        self.down2 = GatedConv2d(c.down1, c.down2, kernel=(5, 5), stride=(2, 2), norm=norm)
        self.flatten = nn.Flatten(1, 2)
        self.to_1d = SameConv1d(rows // SHRINK * c.down2, c.residual, kernel=1)
        self.norm = instance_norm(norm, c.residual, dims=1)
        self.residual = nn.Sequential(
            *(ResidualBlock1d(c.residual, c.residual, norm=norm) for _ in range(residual_blocks))
        )

    def forward(self, plane: Tensor) -> Tensor:
        x = self.stem(plane)  # (B, 64, 24, T)
        x = self.down1(x)  # (B, 128, 12, T/2)
        x = self.down2(x)  # (B, 256, 6, T/4)
        x = self.flatten(x)  # (B, 256 * 6, T/4)
        x = self.norm(self.to_1d(x))  # (B, 256, T/4)
        return self.residual(x)  # (B, 256, T/4)


class Decoder(nn.Module):
    """1D -> 2D: (batch, 256, frames / 4) -> (batch, 1, rows, frames)."""

    def __init__(self, rows: int, channels: Channels, *, norm: Norm = "instance-affine") -> None:
        super().__init__()
        c = channels
        flat = rows // SHRINK * c.down2
        self.to_2d = SameConv1d(c.residual, flat, kernel=1)
        self.norm = instance_norm(norm, flat, dims=1)
        self.unflatten = nn.Unflatten(1, (c.down2, rows // SHRINK))
        self.up1 = GatedConv2d(c.down2, c.up1, kernel=(5, 5), upsample=2, norm=norm)
        self.up2 = GatedConv2d(c.up1, c.up2, kernel=(5, 5), upsample=2, norm=norm)
        self.head = SameConv2d(c.up2, 1, kernel=(5, 15))

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.to_2d(x))  # (B, 256 * 6, T/4)
        x = self.unflatten(x)  # (B, 256, 6, T/4)
        x = self.up1(x)  # (B, 128, 12, T/2)
        x = self.up2(x)  # (B, 64, 24, T)
        return self.head(x)  # (B, 1, 24, T)


class PatchDiscriminator(nn.Module):
    """Gated PatchGAN: (batch, n_mcep, frames) -> (batch, 1, n_mcep/8, frames/8), rounded up.

    `channels`: behind the first four gates. A score that is not behind a sigmoid is any number.
    """

    def __init__(self, channels: list[int], *, sigmoid: bool) -> None:
        super().__init__()
        c1, c2, c3, c4 = channels
        self.sigmoid = sigmoid
        self.layers = nn.Sequential(
            GatedConv2d(1, c1, kernel=(3, 3), norm="none"),  # (B, 64, 24, 128)
            GatedConv2d(c1, c2, kernel=(3, 3), stride=(2, 2)),  # (B, 128, 12, 64)
            GatedConv2d(c2, c3, kernel=(3, 3), stride=(2, 2)),  # (B, 256, 6, 32)
            GatedConv2d(c3, c4, kernel=(3, 3), stride=(2, 2)),  # (B, 512, 3, 16)
            GatedConv2d(c4, c4, kernel=(1, 5)),  # (B, 512, 3, 16)
        )
        self.score = SameConv2d(c4, 1, kernel=(1, 3))  # (B, 1, 3, 16)

    def forward(self, mcep: Tensor) -> Tensor:
        scores = self.score(self.layers(mcep.unsqueeze(1)))
        return torch.sigmoid(scores) if self.sigmoid else scores
