"""A 2D residual generator with sub-pixel upsampling, and the PatchGAN discriminator beside it.

The generator is the residual image-transformation network of Johnson, Alahi and Fei-Fei, 2016,
arXiv:1603.08155, with the pixel shuffle of Shi et al., 2016, arXiv:1609.05158 in place of
transposed convolutions, as in github.com/RexP10r/TelegramStyleBot (CycleGan.py), an image
translator. The default is the second of the two models of that project's docs/EXPERIMENTS.md; the
first has `hidden=64, down_up=2, residual_blocks=9`. Two things differ here unless asked for: its
Tanh output (`output="tanh"`) is gone, because normalised mel-cepstra reach beyond +-1; and its
residual branches end without ReLU, as that project's documentation says and its code does not
(`residual_relu=True`).

The discriminator is that of Isola et al., 2017, arXiv:1611.07004, with three layers. The same code
averages its patches to one score for each sample; here that is `average=True`.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

from torch import Tensor, nn

from vcbench_frozen.architectures.padding import repeat_edge, scaled
from vcbench.plugins import register_discriminator, register_generator

Upsampling = Literal["pixelshuffle", "transposed", "nearest"]


@register_generator(
    "residual-pixelshuffle-2d",
    paper="Johnson et al., 2016, arXiv:1603.08155",
    parameters=2_167_393,
)
def residual_pixelshuffle_2d(
    *,
    scale: float,
    hidden: int = 96,
    down_up: int = 1,
    residual_blocks: int = 2,
    residual_relu: bool = False,
    upsample: Upsampling = "pixelshuffle",
    output: Literal["linear", "tanh"] = "linear",
) -> nn.Module:
    """2D residual generator over the coefficient-time plane, upsampling by pixel shuffle.

    `hidden`: channels at full resolution; each of the `down_up` downsampling stages doubles them,
    and as many upsampling stages halve them again. Raises `ValueError` for counts that are
    negative, or no hidden channel.
    """
    _at_least("hidden", hidden, 1)
    _at_least("down_up", down_up, 0)
    _at_least("residual_blocks", residual_blocks, 0)
    network = ResidualGenerator2d(
        scaled(hidden, scale, multiple=1),
        down_up=down_up,
        residual_blocks=residual_blocks,
        residual_relu=residual_relu,
        upsample=upsample,
        tanh=output == "tanh",
    )
    return initialize(network)


@register_discriminator(
    "patchgan", paper="Isola et al., 2017, arXiv:1611.07004", parameters=660_929
)
def patchgan(
    *,
    n_mcep: int,
    segment_frames: int,
    scale: float,
    hidden: int = 64,
    layers: int = 3,
    average: bool = False,
    sigmoid: bool = False,
) -> nn.Module:
    """PatchGAN of 4 x 4 stride-2 layers, with or without a sigmoid.

    `hidden`: channels of the first of the `layers`; they double with each further one. `average`:
    one score for each sample, the mean over its patches. `sigmoid` acts on the scores that come
    out, with an average on the averaged logit: then binary cross-entropy has one value whether the
    sigmoid is here or in the objective. Raises `ValueError` where a crop is too small for so many
    layers.
    """
    _at_least("hidden", hidden, 1)
    _at_least("layers", layers, 1)
    least = 2 ** (layers + 1)
    for name, size in (("n_mcep", n_mcep), ("segment_frames", segment_frames)):
        if size < least:
            raise ValueError(
                f"{name} ({size}) must be at least {least}: layers={layers} halve it {layers} "
                "times, and the last convolution needs 2 values; use fewer layers"
            )
    network = PatchDiscriminator(
        scaled(hidden, scale, multiple=1), layers=layers, average=average, sigmoid=sigmoid
    )
    return initialize(network)


def _at_least(name: str, value: int, least: int) -> None:
    if value < least:
        raise ValueError(f"{name} ({value}) must be at least {least}")


class ResidualGenerator2d(nn.Module):
    """(batch, n_mcep, frames) -> the same shape, any number of coefficients and frames.

    Both are padded to multiples of 2**down_up by repeating the last, and the output is cropped.
    Shapes at line ends: the default options and 24 coefficients.
    """

    def __init__(
        self,
        hidden: int,
        *,
        down_up: int,
        residual_blocks: int,
        residual_relu: bool,
        upsample: Upsampling,
        tanh: bool,
    ) -> None:
        super().__init__()
        widths = [hidden * 2**stage for stage in range(down_up + 1)]
        self.multiple = 2**down_up
        self.stem = nn.Sequential(conv(1, hidden, 7), norm(hidden), nn.ReLU())
        self.down = nn.Sequential()
        for inputs, outputs in pairwise(widths):
            stride2 = nn.Conv2d(inputs, outputs, 3, stride=2, padding=1)
            self.down.extend([stride2, norm(outputs), nn.ReLU()])
        self.residual = nn.Sequential(
            *(ResidualBlock2d(widths[-1], relu=residual_relu) for _ in range(residual_blocks))
        )
        self.up = nn.Sequential()
        for inputs, outputs in pairwise(reversed(widths)):
            self.up.extend([*upsampling(upsample, inputs, outputs), norm(outputs), nn.ReLU()])
        self.head = conv(hidden, 1, 7)
        self.output = nn.Tanh() if tanh else nn.Identity()

    def forward(self, mcep: Tensor) -> Tensor:
        rows, frames = mcep.shape[-2:]
        # Reflecting by 3 at full resolution needs 4 values in each direction, reflecting by 1
        # behind the last stride needs 2.
        least = max(4, 2 * self.multiple)
        x = repeat_edge(
            mcep.unsqueeze(1), multiple=(self.multiple, self.multiple), minimum=(least, least)
        )  # (B, 1, 24, T)
        x = self.stem(x)  # (B, 96, 24, T)
        x = self.down(x)  # (B, 192, 12, T/2)
        x = self.residual(x)  # (B, 192, 12, T/2)
        x = self.up(x)  # (B, 96, 24, T)
        x = self.output(self.head(x))  # (B, 1, 24, T)
        return x[:, 0, :rows, :frames]  # (B, 24, T)


class ResidualBlock2d(nn.Module):
    """x + norm(conv(relu(norm(conv(x))))), the same shape out as in.

    `relu`: with a ReLU behind the second norm, where the branch can only add.
    """

    def __init__(self, channels: int, *, relu: bool) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            conv(channels, channels, 3),
            norm(channels),
            nn.ReLU(),
            conv(channels, channels, 3),
            norm(channels),
            nn.ReLU() if relu else nn.Identity(),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)


def upsampling(kind: Upsampling, inputs: int, outputs: int) -> list[nn.Module]:
    """Layers that double rows and frames: (B, inputs, H, W) -> (B, outputs, 2H, 2W).

    pixelshuffle: Shi et al., 2016. transposed: Johnson et al., 2016, kernel 3 and stride 2, whose
    outputs are made of 1, 2 or 4 of the inputs by turns. nearest: each value repeated, then a
    convolution, which Odena et al., 2016, https://distill.pub/2016/deconv-checkerboard propose
    against the checkerboard patterns that this uneven overlap leaves.
    """
    if kind == "pixelshuffle":
        return [conv(inputs, 4 * outputs, 3), nn.PixelShuffle(2)]
    if kind == "transposed":
        return [nn.ConvTranspose2d(inputs, outputs, 3, stride=2, padding=1, output_padding=1)]
    return [nn.Upsample(scale_factor=2, mode="nearest"), conv(inputs, outputs, 3)]


class PatchDiscriminator(nn.Module):
    """(batch, n_mcep, frames) -> (batch, 1, n_mcep/8 - 1, frames/8 - 1) scores: 24 x 128 -> 2 x 15.

    With `average`: (batch, 1). Shapes at line ends: the default options.
    """

    def __init__(self, hidden: int, *, layers: int, average: bool, sigmoid: bool) -> None:
        super().__init__()
        self.sigmoid = sigmoid
        self.layers = nn.Sequential(
            nn.Conv2d(1, hidden, 4, stride=2, padding=1),  # (B, 64, 12, 64)
            nn.LeakyReLU(0.2),
        )
        for _ in range(layers - 1):
            stride2 = nn.Conv2d(hidden, 2 * hidden, 4, stride=2, padding=1)
            hidden = 2 * hidden
            # (B, 128, 6, 32), (B, 256, 3, 16)
            self.layers.extend([stride2, norm(hidden), nn.LeakyReLU(0.2)])
        self.layers.append(nn.Conv2d(hidden, 1, 4, padding=1))  # (B, 1, 2, 15)
        if average:
            self.layers.append(PatchAverage())  # (B, 1)
        if sigmoid:
            self.layers.append(nn.Sigmoid())

    def forward(self, mcep: Tensor) -> Tensor:
        scores: Tensor = self.layers(mcep.unsqueeze(1))
        return scores


class PatchAverage(nn.Module):
    """(batch, 1, rows, columns) -> (batch, 1): the mean of a map of scores."""

    def forward(self, scores: Tensor) -> Tensor:
        return scores.mean(dim=(2, 3))


def conv(inputs: int, outputs: int, kernel: int) -> nn.Conv2d:
    """Size-preserving convolution with reflected edges."""
    return nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, padding_mode="reflect")


def norm(channels: int) -> nn.InstanceNorm2d:
    """Instance norm without learnt scale and shift, as in the reference."""
    return nn.InstanceNorm2d(channels)


def initialize(network: nn.Module) -> nn.Module:
    """Weights from N(0, 0.02) and zero biases, as in the reference and in pix2pix."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(module.weight, std=0.02)
            assert module.bias is not None
            nn.init.zeros_(module.bias)
    return network
