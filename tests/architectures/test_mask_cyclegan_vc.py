"""MaskCycleGAN-VC: CycleGAN-VC2's generator on two planes, and what a mask may and may not do."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from architectures.cyclegan_vc2 import cyclegan_vc2_2_1_2d
from architectures.mask_cyclegan_vc import MaskGenerator, mask_cyclegan_vc
from vcbench.training.models import count_parameters

unhurried = settings(deadline=None, max_examples=25)  # a busy machine is no failure


def build(n_mcep: int = 10) -> MaskGenerator:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        generator = mask_cyclegan_vc(n_mcep=n_mcep, scale=0.05).double()
    assert isinstance(generator, MaskGenerator)
    return generator


def noise(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@st.composite
def masked_inputs(draw: st.DrawFn) -> tuple[Tensor, Tensor]:
    """Mel-cepstra and a mask for each sample; lengths that need padding as well."""
    frames = draw(st.integers(1, 40))
    hidden = st.lists(st.booleans(), min_size=frames, max_size=frames)
    mask = torch.tensor([draw(hidden), draw(hidden)], dtype=torch.float64)[:, None]
    return noise(2, 10, frames, seed=draw(st.integers(0, 99))), mask


@pytest.mark.parametrize(
    ("n_mcep", "parameters"), [(24, 14_613_313), (36, 15_008_833), (80, 16_459_073)]
)
def test_parameters(n_mcep: int, parameters: int) -> None:
    with torch.device("meta"):
        generator = mask_cyclegan_vc(n_mcep=n_mcep, scale=1.0)
        without_mask = cyclegan_vc2_2_1_2d(n_mcep=n_mcep, scale=1.0)
    assert count_parameters(generator) == parameters
    # A second plane in front of 128 kernels of 5 x 15.
    assert parameters - count_parameters(without_mask) == 128 * 5 * 15


def test_it_says_that_it_takes_a_mask() -> None:
    assert build().takes_mask is True


@unhurried
@given(masked_inputs(), st.floats(-100, 100))
def test_what_is_hidden_changes_nothing(inputs: tuple[Tensor, Tensor], value: float) -> None:
    mcep, mask = inputs
    generator = build()
    other = torch.where(mask > 0, mcep, torch.tensor(value, dtype=torch.float64))
    assert torch.equal(generator(mcep, mask), generator(other, mask))


def test_gradients_reach_what_can_be_seen_and_not_what_is_hidden() -> None:
    mcep, mask = noise(1, 10, 18).requires_grad_(True), torch.ones(1, 1, 18, dtype=torch.float64)
    mask[..., 5:9] = 0
    mask[..., 17] = 0  # the frame that padding repeats
    build()(mcep, mask).square().sum().backward()
    assert mcep.grad is not None
    by_frame = mcep.grad.abs().amax(dim=(0, 1))
    assert ((by_frame > 0) == (mask[0, 0] > 0)).all()


@unhurried
@given(masked_inputs())
def test_no_mask_shows_all(inputs: tuple[Tensor, Tensor]) -> None:
    mcep, mask = inputs
    generator = build()
    assert torch.equal(generator(mcep), generator(mcep, torch.ones_like(mask)))


def test_hidden_frames_are_told_from_frames_of_zeros() -> None:
    mcep, mask = noise(1, 10, 16), torch.ones(1, 1, 16, dtype=torch.float64)
    mask[..., 4:8] = 0
    generator = build()
    assert not torch.allclose(generator(mcep, mask), generator(mcep * mask))


def test_hidden_frames_are_filled_in_from_their_neighbours() -> None:
    mcep, mask = noise(1, 10, 16), torch.ones(1, 1, 16, dtype=torch.float64)
    mask[..., 4:8] = 0
    other = mcep.clone()
    other[..., :4] += 1
    generator = build()
    changed = (generator(mcep, mask) - generator(other, mask))[..., 4:8]
    assert changed.abs().min() > 0


@unhurried
@given(masked_inputs())
def test_the_planes_are_the_visible_features_and_the_mask(inputs: tuple[Tensor, Tensor]) -> None:
    mcep, mask = inputs
    generator = build()
    seen: list[Tensor] = []
    generator.encoder.register_forward_pre_hook(lambda _module, given: seen.append(given[0]))
    generator(mcep, mask)
    (planes,) = seen
    frames = mcep.shape[-1]
    rows = [min(i, 9) for i in range(12)]
    columns = [min(i, frames - 1) for i in range(max(-(-frames // 4) * 4, 8))]
    assert torch.equal(planes[:, 0], (mcep * mask)[:, rows][..., columns])
    assert torch.equal(planes[:, 1], mask.repeat(1, 12, 1)[..., columns])


def test_with_weights_for_the_mask_at_zero_it_is_cyclegan_vc2() -> None:
    generator, mcep = build(n_mcep=24), noise(2, 24, 30)
    state = generator.state_dict()
    state["encoder.stem.conv.weight"][:, 1] = 0
    generator.load_state_dict(state)
    plain = cyclegan_vc2_2_1_2d(n_mcep=24, scale=0.05).double()
    plain.load_state_dict(
        state | {"encoder.stem.conv.weight": state["encoder.stem.conv.weight"][:, :1]}
    )
    torch.testing.assert_close(generator(mcep), plain(mcep), rtol=1e-9, atol=1e-9)
    mask = torch.ones(2, 1, 30, dtype=torch.float64)
    mask[0, 0, 3:11] = 0
    torch.testing.assert_close(generator(mcep, mask), plain(mcep * mask), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("shape", [(1, 1, 16), (2, 16), (2, 10, 16), (2, 1, 1), (2, 1, 17)])
def test_a_mask_of_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"mask \(.*\) must be .* \(2, 1, 16\)"):
        build()(noise(2, 10, 16), torch.ones(shape, dtype=torch.float64))
