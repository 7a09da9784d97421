"""STOI, ESTOI and PESQ: the packages' numbers where the timing is one, undefined elsewhere."""

from __future__ import annotations

import importlib.util
import math
import sys

import numpy as np
import pesq as itu
import pystoi
import pytest
from degraded_speech import noisy, repitched, stretched
from independent_scoring import eval_wav
from numpy.typing import NDArray
from voices import voice

from metrics import perceptual
from vcbench import audio
from vcbench.cli import main
from vcbench.errors import PluginError
from vcbench.plugins import Registry
from vcbench.scoring import score

Array = NDArray[np.float64]

NAMES = ["estoi", "pesq", "stoi"]
SPEECH = voice(1.0, seed=3)


def scores(reference: Array, converted: Array, sample_rate: int = 16000) -> dict[str, float]:
    table = score(reference, converted, sample_rate=sample_rate, metrics=NAMES)
    assert set(table["failure"]) == {""}
    return dict(zip(table["metric"], table["value"], strict=True))


def test_they_are_the_packages_numbers_of_the_common_length() -> None:
    worse = noisy(SPEECH, 5.0)
    longer = np.append(worse, np.full(100, 0.1))  # 6 ms
    expected = {
        "stoi": pystoi.stoi(SPEECH, worse, 16000),
        "estoi": pystoi.stoi(SPEECH, worse, 16000, extended=True),
        "pesq": itu.pesq(16000, SPEECH, worse, "wb"),
    }
    assert scores(SPEECH, longer) == pytest.approx(expected, rel=1e-6)
    narrow = perceptual.quality((SPEECH, worse), 8000)
    assert narrow == itu.pesq(8000, SPEECH, worse, "nb") != expected["pesq"]


@pytest.mark.parametrize("converted", [SPEECH[:-161], np.append(SPEECH, np.zeros(161))])
def test_another_duration_is_undefined(converted: Array) -> None:
    assert all(math.isnan(value) for value in scores(SPEECH, converted).values())
    assert len(SPEECH) - 160 == len(SPEECH[:-160])
    assert not any(math.isnan(v) for v in scores(SPEECH, SPEECH[:-160]).values())


def test_what_the_packages_cannot_measure_is_undefined() -> None:
    short = SPEECH[:3200]
    for extended in (False, True):
        assert math.isnan(perceptual.intelligibility((short, short), 16000, extended=extended))
    assert math.isnan(perceptual.quality((short, short), 16000))
    assert math.isnan(perceptual.quality((SPEECH, SPEECH), 22050))


def test_numpys_random_state_is_left_alone_and_decides_nothing() -> None:
    np.random.seed(7)
    before = np.random.get_state()[1].copy()
    sides = SPEECH, noisy(SPEECH, 0.0)
    first = perceptual.intelligibility(sides, 16000, extended=True)
    assert np.array_equal(np.random.get_state()[1], before)
    np.random.seed(8)
    assert perceptual.intelligibility(sides, 16000, extended=True) == first


def test_on_real_speech_noise_lowers_them_and_a_change_of_tempo_undefines_them(
    vcc2016_dir,
) -> None:
    speech = audio.read(eval_wav(vcc2016_dir, "TM3", "200007"), sample_rate=16000)
    found = [
        scores(speech, converted) for converted in (speech, noisy(speech, 15.0), noisy(speech, 0.0))
    ]
    for name in NAMES:
        values = [one[name] for one in found]
        assert values == sorted(values, reverse=True) and values[0] > values[2] + 0.1
    vocoded = scores(speech, repitched(speech, 1.0))
    assert vocoded["stoi"] > 0.9 and vocoded["estoi"] > 0.8
    assert all(math.isnan(v) for v in scores(speech, stretched(speech, 1.1)).values())


def test_without_the_packages_they_are_listed_and_say_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    original = importlib.util.find_spec
    monkeypatch.delitem(sys.modules, "pesq")
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *a: None if name == "pesq" else original(name, *a)
    )
    install = "it needs the package 'pesq', which is not installed; install it with: pip install "
    for name in NAMES:
        assert Registry().declaration("metric", name).problem == f"{install}'vcbench[perceptual]'"
        with pytest.raises(PluginError, match=r"pip install 'vcbench\[perceptual\]'"):
            Registry().get("metric", name)
    assert main(["list", "metrics"]) == 0
    assert " ".join(capsys.readouterr().out.split()).count("vcbench[perceptual]") == len(NAMES)
    table = score(SPEECH, SPEECH, sample_rate=16000)
    assert "mcd" in set(table["metric"]) and not set(NAMES) & set(table["metric"])
