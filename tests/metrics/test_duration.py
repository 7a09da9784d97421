"""Duration difference of speech, pauses left out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from voices import voice

from metrics.duration import duration_difference, duration_difference_s, speech_duration_s
from vcbench import protocols
from vcbench.alignment import AlignedPair, Analysis
from vcbench.plugins import Registry

PROTOCOL = protocols.get("vcbench-1")


def speech(frames: int, *, kept: int | None = None, period_ms: float = 5.0) -> Analysis:
    mask = np.arange(frames) < (frames if kept is None else kept)
    return Analysis(np.zeros((frames, 2)), np.zeros(frames), mask, period_ms)


def test_converted_less_reference_in_seconds() -> None:
    assert duration_difference_s(speech(200), speech(300)) == pytest.approx(0.5)
    assert duration_difference_s(speech(300), speech(200)) == pytest.approx(-0.5)
    slow = speech(10, period_ms=16.0)
    assert speech_duration_s(slow) == pytest.approx(0.16)


def test_frames_that_the_gate_leaves_out_do_not_count() -> None:
    assert duration_difference_s(speech(200), speech(500, kept=200)) == 0.0


def test_different_frame_periods_are_refused() -> None:
    with pytest.raises(ValueError, match=r"5\.0 and 10\.0 ms"):
        duration_difference_s(speech(2), speech(2, period_ms=10.0))


@pytest.mark.parametrize(("reference", "converted"), [(200, 260), (260, 200)])
def test_the_plugin_takes_the_magnitude(reference: int, converted: int) -> None:
    pair = AlignedPair(speech(reference), speech(converted), np.array([[0, 0]]))
    assert duration_difference(pair) == pytest.approx(0.3)
    plugin = Registry().get("metric", "duration-difference")
    assert (plugin.details["unit"], plugin.details["better"]) == ("s", "lower")


def test_a_longer_pause_is_no_slower_speech() -> None:
    wave = voice()
    quiet = 1e-4 * np.random.default_rng(1).normal(size=8000)
    padded = PROTOCOL.analyze(np.concatenate([quiet, wave, quiet]), 16000)
    pair = PROTOCOL.align(PROTOCOL.analyze(wave, 16000), padded)
    assert duration_difference(pair) <= 0.05  # against the second that was added
    twice = replace(pair, converted=PROTOCOL.analyze(np.tile(wave, 2), 16000).gated())
    assert duration_difference(twice) > 0.4
