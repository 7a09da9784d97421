"""CycleGAN-VC's discriminator with both tails: sizes, and the network written plainly."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from plain_layers import State, calls, instance_norm, noise, randomized
from torch import Tensor, nn

from architectures.cyclegan_vc import GatedDiscriminator, gated_patchgan
from architectures.layers import GatedConv2d
from vcbench.inspection import count_macs
from vcbench.training.models import count_parameters

CROP = torch.zeros(1, 24, 128, device="meta")

sigmoids = pytest.mark.parametrize("sigmoid", [True, False])
tails = pytest.mark.parametrize("tail", ["patch", "scalar"])


def full_size(*, scale: float = 1.0, **options: Any) -> nn.Module:
    with torch.device("meta"):
        return gated_patchgan(n_mcep=24, scale=scale, segment_frames=128, **options)


def small(*, n_mcep: int = 24, frames: int = 128, **options: Any) -> GatedDiscriminator:
    network = gated_patchgan(n_mcep=n_mcep, scale=0.05, segment_frames=frames, **options)
    assert isinstance(network, GatedDiscriminator)
    return randomized(network, seed=5)


@sigmoids
def test_patches_are_as_large_as_the_reference(sigmoid: bool) -> None:
    discriminator = full_size(sigmoid=sigmoid)
    assert discriminator(CROP.expand(2, -1, -1)).shape == (2, 1, 6, 8)
    assert count_parameters(discriminator) == 21_837_825
    assert round(count_macs(discriminator, CROP) / 1e6) == 1363


@sigmoids
def test_scalar_is_the_figures_fully_connected_layer(sigmoid: bool) -> None:
    discriminator = full_size(sigmoid=sigmoid, tail="scalar")
    assert discriminator(CROP.expand(2, -1, -1)).shape == (2, 1)
    # Weights on 8 positions instead of one; one row of the last convolution instead of six.
    assert count_parameters(discriminator) == 21_837_825 + 7 * 1024
    last = 6 * 3 * 512 * 2048 * 8
    patches = count_macs(full_size(), CROP) - 6 * last - 6 * 8 * 1024
    assert count_macs(discriminator, CROP) == patches + last + 8 * 1024


def test_half_as_wide_is_as_large_as_maratsubkhankulovs() -> None:
    parameters = count_parameters(full_size(scale=0.5, tail="scalar"))
    assert round(parameters / 1e6, 2) == 5.47


@pytest.mark.parametrize(("tail", "rows"), [("patch", 6), ("scalar", 1)])
def test_shapes_and_operations_of_the_figure(tail: str, rows: int) -> None:
    ran = calls(full_size(tail=tail), CROP)
    gated = ["SameConv2d", "InstanceNorm2d", "GLU"]
    end = ["Conv2d"] if tail == "patch" else ["Flatten", "Linear"]
    assert [type(module).__name__ for module, _ in ran] == ["SameConv2d", "GLU", *3 * gated, *end]
    found = [tuple(output.shape[1:]) for module, output in ran if isinstance(module, nn.GLU)]
    assert found == [(128, 24, 64), (256, 12, 32), (512, 6, 16), (1024, rows, 8)]
    convs = [(m.kernel_size, m.stride) for m, _ in ran if isinstance(m, nn.Conv2d)][:4]
    assert convs == [((3, 3), (1, 2)), ((3, 3), (2, 2)), ((3, 3), (2, 2)), ((6, 3), (1, 2))]


def plain_discriminator(
    state: State, x: Tensor, *, tail: str, norm: str = "instance-affine", eps: float = 1e-6
) -> Tensor:
    """The TensorFlow reference's discriminator on 24 x 128, its dense layer applied per patch; or
    with no padding in height before the last convolution, and the dense layer on all that is left.
    """
    # (left, right, top, bottom) zeros and strides (height, width) of the four gated layers.
    layers = [
        ((0, 1, 1, 1), (1, 2)),
        ((0, 1, 0, 1), (2, 2)),
        ((0, 1, 0, 1), (2, 2)),
        ((0, 1, 2, 3) if tail == "patch" else (0, 1, 0, 0), (1, 2)),
    ]
    y = x[:, None]
    for i, (zeros, strides) in enumerate(layers):
        name = f"layers.{i}"
        branches = []
        for branch in (0, 1):
            weight = state[f"{name}.conv.weight"].chunk(2)[branch]
            bias = state[f"{name}.conv.bias"].chunk(2)[branch]
            b = F.conv2d(F.pad(y, zeros), weight, bias, stride=strides)
            if i > 0 and norm == "instance":
                b = instance_norm(b, eps=eps)
            elif i > 0 and norm == "instance-affine":
                scale = state[f"{name}.norm.weight"].chunk(2)[branch]
                b = instance_norm(b, scale, state[f"{name}.norm.bias"].chunk(2)[branch], eps)
            branches.append(b)
        y = branches[0] * torch.sigmoid(branches[1])
    if tail == "scalar":
        dense = state["score.1.weight"].reshape(y.shape[1], y.shape[3])
        return torch.einsum("ncw,cw->n", y[:, :, 0], dense)[:, None] + state["score.1.bias"]
    dense = state["score.weight"][:, :, 0, 0]  # (1, channels)
    return (y.permute(0, 2, 3, 1) @ dense.T + state["score.bias"]).permute(0, 3, 1, 2)


@tails
@sigmoids
def test_equal_to_the_plain_one(sigmoid: bool, tail: str) -> None:
    discriminator = small(tail=tail, sigmoid=sigmoid)
    mcep = noise(4, 24, 128)
    logits = plain_discriminator(discriminator.state_dict(), mcep, tail=tail)
    expected = 1 / (1 + torch.exp(-logits)) if sigmoid else logits
    assert expected.std() > 0.01
    torch.testing.assert_close(discriminator(mcep), expected, rtol=1e-9, atol=1e-9)
    assert discriminator.sigmoid == sigmoid


@tails
@pytest.mark.parametrize("eps", [1e-5, 0.3])
@pytest.mark.parametrize("norm", ["instance-affine", "instance", "none"])
def test_norms_equal_to_the_plain_ones(norm: str, eps: float, tail: str) -> None:
    discriminator = small(tail=tail, norm=norm, norm_eps=eps, sigmoid=False)
    mcep = noise(2, 24, 128)
    expected = plain_discriminator(discriminator.state_dict(), mcep, tail=tail, norm=norm, eps=eps)
    torch.testing.assert_close(discriminator(mcep), expected, rtol=1e-9, atol=1e-9)


@tails
@pytest.mark.parametrize("norm", ["instance", "none"])
def test_norms_without_parameters(norm: str, tail: str) -> None:
    fewer = count_parameters(full_size(tail=tail)) - count_parameters(
        full_size(tail=tail, norm=norm)
    )
    assert fewer == 2 * (512 + 1024 + 2048)


@tails
def test_all_but_the_first_layer_are_normalised(tail: str) -> None:
    layers = [m for m in small(tail=tail).modules() if isinstance(m, GatedConv2d)]
    norms = [isinstance(m.norm, nn.InstanceNorm2d) for m in layers]
    assert norms == [False, True, True, True]


@pytest.mark.parametrize("n_mcep", [1, 3, 4, 23, 25, 35, 36, 80])
@pytest.mark.parametrize("frames", [17, 64, 100, 128])
def test_scalar_for_other_crops(n_mcep: int, frames: int) -> None:
    discriminator = small(n_mcep=n_mcep, frames=frames, tail="scalar")
    last = discriminator.layers[-1]
    shapes = []
    last.register_forward_hook(lambda _m, received, out: shapes.append((received[0], out)))
    assert discriminator(noise(2, n_mcep, frames)).shape == (2, 1)
    before, behind = shapes[0]
    assert last.conv.kernel_size == (before.shape[2], 3)
    assert behind.shape[2:] == (1, -(-frames // 16))


@pytest.mark.parametrize("size", [(24, 127), (24, 256), (23, 128)])
def test_scalar_takes_the_crops_that_it_is_made_for(size: tuple[int, int]) -> None:
    discriminator = small(tail="scalar")
    with pytest.raises(ValueError, match=rf"a crop of \({size[0]}, {size[1]}\).*\(24, 128\)"):
        discriminator(noise(1, *size))
    assert small(tail="patch")(noise(1, *size)).shape == (1, 1, 6, -(-size[1] // 16))


def test_scalar_needs_two_frames_to_normalise() -> None:
    with pytest.raises(ValueError, match=r"segment_frames \(16\) must be at least 17"):
        small(frames=16, tail="scalar")
    assert small(frames=16, tail="scalar", norm="none")(noise(3, 24, 16)).shape == (3, 1)
    assert small(frames=17, tail="scalar")(noise(3, 24, 17)).shape == (3, 1)


@tails
def test_epsilon_is_above_zero(tail: str) -> None:
    with pytest.raises(ValueError, match=r"norm_eps \(-1\.0\) must be above 0"):
        small(tail=tail, norm_eps=-1.0)
