"""MaskCycleGAN-VC: Kaneko, Kameoka, Tanaka and Hojo, "MaskCycleGAN-VC: Learning Non-parallel Voice
Conversion with Filling in Frames", 2021, arXiv:2102.12841.

The generator is that of CycleGAN-VC2 with one more input plane, the mask: it sees (mel-cepstra x
mask, mask) and is trained to fill in the frames that the mask hides. Which frames are hidden is
the recipe's choice. As in github.com/GANtastic3/MaskCycleGAN-VC (model.py), a network that
converts is given a mask of ones. The paper's features are mel-spectrograms, 80 rows.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vcbench_frozen.architectures.cyclegan_vc2 import (
    Channels,
    Decoder,
    Encoder,
    Generator212d,
    padded,
    padded_rows,
)
from vcbench.plugins import register_generator


@register_generator(
    "mask-cyclegan-vc", paper="Kaneko et al., 2021, arXiv:2102.12841", parameters=14_613_313
)
def mask_cyclegan_vc(*, n_mcep: int, scale: float) -> nn.Module:
    """CycleGAN-VC2's generator with a mask as second input, for filling in frames."""
    rows, channels = padded_rows(n_mcep), Channels.at(scale)
    return MaskGenerator(Encoder(rows, channels, planes=2), Decoder(rows, channels))


class MaskGenerator(Generator212d):
    """(batch, n_mcep, frames) and a mask (batch, 1, frames) -> (batch, n_mcep, frames).

    The mask is 1 where a frame can be seen and 0 where it is hidden; None shows all. Raises
    ValueError for a mask of another shape, which would be broadcast to something else.
    """

    takes_mask = True  # training then hides frames if the recipe says so

    def forward(self, mcep: Tensor, mask: Tensor | None = None) -> Tensor:
        batch, rows, frames = mcep.shape
        if mask is None:
            mask = mcep.new_ones(batch, 1, frames)
        elif mask.shape != (batch, 1, frames):
            raise ValueError(
                f"mask {tuple(mask.shape)} must be (batch, 1, frames) = {(batch, 1, frames)}"
            )
        planes = torch.stack([mcep * mask, mask.expand_as(mcep)], dim=1)  # (B, 2, 24, T)
        x = self.decoder(self.encoder(padded(planes)))  # (B, 1, 24, T)
        return x[:, 0, :rows, :frames]  # (B, 24, T)
