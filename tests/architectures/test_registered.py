"""The contract of generators and discriminators, for every registered one with its defaults and
with each choice that its options offer, one at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from one_fresh_process import Ask, ask_once

from vcbench.discovery import NETWORKS
from vcbench.inspection import count_macs, layer_table
from vcbench.plugins import Plugin, Registry, choices
from vcbench.testing import architecture_checks, citizenship
from vcbench.testing.subject import Subject
from vcbench.training.models import count_parameters

REGISTRY = Registry()
PLUGINS = [REGISTRY.get(kind, name) for kind in NETWORKS for name in REGISTRY.names(kind)]
unhurried = settings(deadline=None, max_examples=25)  # a busy machine is no failure


def variants(plugin: Plugin) -> Iterator[dict[str, Any]]:
    """No options, then each choice of each option that is not its default, the others left."""
    yield {}
    for option in plugin.options:
        for value in choices(option):
            if value != option.default:
                yield {option.name: value}


SUBJECTS = [
    Subject(REGISTRY, plugin.kind, plugin.name, options)
    for plugin in PLUGINS
    for options in variants(plugin)
]


def label(subject: Subject) -> str:
    return "-".join([subject.name, *(f"{k}={v}" for k, v in subject.options.items())])


every_variant = pytest.mark.parametrize("subject", SUBJECTS, ids=label)
DEFAULTS = [subject for subject in SUBJECTS if not subject.options]
defaults = pytest.mark.parametrize("subject", DEFAULTS, ids=label)
generators = pytest.mark.parametrize("subject", [s for s in DEFAULTS if s.is_generator], ids=label)


@pytest.fixture(scope="module")
def ask() -> Ask:
    """One fresh process builds all of them: each starting its own would take minutes."""
    return ask_once(SUBJECTS)


def test_the_built_ins_are_registered() -> None:
    assert {"cyclegan-vc-1d", "residual-pixelshuffle-2d"} <= set(REGISTRY.names("generator"))
    assert {"gated-patchgan", "patchgan"} <= set(REGISTRY.names("discriminator"))
    assert {"bce", "lsgan"} <= set(REGISTRY.names("objective"))


def test_every_choice_is_a_variant() -> None:
    found = [s.options for s in SUBJECTS if s.name == "cyclegan-vc-1d"]
    assert found[0] == {}
    assert {"width": "narrow"} in found
    assert {"width": "wide"} not in found
    assert len(SUBJECTS) > len(PLUGINS) >= 4


@pytest.mark.parametrize(
    ("subject", "check"),
    [
        pytest.param(subject, check, id=f"{label(subject)}-{check}")
        for subject in SUBJECTS
        for check in architecture_checks(subject.name, options=subject.options)
    ],
)
def test_contract(subject: Subject, check: Any, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(citizenship, "ask_fresh_process", ask)
    assert check.subject.options == subject.options
    check()


@pytest.mark.parametrize("plugin", PLUGINS, ids=lambda plugin: plugin.name)
def test_built_ins_declare_their_paper_and_parameters(plugin: Plugin) -> None:
    declared = REGISTRY.declaration(plugin.kind, plugin.name)
    assert declared.paper
    assert declared.parameters
    assert declared.summary.endswith(".")


@generators
def test_any_number_of_frames(subject: Subject) -> None:
    generator = subject.build().eval()

    @unhurried
    @given(st.integers(1, 600))
    def property_holds(frames: int) -> None:
        mcep = subject.mcep(frames=frames, seed=frames)
        with torch.inference_mode():
            converted = generator(mcep)
        assert converted.shape == mcep.shape
        assert torch.isfinite(converted).all()

    property_holds()


@defaults
def test_scale_shrinks_every_width(subject: Subject) -> None:
    with torch.device("meta"):
        large, half, small = (subject.build(scale=scale) for scale in (1.0, 0.5, 0.125))
    assert count_parameters(large) > 3 * count_parameters(half) > 9 * count_parameters(small)
    sizes = [dict(network.named_parameters()) for network in (large, half, small)]
    for name, parameter in sizes[0].items():
        for axis in range(min(2, parameter.ndim)):  # channels; what follows is the kernel
            full, middle, low = (named[name].shape[axis] for named in sizes)
            # Sizes of the input and the output stay as they are.
            assert (middle, low) in {(full, full), (full / 2, full / 8)}, name


@every_variant
def test_layer_table_adds_up(subject: Subject) -> None:
    for frames in (128, 45):
        with torch.device("meta"):
            network, mcep = subject.build(scale=1.0), torch.zeros(1, 24, frames)
        try:
            rows = layer_table(network, mcep)
        except (RuntimeError, ValueError):  # crops of 128 frames alone, a discriminator may say
            assert not subject.is_generator and frames != 128
            continue
        assert sum(row.macs for row in rows) == count_macs(network, mcep) > 1e6
        assert sum(row.parameters for row in rows) == count_parameters(network)
        assert {row.name for row in rows} <= set(dict(network.named_modules()))


def test_no_norm_or_shuffle_of_a_built_in_stands_in_a_row_of_its_own() -> None:
    """They belong to the convolution in front of them, as in the papers' figures."""
    rows = []
    for subject in SUBJECTS:
        with torch.device("meta"):
            found = layer_table(subject.build(scale=1.0), torch.zeros(1, 24, 128))
        rows += [(label(subject), row.name, row.op, row.norm) for row in found]
    assert [row for row in rows if "Norm" in row[2] or "PixelShuffle" in row[2]] == []
    assert any(row[3].startswith("IN") for row in rows)
