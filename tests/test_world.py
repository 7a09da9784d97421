"""WORLD features against pyworld and pysptk themselves, on synthetic and on real speech."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pysptk
import pytest
import pyworld
from independent_scoring import eval_wav
from numpy.typing import NDArray
from voices import voice

from vcbench import audio, world
from vcbench.world import FeatureParameters, WorldFeatures

Array = NDArray[np.float64]
RATE = 16000


@pytest.fixture(params=["synthetic", "real"])
def speech(request: pytest.FixtureRequest) -> Array:
    """1.2 s of synthetic speech, or a sentence of VCC2016."""
    if request.param == "synthetic":
        return voice(1.2)
    folder: Path = request.getfixturevalue("vcc2016_dir")
    return audio.read(eval_wav(folder, "SF1", "200001"), sample_rate=RATE)


def pulses(f0_hz: float, seconds: float = 1.0) -> Array:
    """A train of single-sample pulses with a low noise floor."""
    wave = 1e-4 * np.random.default_rng(0).normal(size=int(seconds * RATE))
    wave[np.arange(0, len(wave), RATE / f0_hz).astype(int)] += 0.5
    return wave


@pytest.mark.parametrize("alpha", [0.0, 0.35, 0.41, 0.58])
@pytest.mark.parametrize("order", [0, 1, 24, 39])
@pytest.mark.parametrize("bins", [257, 513])
def test_mel_cepstrum_is_sp2mc(bins: int, order: int, alpha: float) -> None:
    spectrum = np.exp(np.random.default_rng(order).normal(-8, 3, size=(5, bins)))
    found = world.mel_cepstrum(spectrum, order=order, alpha=alpha)
    assert found.shape == (5, order + 1)
    np.testing.assert_allclose(found, pysptk.sp2mc(spectrum, order, alpha), rtol=0, atol=1e-12)


def test_mel_cepstrum_of_speech_is_sp2mc(speech: Array) -> None:
    f0_hz, times_s = pyworld.dio(speech, RATE)
    spectrum = pyworld.cheaptrick(speech, f0_hz, times_s, RATE)
    found = world.mel_cepstrum(spectrum, order=24, alpha=0.41)
    np.testing.assert_allclose(found, pysptk.sp2mc(spectrum, 24, 0.41), rtol=0, atol=1e-12)


@pytest.mark.parametrize("method", ["harvest", "dio"])
def test_features_are_those_of_pyworld(speech: Array, method: world.F0Method) -> None:
    if method == "harvest":
        f0_hz, t = pyworld.harvest(speech, RATE, f0_floor=71, f0_ceil=800, frame_period=5)
    else:
        coarse, t = pyworld.dio(speech, RATE, f0_floor=71, f0_ceil=800, frame_period=5)
        f0_hz = pyworld.stonemask(speech, coarse, t, RATE)
    spectrum = pyworld.cheaptrick(speech, f0_hz, t, RATE)
    codec = world.analyze(speech, FeatureParameters(f0=method))
    np.testing.assert_array_equal(codec.f0_hz, f0_hz)
    np.testing.assert_array_equal(codec.mcep, pyworld.code_spectral_envelope(spectrum, RATE, 24))
    sptk = world.analyze(speech, FeatureParameters(f0=method, mel_cepstrum="sptk", n_mcep=25))
    np.testing.assert_allclose(sptk.mcep, pysptk.sp2mc(spectrum, 24, 0.41), atol=1e-12)

    coded = codec.coded_aperiodicity
    assert coded.shape == (len(f0_hz), 1)
    np.testing.assert_array_equal(sptk.coded_aperiodicity, coded)
    # Nothing is lost by keeping it coded, save in frames that are nearly all noise.
    decoded = pyworld.decode_aperiodicity(coded, RATE, 1024)
    direct = pyworld.d4c(speech, f0_hz, t, RATE)
    kept = (coded[:, 0] <= -0.5) | (direct[:, 0] > 0.99)
    assert np.mean(kept) > 0.98
    np.testing.assert_allclose(decoded[kept], direct[kept], rtol=0, atol=1e-12)
    np.testing.assert_allclose(decoded[~kept], 1.0, atol=1e-9)


@pytest.mark.parametrize("method", ["harvest", "dio"])
@pytest.mark.parametrize("f0_hz", [100.0, 200.0, 320.0])
def test_the_pitch_of_a_pulse_train(method: world.F0Method, f0_hz: float) -> None:
    """Within 1 %, in all frames but those at the ends."""
    found, times_s = world.estimate_f0(
        pulses(f0_hz),
        sample_rate=RATE,
        frame_period_ms=5.0,
        method=method,
        floor_hz=71.0,
        ceil_hz=800.0,
    )
    np.testing.assert_allclose(times_s, np.arange(201) * 0.005)
    np.testing.assert_allclose(found[10:-10], f0_hz, rtol=0.01)


@pytest.mark.parametrize("n_mcep", [24, 40])
@pytest.mark.parametrize("mel_cepstrum", ["world-codec", "sptk"])
def test_synthesis_keeps_length_and_pitch(
    speech: Array, mel_cepstrum: world.MelCepstrum, n_mcep: int
) -> None:
    """Duration within a frame; F0 of frames voiced in both off by less than 1 % in the median."""
    p = FeatureParameters(f0="dio", mel_cepstrum=mel_cepstrum, n_mcep=n_mcep)
    before = world.analyze(speech, p)
    again = world.synthesize(before, p)
    assert abs(len(again) - len(speech)) <= RATE * p.frame_period_ms / 1000
    after = world.analyze(again, p)
    frames = min(len(before.f0_hz), len(after.f0_hz))
    x_hz, y_hz = before.f0_hz[:frames], after.f0_hz[:frames]
    both = (x_hz > 0) & (y_hz > 0)
    assert both.sum() > 0.8 * (x_hz > 0).sum()
    assert np.median(np.abs(y_hz[both] / x_hz[both] - 1)) < 0.01
    # The level comes back too: the codec is about spectral power and not about its shape alone.
    assert np.std(again) == pytest.approx(np.std(speech), rel=0.35)


def test_frame_period_and_rate_are_the_parameters(speech: Array) -> None:
    p = FeatureParameters(f0="dio", frame_period_ms=10.0, n_mcep=30)
    found = world.analyze(speech, p)
    frames = int(len(speech) / RATE / 0.010) + 1
    assert found.f0_hz.shape == (frames,)
    assert found.mcep.shape == (frames, 30)
    assert abs(len(world.synthesize(found, p)) - len(speech)) <= 0.010 * RATE


@pytest.mark.parametrize("frames", [1, 2, 7])
def test_synthesis_takes_features_as_they_are_stored(frames: int) -> None:
    """float32, Fortran order, a handful of frames: all that conversion may hand over."""
    p = FeatureParameters(f0="dio")
    whole = world.analyze(voice(0.4), p)
    part = WorldFeatures(
        whole.f0_hz[20 : 20 + frames].astype(np.float32),
        np.asfortranarray(whole.mcep[20 : 20 + frames].astype(np.float32)),
        whole.coded_aperiodicity[20 : 20 + frames].astype(np.float32),
    )
    wave = world.synthesize(part, p)
    assert abs(len(wave) - (frames - 1) * 80) <= 80
    assert np.isfinite(wave).all()
