"""The 2D residual generator and PatchGAN: the reference's numbers, and plain versions of both."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from architectures.residual_pixelshuffle import patchgan, residual_pixelshuffle_2d
from vcbench.inspection import count_macs
from vcbench.training.models import count_parameters

State = Mapping[str, Tensor]


def test_generator_is_as_large_as_the_reference() -> None:
    with torch.device("meta"):
        generator = residual_pixelshuffle_2d(n_mcep=24, scale=1.0)
        mcep = torch.zeros(1, 24, 128)
    assert count_parameters(generator) == 2_167_393
    assert generator(mcep).shape == (1, 24, 128)
    assert round(count_macs(generator, mcep) / 1e6) == 1685


@pytest.mark.parametrize("sigmoid", [True, False])
def test_discriminator_is_as_large_as_the_reference(sigmoid: bool) -> None:
    with torch.device("meta"):
        discriminator = patchgan(n_mcep=24, scale=1.0, sigmoid=sigmoid)
        mcep = torch.zeros(2, 24, 128)
    assert count_parameters(discriminator) == 660_929
    assert discriminator(mcep).shape == (2, 1, 2, 15)
    assert round(count_macs(discriminator, mcep[:1]) / 1e6) == 51


def normalized(x: Tensor) -> Tensor:
    mean = x.mean((2, 3), keepdim=True)
    return (x - mean) / ((x - mean).square().mean((2, 3), keepdim=True) + 1e-5).sqrt()


def reflected(x: Tensor, state: State, name: str) -> Tensor:
    """A size-preserving convolution whose edges are mirrored by index."""
    weight = state[f"{name}.weight"]
    by = weight.shape[-1] // 2

    def mirror(n: int) -> list[int]:
        return [*range(by, 0, -1), *range(n), *range(n - 2, n - 2 - by, -1)]

    x = x[:, :, mirror(x.shape[2])][:, :, :, mirror(x.shape[3])]
    return F.conv2d(x, weight, state[f"{name}.bias"])


def upsampled(x: Tensor) -> Tensor:
    """Channel 4c + 2i + j becomes row 2y + i and column 2x + j of channel c."""
    batch, channels, rows, columns = x.shape
    out = x.new_zeros(batch, channels // 4, 2 * rows, 2 * columns)
    for i in range(2):
        for j in range(2):
            out[:, :, i::2, j::2] = x[:, 2 * i + j :: 4]
    return out


def plain_generator(state: State, mcep: Tensor) -> Tensor:
    """The layer table of the reference, with even numbers of coefficients and frames."""
    y = normalized(reflected(mcep[:, None], state, "stem.0")).clamp(min=0)
    down = F.conv2d(y, state["down.0.weight"], state["down.0.bias"], stride=2, padding=1)
    y = normalized(down).clamp(min=0)
    for block in range(2):
        name = f"residual.{block}.layers"
        h = normalized(reflected(y, state, f"{name}.0")).clamp(min=0)
        y = y + normalized(reflected(h, state, f"{name}.3"))
    y = normalized(upsampled(reflected(y, state, "up.0"))).clamp(min=0)
    return reflected(y, state, "head")[:, 0]


def plain_discriminator(state: State, mcep: Tensor) -> Tensor:
    y = mcep[:, None]
    for layer, stride, norm in ((0, 2, False), (2, 2, True), (5, 2, True)):
        weight, bias = state[f"layers.{layer}.weight"], state[f"layers.{layer}.bias"]
        y = F.conv2d(y, weight, bias, stride=stride, padding=1)
        y = normalized(y) if norm else y
        y = torch.where(y > 0, y, 0.2 * y)
    return F.conv2d(y, state["layers.8.weight"], state["layers.8.bias"], padding=1)


def noise(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize("frames", [8, 30, 128])
def test_generator_equals_the_plain_one(frames: int) -> None:
    generator = residual_pixelshuffle_2d(n_mcep=24, scale=0.1).double()
    mcep = noise(2, 24, frames)
    expected = plain_generator(generator.state_dict(), mcep)
    torch.testing.assert_close(generator(mcep), expected, rtol=1e-9, atol=1e-9)


def test_odd_sizes_repeat_the_last_row_and_frame() -> None:
    generator = residual_pixelshuffle_2d(n_mcep=25, scale=0.1).double()
    mcep = noise(1, 25, 31)
    larger = torch.cat([mcep, mcep[:, -1:]], dim=1)
    larger = torch.cat([larger, larger[..., -1:]], dim=2)
    expected = plain_generator(generator.state_dict(), larger)[:, :25, :31]
    torch.testing.assert_close(generator(mcep), expected, rtol=1e-9, atol=1e-9)


def test_discriminator_equals_the_plain_one() -> None:
    discriminator = patchgan(n_mcep=24, scale=0.1).double()
    mcep = noise(2, 24, 128)
    logits = plain_discriminator(discriminator.state_dict(), mcep)
    torch.testing.assert_close(discriminator(mcep), logits, rtol=1e-9, atol=1e-9)
    with_sigmoid = patchgan(n_mcep=24, scale=0.1, sigmoid=True).double()
    with_sigmoid.load_state_dict(discriminator.state_dict())
    probabilities = 1 / (1 + torch.exp(-logits))
    torch.testing.assert_close(with_sigmoid(mcep), probabilities, rtol=1e-9, atol=1e-9)


def test_the_output_is_not_bounded() -> None:
    # Normalised mel-cepstra reach beyond +-1, where the reference's Tanh would end.
    generator = residual_pixelshuffle_2d(n_mcep=24, scale=0.1)
    state = generator.state_dict()
    state["head.bias"] += 5.0
    generator.load_state_dict(state)
    assert generator(torch.zeros(1, 24, 16)).mean() > 4


@pytest.mark.parametrize("network", [residual_pixelshuffle_2d, patchgan])
def test_weights_begin_as_in_the_reference(network: type) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        built = network(n_mcep=24, scale=0.5)
    convolutions = [m for m in built.modules() if isinstance(m, nn.Conv2d)]
    weights = torch.cat([m.weight.flatten() for m in convolutions])
    assert abs(weights.mean()) < 1e-3
    assert weights.std().item() == pytest.approx(0.02, rel=0.02)
    assert all(not m.bias.any() for m in convolutions if m.bias is not None)


@pytest.mark.parametrize("n_mcep", [1, 15])
def test_too_few_coefficients_for_patchgan(n_mcep: int) -> None:
    with pytest.raises(ValueError, match=rf"n_mcep \({n_mcep}\) must be at least 16"):
        patchgan(n_mcep=n_mcep, scale=0.1)


def test_the_fewest_coefficients_for_patchgan() -> None:
    assert patchgan(n_mcep=16, scale=0.1)(torch.randn(1, 16, 32)).shape == (1, 1, 1, 3)
