"""Reading, checking, resampling and writing speech files.

Conventions: waveforms are mono float64 in [-1, 1], shape (samples,).
"""

from __future__ import annotations

import io
from math import gcd
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from vcbench.errors import DataError

Waveform = NDArray[np.float64]

# Shorter than this, WORLD has no whole pitch period to look at.
MINIMUM_SECONDS = 0.05
# What a header may claim before anything is made room for: 1 GiB of float64, over two hours of
# speech at 16 kHz. Compressed silence would otherwise grow a thousandfold.
MAXIMUM_VALUES = 2**27
SAMPLE_RATES_HZ = range(1000, 768_001)
_MAXIMUM_CHUNKS = 10_000


def read(path: str | Path, *, sample_rate: int, resample: bool = False) -> Waveform:
    """Read one speech file as a mono waveform at `sample_rate`.

    With `resample`, other rates are converted (polyphase filter, `scipy.signal.resample_poly`)
    and channels are averaged; without it they are errors, because a score or a training set of
    mixed rates is seldom what anyone meant.

    Raises `DataError` naming the file if it is missing, unreadable, truncated, empty, shorter than
    50 ms, silent, not finite, longer than `MAXIMUM_VALUES`, or (without `resample`) not mono or at
    another rate.
    """
    path = Path(path)
    samples, rate = read_samples(path, at_rate_hz=sample_rate)
    channels = samples.shape[1]
    if not resample and channels != 1:
        raise DataError(f"{path}: {channels} channels; mono is needed (mix it down first)")
    if not resample and rate != sample_rate:
        raise DataError(f"{path}: sampled at {rate} Hz; {sample_rate} Hz is needed (resample it)")
    waveform = samples.mean(axis=1)
    if wrong := problem(waveform, rate):
        raise DataError(f"{path}: {wrong}")
    return convert_rate(waveform, rate, sample_rate)


def read_samples(path: Path, *, at_rate_hz: int = 0) -> tuple[Waveform, int]:
    """((samples, channels) in [-1, 1], the rate in Hz) of a file that is not trusted.

    at_rate_hz: where it will be resampled, to which rate. Raises `DataError` naming the file if it
    is missing, unreadable or truncated, or claims more than `MAXIMUM_VALUES` or a rate that no
    speech has; nothing is made room for before that.
    """
    if not path.is_file():
        raise DataError(f"{path}: {'not a file but a folder' if path.is_dir() else 'no such file'}")
    try:
        with soundfile.SoundFile(str(path)) as file:
            rate, channels, declared = file.samplerate, file.channels, file.frames
            if rate not in SAMPLE_RATES_HZ:
                raise DataError(
                    f"{path}: sampled at {rate} Hz; valid: {SAMPLE_RATES_HZ[0]} to "
                    f"{SAMPLE_RATES_HZ[-1]} Hz"
                )
            values = declared * max(channels, -(-at_rate_hz // rate))
            if not 0 <= values <= MAXIMUM_VALUES:
                raise DataError(
                    f"{path}: the header claims {declared} samples in {channels} channels at "
                    f"{rate} Hz, more than {MAXIMUM_VALUES} values in all; cut it into sentences"
                )
            samples = file.read(dtype="float64", always_2d=True)
    except (RuntimeError, TypeError) as error:  # libsndfile's own text repeats the path
        reason = str(getattr(error, "error_string", error)).rstrip(".")
        raise DataError(f"{path}: not a readable audio file ({reason})") from None
    if len(samples) < declared or _is_truncated(path):
        raise DataError(
            f"{path}: truncated: the header promises more samples than the {len(samples)} present"
        )
    return samples, rate


def problem(waveform: NDArray[np.floating[Any]], rate: int) -> str:
    """Why a mono waveform (samples,) cannot be analysed as speech; empty if it can."""
    if len(waveform) < MINIMUM_SECONDS * rate:
        return (
            f"{len(waveform)} samples ({len(waveform) / rate:.3f} s) are too few; "
            f"at least {MINIMUM_SECONDS} s of speech are needed"
        )
    if not np.isfinite(waveform).all():
        return "contains NaN or infinite samples"
    if not np.any(waveform):
        return f"silent: all {len(waveform)} samples are zero"
    return ""


def convert_rate(waveform: Waveform, rate: int, sample_rate: int) -> Waveform:
    """Resample a waveform from `rate` to `sample_rate` Hz; returned as it is if they are equal."""
    if rate == sample_rate:
        return waveform
    from scipy.signal import resample_poly  # slow to import, and seldom needed

    divisor = gcd(rate, sample_rate)
    return np.asarray(resample_poly(waveform, sample_rate // divisor, rate // divisor))


def write(path: str | Path, waveform: Waveform, *, sample_rate: int) -> float:
    """Write a waveform as 16-bit PCM and return the gain that was applied.

    The gain is 1.0 unless the peak would clip; then the whole file is attenuated to fit, which
    changes its level but not its spectral shape. Raises `DataError` for NaN or infinite samples,
    which 16 bits would turn into noise.
    """
    path = Path(path)
    if not np.isfinite(waveform).all():
        raise DataError(f"{path}: not written: the waveform contains NaN or infinite samples")
    path.parent.mkdir(parents=True, exist_ok=True)
    peak = float(np.max(np.abs(waveform), initial=0.0))
    limit = 32767 / 32768
    gain = 1.0 if peak <= limit else limit / peak
    # Written by Python: libsndfile does not tell why a file cannot be, as on a full disk.
    content = io.BytesIO()
    soundfile.write(content, waveform * gain, sample_rate, subtype="PCM_16", format="WAV")
    path.write_bytes(content.getvalue())
    return gain


def _is_truncated(path: Path) -> bool:
    """Whether a RIFF file ends before its data chunk does; libsndfile reads such files silently."""
    with path.open("rb") as file:
        if file.read(4) != b"RIFF":
            return False
        file.seek(12)
        size = path.stat().st_size
        for _ in range(_MAXIMUM_CHUNKS):
            if len(header := file.read(8)) < 8:
                break
            length = int.from_bytes(header[4:], "little")
            if header[:4] == b"data":
                # A program that writes to a pipe cannot know the length and leaves all bits set.
                return length != 0xFFFFFFFF and file.tell() + length > size
            file.seek(length + length % 2, 1)
    return False
