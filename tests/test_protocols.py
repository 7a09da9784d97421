"""`vcbench-1` step by step against scipy, pyworld and pysptk, and what its text says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.signal
from independent_scoring import ORDERS, analysis, eval_wav
from voices import noise, voice

from vcbench import audio, protocols
from vcbench.errors import DataError, UsageError
from vcbench.protocols import features


@pytest.mark.parametrize("sample_rate", ORDERS)
def test_low_cut_filter_is_scipys_window_design(sample_rate: int) -> None:
    expected = scipy.signal.firwin(255, 70, fs=sample_rate, pass_zero=False)
    ours = features.low_cut_filter(255, 70.0, sample_rate)
    assert np.allclose(ours, expected, rtol=0, atol=1e-15)


@pytest.mark.parametrize("sample_rate", ORDERS)
def test_analysis_equals_an_independent_one_at_every_rate(sample_rate: int) -> None:
    waveform = voice(sample_rate=sample_rate)
    ours = protocols.get("vcbench-1").analyze(waveform, sample_rate)
    mcep, f0_hz, gate_db = analysis(waveform, sample_rate)
    assert ours.mcep.shape == (len(f0_hz), ORDERS[sample_rate] + 1)
    assert np.allclose(ours.f0_hz, f0_hz, rtol=0, atol=1e-6)
    assert np.allclose(ours.mcep, mcep, rtol=0, atol=1e-6)
    assert np.array_equal(ours.speech, gate_db > -20)
    assert ours.frame_period_ms == 5.0
    assert 0.5 < ours.speech.mean() < 1.0  # both sides of the gate were seen


def test_analysis_of_real_speech_equals_an_independent_one(vcc2016_dir: Path) -> None:
    waveform = audio.read(eval_wav(vcc2016_dir, "SF1", "200003"), sample_rate=16000)
    ours = protocols.get("vcbench-1").analyze(waveform, 16000)
    mcep, f0_hz, gate_db = analysis(waveform, 16000)
    assert np.allclose(ours.f0_hz, f0_hz, rtol=0, atol=1e-6)
    assert np.allclose(ours.mcep, mcep, rtol=0, atol=1e-6)
    assert np.array_equal(ours.speech, gate_db > -20)


def test_noise_has_power_but_no_pitch() -> None:
    ours = protocols.get("vcbench-1").analyze(noise(), 16000)
    assert ours.speech.mean() > 0.9
    assert np.mean(ours.f0_hz > 0) < 0.05


@pytest.mark.parametrize("gain", [0.5, 0.1, 0.01])
def test_the_level_moves_c0_only(gain: float) -> None:
    """Not so under pymcd and its like, where a constant floor is added to the spectrum."""
    protocol = protocols.get("vcbench-1")
    loud, soft = protocol.analyze(voice(), 16000), protocol.analyze(gain * voice(), 16000)
    assert np.array_equal(loud.speech, soft.speech)
    assert np.array_equal(loud.f0_hz > 0, soft.f0_hz > 0)
    assert np.allclose(loud.mcep[:, 1:], soft.mcep[:, 1:], rtol=0, atol=1e-6)
    assert np.allclose(loud.mcep[:, 0] + np.log(gain), soft.mcep[:, 0], rtol=0, atol=1e-6)


def test_power_is_that_of_the_whole_spectrum() -> None:
    frames = np.random.default_rng(0).normal(size=(7, 64)) * np.logspace(-3, 0, 7)[:, None]
    energy = np.sum(frames**2, axis=1)  # Parseval: equal to the mean of |FFT|^2 over all bins
    ours = features.normalized_power_db(np.abs(np.fft.rfft(frames)) ** 2)
    assert np.allclose(ours, 10 * np.log10(energy / energy.mean()), rtol=0, atol=1e-9)


def test_digital_silence_does_not_pass_the_gate() -> None:
    waveform = np.concatenate([np.zeros(8000), voice()])
    speech = protocols.get("vcbench-1").analyze(waveform, 16000).speech
    assert not speech[:98].any()  # the last frames of the 100 already hear the voice
    assert speech[100:].any()


def test_other_rates_are_refused_with_those_that_are_defined() -> None:
    with pytest.raises(DataError, match=r"8000 Hz.*16000, 22050, 24000, 44100, 48000"):
        protocols.get("vcbench-1").analyze(noise(), 8000)


def test_unknown_protocol_gets_the_nearest_name() -> None:
    with pytest.raises(UsageError, match="'vcbench1': did you mean 'vcbench-1'"):
        protocols.get("vcbench1")


def test_the_default_is_listed() -> None:
    assert protocols.DEFAULT in protocols.names()
    assert all(protocols.get(name).id == name for name in protocols.names())


@pytest.mark.parametrize(
    ("change", "before", "after"),
    [
        ({"id": "other"}, "vcbench-1: ", "other: "),
        ({"frame_period_ms": 10.0}, "every 5 ms", "every 10 ms"),
        ({"low_cut_hz": 50.0}, "cut-off 70 Hz", "cut-off 50 Hz"),
        ({"low_cut_taps": 127}, "255 taps", "127 taps"),
        ({"f0_method": "harvest"}, "DIO refined by StoneMask", "Harvest"),
        ({"f0_floor_hz": 71.0}, "40 to 700 Hz", "71 to 700 Hz"),
        ({"f0_ceil_hz": 800.0}, "40 to 700 Hz", "40 to 800 Hz"),
        ({"gate_db": -15.0}, "above -20 dB", "above -15 dB"),
        ({"mel_cepstra": ((16000, 39, 0.5),)}, "16000 Hz: 24 and 0.41", "16000 Hz: 39 and 0.5;"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_the_text_says_what_is_done(change: dict[str, object], before: str, after: str) -> None:
    protocol = protocols.get("vcbench-1")
    changed = replace(protocol, **change)
    assert before in protocol.text
    assert after in changed.text
    assert before not in changed.text
