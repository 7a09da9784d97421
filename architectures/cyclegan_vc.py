"""CycleGAN-VC: Kaneko and Kameoka, "Parallel-Data-Free Voice Conversion Using Cycle-Consistent
Adversarial Networks", 2017, arXiv:1711.11293, figure 4.

The generator is a gated 1D CNN over time whose channels are the mel-cepstral coefficients; the
discriminator is a gated 2D CNN over the coefficient-time plane. Layers, padding and normalisation
follow the TensorFlow implementation github.com/leimao/Voice-Converter-CycleGAN (module.py), whose
parameter counts they reproduce: 38,055,704 and 21,837,825. The narrow reading of the figure is
that of an MXNet implementation (softrime) with 18,296,728 parameters.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from architectures.padding import repeat_edge, same_padding, scaled
from vcbench.plugins import register_discriminator, register_generator

PAPER = "Kaneko and Kameoka, 2017, arXiv:1711.11293"
NORM_EPS = 1e-6  # of tf.contrib.layers.instance_norm


class Channels(NamedTuple):
    """Channels behind each gate; the convolution before a gate has twice as many outputs."""

    stem: int
    down1: int
    down2: int
    residual: int
    up1: int
    up2: int


# The figure's "c" counts either the channels of each GLU branch or those of the one convolution
# that feeds both. Only the first makes the figure's residual sums add up; implementations of the
# second had to double the second downsampling layer, and so does this.
WIDE = Channels(stem=128, down1=256, down2=512, residual=1024, up1=512, up2=256)
NARROW = Channels(stem=64, down1=128, down2=512, residual=512, up1=256, up2=128)


@register_generator("cyclegan-vc-1d", paper=PAPER, parameters=38_055_704)
def cyclegan_vc_1d(
    *, n_mcep: int, scale: float, width: Literal["wide", "narrow"] = "wide"
) -> nn.Module:
    """The paper's gated 1D generator; `width` is the reading of the figure's channel counts."""
    channels = WIDE if width == "wide" else NARROW
    return Generator1d(n_mcep, Channels(*(scaled(c, scale) for c in channels)))


@register_discriminator("gated-patchgan", paper=PAPER, parameters=21_837_825)
def gated_patchgan(*, scale: float, sigmoid: bool = True) -> nn.Module:
    """The paper's gated 2D discriminator as leimao has it, one score per patch, not per crop."""
    return GatedDiscriminator([scaled(c, scale) for c in (128, 256, 512, 1024)], sigmoid=sigmoid)


class Generator1d(nn.Module):
    """Gated 1D generator: (batch, n_mcep, frames) -> the same shape, any number of frames."""

    def __init__(self, n_mcep: int, channels: Channels) -> None:
        super().__init__()
        c = channels
        self.stem = GatedConv1d(n_mcep, c.stem, kernel=15, norm=False)
        self.down1 = GatedConv1d(c.stem, c.down1, kernel=5, stride=2)
        self.down2 = GatedConv1d(c.down1, c.down2, kernel=5, stride=2)
        self.residual = nn.Sequential(*(ResidualBlock1d(c.down2, c.residual) for _ in range(6)))
        self.up1 = GatedConv1d(c.down2, c.up1, kernel=5, upsample=2)
        self.up2 = GatedConv1d(c.up1, c.up2, kernel=5, upsample=2)
        self.head = SameConv1d(c.up2, n_mcep, kernel=15)

    def forward(self, mcep: Tensor) -> Tensor:
        frames = mcep.shape[-1]
        # Two stride-2 layers need a multiple of 4; 8 leaves two frames to normalise over.
        x = repeat_edge(mcep, multiple=(4,), minimum=(8,))  # (B, 24, T)
        x = self.stem(x)  # (B, 128, T)
        x = self.down1(x)  # (B, 256, T/2)
        x = self.down2(x)  # (B, 512, T/4)
        x = self.residual(x)  # (B, 512, T/4)
        x = self.up1(x)  # (B, 512, T/2)
        x = self.up2(x)  # (B, 256, T)
        return self.head(x)[..., :frames]  # (B, 24, T)


class SameConv1d(nn.Conv1d):
    """1D convolution with TensorFlow's "same" padding."""

    def __init__(self, inputs: int, outputs: int, *, kernel: int, stride: int = 1) -> None:
        super().__init__(inputs, outputs, kernel, stride)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(same_padding(x, kernel=self.kernel_size, stride=self.stride))


class GatedConv1d(nn.Module):
    """Convolution, pixel shuffle (where upsampling), instance norm, gated linear unit.

    One convolution with 2 x `outputs` channels holds the value and the gate branch; since
    instance norm works channel by channel, this is the same function as two convolutions with a
    norm each. Gate: Dauphin et al., 2017, arXiv:1612.08083.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        kernel: int,
        stride: int = 1,
        upsample: int = 1,
        norm: bool = True,
    ) -> None:
        super().__init__()
        self.upsample = upsample
        self.conv = SameConv1d(inputs, 2 * outputs * upsample, kernel=kernel, stride=stride)
        self.norm = (
            nn.InstanceNorm1d(2 * outputs, eps=NORM_EPS, affine=True) if norm else nn.Identity()
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        if self.upsample > 1:
            x = pixel_shuffle_1d(x, self.upsample)
        return F.glu(self.norm(x), dim=1)


class ResidualBlock1d(nn.Module):
    """x + norm(conv(gated conv(x))), (batch, channels, frames) -> the same shape."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.gated = GatedConv1d(channels, hidden, kernel=3)
        self.conv = SameConv1d(hidden, channels, kernel=3)
        self.norm = nn.InstanceNorm1d(channels, eps=NORM_EPS, affine=True)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.norm(self.conv(self.gated(x)))


def pixel_shuffle_1d(x: Tensor, factor: int) -> Tensor:
    """(batch, channels * factor, frames) -> (batch, channels, frames * factor).

    out[:, c, factor * t + i] = in[:, i * channels + c, t]: the order of TensorFlow's reshape of
    (batch, frames, channels), and of Shi et al., 2016, arXiv:1609.05158, equation 4.
    """
    batch, channels, frames = x.shape
    x = x.view(batch, factor, channels // factor, frames).permute(0, 2, 3, 1)
    return x.reshape(batch, channels // factor, frames * factor)


class GatedDiscriminator(nn.Module):
    """Gated 2D discriminator: (batch, n_mcep, frames) -> (batch, 1, n_mcep/4, frames/16) scores.

    The last layer is the reference's dense layer, which, applied at each position, is a 1 x 1
    convolution; 24 coefficients and 128 frames give 6 x 8 patches. The figure's fully connected
    layer gives one score for the whole crop: the patches are the reference implementation's.
    """

    def __init__(self, channels: list[int], *, sigmoid: bool) -> None:
        super().__init__()
        c1, c2, c3, c4 = channels
        self.sigmoid = sigmoid
        self.layers = nn.Sequential(
            GatedConv2d(1, c1, kernel=(3, 3), stride=(1, 2), norm=False),  # (B, 128, 24, 64)
            GatedConv2d(c1, c2, kernel=(3, 3), stride=(2, 2)),  # (B, 256, 12, 32)
            GatedConv2d(c2, c3, kernel=(3, 3), stride=(2, 2)),  # (B, 512, 6, 16)
            GatedConv2d(c3, c4, kernel=(6, 3), stride=(1, 2)),  # (B, 1024, 6, 8)
        )
        self.score = nn.Conv2d(c4, 1, 1)  # (B, 1, 6, 8)

    def forward(self, mcep: Tensor) -> Tensor:
        scores = self.score(self.layers(mcep.unsqueeze(1)))
        return torch.sigmoid(scores) if self.sigmoid else scores


class GatedConv2d(nn.Module):
    """2D convolution with "same" padding, instance norm, gated linear unit."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        kernel: tuple[int, int],
        stride: tuple[int, int],
        norm: bool = True,
    ) -> None:
        super().__init__()
        self.kernel, self.stride = kernel, stride
        self.conv = nn.Conv2d(inputs, 2 * outputs, kernel, stride)
        self.norm = (
            nn.InstanceNorm2d(2 * outputs, eps=NORM_EPS, affine=True) if norm else nn.Identity()
        )

    def forward(self, x: Tensor) -> Tensor:
        x = same_padding(x, kernel=self.kernel, stride=self.stride)
        return F.glu(self.norm(self.conv(x)), dim=1)
