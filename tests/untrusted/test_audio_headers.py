"""Speech files of strangers: headers that lie about size, rate and channels, in every format."""

from __future__ import annotations

import random
import resource
import struct
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from voices import voice

from vcbench import audio
from vcbench.errors import DataError

RATE = 16000
FORMATS = ("wav", "flac", "aiff", "au", "w64", "caf", "ogg")
ODD = (0, 1, 7, 1024, 65535, 10**9, 2**31 - 1, 2**31, 2**32 - 1)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """A tenth of a second of speech in each format."""
    folder = tmp_path_factory.mktemp("whole")
    found = {}
    for name in FORMATS:
        soundfile.write(str(folder / f"x.{name}"), voice(0.1), RATE)
        found[name] = (folder / f"x.{name}").read_bytes()
    return found


def wav(*, riff: int, rate: int = RATE, channels: int = 1, data: int, body: bytes = b"") -> bytes:
    fmt = struct.pack("<HHIIHH", 1, channels, rate, rate * 2 % 2**32, 2 * channels % 2**16, 16)
    head = b"RIFF" + struct.pack("<I", riff) + b"WAVEfmt " + struct.pack("<I", 16) + fmt
    return head + b"data" + struct.pack("<I", data) + body


BODY = (np.sin(np.arange(1600)) * 9000).astype("<i2").tobytes()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (wav(riff=2**32 - 1, data=2**32 - 2, body=BODY), "truncated"),
        (wav(riff=3236, data=3200, channels=65535, body=BODY), "not a readable audio file"),
        (wav(riff=3236, data=3200, channels=1000, body=BODY), "1000 channels; mono is needed"),
        (wav(riff=3236, data=3200, rate=0, body=BODY), "not a readable|sampled at 0 Hz"),
        (wav(riff=3236, data=3200, rate=1, body=BODY), "sampled at 1 Hz; valid: 1000 to 768000"),
        (wav(riff=3236, data=3200, rate=2**31 - 1, body=BODY), "sampled at 2147483647 Hz; valid"),
        (b"RIFF" + struct.pack("<I", 2**20) + b"WAVE" + b"JUNK\0\0\0\0" * 60_000, "not a readable"),
    ],
    ids=["4 GiB", "channels", "many channels", "no rate", "slow", "fast", "chunks"],
)
@pytest.mark.parametrize("resample", [False, True])
def test_wav_headers_that_lie(content: bytes, words: str, resample: bool, tmp_path: Path) -> None:
    path = tmp_path / "x.wav"
    path.write_bytes(content)
    if resample and "mono" in words:
        words = "1 samples .* are too few"
    with pytest.raises(DataError, match=words):
        audio.read(path, sample_rate=RATE, resample=resample)


def test_a_flac_header_that_claims_half_a_terabyte(whole: dict[str, bytes], tmp_path: Path) -> None:
    content = bytearray(whole["flac"])
    content[21] |= 0x0F  # the 36 bits of the number of samples
    content[22:26] = b"\xff\xff\xff\xff"
    (tmp_path / "x.flac").write_bytes(content)
    with pytest.raises(DataError, match=r"claims 68719476735 samples in 1 channels .* cut it into"):
        audio.read(tmp_path / "x.flac", sample_rate=RATE)


def test_compressed_silence_does_not_grow_without_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audio, "MAXIMUM_VALUES", 2**20)
    path = tmp_path / "x.flac"
    soundfile.write(str(path), np.zeros(2**20 + 1, dtype=np.int16), RATE)
    assert path.stat().st_size < 10_000
    with pytest.raises(DataError, match="claims 1048577 samples"):
        audio.read(path, sample_rate=RATE)
    soundfile.write(str(path), np.full(2**17, 99, dtype=np.int16), 1000)
    with pytest.raises(DataError, match="claims 131072 samples"):  # 16 times as many at 16 kHz
        audio.read(path, sample_rate=RATE, resample=True)


def test_what_has_no_header_at_all(tmp_path: Path) -> None:
    """libsndfile would have to be told what a .raw file holds."""
    (tmp_path / "x.raw").write_bytes(BODY)
    with pytest.raises(DataError, match="not a readable audio file"):
        audio.read(tmp_path / "x.raw", sample_rate=RATE)


def damage(whole: dict[str, bytes], seed: int) -> tuple[str, bytes]:
    """A file of which up to four places, most of them in its header, say something else."""
    draw = random.Random(seed)
    name = draw.choice(FORMATS)
    content = bytearray(whole[name])
    for _ in range(draw.choice((1, 1, 2, 4))):
        if not content:  # nothing is left to damage
            break
        at = draw.randrange(min(len(content), draw.choice((60, 120, len(content)))))
        kind = draw.random()
        if kind < 0.4:
            content[at] = draw.randrange(256)
        elif kind < 0.8:
            content[at : at + 4] = struct.pack(draw.choice("<>") + "I", draw.choice(ODD))
        elif kind < 0.9:
            del content[at : at + draw.randrange(1, 9)]
        else:
            del content[at + 1 :]
    return name, bytes(content)


def check_damaged(whole: dict[str, bytes], folder: Path, seed: int) -> None:
    name, content = damage(whole, seed)
    path = folder / f"x.{name}"
    path.write_bytes(content)
    begin = time.monotonic()
    try:
        waveform = audio.read(path, sample_rate=RATE, resample=bool(seed % 2))
    except DataError as error:
        assert str(error).startswith(f"{path}: ")
    else:
        assert waveform.ndim == 1 and np.isfinite(waveform).all() and waveform.any()
    assert time.monotonic() - begin < 20


FEW = settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])


@FEW
@given(seed=st.integers(0, 2**32))
def test_damaged_files_are_read_or_refused(
    whole: dict[str, bytes], tmp_path: Path, seed: int
) -> None:
    check_damaged(whole, tmp_path, seed)


@pytest.mark.slow
@settings(FEW, max_examples=2500)
@given(seed=st.integers(0, 2**32))
def test_many_damaged_files_are_read_or_refused(
    whole: dict[str, bytes], tmp_path: Path, seed: int
) -> None:
    check_damaged(whole, tmp_path, seed)


MEASURED = """
import resource, sys
from pathlib import Path
sys.path[:0] = {path!r}
from vcbench import audio
from vcbench.errors import DataError
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for path in sorted(Path({folder!r}).iterdir()):
    try:
        audio.read(path, sample_rate=16000, resample=True)
    except DataError:
        pass
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_lies_about_size_take_no_memory(whole: dict[str, bytes], tmp_path: Path) -> None:
    """300 damaged files of 4 kB, in a process of its own that may have 4 GiB of addresses."""
    for seed in range(300):
        name, content = damage(whole, seed)
        (tmp_path / f"{seed}.{name}").write_bytes(content)
    done = subprocess.run(
        [sys.executable, "-c", MEASURED.format(path=sys.path, folder=str(tmp_path))],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert int(done.stdout) < 300_000  # kB; scipy's resampler is most of it
