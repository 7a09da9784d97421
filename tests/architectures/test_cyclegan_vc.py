"""CycleGAN-VC's generator: the references' numbers, each option, the network written plainly."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from plain_layers import (
    State,
    branch_channels,
    calls,
    instance_norm,
    noise,
    plain_conv,
    plain_gated,
    randomized,
)
from torch import Tensor, nn

from architectures.cyclegan_vc import Generator1d, cyclegan_vc_1d
from architectures.layers import GatedConv1d
from vcbench.inspection import count_macs
from vcbench.training.models import count_parameters, isolated_rng

unhurried = settings(deadline=None, max_examples=40)  # a busy machine is no failure


def full_size(**options: Any) -> nn.Module:
    """The generator as published, without memory for its weights: shapes are all that is asked."""
    with torch.device("meta"):
        return cyclegan_vc_1d(n_mcep=24, scale=1.0, **options)


def small(seed: int = 0, *, scale: float = 0.03, **options: Any) -> Generator1d:
    with isolated_rng("test", seed):
        network = cyclegan_vc_1d(n_mcep=24, scale=scale, **options)
    assert isinstance(network, Generator1d)
    return network


# Sizes.


@pytest.mark.parametrize("glu", ["single-conv", "two-convs"])
@pytest.mark.parametrize("pixel_shuffle", ["tf", "torch", "concat"])
@pytest.mark.parametrize(
    ("width", "parameters", "million_macs"),
    [("wide", 38_055_704, 1328), ("narrow", 18_296_728, 617)],
)
def test_as_large_as_the_reference(
    width: str, parameters: int, million_macs: int, pixel_shuffle: str, glu: str
) -> None:
    generator = full_size(width=width, pixel_shuffle=pixel_shuffle, glu=glu)
    assert count_parameters(generator) == parameters
    macs = count_macs(generator, torch.zeros(1, 24, 128, device="meta"))
    assert round(macs / 1e6) == million_macs


def test_as_large_as_maratsubkhankulovs() -> None:
    generator = full_size(width="narrow", first_kernel=5, last_kernel=15, norm_eps=1e-5)
    assert round(count_parameters(generator) / 1e6, 2) == 18.27


@pytest.mark.parametrize(
    ("options", "fewer"),
    [
        ({"first_kernel": 5}, 10 * 24 * 256),
        ({"last_kernel": 5}, 10 * 24 * 256),
        ({"kernel": 3}, 2 * (128 * 512 + 256 * 1024 + 512 * 2048 + 512 * 1024)),
        ({"residual_kernel": 1}, 6 * 2 * (512 * 2048 + 1024 * 512)),
        # Of a residual block: two convolutions with biases, two norms with scale and shift.
        ({"residual_blocks": 5}, 3 * (512 * 2048 + 1024 * 512) + 3 * (2048 + 512)),
        ({"residual_blocks": 9}, -3 * (3 * (512 * 2048 + 1024 * 512) + 3 * (2048 + 512))),
        ({"norm": "instance"}, 2 * (512 + 1024 + 6 * (2048 + 512) + 1024 + 512)),
        ({"norm": "none"}, 2 * (512 + 1024 + 6 * (2048 + 512) + 1024 + 512)),
    ],
)
def test_what_an_option_saves(options: dict[str, Any], fewer: int) -> None:
    assert count_parameters(full_size(**options)) == 38_055_704 - fewer


def test_silu_saves_the_gates() -> None:
    gated, silu = full_size(), full_size(glu="silu")
    # The convolutions that no gate follows stay: in the residual blocks, and the last.
    kept = 6 * (1024 * 512 * 3 + 3 * 512) + 256 * 24 * 15 + 24
    assert count_parameters(silu) - kept == (count_parameters(gated) - kept) / 2


def conv_channels(network: nn.Module) -> list[str]:
    ran = calls(network, torch.zeros(1, 24, 128, device="meta"))
    return [f"{m.in_channels}->{m.out_channels}" for m, _ in ran if isinstance(m, nn.Conv1d)]


def test_channels_of_the_wide_reading() -> None:
    # Two branches in one convolution: twice the channels that the reference gives to each.
    residual = 6 * ["512->2048", "1024->512"]
    ups = ["512->2048", "512->1024"]
    expected = ["24->256", "128->512", "256->1024", *residual, *ups, "256->24"]
    assert conv_channels(full_size(width="wide")) == expected


def test_channels_of_the_narrow_reading() -> None:
    residual = 6 * ["512->1024", "512->512"]
    ups = ["512->1024", "256->512"]
    expected = ["24->128", "64->256", "128->1024", *residual, *ups, "128->24"]
    assert conv_channels(full_size(width="narrow")) == expected


def test_two_convolutions_have_the_channels_of_the_figure() -> None:
    residual = 6 * ["512->1024", "512->1024", "1024->512"]
    down = [*2 * ["24->128"], *2 * ["128->256"], *2 * ["256->512"]]
    up = [*2 * ["512->1024"], *2 * ["512->512"]]
    expected = [*down, *residual, *up, "256->24"]
    assert conv_channels(full_size(glu="two-convs")) == expected


def test_shapes_behind_each_gate() -> None:
    shapes = []
    generator = full_size()
    for module in generator.modules():
        if isinstance(module, GatedConv1d):
            module.register_forward_hook(lambda _m, _i, out: shapes.append(tuple(out.shape[1:])))
    generator(torch.zeros(1, 24, 128, device="meta"))
    down, up = [(128, 128), (256, 64), (512, 32)], [(512, 64), (256, 128)]
    assert shapes == [*down, *6 * [(1024, 32)], *up]


def test_every_operation_is_a_module_that_a_layer_table_can_show() -> None:
    ran = calls(full_size(residual_blocks=1), torch.zeros(1, 24, 128, device="meta"))
    down, residual = ["SameConv1d", "InstanceNorm1d", "GLU"], ["SameConv1d", "InstanceNorm1d"]
    up = ["SameConv1d", "PixelShuffle1d", "InstanceNorm1d", "GLU"]
    stem = ["SameConv1d", "GLU"]
    expected = [*stem, *down, *down, *down, *residual, *up, *up, "SameConv1d"]
    assert [type(module).__name__ for module, _ in ran] == expected


# The function.


def plain_generator(
    state: State,
    x: Tensor,
    *,
    blocks: int = 6,
    order: str = "tf",
    norm: str = "instance-affine",
    eps: float = 1e-6,
    silu: bool = False,
) -> Tensor:
    """The TensorFlow reference's generator; frames must be a multiple of 4."""
    gated: dict[str, Any] = {"norm": norm, "eps": eps, "silu": silu}
    y = plain_gated(x, state, "stem", norm="none", silu=silu)
    y = plain_gated(y, state, "down1", s=2, **gated)
    y = plain_gated(y, state, "down2", s=2, **gated)
    for i in range(blocks):
        block = f"residual.{i}"
        h = plain_gated(y, state, f"{block}.gated", **gated)
        h = plain_conv(h, state[f"{block}.conv.weight"], state[f"{block}.conv.bias"])
        affine = state.get(f"{block}.norm.weight"), state.get(f"{block}.norm.bias")
        y = y + (h if norm == "none" else instance_norm(h, *affine, eps=eps))
    y = plain_gated(y, state, "up1", up=True, order=order, **gated)
    y = plain_gated(y, state, "up2", up=True, order=order, **gated)
    return plain_conv(y, state["head.weight"], state["head.bias"])


@pytest.mark.parametrize("width", ["wide", "narrow"])
@pytest.mark.parametrize("frames", [8, 32, 128])
def test_equal_to_the_plain_one(width: str, frames: int) -> None:
    generator = randomized(small(scale=0.05, width=width), seed=2)
    mcep = noise(2, 24, frames)
    expected = plain_generator(generator.state_dict(), mcep)
    assert expected.std() > 0.1
    torch.testing.assert_close(generator(mcep), expected, rtol=1e-9, atol=1e-9)


odd = st.sampled_from([1, 3, 5, 7, 15])


@unhurried
@given(
    options=st.fixed_dictionaries(
        {
            "width": st.sampled_from(["wide", "narrow"]),
            "pixel_shuffle": st.sampled_from(["tf", "torch", "concat"]),
            "first_kernel": odd,
            "last_kernel": odd,
            "kernel": odd,
            "residual_kernel": odd,
            "residual_blocks": st.integers(0, 3),
            "norm": st.sampled_from(["instance-affine", "instance", "none"]),
            "norm_eps": st.sampled_from([1e-6, 1e-5, 0.3]),
            "glu": st.sampled_from(["single-conv", "silu"]),
        }
    )
)
def test_equal_to_the_plain_one_with_any_options(options: dict[str, Any]) -> None:
    generator = randomized(small(**options), seed=3)
    mcep = noise(2, 24, 32)
    expected = plain_generator(
        generator.state_dict(),
        mcep,
        blocks=options["residual_blocks"],
        order=options["pixel_shuffle"],
        norm=options["norm"],
        eps=options["norm_eps"],
        silu=options["glu"] == "silu",
    )
    assert expected.std() > 1e-3
    torch.testing.assert_close(generator(mcep), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("frames", [9, 30, 127])
def test_other_lengths_repeat_the_last_frame_and_crop(frames: int) -> None:
    generator = randomized(small(scale=0.05), seed=3)
    mcep = noise(1, 24, frames)
    longer = torch.cat([mcep, *(-frames % 4) * [mcep[..., -1:]]], dim=-1)
    expected = plain_generator(generator.state_dict(), longer)[..., :frames]
    torch.testing.assert_close(generator(mcep), expected, rtol=1e-9, atol=1e-9)


# One convolution or two for the gated linear units.


@pytest.mark.parametrize("pixel_shuffle", ["tf", "torch", "concat"])
@pytest.mark.parametrize("width", ["wide", "narrow"])
def test_one_convolution_and_two_learn_alike(width: str, pixel_shuffle: str) -> None:
    """From one seed, in float64: the same outputs before, during and after training."""
    forms = [
        small(seed=4, width=width, pixel_shuffle=pixel_shuffle, glu=glu).double()
        for glu in ("single-conv", "two-convs")
    ]
    optimizers = [
        torch.optim.Adam(form.parameters(), lr=1e-3, betas=(0.5, 0.999)) for form in forms
    ]
    x, y = noise(2, 24, 32, seed=5), noise(2, 24, 32, seed=6)
    start = forms[0](x).detach()
    for _ in range(3):
        outputs = [form(x) for form in forms]
        torch.testing.assert_close(outputs[0], outputs[1], rtol=1e-8, atol=1e-8)
        for optimizer, output in zip(optimizers, outputs, strict=True):
            optimizer.zero_grad()
            (output - y).abs().mean().backward()
            optimizer.step()
    assert (forms[0](x) - start).abs().max() > 1e-3
    torch.testing.assert_close(forms[0](x), forms[1](x), rtol=1e-8, atol=1e-8)


def test_one_convolution_equals_two_with_its_weights() -> None:
    single, two = (
        randomized(small(glu=glu), seed=seed)
        for seed, glu in enumerate(["single-conv", "two-convs"])
    )
    state = two.state_dict()
    for name, values in single.state_dict().items():
        layer, _, rest = name.rpartition("conv.")
        kind = "0."
        if not layer:
            layer, _, rest = name.rpartition("norm.")
            kind = "2."
        if name in state:  # not gated
            state[name] = values
            continue
        up = name.startswith("up") and kind == "0."
        for number, branch in enumerate(["value.", "gate."]):
            chosen = branch_channels(len(values), number, up=up, order="tf")
            assert state[layer + branch + kind + rest].shape == values[chosen].shape
            state[layer + branch + kind + rest] = values[chosen]
    x = noise(2, 24, 32)
    assert (single(x) - two(x)).abs().max() > 0.1
    two.load_state_dict(state)
    torch.testing.assert_close(two(x), single(x), rtol=1e-12, atol=1e-12)


# The order of the pixel shuffle.


def permuted(state: State) -> dict[str, Tensor]:
    """For order "torch", the weights of order "tf": the upsampling convolutions' outputs move.

    Norms come behind the shuffle, where channels are the same in both orders.
    """
    moved = dict(state)
    for name in ("up1.conv.weight", "up1.conv.bias", "up2.conv.weight", "up2.conv.bias"):
        channels = len(state[name]) // 2
        order = [i * channels + c for c in range(channels) for i in range(2)]
        moved[name] = state[name][order]
    return moved


def test_tf_and_torch_order_are_one_model() -> None:
    tf, torch_order, concat = (
        randomized(small(pixel_shuffle=order), seed=7) for order in ("tf", "torch", "concat")
    )
    x = noise(2, 24, 32)
    assert (
        tf(x) - torch_order(x)
    ).abs().max() > 0.1  # as they are, their weights mean other things
    for network in (torch_order, concat):
        network.load_state_dict(permuted(tf.state_dict()))
    torch.testing.assert_close(torch_order(x), tf(x), rtol=1e-12, atol=1e-12)
    assert (concat(x) - tf(x)).abs().max() > 0.1


def frames_changed(order: str, *, frame: int) -> list[int]:
    """Output frames of 256 that depend on one input frame, in a network without norms."""
    options: dict[str, Any] = {"norm": "none", "residual_blocks": 0}
    generator = randomized(small(pixel_shuffle=order, **options), seed=8)
    silence, impulse = torch.zeros(1, 24, 256).double(), torch.zeros(1, 24, 256).double()
    impulse[:, :, frame] = 1
    change = (generator(impulse) - generator(silence))[0].abs().amax(dim=0)
    return [int(t) for t in (change > 1e-9).nonzero()]


@pytest.mark.parametrize("order", ["tf", "torch"])
def test_content_stays_in_its_place_in_time(order: str) -> None:
    # The layers' kernels reach 7 + 2 + 4 + 8 + 4 + 7 frames to either side; strides are of 4.
    changed = frames_changed(order, frame=200)
    assert set(range(190, 210)) <= set(changed) <= set(range(200 - 36, 200 + 36))


def test_concat_moves_content_in_time() -> None:
    # A quarter of the frame rate, laid end to end four times: frame 200 at 50 + 64 i.
    changed = frames_changed("concat", frame=200)
    assert {t // 64 for t in changed} == {0, 1, 2, 3}
    assert {50, 114, 178, 242} <= set(changed)
    assert max(abs(t % 64 - 50) for t in changed) < 22
    assert 200 not in changed


# Wrong options.


@pytest.mark.parametrize("name", ["first_kernel", "last_kernel", "kernel", "residual_kernel"])
@pytest.mark.parametrize("size", [-1, 0, 2, 14])
def test_kernels_are_odd(name: str, size: int) -> None:
    with pytest.raises(ValueError, match=rf"^{name} \({size}\) must be an odd number of frames"):
        small(**{name: size})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"residual_blocks": -1}, r"residual_blocks \(-1\) must be 0 or more"),
        ({"norm_eps": 0.0}, r"norm_eps \(0.0\) must be above 0"),
        ({"norm_eps": float("nan")}, r"norm_eps \(nan\) must be above 0"),
    ],
)
def test_other_values_out_of_range(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        small(**options)
