"""CycleGAN-VC3: Kaneko, Kameoka, Tanaka and Hojo, "CycleGAN-VC3: Examining and Improving
CycleGAN-VCs for Mel-spectrogram Conversion", 2020, arXiv:2010.11672.

CycleGAN-VC2 with time-frequency adaptive normalisation (TFAN): a feature is normalised channel by
channel as in instance norm, but scale and bias are computed from the generator's input and belong
to each element. It follows the spatially-adaptive normalisation (SPADE) of Park et al., 2019,
arXiv:1903.07291, with the source in place of a segmentation map.

From the paper, as others report it (its text was not at hand):

- 1D TFAN replaces the instance norm behind the 1 x 1 convolution of the 1D -> 2D block, 2D TFAN
  those behind the pixel shuffles of both upsampling blocks (github.com/muramasa2/paper_summary,
  issue 79). jackaduma/CycleGAN-VC3 has a further one in the 2D -> 1D block; that is not here.
- Three layers, kernel 5 (jackaduma; GANtastic3/MaskCycleGAN-VC at 19b495e, tfan_module.py).

From those two implementations, where the paper may differ:

- 128 hidden channels; each layer is a convolution and ReLU; scale and bias are one more
  convolution each, of kernel 5. The three layers have weights of their own, as in GANtastic3.
- The scale is 1 + a convolution's output, as in SPADE: the same functions as without the 1.
- The source is resized by nearest neighbour. In 1D its rows are channels, in 2D it is a plane
  with one channel, as in GANtastic3.

The paper's features are mel-spectrograms, 80 rows.
"""

from __future__ import annotations

from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from vcbench_frozen.architectures.cyclegan_vc2 import (
    SHRINK,
    Channels,
    Encoder,
    Generator212d,
    padded,
    padded_rows,
)
from vcbench_frozen.architectures.layers import GatedConv2d, SameConv1d, SameConv2d, instance_norm
from vcbench_frozen.architectures.padding import scaled
from vcbench.plugins import register_generator

TFAN_LAYERS, TFAN_KERNEL, TFAN_CHANNELS = 3, 5, 128


@register_generator(
    "cyclegan-vc3", paper="Kaneko et al., 2020, arXiv:2010.11672", parameters=20_852_545
)
def cyclegan_vc3(*, n_mcep: int, scale: float) -> nn.Module:
    """CycleGAN-VC2's generator, its decoder's scale and bias computed from the source (TFAN)."""
    rows, channels = padded_rows(n_mcep), Channels.at(scale)
    decoder = TfanDecoder(rows, channels, hidden=scaled(TFAN_CHANNELS, scale))
    return TfanGenerator(Encoder(rows, channels), decoder)


class TfanGenerator(Generator212d):
    """2-1-2D generator with TFAN: (batch, n_mcep, frames) -> the same shape, any length."""

    def forward(self, mcep: Tensor) -> Tensor:
        rows, frames = mcep.shape[-2:]
        source = padded(mcep.unsqueeze(1))  # (B, 1, 24, T)
        x = self.decoder(self.encoder(source), source)  # (B, 1, 24, T)
        return x[:, 0, :rows, :frames]  # (B, 24, T)


class TfanDecoder(nn.Module):
    """1D -> 2D: (batch, 256, frames / 4), source (batch, 1, rows, frames) -> the source's shape."""

    def __init__(self, rows: int, channels: Channels, *, hidden: int) -> None:
        super().__init__()
        c = channels
        flat = rows // SHRINK * c.down2
        self.to_2d = SameConv1d(c.residual, flat, kernel=1)
        self.norm = Tfan(flat, source=rows, hidden=hidden, dims=1)
        self.unflatten = nn.Unflatten(1, (c.down2, rows // SHRINK))
        self.up1 = TfanUpsample(c.down2, c.up1, hidden=hidden)
        self.up2 = TfanUpsample(c.up1, c.up2, hidden=hidden)
        self.head = SameConv2d(c.up2, 1, kernel=(5, 15))

    def forward(self, x: Tensor, source: Tensor) -> Tensor:
        x = self.norm(self.to_2d(x), source[:, 0])  # (B, 256 * 6, T/4)
        x = self.unflatten(x)  # (B, 256, 6, T/4)
        x = self.up1(x, source)  # (B, 128, 12, T/2)
        x = self.up2(x, source)  # (B, 64, 24, T)
        return self.head(x)  # (B, 1, 24, T)


class TfanUpsample(GatedConv2d):
    """CycleGAN-VC2's upsampling layer with 2D TFAN as its norm."""

    def __init__(self, inputs: int, outputs: int, *, hidden: int) -> None:
        super().__init__(inputs, outputs, kernel=(5, 5), upsample=2, norm="none")
        self.norm = Tfan(2 * outputs, source=1, hidden=hidden, dims=2)

    def forward(self, x: Tensor, source: Tensor) -> Tensor:  # type: ignore[override]
        return self.glu(self.norm(self.shuffle(self.conv(x)), source))


class Tfan(nn.Module):
    """Time-frequency adaptive normalisation: norm(x) * (1 + scale(h)) + bias(h), h from the source.

    Shapes with `dims` 1: x (batch, channels, frames / n), source (batch, source, frames); with
    `dims` 2: x (batch, channels, rows / m, frames / n), source (batch, source, rows, frames).
    """

    def __init__(self, channels: int, *, source: int, hidden: int, dims: Literal[1, 2]) -> None:
        super().__init__()

        def conv(inputs: int, outputs: int) -> nn.Module:
            if dims == 1:
                return SameConv1d(inputs, outputs, kernel=TFAN_KERNEL)
            return SameConv2d(inputs, outputs, kernel=(TFAN_KERNEL, TFAN_KERNEL))

        layers: list[nn.Module] = []
        for inputs in (source, *(TFAN_LAYERS - 1) * [hidden]):
            layers += [conv(inputs, hidden), nn.ReLU()]
        self.norm = instance_norm("instance", channels, dims=dims)
        self.hidden = nn.Sequential(*layers)
        self.scale = conv(hidden, channels)
        self.bias = conv(hidden, channels)

    def forward(self, x: Tensor, source: Tensor) -> Tensor:
        h = self.hidden(F.interpolate(source, x.shape[2:], mode="nearest"))
        return self.norm(x) * (1 + self.scale(h)) + self.bias(h)
