"""CycleGAN-VC: Kaneko and Kameoka, "Parallel-Data-Free Voice Conversion Using Cycle-Consistent
Adversarial Networks", 2017, arXiv:1711.11293, figure 4.

The generator is a gated 1D CNN over time whose channels are the mel-cepstral coefficients; the
discriminator is a gated 2D CNN over the coefficient-time plane. With default options, layers,
padding and normalisation follow the TensorFlow implementation
github.com/leimao/Voice-Converter-CycleGAN (module.py), whose parameter counts they reproduce:
38,055,704 and 21,837,825. The options are what public implementations do otherwise:

=================  ======  =============  ==========  ====================  ========
                   leimao  pritishyuvraj  karkirowle  maratsubkhankulov     softrime
=================  ======  =============  ==========  ====================  ========
framework          TF      PyTorch        PyTorch     PyTorch               MXNet
width              wide    wide           (mixed)     narrow                narrow
pixel_shuffle      tf      concat         tf          tf                    torch
first_kernel       15      15             15          5                     15
last_kernel        15      15             5           15                    15
norm               affine  affine         (mixed)     affine                affine
norm_eps           1e-6    1e-5           (mixed)     1e-5                  -
glu                two     two            single      single                single
sigmoid            true    false          false       true                  true
tail               patch   patch          patch       scalar                scalar
=================  ======  =============  ==========  ====================  ========

pritishyuvraj and jackaduma also have a class GLU that computes what `glu: silu` does.
"""

from __future__ import annotations

from functools import partial
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from vcbench_frozen.architectures.layers import (
    NORM_EPS,
    GatedConv1d,
    GatedConv2d,
    Glu,
    Norm,
    ResidualBlock1d,
    SameConv1d,
    ShuffleOrder,
)
from vcbench_frozen.architectures.padding import repeat_edge, scaled
from vcbench.plugins import register_discriminator, register_generator

PAPER = "Kaneko and Kameoka, 2017, arXiv:1711.11293"


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
    *,
    n_mcep: int,
    scale: float,
    width: Literal["wide", "narrow"] = "wide",
    pixel_shuffle: ShuffleOrder = "tf",
    first_kernel: int = 15,
    last_kernel: int = 15,
    kernel: int = 5,
    residual_blocks: int = 6,
    residual_kernel: int = 3,
    norm: Norm = "instance-affine",
    norm_eps: float = NORM_EPS,
    glu: Glu = "single-conv",
) -> nn.Module:
    """The paper's gated 1D generator, as its public implementations read and vary it.

    `width`: the reading of the figure's channel counts. `kernel`: of the down- and upsampling
    layers. `pixel_shuffle`: see `architectures.layers.PixelShuffle1d`. `glu`: see `GatedConv1d`.
    Raises `ValueError` for a kernel that is even or below 1, a negative number of blocks, or an
    epsilon that is not above 0.
    """
    kernels = {"first_kernel": first_kernel, "last_kernel": last_kernel}
    kernels |= {"kernel": kernel, "residual_kernel": residual_kernel}
    for name, size in kernels.items():
        if size < 1 or size % 2 == 0:
            raise ValueError(f"{name} ({size}) must be an odd number of frames, at least 1")
    if residual_blocks < 0:
        raise ValueError(f"residual_blocks ({residual_blocks}) must be 0 or more")
    channels = WIDE if width == "wide" else NARROW
    return Generator1d(
        n_mcep,
        Channels(*(scaled(c, scale) for c in channels)),
        pixel_shuffle=pixel_shuffle,
        first_kernel=first_kernel,
        last_kernel=last_kernel,
        kernel=kernel,
        residual_blocks=residual_blocks,
        residual_kernel=residual_kernel,
        norm=norm,
        norm_eps=_above_zero(norm_eps),
        glu=glu,
    )


@register_discriminator("gated-patchgan", paper=PAPER, parameters=21_837_825)
def gated_patchgan(
    *,
    n_mcep: int,
    scale: float,
    segment_frames: int,
    sigmoid: bool = True,
    tail: Literal["patch", "scalar"] = "patch",
    norm: Norm = "instance-affine",
    norm_eps: float = NORM_EPS,
) -> nn.Module:
    """The paper's gated 2D discriminator: one score per patch as leimao has it, or one per crop.

    `tail: patch` is that of leimao, pritishyuvraj and karkirowle: "same" padding leaves 6 rows
    behind the last convolution, and the dense layer judges each position (leimao's issue 2).
    `tail: scalar` is the figure's fully connected layer, as in softrime and maratsubkhankulov; it
    takes crops of `segment_frames` frames alone. Raises `ValueError` for crops too short for it,
    and for an epsilon that is not above 0.
    """
    if tail == "scalar" and norm != "none" and segment_frames <= 16:
        raise ValueError(
            f"segment_frames ({segment_frames}) must be at least 17 with tail: scalar, whose last "
            "norm needs two frames behind four halvings; or choose norm: none"
        )
    return GatedDiscriminator(
        [scaled(c, scale) for c in (128, 256, 512, 1024)],
        crop=(n_mcep, segment_frames) if tail == "scalar" else None,
        sigmoid=sigmoid,
        norm=norm,
        norm_eps=_above_zero(norm_eps),
    )


def _above_zero(norm_eps: float) -> float:
    if not norm_eps > 0:
        raise ValueError(f"norm_eps ({norm_eps}) must be above 0, such as 1e-6 or 1e-5")
    return norm_eps


class Generator1d(nn.Module):
    """Gated 1D generator: (batch, n_mcep, frames) -> the same shape, any number of frames."""

    def __init__(
        self,
        n_mcep: int,
        channels: Channels,
        *,
        pixel_shuffle: ShuffleOrder,
        first_kernel: int,
        last_kernel: int,
        kernel: int,
        residual_blocks: int,
        residual_kernel: int,
        norm: Norm,
        norm_eps: float,
        glu: Glu,
    ) -> None:
        super().__init__()
        c = channels
        gated = partial(GatedConv1d, kernel=kernel, norm=norm, norm_eps=norm_eps, glu=glu)
        up = partial(gated, upsample=2, order=pixel_shuffle)
        block = partial(
            ResidualBlock1d, kernel=residual_kernel, norm=norm, norm_eps=norm_eps, glu=glu
        )
        self.stem = GatedConv1d(n_mcep, c.stem, kernel=first_kernel, norm="none", glu=glu)
        self.down1 = gated(c.stem, c.down1, stride=2)
        self.down2 = gated(c.down1, c.down2, stride=2)
        self.residual = nn.Sequential(*(block(c.down2, c.residual) for _ in range(residual_blocks)))
        self.up1 = up(c.down2, c.up1)
        self.up2 = up(c.up1, c.up2)
        self.head = SameConv1d(c.up2, n_mcep, kernel=last_kernel)

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


class GatedDiscriminator(nn.Module):
    """Gated 2D discriminator with one of two tails.

    `crop` None: (batch, n_mcep, frames) -> (batch, 1, n_mcep/4, frames/16) scores. leimao's dense
    layer, which, applied at each position, is a 1 x 1 convolution; 24 coefficients and 128 frames
    give 6 x 8 patches.

    `crop` (n_mcep, frames): such crops -> (batch, 1) scores. The last convolution is as high as
    what is left of the coefficients, 6 rows of 24, and has no padding in height; one fully
    connected layer follows. Raises `ValueError` for a crop of another size.
    """

    def __init__(
        self,
        channels: list[int],
        *,
        crop: tuple[int, int] | None,
        sigmoid: bool,
        norm: Norm,
        norm_eps: float,
    ) -> None:
        super().__init__()
        c1, c2, c3, c4 = channels
        self.crop, self.sigmoid = crop, sigmoid
        gated = partial(GatedConv2d, norm=norm, norm_eps=norm_eps)
        self.layers = nn.Sequential(
            GatedConv2d(1, c1, kernel=(3, 3), stride=(1, 2), norm="none"),  # (B, 128, 24, 64)
            gated(c1, c2, kernel=(3, 3), stride=(2, 2)),  # (B, 256, 12, 32)
            gated(c2, c3, kernel=(3, 3), stride=(2, 2)),  # (B, 512, 6, 16)
        )
        self.score: nn.Module
        if crop is None:
            self.layers.append(gated(c3, c4, kernel=(6, 3), stride=(1, 2)))  # (B, 1024, 6, 8)
            self.score = nn.Conv2d(c4, 1, 1)  # (B, 1, 6, 8)
        else:
            rows, frames = -(-crop[0] // 4), -(-crop[1] // 16)
            valid = gated(c3, c4, kernel=(rows, 3), stride=(1, 2), edges=("valid", "same"))
            self.layers.append(valid)  # (B, 1024, 1, 8)
            self.score = nn.Sequential(nn.Flatten(), nn.Linear(c4 * frames, 1))  # (B, 1)

    def forward(self, mcep: Tensor) -> Tensor:
        found = tuple(mcep.shape[1:])
        if self.crop not in (None, found):
            raise ValueError(
                f"a crop of {found} (n_mcep, frames): the fully connected layer of this "
                f"discriminator is made for {self.crop}; give it such crops, or choose tail: patch"
            )
        scores = self.score(self.layers(mcep.unsqueeze(1)))
        return torch.sigmoid(scores) if self.sigmoid else scores
