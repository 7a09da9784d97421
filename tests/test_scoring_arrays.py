"""The Python API: arrays in, a table out, and what is refused or told."""

from __future__ import annotations

import doctest
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from numpy.typing import NDArray
from voices import noise, voice

import vcbench.scoring.arrays
from vcbench import audio
from vcbench.errors import DataError, PluginError, UsageError
from vcbench.plugins import Registry
from vcbench.scoring import ScoreItem, score, score_all

METRICS = ["mcd", "f0-rmse"]
REFERENCE, CONVERTED = voice(f0_hz=200, formant_scale=1.15), voice()


def table(reference: object, converted: object, **options: object) -> pd.DataFrame:
    return score(reference, converted, **{"sample_rate": 16000, "metrics": METRICS, **options})


def test_the_example_in_its_docstring_is_true() -> None:
    found = doctest.testmod(vcbench.scoring.arrays)
    assert found.attempted > 5 and not found.failed


def test_arrays_give_what_files_give(tmp_path: Path) -> None:
    sides = []
    for name, wave in (("reference", REFERENCE), ("converted", CONVERTED)):
        sides.append(tmp_path / f"{name}.wav")
        soundfile.write(str(sides[-1]), wave, 16000, subtype="PCM_16")
    (result,) = score_all(
        [ScoreItem(*sides)], protocol="vcbench-1", metrics=METRICS, registry=Registry(), jobs=1
    )
    found = table(*(audio.read(path, sample_rate=16000) for path in sides))
    assert dict(zip(found["metric"], found["value"], strict=True)) == result.values
    assert set(found["protocol"]) == {"vcbench-1"} and set(found["utterance"]) == {""}
    assert list(found["unit"]) == ["dB", "Hz"]
    assert list(found["failure"]) == ["", ""]


def test_all_metrics_of_a_pair_are_the_default_and_a_protocol_may_be_chosen() -> None:
    found = score(REFERENCE, CONVERTED, sample_rate=16000, protocol="vcbench-1@fastdtw")
    asking = {"speaker-similarity", "stoi", "estoi", "pesq"}
    assert list(found["metric"]) == [n for n in Registry().names("metric") if n not in asking]
    assert set(found["protocol"]) == {"vcbench-1@fastdtw"}


def test_mappings_keep_every_id_of_either_side() -> None:
    found = table(
        {"b": REFERENCE, "a": REFERENCE, "silent": np.zeros(16000), "left": REFERENCE},
        {"a": CONVERTED, "b": REFERENCE, "silent": CONVERTED, "right": CONVERTED},
        metrics=["mcd"],
    )
    alone = table(REFERENCE, CONVERTED, metrics=["mcd"])["value"][0]
    values = dict(zip(found["utterance"], found["value"], strict=True))
    assert list(values) == ["b", "a", "silent", "left", "right"]
    assert values["b"] == 0.0 and values["a"] == alone
    assert all(math.isnan(values[name]) for name in ("silent", "left", "right"))
    assert list(found["failure"]) == [
        "",
        "",
        "silent: reference: silent: all 16000 samples are zero",
        "left: no converted waveform",
        "right: no reference waveform",
    ]


def test_an_undefined_value_is_no_failure() -> None:
    found = table(REFERENCE, noise(), metrics=["f0-rmse"])
    assert math.isnan(found["value"][0])
    assert found["failure"][0] == ""


STEREO = np.stack([CONVERTED, CONVERTED], axis=1)
PCM = np.round(32767 * CONVERTED).astype(np.int16)


@pytest.mark.parametrize(
    ("converted", "message"),
    [
        (STEREO, r"converted: float64 of shape \(12800, 2\); must be floats"),
        (PCM, r"converted: int16 of shape .*divide 16-bit integers by 32768"),
        (CONVERTED[:100], "converted: 100 samples .* too few"),
        (np.zeros(0), "converted: 0 samples .* too few"),
        (np.zeros(16000), "converted: silent"),
        (np.where(CONVERTED > 0.1, np.nan, CONVERTED), "converted: contains NaN"),
    ],
    ids=["stereo", "integers", "short", "empty", "silent", "nan"],
)
def test_an_unusable_waveform_is_refused(converted: NDArray, message: str) -> None:
    with pytest.raises(DataError, match=message):
        table(REFERENCE, converted)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"protocol": "vcbench-l"}, UsageError, "did you mean 'vcbench-1'"),
        ({"metrics": ["f0_rmse"]}, PluginError, "did you mean 'f0-rmse'"),
        ({"sample_rate": 8000}, DataError, "8000 Hz: protocol vcbench-1"),
        ({"reference": {"a": REFERENCE}}, UsageError, "must both be mappings"),
    ],
)
def test_what_cannot_be_asked_for(
    options: dict[str, object], error: type[Exception], message: str
) -> None:
    arguments = {"reference": REFERENCE, "converted": CONVERTED, **options}
    with pytest.raises(error, match=message):
        table(**arguments)
