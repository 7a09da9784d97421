"""Conversion: whose statistics go where, which generator, any length, and what is written."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from tiny_cells import speech, tiny_cell
from voices import voice

from vcbench import audio, features, world
from vcbench.conversion import (
    VoiceConverter,
    convert,
    trained_converter,
    unchanged,
)
from vcbench.conversion_tasks import ConversionTask, run_task
from vcbench.errors import DataError, PluginError, UsageError
from vcbench.normalization import Pitch, SpeakerStatistics, convert_f0
from vcbench.plugins import Registry
from vcbench.training.cell import Cell, ComponentSpec
from vcbench.training.checkpoint import Checkpoint
from vcbench.training.models import build_networks
from vcbench.world import FeatureParameters, WorldFeatures

Array = NDArray[np.float64]
FAST = FeatureParameters(f0="dio")

# Adds a number to all it is given, so that one can tell the two directions' generators apart.
PLUGIN = """\
import torch
from vcbench.plugins import register_discriminator, register_generator


class Shift(torch.nn.Module):
    sigmoid = False

    def __init__(self, extra=0):
        super().__init__()
        self.shift = torch.nn.Parameter(torch.zeros(1 + extra))

    def forward(self, mcep):
        return mcep + self.shift


@register_generator("test-shift")
def shift(*, n_mcep: int, scale: float, extra: int = 0):
    return Shift(extra)


@register_discriminator("test-judge")
def judge(*, n_mcep: int, scale: float):
    return Shift()
"""


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """More of them only wait for one another on networks this small."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def both() -> dict[str, SpeakerStatistics]:
    """Two speakers with nothing in common."""
    return {
        "SF1": SpeakerStatistics.from_features([speech(300, seed=1)]),
        "TM3": SpeakerStatistics(
            np.linspace(5, 9, 24),
            np.linspace(0.2, 2.5, 24),
            log_f0_mean=4.6,
            log_f0_std=0.4,
            continuous_log_f0_mean=4.7,
            continuous_log_f0_std=0.3,
        ),
    }


def pooled(many: list[WorldFeatures]) -> Array:
    return np.concatenate([one.mcep for one in many])


def test_mean_variance_gives_the_targets_mean_and_deviation(
    both: dict[str, SpeakerStatistics],
) -> None:
    """Of speech whose statistics are the source's: its own training speech."""
    spoken = [speech(frames, seed=frames) for frames in (30, 57, 101)]
    source, target = SpeakerStatistics.from_features(spoken), both["TM3"]
    found = [convert(one, unchanged, source=source, target=target) for one in spoken]
    np.testing.assert_allclose(pooled(found).mean(axis=0), target.mcep_mean, rtol=1e-9)
    np.testing.assert_allclose(pooled(found).std(axis=0), target.mcep_std, rtol=1e-9)
    log_f0 = np.log(np.concatenate([one.f0_hz[one.f0_hz > 0] for one in found]))
    assert log_f0.mean() == pytest.approx(target.log_f0_mean)
    assert log_f0.std() == pytest.approx(target.log_f0_std)


def test_what_comes_out_is_denormalised_with_the_targets_statistics(
    both: dict[str, SpeakerStatistics],
) -> None:
    """Whatever went in: a generator that answers 0, or 1, says the target's mean, or one above."""
    source, target = both["SF1"], both["TM3"]
    spoken = speech(20, seed=3)
    seen: list[Array] = []

    def ones(normalized: Array) -> Array:
        seen.append(normalized)
        return np.ones_like(normalized)

    found = convert(spoken, ones, source=source, target=target)
    expected = np.tile(target.mcep_mean + target.mcep_std, (20, 1))
    np.testing.assert_allclose(found.mcep, expected, rtol=1e-12)
    np.testing.assert_allclose(seen[0], (spoken.mcep - source.mcep_mean) / source.mcep_std)
    np.testing.assert_array_equal(
        found.f0_hz, convert_f0(spoken.f0_hz, source=source, target=target)
    )
    np.testing.assert_array_equal(found.coded_aperiodicity, spoken.coded_aperiodicity)


def test_to_oneself_nothing_changes(both: dict[str, SpeakerStatistics]) -> None:
    spoken = speech(20, seed=3)
    found = convert(spoken, unchanged, source=both["SF1"], target=both["SF1"])
    np.testing.assert_allclose(found.mcep, spoken.mcep, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(found.f0_hz, spoken.f0_hz, rtol=1e-12)


@given(st.integers(1, 40), st.integers(0, 999))
def test_with_pitch_in_the_frames_an_unchanged_round_trip_changes_nothing(
    frames: int, seed: int
) -> None:
    """The generator sees one row more; F0 comes back where it was voiced and nowhere else."""
    spoken = speech(frames, seed=seed)
    own = SpeakerStatistics.from_features([speech(200, seed=1)])
    seen: list[Array] = []

    def identity(normalized: Array) -> Array:
        seen.append(normalized)
        return normalized

    found = convert(spoken, identity, source=own, target=own, pitch="cyclegan")
    assert seen[0].shape == (frames, 25)
    np.testing.assert_allclose(found.mcep, spoken.mcep, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(found.f0_hz, spoken.f0_hz, rtol=1e-9)
    np.testing.assert_array_equal(found.f0_hz > 0, spoken.f0_hz > 0)


def test_converted_log_f0_is_the_generators_in_the_targets_terms(
    both: dict[str, SpeakerStatistics],
) -> None:
    """A generator that shifts only the last value, at the target two of its deviations up."""
    spoken = speech(30, seed=4)

    def up(normalized: Array) -> Array:
        return np.column_stack([normalized[:, :-1], np.full(len(normalized), 2.0)])

    sides = {"source": both["SF1"], "target": both["TM3"]}
    found = convert(spoken, up, pitch="cyclegan", **sides)
    expected = np.where(spoken.f0_hz > 0, np.exp(4.7 + 2 * 0.3), 0)
    np.testing.assert_allclose(found.f0_hz, expected, rtol=1e-12)
    np.testing.assert_allclose(found.mcep, convert(spoken, unchanged, **sides).mcep)


@pytest.mark.parametrize(("answer", "held_hz"), [(1e30, 500.0), (-1e30, 90.0)])
def test_f0_that_no_voice_has_is_held_within_the_limits(
    answer: float, held_hz: float, both: dict[str, SpeakerStatistics]
) -> None:
    spoken = speech(12, seed=4)
    limits = {"pitch": "cyclegan", "f0_limits_hz": (90.0, 500.0)}
    sides = {"source": both["SF1"], "target": both["TM3"]}
    found = convert(spoken, lambda frames: np.full_like(frames, answer), **limits, **sides)
    np.testing.assert_allclose(found.f0_hz, np.where(spoken.f0_hz > 0, held_hz, 0))


@pytest.mark.parametrize("pitch", ["log-gaussian", "cyclegan"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_generator_that_answers_no_number_is_told_in_words(
    pitch: Pitch, value: float, both: dict[str, SpeakerStatistics]
) -> None:
    def broken(normalized: Array) -> Array:
        return np.where(
            np.arange(normalized.shape[1]) == normalized.shape[1] - 1, value, normalized
        )

    with pytest.raises(DataError, match="the generator answered NaN or infinite values"):
        convert(speech(9, seed=0), broken, source=both["SF1"], target=both["TM3"], pitch=pitch)


def test_a_mean_shift_in_conversion(both: dict[str, SpeakerStatistics]) -> None:
    spoken = speech(30, seed=4)
    sides = {"source": both["SF1"], "target": both["TM3"]}
    found = convert(spoken, unchanged, pitch="mean-shift", **sides)
    expected = convert_f0(spoken.f0_hz, pitch="mean-shift", **sides)
    np.testing.assert_array_equal(found.f0_hz, expected)
    assert not np.allclose(found.f0_hz, convert(spoken, unchanged, **sides).f0_hz)


@pytest.mark.parametrize("pitch", ["log-gaussian", "mean-shift", "cyclegan"])
@pytest.mark.parametrize("system", ["one-d", "two-d"])
def test_a_trained_converter_treats_pitch_as_its_recipe_says(
    system: str, pitch: Pitch, both: dict[str, SpeakerStatistics], tmp_path: Path
) -> None:
    cell = tiny_cell(tmp_path, system, recipe={"pitch": pitch})
    checkpoint = saved(cell, tmp_path / "checkpoint.pt", both)
    converter = trained_converter(checkpoint, Registry(), "SF1>TM3")
    assert converter.pitch == pitch
    values = 25 if pitch == "cyclegan" else 24
    assert converter.mapping(np.zeros((11, values))).shape == (11, values)
    assert np.isfinite(converter(speech(37, seed=2))).all()


def test_a_generator_that_changes_the_length_is_named(both: dict[str, SpeakerStatistics]) -> None:
    def padded(normalized: Array) -> Array:
        return np.pad(normalized, ((0, -len(normalized) % 4), (0, 0)))

    with pytest.raises(PluginError, match=r"returned \(24, 24\) .* for \(21, 24\)"):
        convert(speech(21, seed=0), padded, source=both["SF1"], target=both["TM3"])


@pytest.mark.parametrize("system", ["one-d", "two-d"])
def test_any_length_is_converted_and_keeps_its_length(
    system: str, both: dict[str, SpeakerStatistics], tmp_path: Path
) -> None:
    cell = tiny_cell(tmp_path, system)
    checkpoint = saved(cell, tmp_path / "checkpoint.pt", both)
    converter = trained_converter(checkpoint, Registry(), "SF1>TM3")
    for frames in range(1, 51):
        wave = converter(speech(frames, seed=frames))
        # n frames begin in n - 1 periods, and WORLD adds a part of the last one.
        assert abs(len(wave) - (frames - 1) * 80) <= 80
        assert np.isfinite(wave).all()


def saved(
    cell: Cell,
    path: Path,
    statistics: dict[str, SpeakerStatistics],
    *,
    shifts: tuple[float, float] | None = None,
) -> Checkpoint:
    """A checkpoint of untrained networks, as training writes it and `load` reads it again.

    shifts: what the generators of `PLUGIN` add, from the cell's source to its target and back.
    """
    networks = build_networks(cell, Registry(cell.plugin_files))
    if shifts:
        with torch.no_grad():
            networks.source_to_target.shift += shifts[0]
            networks.target_to_source.shift += shifts[1]
    Checkpoint(
        cell=cell,
        iteration=1,
        training={"networks": networks.state_dict(), "conversion": {"weights": {}}},
        statistics=statistics,
        pending={},
        log="",
        torch_rng=torch.get_rng_state(),
        cuda_rng=None,
        crops_sha256="00" * 32,
        generator_sha256="11" * 32,
        seconds=1.5,
    ).save(path)
    return Checkpoint.load(path)


@pytest.fixture
def shift_cell(tmp_path: Path) -> Cell:
    """A cell whose generators add a number."""
    plugin = tmp_path / "shift.py"
    plugin.write_text(PLUGIN)
    return tiny_cell(
        tmp_path,
        "shift",
        generator=ComponentSpec("test-shift"),
        discriminator=ComponentSpec("test-judge"),
        objective=ComponentSpec("lsgan"),
        plugin_files=(str(plugin),),
        features=FAST.to_json(),
    )


def test_each_direction_has_its_own_generator_and_statistics(
    shift_cell: Cell, both: dict[str, SpeakerStatistics], tmp_path: Path
) -> None:
    checkpoint = saved(shift_cell, tmp_path / "c.pt", both, shifts=(1.0, -2.0))
    normalized = np.random.default_rng(0).normal(size=(9, 24))
    for direction, shift in (("SF1>TM3", 1.0), ("TM3>SF1", -2.0)):
        converter = trained_converter(checkpoint, Registry(shift_cell.plugin_files), direction)
        found = converter.mapping(normalized)
        assert found.shape == (9, 24) and found.dtype == np.float64
        np.testing.assert_allclose(found, normalized + shift, atol=1e-6)
        source, target = direction.split(">")
        assert converter.source.to_json() == both[source].to_json()
        assert converter.target.to_json() == both[target].to_json()
        assert converter.parameters == FAST


@pytest.mark.parametrize("direction", ["SF1>TF2", "SF1-TM3", "SF1", ">", "SF1>TM3>SF1"])
def test_a_direction_that_was_not_trained(
    direction: str, shift_cell: Cell, both: dict[str, SpeakerStatistics], tmp_path: Path
) -> None:
    checkpoint = saved(shift_cell, tmp_path / "c.pt", both)
    with pytest.raises(UsageError) as caught:
        trained_converter(checkpoint, Registry(shift_cell.plugin_files), direction)
    assert str(caught.value) == (
        f"direction '{direction}': this checkpoint converts SF1>TM3 and TM3>SF1"
    )


def test_weights_of_another_architecture_are_told_in_words(
    shift_cell: Cell, both: dict[str, SpeakerStatistics], tmp_path: Path
) -> None:
    """The plugin was edited after the training."""
    checkpoint = saved(shift_cell, tmp_path / "c.pt", both)
    edited = replace(shift_cell, generator=ComponentSpec("test-shift", {"extra": 3}))
    with pytest.raises(DataError, match=r"do not fit generator 'test-shift' .* train it again"):
        trained_converter(
            replace(checkpoint, cell=edited), Registry(shift_cell.plugin_files), "SF1>TM3"
        )


@pytest.fixture
def spoken(tmp_path: Path) -> list[Path]:
    """Feature files of three utterances."""
    paths = []
    for number in range(3):
        wave = voice(0.4, f0_hz=110 + 30 * number, seed=number)
        paths.append(tmp_path / "spoken" / f"{number}.npz")
        features.save(paths[-1], world.analyze(wave, FAST))
    return paths


def task(folder: Path, spoken: list[Path], **changes: object) -> ConversionTask:
    outputs = tuple(folder / f"{path.stem}.wav" for path in spoken)
    return ConversionTask("SF1>TM3", tuple(spoken), outputs, FAST, **changes)


def within_16_bits(path: Path, expected: Array) -> None:
    """The file holds this waveform, attenuated if it would have clipped."""
    gain = min(1.0, 32767 / 32768 / np.max(np.abs(expected)))
    found = audio.read(path, sample_rate=16000)
    np.testing.assert_allclose(found, gain * expected, rtol=0, atol=1.5 / 32768)


def test_resynthesis_is_world_alone(spoken: list[Path], tmp_path: Path) -> None:
    work = task(tmp_path / "out", spoken)
    assert run_task(work) == 3
    for source, output in zip(spoken, work.outputs, strict=True):
        within_16_bits(output, world.synthesize(features.load(source), FAST))


def test_mean_variance_takes_statistics_from_the_training_files_of_each(
    spoken: list[Path], tmp_path: Path
) -> None:
    work = task(tmp_path / "out", spoken, statistics_from=(tuple(spoken[:2]), tuple(spoken[2:])))
    assert run_task(work) == 3
    source = SpeakerStatistics.from_features([features.load(path) for path in spoken[:2]])
    target = SpeakerStatistics.from_features([features.load(spoken[2])])
    converter = VoiceConverter(unchanged, source, target, FAST)
    for path, output in zip(spoken, work.outputs, strict=True):
        within_16_bits(output, converter(features.load(path)))


def test_a_trained_system_converts_with_its_checkpoint(
    spoken: list[Path], shift_cell: Cell, both: dict[str, SpeakerStatistics], tmp_path: Path
) -> None:
    saved(shift_cell, tmp_path / "c.pt", both, shifts=(0.25, 99.0))
    work = task(
        tmp_path / "out",
        spoken,
        checkpoint=tmp_path / "c.pt",
        plugin_files=shift_cell.plugin_files,
    )
    torch.set_num_threads(2)
    assert run_task(work) == 3
    assert torch.get_num_threads() == 2
    converter = VoiceConverter(lambda mcep: mcep + 0.25, both["SF1"], both["TM3"], FAST)
    for path, output in zip(spoken, work.outputs, strict=True):
        expected = converter(features.load(path))
        found = audio.read(output, sample_rate=16000)
        # float32 in the generator against float64 here.
        gain = min(1.0, 32767 / 32768 / np.max(np.abs(expected)))
        np.testing.assert_allclose(found, gain * expected, atol=2e-4)


def test_a_damaged_checkpoint_says_how_to_get_another(spoken: list[Path], tmp_path: Path) -> None:
    (tmp_path / "c.pt").write_bytes(b"PK")
    with pytest.raises(DataError) as caught:
        run_task(task(tmp_path / "out", spoken, checkpoint=tmp_path / "c.pt"))
    assert str(caught.value) == (
        f"{tmp_path}/c.pt: not a readable checkpoint: damaged, or something else (BadZipFile); "
        "it was deleted: the same command trains the cell again, from the checkpoint before it if "
        "there is one"
    )
    assert not (tmp_path / "c.pt").exists()


def listing(folder: Path) -> dict[str, int]:
    """{file name: time of its last change}."""
    return {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}


def test_only_what_is_missing_is_converted(spoken: list[Path], tmp_path: Path) -> None:
    work = task(tmp_path / "out", spoken)
    run_task(work)
    before = listing(tmp_path / "out")
    assert before.keys() == {"0.wav", "1.wav", "2.wav"}
    assert run_task(work) == 0
    assert listing(tmp_path / "out") == before
    work.outputs[1].unlink()
    assert run_task(work) == 1
    after = listing(tmp_path / "out")
    assert {name for name in after if after[name] != before[name]} == {"1.wav"}
    assert after.keys() == before.keys()


def test_what_was_converted_before_a_failure_is_kept_and_nothing_is_half_written(
    spoken: list[Path], tmp_path: Path
) -> None:
    broken = features.load(spoken[1])
    features.save(spoken[1], replace(broken, mcep=np.full_like(broken.mcep, np.nan)))
    work = task(tmp_path / "out", spoken)
    with pytest.raises(DataError, match="NaN or infinite"):
        run_task(work)
    assert list((tmp_path / "out").iterdir()) == [work.outputs[0]]
