"""Real speech made worse in one way at a time: each metric sees what it is meant to, and only that.

Every degradation is applied to the reference itself at rising strength. Limits on what must stay
still are about twice what was measured on these sentences.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from degraded_speech import SAMPLE_RATE, devoiced, noisy, repitched, smoothed, stretched
from independent_scoring import eval_wav
from numpy.typing import NDArray

from metrics.modulation_spectrum import averaged_modulation_spectrum_distance
from vcbench import audio, protocols
from vcbench.alignment import Analysis
from vcbench.plugins import Registry

Array = NDArray[np.float64]
Scores = dict[str, float]

PROTOCOL = protocols.get("vcbench-1")
# Metrics that ask for more than the pair have tests of their own.
ASKING = {"speaker-similarity", "stoi", "estoi", "pesq"}
NAMES = [name for name in Registry().names("metric") if name not in ASKING]
METRICS = {name: Registry().get("metric", name).factory for name in NAMES}
SENTENCES = (("SF1", "200001"), ("TM3", "200007"))


def analyze(waveform: Array) -> Analysis:
    return PROTOCOL.analyze(waveform, SAMPLE_RATE)


def of_waveform(change: Callable[..., Array], **options: float) -> Callable[..., Analysis]:
    """A degradation of the waveform as one of (waveform, its analysis, strength)."""
    return lambda waveform, own, strength: analyze(change(waveform, strength, **options))


# Name: (how, rising strengths). The first strength of a vocoder is the vocoder by itself.
DEGRADATIONS: dict[str, tuple[Callable[[Array, Analysis, float], Analysis], tuple[float, ...]]] = {
    "noise": (lambda x, _, level: analyze(noisy(x, -level)), (-40, -20, 0)),  # -dB SNR
    "smoothing": (lambda _, own, frames: smoothed(own, int(frames)), (1, 5, 11)),
    "pitch": (of_waveform(repitched), (1.0, 1.05, 1.15, 1.3)),
    "monotony": (lambda x, _, share: analyze(repitched(x, 1.0, flatten=share)), (0.0, 0.6, 0.9)),
    "devoicing": (lambda _, own, share: devoiced(own, share), (0.0, 0.1, 0.3, 0.6)),
    "slowness": (of_waveform(stretched), (1.1, 1.25, 1.6)),
    "haste": (lambda x, _, speed: analyze(stretched(x, 1 / speed)), (1.1, 1.25, 1.6)),
    "gain": (lambda x, _, gain: analyze(gain * x), (1.0, 0.3, 0.1)),
}

SEES = [
    ("mcd", "noise", "up"),
    ("mcd", "smoothing", "up"),
    ("lsd", "noise", "up"),
    ("msd", "smoothing", "up"),
    ("msd", "noise", "up"),
    ("gv-distance", "smoothing", "up"),
    ("gv-distance", "noise", "up"),
    ("gv-log-ratio", "smoothing", "down"),
    ("gv-log-ratio", "noise", "down"),
    ("f0-rmse", "pitch", "up"),
    ("log-f0-rmse", "pitch", "up"),
    ("f0-rmse-cents", "pitch", "up"),
    ("gpe", "monotony", "up"),
    ("f0-rmse", "monotony", "up"),
    ("log-f0-rmse-centred", "monotony", "up"),
    ("f0-correlation", "monotony", "down"),
    ("f0-correlation-hz", "monotony", "down"),
    ("vuv-error", "devoicing", "up"),
    ("ffe", "devoicing", "up"),
    ("voiced-frames", "devoicing", "down"),
    ("vuv-error", "noise", "up"),
    ("duration-difference", "slowness", "up"),
    ("duration-difference", "haste", "up"),
]

# (metric, degradation): at most this far from the value at the first strength.
ALONE = {
    ("mcd", "pitch"): 1.5,
    ("gv-distance", "pitch"): 0.15,
    ("log-f0-rmse-centred", "pitch"): 0.02,
    ("f0-correlation", "pitch"): 0.04,
    ("duration-difference", "pitch"): 0.15,
    ("mcd", "monotony"): 0.5,
    ("lsd", "monotony"): 0.4,
    ("gv-log-ratio", "monotony"): 0.12,
    ("duration-difference", "monotony"): 0.15,
    ("mcd", "slowness"): 1.0,
    ("gv-distance", "slowness"): 0.15,
    ("log-f0-rmse", "slowness"): 0.05,
    ("f0-correlation", "slowness"): 0.06,
    ("msd", "slowness"): 0.15,
    ("duration-difference", "smoothing"): 0.0,
    ("vuv-error", "smoothing"): 2.0,
    ("f0-correlation", "smoothing"): 0.02,
    ("mcd", "devoicing"): 0.0,
    ("lsd", "devoicing"): 0.0,
    ("msd", "devoicing"): 0.0,
    ("gv-log-ratio", "devoicing"): 0.0,
    ("gpe", "devoicing"): 0.0,
    ("log-f0-rmse", "devoicing"): 0.0,
    **{(name, "gain"): 1e-6 for name in METRICS},
}


@pytest.fixture(scope="module")
def speech(vcc2016_dir: Path) -> list[tuple[Array, Analysis]]:
    """Waveforms and their analyses."""
    paths = [eval_wav(vcc2016_dir, *sentence) for sentence in SENTENCES]
    waveforms = [audio.read(path, sample_rate=SAMPLE_RATE) for path in paths]
    return [(waveform, analyze(waveform)) for waveform in waveforms]


@pytest.fixture(scope="module")
def measured(speech: list[tuple[Array, Analysis]]) -> Callable[[str], list[list[Scores]]]:
    """Of a degradation, for each sentence and strength every metric; computed once."""
    known: dict[str, list[list[Scores]]] = {}

    def measure(degradation: str) -> list[list[Scores]]:
        if degradation not in known:
            degrade, strengths = DEGRADATIONS[degradation]
            known[degradation] = [
                [scores(own, degrade(waveform, own, strength)) for strength in strengths]
                for waveform, own in speech
            ]
        return known[degradation]

    return measure


def scores(reference: Analysis, converted: Analysis) -> Scores:
    pair = PROTOCOL.align(reference, converted)
    return {name: metric(pair) for name, metric in METRICS.items()}


@pytest.mark.parametrize(("metric", "degradation", "way"), SEES)
def test_a_metric_sees_what_it_is_meant_to(
    measured: Callable[[str], list[list[Scores]]], metric: str, degradation: str, way: str
) -> None:
    for sentence in measured(degradation):
        values = [found[metric] for found in sentence]
        steps = [b - a if way == "up" else a - b for a, b in itertools.pairwise(values)]
        assert min(steps) >= 0 and sum(steps) > 0, values


@pytest.mark.parametrize(("metric", "degradation"), ALONE)
def test_a_metric_leaves_alone_what_it_should_not_see(
    measured: Callable[[str], list[list[Scores]]], metric: str, degradation: str
) -> None:
    for sentence in measured(degradation):
        values = np.array([found[metric] for found in sentence])
        assert np.abs(values - values[0]).max() <= ALONE[metric, degradation], values


def test_every_metric_is_tested() -> None:
    about_speech = set(METRICS) - {"path-excess"}  # which is about how the path was found
    assert {metric for metric, _, _ in SEES} == about_speech


def test_a_gross_error_begins_at_a_fifth(measured: Callable[[str], list[list[Scores]]]) -> None:
    for sentence in measured("pitch"):
        *slight, gross = ([found[name] for name in ("gpe", "ffe")] for found in sentence)
        assert max(gpe for gpe, _ in slight) < 6  # F0 times 1.15 at most
        assert gross[0] > 90  # times 1.3
        assert gross[1] > max(ffe for _, ffe in slight) + 50


def test_another_speaker_is_seen_by_spectrum_and_pitch_and_not_by_what_measures_movement(
    vcc2016_dir: Path, speech: list[tuple[Array, Analysis]], measured: Callable
) -> None:
    (_, own), _ = speech
    (slow, *_), _ = measured("slowness")
    for speaker in ("SM1", "TF2", "TM3"):
        path = eval_wav(vcc2016_dir, speaker, SENTENCES[0][1])
        other = scores(own, analyze(audio.read(path, sample_rate=SAMPLE_RATE)))
        for name in ("mcd", "lsd", "log-f0-rmse", "log-f0-rmse-centred", "gpe", "ffe"):
            assert other[name] > 3 * slow[name]
        assert abs(other["gv-log-ratio"]) < 0.15
        assert other["msd"] == pytest.approx(math.pi / math.sqrt(3), abs=0.1)


def test_without_a_voice_pitch_is_undefined_and_voicing_is_wrong(
    speech: list[tuple[Array, Analysis]],
) -> None:
    for _, own in speech:
        found = scores(own, devoiced(own, 1.0))
        assert found["voiced-frames"] == 0
        for name in ("f0-rmse", "log-f0-rmse", "f0-rmse-cents", "f0-correlation", "gpe"):
            assert math.isnan(found[name])
        assert found["vuv-error"] == found["ffe"] > 50


def smoothing_on(
    data_dir: Path, sentences: list[str]
) -> tuple[dict[int, Scores], dict[str, float], float]:
    """Targets' own speech smoothed over 5 and 11 frames, against themselves.

    Returns the mean scores by window, the averaged modulation spectrum distance by window and for
    the raw source SF1, and the mean MCD of that source.
    """
    speakers = ("SF1", "TF2", "TM3")
    said = {
        name: [
            analyze(audio.read(eval_wav(data_dir, name, s), sample_rate=SAMPLE_RATE))
            for s in sentences
        ]
        for name in speakers
    }
    targets = [*said["TF2"], *said["TM3"]]
    sources = said["SF1"] * 2
    means, averaged = {}, {}
    for window in (5, 11):
        smooth = [smoothed(own, window) for own in targets]
        found = [scores(a, b) for a, b in zip(targets, smooth, strict=True)]
        means[window] = {n: float(np.mean([f[n] for f in found])) for n in ("mcd", "msd")}
        means[window]["gv-log-ratio"] = float(np.mean([f["gv-log-ratio"] for f in found]))
        averaged[str(window)] = averaged_modulation_spectrum_distance(
            [a.gated().mcep[:, 1:] for a in targets], [b.gated().mcep[:, 1:] for b in smooth]
        )
    averaged["source"] = averaged_modulation_spectrum_distance(
        [a.gated().mcep[:, 1:] for a in targets], [b.gated().mcep[:, 1:] for b in sources]
    )
    raw = [scores(a, b)["mcd"] for a, b in zip(targets, sources, strict=True)]
    return means, averaged, float(np.mean(raw))


def test_smoothing_a_target_gives_a_splendid_mcd_and_a_bad_msd_and_gv(vcc2016_dir: Path) -> None:
    """Why MCD is never shown alone: it would rank this above any conversion."""
    means, averaged, source_mcd = smoothing_on(vcc2016_dir, ["200001", "200007"])
    assert means[5]["mcd"] < 2.2 < means[11]["mcd"] < 3.5 < source_mcd - 4
    for window in (5, 11):
        assert means[window]["msd"] > 2.5  # independent natural speech has 1.81
        assert means[window]["gv-log-ratio"] < -0.12
        assert averaged[str(window)] > 2 * averaged["source"]


@pytest.mark.slow
def test_the_figures_of_smoothing_on_all_of_vcc2016(
    vcc2016_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    means, averaged, source_mcd = smoothing_on(vcc2016_dir, [f"2000{k:02}" for k in range(1, 55)])
    with capsys.disabled():
        for window, found in means.items():
            print(f"\nsmoothed over {window} frames:", {k: round(v, 2) for k, v in found.items()})
        print("averaged modulation spectra:", {k: round(v, 2) for k, v in averaged.items()})
        print(f"raw source: MCD {source_mcd:.2f} dB")
    assert means[5]["mcd"] < 2.2 < means[11]["mcd"] < 3.5 < source_mcd - 4
