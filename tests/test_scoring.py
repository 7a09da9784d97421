"""Scoring of files: agreement with the field's tools, defined outcomes, cache, processes."""

from __future__ import annotations

import math
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from fastdtw import fastdtw
from independent_scoring import analysis, eval_wav, warping_path
from nnmnkwii.metrics import melcd
from numpy.typing import NDArray
from voices import noise, voice

from vcbench import audio, protocols
from vcbench.errors import PluginError, UsageError
from vcbench.plugins import Registry
from vcbench.scoring import ScoreItem, ScoreResult, score_all

Array = NDArray[np.float64]
METRICS = ("mcd", "gv-distance", "f0-rmse", "log-f0-rmse", "vuv-error")

# Printed by, with D the folder of npVCC2016's evals,
#   vcbench score --reference D/TM3/wavs --converted D/SF1/wavs --json
# The protocol is published: where these differ, the code is wrong or WORLD has changed.
GOLDEN = {
    ("SF1", "TM3", "200001"): {
        "mcd": 9.447319806006227,
        "gv-distance": 0.2676248191036152,
        "f0-rmse": 87.60650974294121,
        "log-f0-rmse": 0.5065388657976515,
        "vuv-error": 21.843971631205676,
    },
    ("SF1", "TM3", "200002"): {
        "mcd": 8.736971704332818,
        "gv-distance": 0.29499060912626024,
        "f0-rmse": 83.64806130711588,
        "log-f0-rmse": 0.5443682769548394,
        "vuv-error": 12.548262548262548,
    },
}


def write(path: Path, waveform: Array, *, sample_rate: int = 16000) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(str(path), waveform, sample_rate, subtype="PCM_16")
    return path


def score(*pairs: tuple[Path, Path], jobs: int = 1, **options: object) -> list[ScoreResult]:
    arguments: dict[str, object] = {"metrics": METRICS, "registry": Registry(), **options}
    items = [ScoreItem(reference, converted) for reference, converted in pairs]
    return score_all(items, protocol="vcbench-1", jobs=jobs, **arguments)


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    """Two speech-like files of one sentence, (reference, converted)."""
    reference = voice(1.0, f0_hz=200, formant_scale=1.15, seed=1)
    return write(tmp_path / "t" / "1.wav", reference), write(tmp_path / "c" / "1.wav", voice())


@pytest.mark.parametrize("sentence", ["200001", "200003"])
def test_equal_to_the_fields_own_tools_on_real_speech(vcc2016_dir: Path, sentence: str) -> None:
    """The whole protocol assembled from scipy, pyworld, pysptk, a plain DTW and nnmnkwii."""
    paths = [eval_wav(vcc2016_dir, speaker, sentence) for speaker in ("TM3", "SF1")]
    sides = []
    for path in paths:
        mcep, f0_hz, gate_db = analysis(soundfile.read(str(path))[0], 16000)
        sides.append((mcep[gate_db > -20, 1:], f0_hz[gate_db > -20]))
    (reference, reference_hz), (converted, converted_hz) = sides
    path = warping_path(reference, converted)
    x_hz, y_hz = reference_hz[path[:, 0]], converted_hz[path[:, 1]]
    both = (x_hz > 0) & (y_hz > 0)
    expected = {
        "mcd": melcd(reference[path[:, 0]], converted[path[:, 1]]),
        "gv-distance": np.mean(np.abs(np.log(converted.var(axis=0) / reference.var(axis=0)))),
        "f0-rmse": np.sqrt(np.mean((x_hz - y_hz)[both] ** 2)),
        "log-f0-rmse": np.sqrt(np.mean(np.log(x_hz[both] / y_hz[both]) ** 2)),
        "vuv-error": 100 * np.mean((x_hz > 0) != (y_hz > 0)),
    }
    (result,) = score((paths[0], paths[1]))
    assert result.failure == ""
    assert result.values == pytest.approx(expected, rel=1e-6)
    # fastdtw, what other tools align with, is an approximation of the same thing.
    rough = np.array(fastdtw(reference, converted, radius=1, dist=2)[1])
    approximate = melcd(reference[rough[:, 0]], converted[rough[:, 1]])
    assert result.values["mcd"] == pytest.approx(approximate, abs=0.15)


@pytest.mark.parametrize(("source", "target", "sentence"), GOLDEN)
def test_golden_numbers_of_real_speech(
    vcc2016_dir: Path, source: str, target: str, sentence: str
) -> None:
    reference = eval_wav(vcc2016_dir, target, sentence)
    (result,) = score((reference, eval_wav(vcc2016_dir, source, sentence)))
    assert result.values == pytest.approx(GOLDEN[source, target, sentence], rel=1e-6)


def test_a_file_against_itself_is_exactly_zero(pair: tuple[Path, Path]) -> None:
    (result,) = score((pair[0], pair[0]))
    assert result.values == dict.fromkeys(METRICS, 0.0)


def test_two_voices_differ_by_what_was_made_to_differ(pair: tuple[Path, Path]) -> None:
    (result,) = score(pair)
    assert 3 < result.values["mcd"] < 20
    assert result.values["f0-rmse"] == pytest.approx(80, rel=0.2)  # 200 Hz against 120 Hz


def test_the_level_does_not_matter(tmp_path: Path, pair: tuple[Path, Path]) -> None:
    # As float: halved in 16 bit, rounding alone moves real speech by some 0.1 dB.
    waveform = audio.read(pair[1], sample_rate=16000)
    soft = tmp_path / "soft.wav"
    soundfile.write(str(soft), 0.5 * waveform, 16000, subtype="DOUBLE")
    (result,) = score((pair[1], soft))
    assert result.values["mcd"] < 1e-6
    assert result.values["vuv-error"] == 0.0


def test_leading_digital_silence_is_gated(vcc2016_dir: Path, tmp_path: Path) -> None:
    """Half a second in front: below 0.2 dB against itself, where c0 and no gate give over 15."""
    path = eval_wav(vcc2016_dir, "SF1", "200001")
    waveform = audio.read(path, sample_rate=16000)
    padded = write(tmp_path / "padded.wav", np.concatenate([np.zeros(8000), waveform]))
    (result,) = score((path, padded))
    assert 0 < result.values["mcd"] < 0.2


def test_an_unvoiced_file_has_no_f0_error_but_a_distortion(
    tmp_path: Path, pair: tuple[Path, Path]
) -> None:
    (result,) = score((pair[0], write(tmp_path / "noise.wav", noise())))
    assert result.failure == ""
    assert result.values["mcd"] > 5
    assert math.isnan(result.values["f0-rmse"]) and math.isnan(result.values["log-f0-rmse"])
    assert result.values["vuv-error"] > 50
    (again,) = score((pair[0], tmp_path / "noise.wav"))  # NaN survives the cache
    assert again.values == pytest.approx(result.values, rel=0, abs=0, nan_ok=True)


def test_every_unusable_file_is_named_and_loses_no_other(
    tmp_path: Path, pair: tuple[Path, Path]
) -> None:
    reference, good = pair
    bad = tmp_path / "bad"
    write(bad / "silent.wav", np.zeros(16000))
    write(bad / "stereo.wav", np.stack([voice(), voice()], axis=1))
    write(bad / "rate.wav", voice(sample_rate=44100), sample_rate=44100)
    write(bad / "short.wav", voice()[:100])
    write(bad / "truncated.wav", voice())
    os.truncate(bad / "truncated.wav", 9000)
    (bad / "empty.wav").touch()
    (bad / "text.wav").write_text("no audio")
    reasons = {
        "silent": "silent: all 16000 samples are zero",
        "stereo": "2 channels",
        "rate": "sample-rate mismatch: 44100 Hz, but its reference .* has 16000 Hz",
        "short": "100 samples .* too few",
        "truncated": "truncated",
        "empty": "not a readable audio file",
        "text": "not a readable audio file",
        "absent": "cannot be read .No such file",
    }
    files = [good, *(bad / f"{name}.wav" for name in reasons), good]
    results = score(*[(reference, file) for file in files])
    assert [r.item.converted for r in results] == files
    assert results[0].values and results[-1].values == results[0].values
    for result, (name, reason) in zip(results[1:-1], reasons.items(), strict=True):
        assert result.values == {}
        assert result.failure.startswith(str(bad / f"{name}.wav"))
        assert "\n" not in result.failure
        assert re.search(reason, result.failure)


def test_a_bad_reference_fails_all_its_items(tmp_path: Path, pair: tuple[Path, Path]) -> None:
    silent = write(tmp_path / "silent.wav", np.zeros(16000))
    results = score((silent, pair[1]), (silent, pair[0]), (pair[0], pair[1]))
    assert [r.failure.startswith(f"{silent}: silent") for r in results] == [True, True, False]


def test_a_rate_that_the_protocol_does_not_define_is_named(tmp_path: Path) -> None:
    file = write(tmp_path / "slow.wav", voice(sample_rate=8000), sample_rate=8000)
    (result,) = score((file, file))
    assert result.failure.startswith(f"{file}: 8000 Hz: protocol vcbench-1")


def test_no_frame_above_the_gate_is_named(
    pair: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    deaf = replace(protocols.get("vcbench-1"), gate_db=99.0)
    monkeypatch.setitem(protocols._PROTOCOLS, "vcbench-1", deaf)
    (result,) = score(pair)
    assert "no frames above the gate: none of the reference's" in result.failure
    assert str(pair[0]) in result.failure and str(pair[1]) in result.failure


def test_unknown_names_are_errors_before_anything_is_analysed(pair: tuple[Path, Path]) -> None:
    with pytest.raises(PluginError, match="unknown metric 'mcdd': did you mean 'mcd'"):
        score(pair, metrics=["mcdd"])
    with pytest.raises(UsageError, match="unknown protocol"):
        score_all([ScoreItem(*pair)], protocol="x", metrics=["mcd"], registry=Registry(), jobs=1)


@pytest.fixture
def analyses(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by one with each waveform that is analysed in this process."""
    calls: list[int] = []
    original = protocols.Protocol.analyze

    def counting(self: protocols.Protocol, waveform: Array, rate: int) -> object:
        calls.append(len(waveform))
        return original(self, waveform, rate)

    monkeypatch.setattr(protocols.Protocol, "analyze", counting)
    return calls


def test_a_second_call_analyses_nothing(pair: tuple[Path, Path], analyses: list[int]) -> None:
    first = score(pair)
    assert len(analyses) == 2
    assert score(pair) == first
    assert [r.values for r in score(pair, metrics=METRICS[::-1])] == [first[0].values]
    assert len(analyses) == 2


def test_a_copy_under_another_name_is_not_scored_again(
    tmp_path: Path, pair: tuple[Path, Path], analyses: list[int]
) -> None:
    (first,) = score(pair)
    copy = tmp_path / "copy.wav"
    shutil.copy(pair[1], copy)
    (second,) = score((pair[0], copy))
    assert second.values == first.values
    assert second.item.converted == copy
    assert len(analyses) == 2


def test_equal_bad_files_are_each_named(tmp_path: Path, pair: tuple[Path, Path]) -> None:
    files = [write(tmp_path / f"{i}.wav", np.zeros(16000)) for i in range(2)]
    results = score(*[(pair[0], file) for file in files])
    assert [r.failure.partition(":")[0] for r in results] == [str(file) for file in files]


def test_scores_of_other_metrics_and_other_protocols_are_kept_apart(
    pair: tuple[Path, Path], analyses: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    for names in (["f0-rmse"], ["vuv-error"], ["f0-rmse"]):
        assert list(score(pair, metrics=names)[0].values) == names
    assert len(analyses) == 4
    strict = replace(protocols.get("vcbench-1"), id="strict", gate_db=0.0)
    monkeypatch.setitem(protocols._PROTOCOLS, "strict", strict)
    arguments = {"metrics": METRICS, "registry": Registry(), "jobs": 1}
    (other,) = score_all([ScoreItem(*pair)], protocol="strict", **arguments)
    assert other.values["mcd"] != score(pair)[0].values["mcd"]
    assert len(analyses) == 8


def test_changed_audio_is_scored_again(pair: tuple[Path, Path]) -> None:
    (before,) = score(pair)
    write(pair[1], voice(f0_hz=150))
    (after,) = score(pair)
    assert after.values["f0-rmse"] < 0.9 * before.values["f0-rmse"]


def test_a_reference_is_analysed_once_for_many_systems(
    tmp_path: Path, pair: tuple[Path, Path], analyses: list[int]
) -> None:
    files = [write(tmp_path / f"{i}.wav", voice(f0_hz=100 + 10 * i)) for i in range(5)]
    score(*[(pair[0], file) for file in files])
    assert len(analyses) == 1 + 5


def test_a_torn_cache_file_is_computed_again(pair: tuple[Path, Path], analyses: list[int]) -> None:
    (before,) = score(pair)
    (entry,) = Path(os.environ["VCBENCH_CACHE_DIR"]).glob("scores/*/*.json")
    entry.write_text(entry.read_text()[:20])
    assert score(pair) == [before]
    assert len(analyses) == 4


PLUGIN = '''
from vcbench.plugins import register_metric

@register_metric("frames", unit="frames", better="lower")
def frames(pair):
    """Length of the path."""
    return {result}
'''


def test_a_metric_from_a_file_works_in_other_processes_and_an_edit_is_noticed(
    tmp_path: Path, pair: tuple[Path, Path]
) -> None:
    file = tmp_path / "mine.py"
    file.write_text(PLUGIN.format(result="len(pair.path)"))
    pairs = [pair, pair[::-1]]
    first = score(*pairs, metrics=["mcd", "frames"], registry=Registry([file]), jobs=2)
    assert [list(r.values) for r in first] == [["mcd", "frames"]] * 2
    assert first[0].values["frames"] == first[1].values["frames"] > 100
    file.write_text(PLUGIN.format(result="len(pair.path) + 0.5"))
    second = score(*pairs, metrics=["mcd", "frames"], registry=Registry([file]), jobs=2)
    assert second[0].values["frames"] == first[0].values["frames"] + 0.5
    assert second[0].values["mcd"] == first[0].values["mcd"]


def test_a_metric_that_raises_loses_its_own_value_and_no_other(
    tmp_path: Path, pair: tuple[Path, Path], analyses: list[int]
) -> None:
    file = tmp_path / "broken.py"
    file.write_text(PLUGIN.format(result="1 / 0"))
    for _ in range(2):  # nothing was cached: it may not fail again
        (result,) = score(pair, metrics=["mcd", "frames"], registry=Registry([file]))
        assert result.failure == ""
        assert result.values == score(pair, metrics=["mcd"])[0].values
        assert list(result.failed) == ["frames"]
        assert result.problems == (result.failed["frames"],)
        assert re.fullmatch(
            rf"{pair[1]}: metric 'frames' \({file}:\d+\) failed: "
            "ZeroDivisionError: division by zero",
            result.failed["frames"],
        )
    assert len(analyses) == 2 + 2 + 2


def test_an_analysis_that_breaks_is_named_and_loses_no_other(
    tmp_path: Path, pair: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    other = write(tmp_path / "other.wav", voice(0.9))
    original = protocols.Protocol.analyze

    def breaking(self: protocols.Protocol, waveform: Array, rate: int) -> object:
        if len(waveform) == round(0.9 * 16000):
            raise MemoryError("no\nroom")
        return original(self, waveform, rate)

    monkeypatch.setattr(protocols.Protocol, "analyze", breaking)
    broken, good, first = score((pair[0], other), pair, (other, pair[1]))
    assert broken.failure == first.failure == f"{other}: cannot be analysed (MemoryError: no room)"
    assert good.values and not good.problems


def test_clipped_files_and_equal_files_are_noted_and_scored(tmp_path: Path) -> None:
    wave = voice(1.0)
    plain, loud = write(tmp_path / "a.wav", wave), write(tmp_path / "b.wav", 4 * wave)
    full = write(tmp_path / "c.wav", wave / np.max(np.abs(wave)))  # touches full scale once
    pairs = [(plain, loud), (loud, full), (loud, loud), (plain, full)]
    notes = [
        ("the converted file is clipped",),
        ("the reference is clipped",),
        (
            "the reference is clipped",
            "the converted file is clipped",
            "the converted file is its reference, byte for byte",
        ),
        (),
    ]
    for _ in range(2):  # computed, then from the cache
        results = score(*pairs)
        assert [r.notes for r in results] == notes
        assert all(r.values and not r.problems for r in results)
    assert set(results[2].values.values()) == {0.0}


def test_two_names_of_one_protocol_share_their_scores(
    pair: tuple[Path, Path], analyses: list[int]
) -> None:
    arguments = {"metrics": ["mcd"], "registry": Registry(), "jobs": 1}
    for name in ("vcbench-1", "vcbench-1@exact"):
        score_all([ScoreItem(*pair)], protocol=name, **arguments)
    assert len(analyses) == 2


def test_scoring_imports_nothing_that_it_does_not_need() -> None:
    """Each process begins with these imports."""
    slow = "{'pandas', 'torch', 'scipy.stats', 'sklearn', 'pydantic', 'rich', 'matplotlib'}"
    code = f"import sys, vcbench.scoring; print(sorted({slow} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_processes_give_the_results_of_one_process(tmp_path: Path, pair: tuple[Path, Path]) -> None:
    silent = write(tmp_path / "silent.wav", np.zeros(16000))
    pairs = [pair, (pair[0], silent), pair[::-1], (pair[1], pair[1])]
    spread = score(*pairs, jobs=2)
    shutil.rmtree(os.environ["VCBENCH_CACHE_DIR"])
    assert spread == score(*pairs, jobs=1)
    assert [bool(r.failure) for r in spread] == [False, True, False, False]


def test_labels_come_back_and_progress_reaches_its_total(pair: tuple[Path, Path]) -> None:
    seen: list[tuple[str, int, int | None]] = []
    items = [ScoreItem(*pair, labels={"n": 1}), ScoreItem(*pair[::-1], labels={"n": 2})]
    results = score_all(
        items,
        protocol="vcbench-1",
        metrics=["mcd"],
        registry=Registry(),
        jobs=1,
        progress=lambda *event: seen.append(event),
    )
    assert [r.item.labels["n"] for r in results] == [1, 2]
    assert seen[-1] == ("scoring", 2, 2)


def test_nothing_to_score_is_nothing() -> None:
    assert score() == []
