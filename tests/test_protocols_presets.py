"""The list of protocols: names, suffixes, refusals, units, warnings, texts, and golden numbers."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.fft import dct
from voices import noise, voice

from metrics.f0 import f0_rmse, log_f0_rmse_metric
from metrics.mel_cepstral_distortion import mcd, path_excess
from vcbench import alignment, protocols
from vcbench.alignment import AlignedPair
from vcbench.cli import main
from vcbench.errors import DataError, UsageError
from vcbench.protocols import features
from vcbench.protocols.presets import PRESETS

Array = NDArray[np.float64]

# `mcd` of the two voices below: computed by vcbench when its protocols agreed with the tools.
GOLDEN = {
    "crank": 8.699065970095843,
    "espnet-vc": 8.192046043273812,
    "espnet-vc-2020-06": 8.699065977659588,
    "espnet2": 8.184073002195102,
    "kubichek-0.0.4": 8.900228352644584,
    "mattshannon": 8.758392776155686,
    "nnmnkwii": 7.692153655580213,
    "pymcd-dtw": 14.32912569847181,
    "pymcd-dtw_sl": 16.315341141824337,
    "pymcd-plain": 18.88225021885158,
    "s3prl-vc": 8.241973834180854,
    "sprocket": 8.278751982645721,
    "vcbench-1": 8.152910092743078,
    "versa-default": 11.497780799624872,
}


def pair_of(name: str, *, seconds: float = 0.57, sample_rate: int = 16000) -> AlignedPair:
    protocol = protocols.get(name)
    sides = (
        voice(0.5, sample_rate=sample_rate),
        voice(seconds, f0_hz=180, formant_scale=1.15, sample_rate=sample_rate, seed=1),
    )
    return protocol.align(*(protocol.analyze(side, sample_rate) for side in sides))


@pytest.mark.parametrize("name", protocols.names())
def test_values_do_not_drift(name: str) -> None:
    assert mcd(pair_of(name)) == pytest.approx(GOLDEN[name], rel=1e-6)


def test_every_tool_of_the_field_is_there() -> None:
    assert set(GOLDEN) == set(protocols.names())
    tools = {"versa-dtw": "s3prl-vc", "seq2seq-vc": "s3prl-vc", "parallel-wavegan": "espnet2"}
    assert {alias: protocols.get(alias).id for alias in tools} == tools


@pytest.mark.parametrize(
    ("name", "id", "path"),
    [
        ("espnet-vc", "espnet-vc", "fastdtw"),
        ("espnet-vc@fastdtw", "espnet-vc", "fastdtw"),
        ("espnet-vc@exact", "espnet-vc@exact", "exact"),
        ("versa-dtw@exact", "s3prl-vc@exact", "exact"),
        ("vcbench-1@exact", "vcbench-1", "exact"),
        ("vcbench-1@fastdtw", "vcbench-1@fastdtw", "fastdtw"),
    ],
)
def test_a_suffix_names_the_path(name: str, id: str, path: str) -> None:
    protocol = protocols.get(name)
    assert (protocol.id, protocol.path) == (id, path)
    assert protocol.text.startswith(f"{id}: ")


def test_the_exact_path_costs_no_more_and_the_excess_is_the_difference() -> None:
    approximate, exact = pair_of("vcbench-1@fastdtw"), pair_of("vcbench-1")
    assert approximate.is_approximate and not exact.is_approximate
    sums = [mcd(pair) * len(pair.path) for pair in (exact, approximate)]
    assert sums[0] <= sums[1] * (1 + 1e-12)
    assert path_excess(approximate) == mcd(approximate) - mcd(exact)
    assert path_excess(exact) == 0.0


def test_a_bad_path_has_an_excess() -> None:
    """fastdtw found the best path above, so that its excess was 0 whatever the code does."""
    good = pair_of("mattshannon")
    detour = np.array(
        [(0, j) for j in range(len(good.converted.mcep))]
        + [(i, len(good.converted.mcep) - 1) for i in range(1, len(good.reference.mcep))]
    )
    bad = replace(good, path=detour, is_approximate=True)
    assert path_excess(bad) == pytest.approx(mcd(bad) - mcd(good), rel=1e-12)
    assert path_excess(bad) > 1.0


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("espnetvc", "unknown protocol 'espnetvc': did you mean 'espnet-vc'"),
        ("versa", "did you mean 'versa-"),
        ("espnet-vc@exakt", "unknown path '@exakt'.*did you mean 'exact'"),
        ("espnet-vc@", "unknown path '@' of protocol 'espnet-vc@'.*exact, fastdtw"),
        ("versa-default@exact", "versa-default matches frames by their number.*leave out '@exact'"),
        ("pymcd-plain@fastdtw", "matches frames by their number"),
        ("librosa-mfcc", "refused: MFCC are no mel-cepstra.*use vcbench-1"),
        ("mfcc@exact", "refused: MFCC"),
    ],
)
def test_other_names_are_refused_with_a_way_on(name: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        protocols.get(name)


def test_mfcc_are_refused_for_a_reason() -> None:
    """Distances of the MFCC of librosa's defaults, in dB and with an orthonormal DCT, between two
    voices are far from any mel-cepstral distortion."""
    _, bands = features.mel_band_cepstrum(voice(0.5), 16000)
    _, others = features.mel_band_cepstrum(voice(0.5, f0_hz=180, formant_scale=1.15), 16000)
    mfcc = [dct(10 * side, norm="ortho", axis=1)[:, 1:13] for side in (bands, others)]
    assert mean_distance_as_if_db(*mfcc) > 100


def mean_distance_as_if_db(a: Array, b: Array) -> float:
    return float(10 * math.sqrt(2) / math.log(10) * np.linalg.norm(a - b, axis=1).mean())


def test_only_kubichek_is_not_in_db() -> None:
    units = {name: protocols.get(name).unit("mcd", "dB") for name in protocols.names()}
    assert {name for name, unit in units.items() if unit != "dB"} == {"kubichek-0.0.4"}
    kubichek = protocols.get("kubichek-0.0.4")
    assert kubichek.unit("mcd", "dB") == kubichek.unit("path-excess", "dB") == "bel"
    assert kubichek.unit("f0-rmse", "Hz") == "Hz"
    assert "in bel, which is not dB" in kubichek.text


def test_pymcd_alone_warns_of_the_level_first_of_all() -> None:
    warned = {name for name in protocols.names() if protocols.get(name).warning}
    assert warned == {"pymcd-plain", "pymcd-dtw", "pymcd-dtw_sl"}
    for name in warned:
        assert protocols.get(name).text.startswith(f"{name}: WARNING: depends on the recordings'")


@pytest.mark.parametrize("protocol", PRESETS, ids=lambda p: p.id)
def test_the_text_tells_all_fields(protocol: protocols.Protocol) -> None:
    """Each field that differs from vcbench-1's changes the text, alone and to all others' eyes."""
    default = protocols.Protocol(protocol.id)
    told = {"differs", "prints", "chosen", "warning"}
    for name in protocol.__dataclass_fields__:
        value = getattr(protocol, name)
        if value == getattr(default, name):
            continue
        if name in told:
            assert value in protocol.text
            continue
        unchanged = replace(protocol, **{name: getattr(default, name)})
        assert unchanged.text != protocol.text or name in _NO_EFFECT.get(protocol.id, ()), name


# Fields that a protocol sets though another of its fields makes them idle.
_NO_EFFECT = {
    "versa-default": ("path_from",),  # it has no path to find
    "kubichek-0.0.4": ("mel_cepstra",),  # says that any rate is defined; text has no order to tell
    "pymcd-plain": (),
}


def test_the_text_of_others_says_what_is_other_and_whose() -> None:
    for name in protocols.names():
        protocol = protocols.get(name)
        if name == protocols.DEFAULT:
            assert "other than vcbench-1" not in protocol.text
            continue
        assert f"In short, other than vcbench-1: {protocol.differs}." in protocol.text
        assert f"The tool prints: {protocol.prints}; all else is vcbench's" in protocol.text


@pytest.mark.parametrize("name", protocols.names())
def test_texts_are_prose(name: str) -> None:
    text = protocols.get(name).text
    assert not re.search(r"None|\(\)|  |\.\.|,,| ,| \.(?![0-9])|;;|{|}", text), text


def unvoiced(analysis: alignment.Analysis, frames: slice) -> alignment.Analysis:
    """The same without pitch in these frames; Harvest finds some nearly everywhere."""
    assert analysis.pitch is not None
    f0_hz = analysis.f0_hz.copy()
    f0_hz[frames] = 0.0
    pitch = replace(analysis.pitch, f0_hz=f0_hz, speech=f0_hz > 0)
    return replace(analysis, f0_hz=f0_hz, pitch=pitch)


def test_s3prl_compares_f0_on_voiced_frames_alone() -> None:
    protocol = protocols.get("s3prl-vc")
    reference = unvoiced(protocol.analyze(voice(0.5), 16000), slice(10, 30))
    pair = protocol.align(reference, protocol.analyze(voice(0.5, f0_hz=180), 16000))
    assert all((side > 0).all() for side in pair.f0_hz)
    assert not pair.voiced[0].all() and len(pair.voiced[0]) == len(pair.path)
    assert pair.pitch is not None
    kept = np.flatnonzero(reference.f0_hz > 0)
    path = alignment.fastdtw_path(
        reference.mcep[kept], pair.pitch.converted.mcep, radius=1
    )  # through voiced frames, the level counts
    assert np.array_equal(pair.f0_hz[0], reference.f0_hz[kept][path[:, 0]])


def test_s3prl_without_a_voiced_frame_has_no_f0_error_and_an_mcd() -> None:
    protocol = protocols.get("s3prl-vc")
    sides = [protocol.analyze(side, 16000) for side in (voice(0.5), noise(0.5))]
    pair = protocol.align(sides[0], unvoiced(sides[1], slice(None)))
    assert len(pair.f0_hz[0]) == 0
    assert math.isnan(f0_rmse(pair)) and math.isnan(log_f0_rmse_metric(pair))
    assert mcd(pair) > 0


def test_versa_default_counts_unvoiced_frames_as_0_hz_and_refuses_unequal_lengths() -> None:
    pair = pair_of("versa-default")
    assert np.array_equal(pair.path[:, 0], np.arange(len(pair.path)))
    everywhere = np.sqrt(np.mean(np.subtract(*pair.f0_hz) ** 2))
    assert f0_rmse(pair) == pytest.approx(everywhere, rel=1e-12)
    with pytest.raises(DataError, match=r"101 and 125 frames are too different.*0\.106 of all"):
        pair_of("versa-default", seconds=0.62)


def test_pymcd_plain_analyses_the_padded_waveform() -> None:
    protocol = protocols.get("pymcd-plain")
    short, long = voice(0.5), voice(0.57, f0_hz=180)
    length = math.ceil(0.57 * 22050)
    resampled = features.resampled(short, 16000, 22050)
    padded = np.pad(resampled, (0, length - len(resampled)))
    pair = protocol.align(protocol.analyze(short, 16000), protocol.analyze(long, 16000))
    assert np.array_equal(pair.reference.mcep, protocol.analyze(padded, 22050).mcep)
    swapped = protocol.align(protocol.analyze(long, 16000), protocol.analyze(short, 16000))
    assert mcd(swapped) == pytest.approx(mcd(pair), rel=1e-12)


def test_the_length_ratio_is_at_least_1_whichever_side_is_longer() -> None:
    ratios = []
    for name in ("pymcd-dtw", "pymcd-dtw_sl"):
        protocol = protocols.get(name)
        sides = [protocol.analyze(voice(seconds), 22050) for seconds in (0.5, 0.6)]
        ratios.append([mcd(protocol.align(*order)) for order in (sides, sides[::-1])])
    assert np.divide(ratios[1], ratios[0]) == pytest.approx([106 / 88] * 2, rel=0.01)


def test_mattshannon_divides_by_the_reference() -> None:
    pair = pair_of("mattshannon")
    assert pair.mcd_weight == len(pair.path) / len(pair.reference.mcep) > 1.0


@pytest.mark.parametrize(
    ("name", "samples", "message"),
    [
        ("espnet2", 1023, "too short: 1023 samples, a frame has 1024"),
        ("kubichek-0.0.4", 512, "512 samples.*more than 512"),
    ],
)
def test_waveforms_shorter_than_a_frame_are_refused(name: str, samples: int, message: str) -> None:
    protocol = protocols.get(name)
    with pytest.raises(DataError, match=message):
        protocol.analyze(noise()[:samples], 16000)
    assert len(protocol.analyze(noise()[: samples + 1], 16000).mcep) == 1


def test_kubichek_refuses_silence() -> None:
    with pytest.raises(DataError, match="not all 0"):
        features.mel_band_cepstrum(np.zeros(8000), 16000)


@pytest.mark.parametrize(
    ("name", "rate"), [("sprocket", 24000), ("crank", 48000), ("espnet2", 8000)]
)
def test_rates_that_a_tool_has_no_settings_for_are_refused(name: str, rate: int) -> None:
    with pytest.raises(DataError, match=f"{rate} Hz: protocol {name} defines"):
        protocols.get(name).analyze(noise(), rate)


@pytest.mark.parametrize(
    ("find", "lengths", "message"),
    [
        (alignment.frame_by_frame, (3, 4), "3 and 4 frames cannot be matched one by one"),
        (alignment.frame_by_frame_of_shorter, (9, 11), "9 and 11 frames are too different"),
    ],
)
def test_frames_are_matched_one_by_one_or_not_at_all(
    find: Callable[..., Any], lengths: tuple[int, int], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        find(*(np.zeros((n, 1)) for n in lengths))
    path = find(np.zeros((10, 1)), np.zeros((10, 1)))
    assert path.tolist() == [[i, i] for i in range(10)]


def test_fastdtw_is_found_behind_a_module_of_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """What mel-cepstral-distance does to it where its C extension is built."""
    import fastdtw
    from fastdtw.fastdtw import fastdtw as find

    rng = np.random.default_rng(0)
    sides = rng.normal(size=(20, 3)).cumsum(axis=0), rng.normal(size=(25, 3)).cumsum(axis=0)
    expected = np.array(find(*sides, radius=2, dist=2)[1])
    assert np.array_equal(alignment.fastdtw_path(*sides, radius=2), expected)
    monkeypatch.setattr(fastdtw, "fastdtw", __import__("sys").modules["fastdtw.fastdtw"])
    assert np.array_equal(alignment.fastdtw_path(*sides, radius=2), expected)


def test_show_prints_the_text(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "protocol", "versa-dtw"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert protocols.get("s3prl-vc").text in shown
    assert shown.endswith("On the other path: s3prl-vc@exact")


def test_show_lists_all_protocols(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "protocol"]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in protocols.names())


def test_show_tells_programs_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "protocol", "kubichek-0.0.4", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["name"], told["mcd_unit"], told["path"]) == ("kubichek-0.0.4", "bel", "fastdtw")
    assert told["text"] == protocols.get("kubichek-0.0.4").text
    assert main(["show", "protocol", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert [entry["name"] for entry in listed] == protocols.names()
    aliases = {entry["name"]: entry["aliases"] for entry in listed}
    assert aliases["s3prl-vc"] == ["versa-dtw", "seq2seq-vc"]


def test_show_refuses_two_names_and_unknown_protocols(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "patchgan", "vcbench-1"]) == 2
    assert "one name, please" in capsys.readouterr().err
    assert main(["show", "protocol", "mfcc"]) == 2
    assert "refused" in capsys.readouterr().err
