"""Layers that the CycleGAN-VC family shares.

Each operation is a module, so that a layer table, which is made with forward hooks, shows it.
Public implementations are named by their owner on GitHub, as in `architectures.cyclegan_vc`.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from architectures.convolution import convolve
from architectures.padding import same_padding

Norm = Literal["instance", "instance-affine", "none"]
ShuffleOrder = Literal["tf", "torch", "concat"]
Glu = Literal["single-conv", "two-convs", "silu"]
Edges = Literal["same", "valid"]

NORM_EPS = 1e-6  # of tf.contrib.layers.instance_norm; PyTorch's default is 1e-5


class SameConv1d(nn.Conv1d):
    """1D convolution with TensorFlow's padding="same": ceil(frames / stride) frames."""

    def __init__(self, inputs: int, outputs: int, *, kernel: int, stride: int = 1) -> None:
        super().__init__(inputs, outputs, kernel, stride)

    def forward(self, x: Tensor) -> Tensor:
        padded = same_padding(x, kernel=self.kernel_size, stride=self.stride)
        return convolve(padded, self.weight, self.bias, stride=self.stride)


class SameConv2d(nn.Conv2d):
    """2D convolution with TensorFlow's padding; `edges` gives it for height and for width.

    "same": ceil(length / stride) outputs. "valid": no zeros, so that a kernel as high as its input
    leaves one row.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        kernel: tuple[int, int],
        stride: tuple[int, int] = (1, 1),
        edges: tuple[Edges, Edges] = ("same", "same"),
    ) -> None:
        super().__init__(inputs, outputs, kernel, stride)
        # A kernel of 1 asks for no zeros.
        self.padded_kernel = [k if e == "same" else 1 for k, e in zip(kernel, edges, strict=True)]

    def forward(self, x: Tensor) -> Tensor:
        padded = same_padding(x, kernel=self.padded_kernel, stride=self.stride)
        return convolve(padded, self.weight, self.bias, stride=self.stride)


class PixelShuffle1d(nn.Module):
    """(batch, channels * factor, frames) -> (batch, channels, frames * factor), in three orders.

    - "tf": out[:, c, factor * t + i] = in[:, i * channels + c, t]. TensorFlow's reshape of
      (batch, frames, channels), as in leimao, karkirowle and maratsubkhankulov.
    - "torch": out[:, c, factor * t + i] = in[:, c * factor + i, t]. `torch.nn.PixelShuffle` along
      one dimension, as in softrime. From random weights the same model as "tf": only the order of
      the preceding convolution's outputs differs.
    - "concat": out[:, c, i * frames + t] = in[:, c * factor + i, t]. A fault: TensorFlow's reshape
      applied to (batch, channels, frames), as in pritishyuvraj and jackaduma. Frames leave their
      place in time; here so that the damage can be measured.

    The idea is that of Shi et al., 2016, arXiv:1609.05158.
    """

    def __init__(self, factor: int, *, order: ShuffleOrder = "tf") -> None:
        super().__init__()
        self.factor, self.order = factor, order

    def forward(self, x: Tensor) -> Tensor:
        batch, inputs, frames = x.shape
        channels = inputs // self.factor
        if self.order == "tf":
            x = x.view(batch, self.factor, channels, frames).permute(0, 2, 3, 1)
        elif self.order == "torch":
            x = x.view(batch, channels, self.factor, frames).transpose(2, 3)
        return x.reshape(batch, channels, frames * self.factor)

    def extra_repr(self) -> str:
        return f"{self.factor}, order={self.order}"


def instance_norm(
    kind: Norm, channels: int, *, dims: Literal[1, 2], eps: float = NORM_EPS
) -> nn.Module:
    """Instance norm over frames (`dims` 1) or rows and frames (2), or nothing at all.

    "instance-affine" learns a scale and a shift for each channel, "instance" does not.
    """
    if kind == "none":
        return nn.Identity()
    norm = nn.InstanceNorm1d if dims == 1 else nn.InstanceNorm2d
    return norm(channels, eps=eps, affine=kind == "instance-affine")


class GatedConv1d(nn.Module):
    """Convolution, pixel shuffle (where upsampling), instance norm, gated linear unit.

    (batch, inputs, frames) -> (batch, outputs, ceil(frames / stride) * upsample). The value is
    multiplied by the sigmoid of the gate: Dauphin et al., 2017, arXiv:1612.08083. `glu`:

    - "single-conv": one convolution with 2 x `outputs` channels holds value and gate, as in
      softrime, karkirowle and maratsubkhankulov.
    - "two-convs": a convolution, a shuffle and a norm for each, as in leimao and pritishyuvraj. The
      same function, since instance norm works channel by channel. The weights are drawn as those
      of one convolution and split: under one seed both forms start alike.
    - "silu": one convolution with `outputs` channels x, which gate themselves: x * sigmoid(x).
      Another function, with half the parameters. pritishyuvraj, jackaduma and GANtastic3 have it
      under the name GLU.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        kernel: int,
        stride: int = 1,
        upsample: int = 1,
        order: ShuffleOrder = "tf",
        norm: Norm = "instance-affine",
        norm_eps: float = NORM_EPS,
        glu: Glu = "single-conv",
    ) -> None:
        super().__init__()

        def shuffle() -> nn.Module:
            return PixelShuffle1d(upsample, order=order) if upsample > 1 else nn.Identity()

        def normalized(channels: int) -> nn.Module:
            return instance_norm(norm, channels, dims=1, eps=norm_eps)

        channels = outputs if glu == "silu" else 2 * outputs
        conv = SameConv1d(inputs, channels * upsample, kernel=kernel, stride=stride)
        self.two_convs = glu == "two-convs"
        if self.two_convs:
            # In TensorFlow's order the outputs are `upsample` groups, each with channels of the
            # value and then of the gate; in the others all channels of the value come first.
            value, gate = split(conv, groups=upsample if order == "tf" else 1)
            self.value = nn.Sequential(value, shuffle(), normalized(outputs))
            self.gate = nn.Sequential(gate, shuffle(), normalized(outputs))
        else:
            self.conv, self.shuffle, self.norm = conv, shuffle(), normalized(channels)
        self.glu = nn.SiLU() if glu == "silu" else nn.GLU(dim=1)

    def forward(self, x: Tensor) -> Tensor:
        if self.two_convs:
            return self.glu(torch.cat([self.value(x), self.gate(x)], dim=1))
        return self.glu(self.norm(self.shuffle(self.conv(x))))


def split(conv: SameConv1d, *, groups: int) -> tuple[SameConv1d, SameConv1d]:
    """The first and the second half of each of `groups` equal groups of a convolution's outputs."""

    def half(number: int) -> SameConv1d:
        (kernel,), (stride,) = conv.kernel_size, conv.stride
        with torch.device("meta"):  # where nothing is drawn: the weights are `conv`'s
            part = SameConv1d(
                conv.in_channels, conv.out_channels // 2, kernel=kernel, stride=stride
            )
        for name, values in conv.named_parameters():
            halves = values.detach().unflatten(0, (groups, 2, -1))
            setattr(part, name, nn.Parameter(halves[:, number].flatten(0, 1).clone()))
        return part

    return half(0), half(1)


class ResidualBlock1d(nn.Module):
    """x + norm(conv(gated conv(x))), (batch, channels, frames) -> the same shape."""

    def __init__(
        self,
        channels: int,
        hidden: int,
        *,
        kernel: int = 3,
        norm: Norm = "instance-affine",
        norm_eps: float = NORM_EPS,
        glu: Glu = "single-conv",
    ) -> None:
        super().__init__()
        self.gated = GatedConv1d(
            channels, hidden, kernel=kernel, norm=norm, norm_eps=norm_eps, glu=glu
        )
        self.conv = SameConv1d(hidden, channels, kernel=kernel)
        self.norm = instance_norm(norm, channels, dims=1, eps=norm_eps)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.norm(self.conv(self.gated(x)))


class GatedConv2d(nn.Module):
    """Convolution, pixel shuffle (where upsampling), instance norm, gated linear unit, in 2D.

    (batch, inputs, rows, frames) -> (batch, outputs, ...); one convolution with 2 x `outputs`
    channels holds the value and the gate branch. `edges`: see `SameConv2d`.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        kernel: tuple[int, int],
        stride: tuple[int, int] = (1, 1),
        upsample: int = 1,
        edges: tuple[Edges, Edges] = ("same", "same"),
        norm: Norm = "instance-affine",
        norm_eps: float = NORM_EPS,
    ) -> None:
        super().__init__()
        channels = 2 * outputs
        self.conv = SameConv2d(
            inputs, channels * upsample**2, kernel=kernel, stride=stride, edges=edges
        )
        self.shuffle = nn.PixelShuffle(upsample) if upsample > 1 else nn.Identity()
        self.norm = instance_norm(norm, channels, dims=2, eps=norm_eps)
        self.glu = nn.GLU(dim=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.glu(self.norm(self.shuffle(self.conv(x))))
