"""The 2D residual generator and PatchGAN: the reference's numbers, and plain versions of both."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from architectures.residual_pixelshuffle import patchgan, residual_pixelshuffle_2d
from vcbench.inspection import count_macs, layer_table
from vcbench.training.models import count_parameters

State = Mapping[str, Tensor]
UPSAMPLING = ["pixelshuffle", "transposed", "nearest"]
MODEL_1 = {"hidden": 64, "down_up": 2, "residual_blocks": 9}  # of the reference's EXPERIMENTS.md

unhurried = settings(deadline=None, max_examples=40)  # a busy machine is no failure
each_upsampling = pytest.mark.parametrize("upsample", UPSAMPLING)


def generator_2d(*, scale: float = 1.0, **options: object) -> nn.Module:
    return residual_pixelshuffle_2d(scale=scale, **options)


def patch_gan(
    *, n_mcep: int = 24, segment_frames: int = 128, scale: float = 1.0, **options: object
) -> nn.Module:
    return patchgan(n_mcep=n_mcep, segment_frames=segment_frames, scale=scale, **options)


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def randomized(network: nn.Module) -> nn.Module:
    """In float64, biases included, large enough that everything shows in the output."""
    network = network.double()
    state = network.state_dict()
    network.load_state_dict(
        {k: 0.2 * noise(*v.shape, seed=i) for i, (k, v) in enumerate(state.items())}
    )
    return network


# --- sizes ---


@pytest.mark.parametrize(
    ("options", "parameters", "macs"),
    [({}, 2_167_393, 1_685_127_168), (MODEL_1, 12_472_129, 2_623_930_368)],
    ids=["model 2", "model 1"],
)
def test_generator_is_as_large_as_the_reference(
    options: dict[str, int], parameters: int, macs: int
) -> None:
    with torch.device("meta"):
        generator = generator_2d(**options)
        mcep = torch.zeros(1, 24, 128)
    assert count_parameters(generator) == parameters
    assert generator(mcep).shape == (1, 24, 128)
    assert count_macs(generator, mcep) == macs


@each_upsampling
@pytest.mark.parametrize("down_up", [0, 1, 2, 3])
@pytest.mark.parametrize("residual_blocks", [0, 4])
def test_parameters_follow_from_the_layer_table(
    upsample: str, down_up: int, residual_blocks: int
) -> None:
    h = 32
    deep = h * 2**down_up
    expected = (49 + 1) * h + (49 * h + 1)  # 7 x 7, the first and the last
    expected += residual_blocks * 2 * (9 * deep + 1) * deep
    for stage in range(down_up):
        narrow, wide = h * 2**stage, h * 2 ** (stage + 1)
        expected += (9 * narrow + 1) * wide
        expected += (9 * wide + 1) * narrow * (4 if upsample == "pixelshuffle" else 1)
    with torch.device("meta"):
        generator = generator_2d(
            hidden=h, down_up=down_up, residual_blocks=residual_blocks, upsample=upsample
        )
    assert count_parameters(generator) == expected


@pytest.mark.parametrize("sigmoid", [True, False])
@pytest.mark.parametrize("average", [True, False])
def test_discriminator_is_as_large_as_the_reference(sigmoid: bool, average: bool) -> None:
    with torch.device("meta"):
        discriminator = patch_gan(sigmoid=sigmoid, average=average)
        mcep = torch.zeros(2, 24, 128)
    assert count_parameters(discriminator) == 660_929
    assert discriminator(mcep).shape == ((2, 1) if average else (2, 1, 2, 15))
    assert round(count_macs(discriminator, mcep[:1]) / 1e6) == 51


@pytest.mark.parametrize("layers", [1, 2, 3, 4])
def test_layers_of_the_discriminator(layers: int) -> None:
    h = 10
    widths = [1, *(h * 2**i for i in range(layers))]
    pairs = list(zip(widths, [*widths[1:], 1], strict=True))
    with torch.device("meta"):
        discriminator = patch_gan(n_mcep=36, hidden=h, layers=layers)
        scores = discriminator(torch.zeros(1, 36, 128))
    assert count_parameters(discriminator) == sum((16 * i + 1) * o for i, o in pairs)
    assert scores.shape == (1, 1, 36 // 2**layers - 1, 128 // 2**layers - 1)


def test_scale_and_hidden_multiply() -> None:
    def widths(network: nn.Module) -> list[int]:
        return [m.out_channels for m in network.modules() if isinstance(m, nn.Conv2d)]

    assert widths(generator_2d(hidden=7)) == [7, 14, 14, 14, 14, 14, 28, 1]
    assert widths(generator_2d(hidden=20, scale=0.5)) == widths(generator_2d(hidden=10))
    assert widths(generator_2d(hidden=2, scale=0.01))[0] == 1
    assert widths(patch_gan(hidden=5)) == [5, 10, 20, 1]
    assert widths(patch_gan(hidden=20, scale=0.25)) == widths(patch_gan(hidden=5))


# --- plain versions ---


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


def shuffled(x: Tensor) -> Tensor:
    """Channel 4c + 2i + j becomes row 2y + i and column 2x + j of channel c."""
    batch, channels, rows, columns = x.shape
    out = x.new_zeros(batch, channels // 4, 2 * rows, 2 * columns)
    for i in range(2):
        for j in range(2):
            out[:, :, i::2, j::2] = x[:, 2 * i + j :: 4]
    return out


def transposed(x: Tensor, state: State, name: str) -> Tensor:
    """Zeros between the values, then a plain convolution with the mirrored kernel."""
    batch, channels, rows, columns = x.shape
    spread = x.new_zeros(batch, channels, 2 * rows + 2, 2 * columns + 2)
    spread[:, :, 1:-1:2, 1:-1:2] = x
    weight = state[f"{name}.weight"].transpose(0, 1).flip(2, 3)
    return F.conv2d(spread, weight, state[f"{name}.bias"])


def doubled(x: Tensor) -> Tensor:
    return x.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)


def upsampled(x: Tensor, state: State, stage: int, upsample: str) -> Tensor:
    """One stage in front of its norm; `up` holds the layers of all stages in a row."""
    if upsample == "pixelshuffle":
        return shuffled(reflected(x, state, f"up.{4 * stage}"))
    if upsample == "transposed":
        return transposed(x, state, f"up.{3 * stage}")
    return reflected(doubled(x), state, f"up.{4 * stage + 1}")


def plain_generator(
    state: State,
    mcep: Tensor,
    *,
    down_up: int = 1,
    residual_blocks: int = 2,
    residual_relu: bool = False,
    upsample: str = "pixelshuffle",
    output: str = "linear",
) -> Tensor:
    """The layer table of the reference, for sizes that need no padding."""
    y = normalized(reflected(mcep[:, None], state, "stem.0")).clamp(min=0)
    for stage in range(down_up):
        weight, bias = state[f"down.{3 * stage}.weight"], state[f"down.{3 * stage}.bias"]
        y = normalized(F.conv2d(y, weight, bias, stride=2, padding=1)).clamp(min=0)
    for block in range(residual_blocks):
        name = f"residual.{block}.layers"
        h = normalized(reflected(y, state, f"{name}.0")).clamp(min=0)
        h = normalized(reflected(h, state, f"{name}.3"))
        y = y + (h.clamp(min=0) if residual_relu else h)
    for stage in range(down_up):
        y = normalized(upsampled(y, state, stage, upsample)).clamp(min=0)
    y = reflected(y, state, "head")[:, 0]
    return 1 - 2 / (torch.exp(2 * y) + 1) if output == "tanh" else y


def plain_discriminator(state: State, mcep: Tensor, *, layers: int = 3) -> Tensor:
    y = mcep[:, None]
    for layer in range(layers):
        name = f"layers.{3 * layer - 1 if layer else 0}"  # the first has no norm behind it
        y = F.conv2d(y, state[f"{name}.weight"], state[f"{name}.bias"], stride=2, padding=1)
        y = normalized(y) if layer else y
        y = torch.where(y > 0, y, 0.2 * y)
    name = f"layers.{3 * layers - 1}"
    return F.conv2d(y, state[f"{name}.weight"], state[f"{name}.bias"], padding=1)


def assert_equal(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-8)


@each_upsampling
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"down_up": 0, "residual_blocks": 1},
        {"down_up": 2, "residual_blocks": 3},
        {"down_up": 3, "residual_blocks": 0},
        {"residual_relu": True},
        {"output": "tanh"},
    ],
    ids=str,
)
def test_generator_equals_the_plain_one(upsample: str, options: dict[str, object]) -> None:
    chosen = {**options, "upsample": upsample}
    generator = randomized(generator_2d(hidden=3, **chosen))
    for frames in (16, 40):
        mcep = noise(2, 24, frames)
        expected = plain_generator(generator.state_dict(), mcep, **chosen)
        assert expected.abs().max() > 0.1
        assert_equal(generator(mcep), expected)


@pytest.mark.parametrize("frames", [4, 30, 128])
def test_generator_pads_no_more_than_it_must(frames: int) -> None:
    generator = randomized(generator_2d(scale=0.1))
    mcep = noise(2, 24, frames)
    assert_equal(generator(mcep), plain_generator(generator.state_dict(), mcep))


@unhurried
@given(st.integers(2, 80), st.integers(1, 90), st.integers(0, 3), st.sampled_from(UPSAMPLING))
def test_other_sizes_repeat_the_last_row_and_frame(
    n_mcep: int, frames: int, down_up: int, upsample: str
) -> None:
    # At least two coefficients: of a constant plane, instance norms would magnify the rounding.
    options = {"down_up": down_up, "residual_blocks": 1, "upsample": upsample}
    generator = randomized(generator_2d(hidden=2, **options))
    mcep = noise(1, n_mcep, frames)

    def padded(size: int) -> list[int]:
        """Which rows or frames the network works on: at least 4, or 2 at the coarsest."""
        fitting = (s for s in range(size, 1000) if s % 2**down_up == 0)
        wanted = next(s for s in fitting if s >= 4 and s // 2**down_up >= 2)
        return [min(i, size - 1) for i in range(wanted)]

    larger = mcep[:, padded(n_mcep)][:, :, padded(frames)]
    expected = plain_generator(generator.state_dict(), larger, **options)
    assert_equal(generator(mcep), expected[:, :n_mcep, :frames])


@each_upsampling
@pytest.mark.parametrize("down_up", [0, 1, 2, 3, 4])
def test_any_size(upsample: str, down_up: int) -> None:
    with torch.device("meta"):
        generator = generator_2d(hidden=2, down_up=down_up, upsample=upsample)
        sizes = [(n_mcep, 37) for n_mcep in (1, 2, 3, 5, 15, 16, 17, 25, 80)]
        sizes += [(24, frames) for frames in (1, 2, 3, 7, 8, 9, 129, 599, 600)]
        for n_mcep, frames in sizes:
            mcep = torch.zeros(1, n_mcep, frames)
            assert generator(mcep).shape == mcep.shape


@pytest.mark.parametrize("layers", [1, 2, 3, 4])
def test_discriminator_equals_the_plain_one(layers: int) -> None:
    discriminator = randomized(patch_gan(n_mcep=36, scale=0.1, layers=layers))
    mcep = noise(2, 36, 128)
    logits = plain_discriminator(discriminator.state_dict(), mcep, layers=layers)
    assert logits.std() > 0.1
    assert_equal(discriminator(mcep), logits)


def test_what_becomes_of_the_scores() -> None:
    discriminator = randomized(patch_gan(scale=0.1))
    mcep = noise(3, 24, 128)
    logits = discriminator(mcep)
    means = torch.stack([sample.sum() / 30 for sample in logits])[:, None]

    def with_options(**options: bool) -> Tensor:
        other = patch_gan(scale=0.1, **options).double()
        other.load_state_dict(discriminator.state_dict())
        return other(mcep)

    assert_equal(with_options(sigmoid=True), 1 / (1 + torch.exp(-logits)))
    assert_equal(with_options(average=True), means)
    # The sigmoid of the one score that remains, not the mean of the patches' probabilities.
    assert_equal(with_options(average=True, sigmoid=True), 1 / (1 + torch.exp(-means)))


# --- options ---


def test_the_output_is_not_bounded_without_tanh() -> None:
    # Normalised mel-cepstra reach beyond +-1, where the reference's Tanh ends.
    linear, tanh = (generator_2d(scale=0.1, output=output) for output in ("linear", "tanh"))
    state = linear.state_dict()
    state["head.bias"] += 5.0
    linear.load_state_dict(state)
    tanh.load_state_dict(state)
    mcep = noise(1, 24, 16).float()
    assert linear(mcep).mean() > 4
    assert 0.9 < tanh(mcep).mean() <= tanh(mcep).max() <= 1


def test_every_operation_shows_in_the_layer_table() -> None:
    def rows(network: nn.Module) -> list[tuple[str, str, str, str]]:
        table = layer_table(network, torch.zeros(1, 24, 32))
        return [(row.op, row.shuffle, row.norm, row.activation) for row in table]

    generator = generator_2d(hidden=2, residual_blocks=1, residual_relu=True, output="tanh")
    block = ("Conv2d", "", "IN", "ReLU")
    assert rows(generator) == [
        *4 * [block],
        ("Conv2d", "PixelShuffle", "IN", "ReLU"),
        ("Conv2d", "", "", "Tanh"),
    ]
    discriminator = patch_gan(hidden=2, layers=2, average=True, sigmoid=True)
    assert rows(discriminator) == [
        ("Conv2d", "", "", "LeakyReLU"),
        ("Conv2d", "", "IN", "LeakyReLU"),
        ("Conv2d", "", "", ""),
        ("PatchAverage", "", "", "Sigmoid"),
    ]


@pytest.mark.parametrize("upsample", ["transposed", "nearest"])
def test_all_kinds_of_upsampling_have_the_same_shapes(upsample: str) -> None:
    def after_norms(kind: str) -> list[str]:
        with torch.device("meta"):
            rows = layer_table(generator_2d(upsample=kind, **MODEL_1), torch.zeros(1, 24, 128))
        return [row.output for row in rows if row.op == "InstanceNorm2d"]

    assert after_norms(upsample) == after_norms("pixelshuffle")


@pytest.mark.parametrize(
    "build",
    [
        generator_2d,
        lambda **o: generator_2d(upsample="transposed", **o),
        lambda **o: generator_2d(upsample="nearest", **o),
        patch_gan,
    ],
    ids=[*UPSAMPLING, "patchgan"],
)
def test_weights_begin_as_in_the_reference(build: Callable[..., nn.Module]) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        built = build(scale=0.5)
    convolutions = [m for m in built.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)]
    for m in convolutions:
        if m.weight.numel() > 10_000:
            assert abs(m.weight.mean()) < 1e-3
            assert m.weight.std().item() == pytest.approx(0.02, rel=0.03)
        assert not m.bias.any()


# --- refusals ---


@pytest.mark.parametrize("n_mcep", [1, 15])
def test_too_few_coefficients_for_patchgan(n_mcep: int) -> None:
    with pytest.raises(ValueError, match=rf"n_mcep \({n_mcep}\) must be at least 16: layers=3"):
        patch_gan(n_mcep=n_mcep, scale=0.1)


def test_too_few_frames_for_patchgan() -> None:
    with pytest.raises(ValueError, match=r"segment_frames \(31\) must be at least 32: layers=4"):
        patch_gan(n_mcep=36, segment_frames=31, layers=4, scale=0.1)


@pytest.mark.parametrize("layers", [1, 2, 3, 4, 5])
def test_the_smallest_crop_for_patchgan(layers: int) -> None:
    least = 2 ** (layers + 1)
    options = {"layers": layers, "scale": 0.05}
    discriminator = patch_gan(n_mcep=least, segment_frames=least, **options)
    assert discriminator(torch.randn(1, least, least)).shape == (1, 1, 1, 1)
    with pytest.raises(ValueError, match=rf"at least {least}: .* use fewer layers"):
        patch_gan(n_mcep=least - 1, **options)


@pytest.mark.parametrize(
    ("build", "option", "least"),
    [
        (generator_2d, "hidden", 1),
        (generator_2d, "down_up", 0),
        (generator_2d, "residual_blocks", 0),
        (patch_gan, "hidden", 1),
        (patch_gan, "layers", 1),
    ],
)
def test_counts_that_are_too_small(
    build: Callable[..., nn.Module], option: str, least: int
) -> None:
    build(scale=0.1, **{option: least})
    with pytest.raises(ValueError, match=rf"{option} \({least - 1}\) must be at least {least}"):
        build(scale=0.1, **{option: least - 1})
