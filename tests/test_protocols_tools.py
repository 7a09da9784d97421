"""Each protocol against the tool it is named after, or against the tool's steps put together."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import field_tools
import numpy as np
import pysptk
import pytest
import pyworld
import soundfile
from independent_scoring import eval_wav
from nnmnkwii.metrics import lf0_mean_squared_error, melcd, vuv_error
from nnmnkwii.preprocessing.alignment import DTWAligner
from numpy.typing import NDArray
from voices import voice

from metrics.f0 import f0_correlation_hz_metric, f0_rmse, log_f0_rmse_metric
from metrics.f0 import vuv_error as our_vuv_error
from metrics.mel_cepstral_distortion import mcd
from vcbench import audio, protocols
from vcbench.alignment import AlignedPair

METRICS = {
    "mcd": mcd,
    "f0-rmse": f0_rmse,
    "log-f0-rmse": log_f0_rmse_metric,
    "f0-correlation-hz": f0_correlation_hz_metric,
}


@dataclass(frozen=True)
class Files:
    """Two recordings of one sentence, as 16-bit wav files."""

    reference: Path
    converted: Path

    def samples(self) -> tuple[NDArray[np.int16], NDArray[np.int16], int]:
        reference, rate = soundfile.read(self.reference, dtype="int16")
        return reference, soundfile.read(self.converted, dtype="int16")[0], rate

    def pair(self, protocol: str) -> AlignedPair:
        _, _, rate = self.samples()
        ours = protocols.get(protocol)
        sides = (audio.read(path, sample_rate=rate) for path in (self.reference, self.converted))
        return ours.align(*(ours.analyze(side, rate) for side in sides))


def synthetic(folder: Path, rate: int) -> Files:
    files = Files(folder / f"reference{rate}.wav", folder / f"converted{rate}.wav")
    soundfile.write(files.reference, voice(0.5, sample_rate=rate), rate, subtype="PCM_16")
    other = voice(0.57, f0_hz=180, formant_scale=1.15, sample_rate=rate, seed=1)
    soundfile.write(files.converted, other, rate, subtype="PCM_16")
    return files


def with_digital_silence(folder: Path, rate: int) -> Files:
    """Zeros before and after: equal frames, where paths tie, and logarithms that need a floor."""
    plain = synthetic(folder, rate)
    files = Files(folder / f"silence-reference{rate}.wav", folder / f"silence-converted{rate}.wav")
    for path, source, silence in (
        (files.reference, plain.reference, (1900, 1400)),
        (files.converted, plain.converted, (2600, 1000)),
    ):
        samples, _ = soundfile.read(source, dtype="int16")
        soundfile.write(path, np.pad(samples, silence), rate, subtype="PCM_16")
    return files


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("wavs")


@pytest.fixture(scope="module")
def speech(vcc2016_dir: Path, folder: Path) -> Files:
    """A second and a half of one sentence by two speakers, of unequal lengths."""
    files = Files(folder / "TM3.wav", folder / "SF1.wav")
    for path, samples in ((files.reference, 24000), (files.converted, 22000)):
        whole, rate = soundfile.read(eval_wav(vcc2016_dir, path.stem, "200005"), dtype="int16")
        soundfile.write(path, whole[4000 : 4000 + samples], rate, subtype="PCM_16")
    return files


@pytest.mark.parametrize("name", [n for n in field_tools.BY_PROTOCOL if n != "crank"])
def test_on_real_speech_it_computes_what_the_tool_computes(speech: Files, name: str) -> None:
    """All but crank, which has no settings for 16 kHz; it is compared at its own rates."""
    expected = field_tools.BY_PROTOCOL[name](*speech.samples())
    pair = speech.pair(name)
    assert {m: METRICS[m](pair) for m in expected} == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    ("name", "rate"),
    [
        *((name, 22050) for name in ("espnet2", "sprocket", "crank")),
        *((name, 24000) for name in ("s3prl-vc", "crank")),
    ],
)
def test_at_other_rates_too(folder: Path, name: str, rate: int) -> None:
    files = synthetic(folder, rate)
    expected = field_tools.BY_PROTOCOL[name](*files.samples())
    pair = files.pair(name)
    assert {m: METRICS[m](pair) for m in expected} == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("name", [n for n in field_tools.BY_PROTOCOL if n != "crank"])
def test_on_synthetic_voices_and_digital_silence_too(folder: Path, name: str) -> None:
    files = with_digital_silence(folder, 16000)
    expected = field_tools.BY_PROTOCOL[name](*files.samples())
    pair = files.pair(name)
    assert {m: METRICS[m](pair) for m in expected} == pytest.approx(expected, rel=1e-6)


# In processes of their own: pymcd imports librosa, and mel-cepstral-distance replaces the function
# `fastdtw.fastdtw` with a module of that name where fastdtw's C extension is built.
_PYMCD = """
import json, sys
from pymcd.mcd import Calculate_MCD
pairs = json.loads(sys.argv[1])
modes = ("plain", "dtw", "dtw_sl")
print(json.dumps({m: [Calculate_MCD(m).calculate_mcd(*p) for p in pairs] for m in modes}))
"""
_MEL_CEPSTRAL_DISTANCE = """
import json, sys
from mel_cepstral_distance import compare_audio_files
print(json.dumps([compare_audio_files(*pair)[0] for pair in json.loads(sys.argv[1])]))
"""


def run_tool(script: str, files: list[Files]) -> object:
    pairs = json.dumps([[str(f.reference), str(f.converted)] for f in files])
    command = [sys.executable, "-W", "ignore", "-c", script, pairs]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_pymcd(folder: Path, request: pytest.FixtureRequest) -> None:
    pytest.importorskip("pymcd", reason="pymcd is in the test extra")
    files = [synthetic(folder, 16000), with_digital_silence(folder, 22050)]
    files += real(request)
    theirs = run_tool(_PYMCD, files)
    assert isinstance(theirs, dict)
    for mode, values in theirs.items():
        ours = [mcd(one.pair(f"pymcd-{mode}")) for one in files]
        assert ours == pytest.approx(values, rel=1e-6), mode


def test_mel_cepstral_distance(folder: Path, request: pytest.FixtureRequest) -> None:
    pytest.importorskip(
        "mel_cepstral_distance", reason="mel-cepstral-distance is in the test extra"
    )
    files = [synthetic(folder, 22050), with_digital_silence(folder, 16000)]
    files += real(request)
    ours = [mcd(one.pair("kubichek-0.0.4")) for one in files]
    assert ours == pytest.approx(run_tool(_MEL_CEPSTRAL_DISTANCE, files), rel=1e-6)


def real(request: pytest.FixtureRequest) -> list[Files]:
    """Real speech where it is there; the synthetic voices are compared anyway."""
    try:
        return [request.getfixturevalue("speech")]
    except pytest.skip.Exception:
        return []


def test_nnmnkwii(folder: Path) -> None:
    files = synthetic(folder, 16000)
    reference, converted = (
        protocols.get("vcbench-1").analyze(audio.read(path, sample_rate=16000), 16000)
        for path in (files.reference, files.converted)
    )
    pair = files.pair("nnmnkwii")
    batch = [side.mcep[None, :, 1:] for side in (reference, converted)]
    aligned = DTWAligner().transform(batch)
    # The aligner appends zeros on both sides; where both are zero, no frame was aligned.
    length = int(np.flatnonzero(np.abs(aligned[0][0]).sum(axis=1))[-1]) + 1
    assert mcd(pair) == pytest.approx(melcd(*(a[0, :length] for a in aligned)), rel=1e-6)
    f0s = pair.f0_hz
    voiced = [f0 > 0 for f0 in f0s]
    logs = [np.log(np.where(f0 > 0, f0, 1.0)) for f0 in f0s]
    expected = lf0_mean_squared_error(
        logs[0], voiced[0].astype(int), logs[1], voiced[1].astype(int)
    )
    assert log_f0_rmse_metric(pair) == pytest.approx(expected, rel=1e-6)
    assert our_vuv_error(pair) == pytest.approx(100 * vuv_error(*voiced), rel=1e-6)


def test_mattshannon(folder: Path) -> None:
    files = synthetic(folder, 16000)
    reference, converted = (
        protocols.get("vcbench-1").analyze(audio.read(path, sample_rate=16000), 16000).mcep
        for path in (files.reference, files.converted)
    )
    expected = field_tools.mattshannon(reference, converted)
    assert mcd(files.pair("mattshannon")) == pytest.approx(expected, rel=1e-9)
    assert mcd(files.pair("mattshannon@fastdtw")) >= expected * (1 - 1e-12)


def test_pymcd_depends_on_the_level_and_vcbench_does_not(folder: Path) -> None:
    """What the warning says, in numbers; at pymcd's own rate, so that nothing is resampled."""
    reference, converted, rate = synthetic(folder, 22050).samples()
    values = {}
    for name in ("pymcd-dtw", "vcbench-1"):
        ours = protocols.get(name)
        for gain in (1.0, 0.1):
            sides = (gain * x / 32768 for x in (reference, converted))
            values[name, gain] = mcd(ours.align(*(ours.analyze(side, rate) for side in sides)))
    assert values["pymcd-dtw", 1.0] - values["pymcd-dtw", 0.1] > 1.0
    assert values["vcbench-1", 0.1] == pytest.approx(values["vcbench-1", 1.0], rel=1e-6)


def test_framed_and_world_frames_of_espnet2_have_one_centre(folder: Path) -> None:
    files = synthetic(folder, 16000)
    x = audio.read(files.reference, sample_rate=16000)
    analysis = protocols.get("espnet2").analyze(x, 16000)
    period_ms = 256 / 16000 * 1000
    f0, times = pyworld.harvest(x * 32768, 16000, f0_floor=40, f0_ceil=800, frame_period=period_ms)
    centre_s = (np.arange(len(analysis.mcep)) * 256 + 512) / 16000
    at = np.array([np.argmin(np.abs(times - t)) for t in centre_s])
    assert np.allclose(times[at], centre_s)
    assert np.array_equal(analysis.f0_hz, f0[at])
    assert analysis.power_spectrum is not None
    spectrum = pyworld.cheaptrick(x * 32768, f0, times, 16000, fft_size=1024)[at]
    assert np.array_equal(analysis.power_spectrum, spectrum)
    assert np.allclose(
        analysis.mcep[3],
        pysptk.mcep(
            x[768 : 768 + 1024] * 32768 * pysptk.hamming(1024), 23, 0.42, eps=1e-6, etype=1
        ),
    )
