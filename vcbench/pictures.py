"""What a page draws of the sentences that it plays: mel spectrograms, and F0 along the path.

Both are computed once, from the recordings and conversions that lie beside them in the run's
folder, and stored as one small file per sentence. A report is rendered again from these files,
without corpus, training or speech packages.

Conventions
-----------
A spectrogram shows the file as it is, at its own pace: Hann windows of 25 ms every 10 ms, power in
dB, (bands, frames), lowest band first. Bands are triangles spaced evenly on the mel scale
m = 2595 log10(1 + f / 700) (O'Shaughnessy, "Speech Communication", 1987) from 0 to 8 kHz, each the
weighted mean of the power that it covers.

F0 is what the protocol compares: its own estimate, on the frames that its gate passes, matched
along the path on which it compares F0. Everything stands at the target's frames. Where several
frames meet one of the target's, it is the mean of the voiced ones. 0 is unvoiced, or not compared.
"""

from __future__ import annotations

import json
import math
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vcbench.errors import DataError, VcbenchError
from vcbench.own_files import fresh, inside, replace_files

Array = NDArray[np.float64]

BANDS, TOP_HZ = 64, 8000.0
WINDOW_MS, HOP_MS = 25.0, 10.0
FLOOR_DB = -120.0  # of what is stored, in whole dB above it; 0 dB is a sine at full scale
FILE = "pictures.npz"
MAXIMUM_SECONDS = 120  # of a sentence
MAXIMUM_BYTES = 2**26  # of one file, unpacked
SOURCE, TARGET = "source", "target"


@dataclass(frozen=True)
class Voice:
    """One file of a sentence. mel_db: (bands, frames). f0_hz: (frames of the target,)."""

    mel_db: Array
    f0_hz: Array


@dataclass(frozen=True)
class Pictures:
    """All that is drawn of one sentence: its voices in order, and the time between F0's frames.

    Converted voices stand in `systems`, by name.
    """

    source: Voice
    target: Voice
    systems: Mapping[str, Voice]
    frame_period_ms: float


@dataclass(frozen=True)
class _Work:
    folder: Path
    sample: Mapping[str, Any]
    protocol: str


def add_pictures(
    folder: Path, samples: Sequence[dict[str, Any]], *, protocol: str, jobs: int
) -> list[str]:
    """Compute what `samples` (entries of samples.json) lack below the run's `folder`.

    Each entry that has its pictures then names their file under "pictures". Returns what could
    not be drawn, in words: a page without a picture is better than no page.
    """
    from vcbench.parallel import map_processes

    missing = [s for s in samples if not (s.get("pictures") and (folder / s["pictures"]).is_file())]
    work = [_Work(folder, sample, protocol) for sample in missing]
    try:
        outcomes = map_processes(_draw_one, work, jobs=jobs)
    except VcbenchError as error:
        return [f"pictures: {error}"]
    problems = []
    for sample, (name, said) in zip(missing, outcomes, strict=True):
        if name:
            sample["pictures"] = name
        where = f"{sample['direction']} {sample['utterance']}"
        problems += [f"pictures of {where}: {problem}" for problem in said]
    return problems


def complete(folder: Path, *, jobs: int) -> list[str]:
    """Add the pictures that a run's folder lacks, if it names a protocol that is known here.

    Returns what could not be drawn; raises nothing where the folder holds no such run.
    """
    from vcbench import protocols

    index = folder / "samples" / "samples.json"
    try:
        samples = json.loads(index.read_text(encoding="utf-8"))
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        named = [str(name) for name in manifest.get("protocols") or {}]
        whole = all({"source", "target", "converted"} <= set(sample) for sample in samples)
    except (OSError, ValueError, TypeError, AttributeError):
        return []  # reading the run says what is wrong with it
    known = [name for name in named if name in protocols.names()]
    if not known or not whole:
        return []
    before = json.dumps(samples)
    problems = add_pictures(folder, samples, protocol=known[0], jobs=jobs)
    if json.dumps(samples) != before:
        text = json.dumps(samples, indent=2, ensure_ascii=False, allow_nan=False)
        replace_files(folder, {"samples/samples.json": f"{text}\n".encode()})
    return problems


def load(path: Path) -> Pictures:
    """What was stored of one sentence. Raises `DataError` if it cannot be read."""
    try:
        _refuse_large(path)
        with np.load(path, allow_pickle=False) as stored:
            names = [str(name) for name in stored["systems"]]
            voices = [
                Voice(
                    mel_db=_array(stored, f"mel_{i}", np.uint8, 2).astype(np.float64) + FLOOR_DB,
                    f0_hz=_array(stored, f"f0_{i}", np.uint16, 1).astype(np.float64) / 10.0,
                )
                for i in range(len(names) + 2)
            ]
            period_ms = float(stored["frame_period_ms"])
            if not 0 < period_ms < math.inf or len(set(names)) != len(names):
                raise ValueError("not what vcbench writes")
    # A damaged file can make zipfile and NumPy raise anything; a shape in it may be of any size.
    except Exception as error:
        raise DataError(
            f"{path}: {error}; delete it, and vcbench report draws the pictures again"
        ) from None
    source, target, *converted = voices
    return Pictures(source, target, dict(zip(names, converted, strict=True)), period_ms)


def _refuse_large(path: Path) -> None:
    """Raises `ValueError` where a stranger's file would unpack to more than any sentence needs."""
    with zipfile.ZipFile(path) as archive:
        if sum(entry.file_size for entry in archive.infolist()) > MAXIMUM_BYTES:
            raise ValueError(f"unpacks to more than {MAXIMUM_BYTES} bytes")


def _array(stored: Any, name: str, kind: type, dimensions: int) -> NDArray[Any]:
    found: NDArray[Any] = stored[name]
    if found.dtype != kind or found.ndim != dimensions or not found.size:
        raise ValueError(f"{name} is {found.dtype} of shape {found.shape}: not what vcbench writes")
    return found


def save(path: Path, pictures: Pictures) -> None:
    """Store compactly: whole dB above `FLOOR_DB` as bytes, F0 in tenths of a hertz."""
    arrays: dict[str, Any] = {
        "systems": np.array(list(pictures.systems), dtype=np.str_),
        "frame_period_ms": pictures.frame_period_ms,
    }
    voices = [pictures.source, pictures.target, *pictures.systems.values()]
    for i, voice in enumerate(voices):
        level = np.clip(np.rint(voice.mel_db - FLOOR_DB), 0, 255)
        arrays[f"mel_{i}"] = level.astype(np.uint8)
        arrays[f"f0_{i}"] = np.clip(np.rint(10.0 * voice.f0_hz), 0, 65535).astype(np.uint16)
    temporary = path.with_name(f".{path.name}.tmp")
    with fresh(temporary) as file:
        np.savez_compressed(file, **arrays)
    temporary.replace(path)


def mel_spectrogram(waveform: Array, *, sample_rate: int) -> Array:
    """(samples,) in [-1, 1] -> (BANDS, frames) in dB; see the module."""
    window = round(WINDOW_MS / 1000 * sample_rate)
    hop = HOP_MS / 1000 * sample_rate  # not whole at every rate
    padded = np.pad(np.asarray(waveform, dtype=np.float64), (window // 2, window))
    starts = np.rint(np.arange(max(1, math.ceil(len(waveform) / hop))) * hop).astype(int)
    hann = np.hanning(window + 1)[:-1]
    frames = np.stack([padded[s : s + window] for s in starts]) * hann
    size = 4 * 2 ** math.ceil(math.log2(window))  # the lowest bands are narrow
    power = np.abs(np.fft.rfft(frames, n=size)) ** 2 / (hann.sum() / 2) ** 2
    # No matrix product: BLAS would take threads that the other processes need.
    bands = np.einsum("bk,tk->bt", _mel_bands(sample_rate, size), power)
    return np.asarray(10.0 * np.log10(np.maximum(bands, 10.0 ** (FLOOR_DB / 10))))


def band_centres_hz() -> Array:
    """(BANDS,) where each band has its peak."""
    return _edges_hz()[1:-1]


def aligned_f0(target: Any, other: Any, protocol: Any) -> Array:
    """F0 of `other` at the target's frames, (frames of the target,), along the protocol's path.

    `target` and `other` are what the protocol's `analyze` gives. Raises `DataError` where they
    cannot be aligned.
    """
    pair = protocol.align(target, other)
    on = pair.pitch or pair
    kept = _kept(target, len(on.reference.f0_hz))
    path = np.asarray(on.path)
    f0_hz = on.converted.f0_hz[path[:, 1]]
    voiced = f0_hz > 0
    at = kept[path[voiced, 0]]
    n = len(target.f0_hz)
    inside = at < n  # a protocol may append zeros to the shorter side
    sums = np.bincount(at[inside], weights=f0_hz[voiced][inside], minlength=n)
    counts = np.bincount(at[inside], minlength=n)
    return np.asarray(np.divide(sums, counts, out=np.zeros(n), where=counts > 0))


def _draw_one(work: _Work) -> tuple[str, list[str]]:
    """(path of the file that was written or "", what could not be drawn)."""
    from vcbench import protocols

    protocol, sample = protocols.get(work.protocol), work.sample
    paths = {SOURCE: sample["source"], TARGET: sample["target"]}
    problems: list[str] = []
    try:
        sounds = {name: _read(work.folder, path) for name, path in paths.items()}
        target = protocol.analyze(*sounds[TARGET])
    except (DataError, OSError, RuntimeError) as error:
        return "", [str(error)]
    kept = _kept(target, None)
    own = np.zeros(len(target.f0_hz))
    own[kept] = target.f0_hz[kept]

    def voice(waveform: Array, rate: int, name: str) -> Voice:
        try:
            f0_hz = aligned_f0(target, protocol.analyze(waveform, rate), protocol)
        except DataError as error:
            problems.append(f"{name}: {error}")
            f0_hz = np.zeros_like(own)
        return Voice(mel_spectrogram(waveform, sample_rate=rate), f0_hz)

    systems = {}
    for name, path in sample["converted"].items():
        try:
            systems[name] = voice(*_read(work.folder, path), name)
        except (DataError, OSError, RuntimeError) as error:
            problems.append(f"{name}: {error}")
    pictures = Pictures(
        source=voice(*sounds[SOURCE], SOURCE),
        target=Voice(mel_spectrogram(sounds[TARGET][0], sample_rate=sounds[TARGET][1]), own),
        systems=systems,
        frame_period_ms=target.frame_period_ms,
    )
    name = f"samples/{_folder_name(sample)}"
    try:
        folder = inside(work.folder, name)
    except DataError as error:  # a link that leads elsewhere
        return "", [str(error)]
    folder.mkdir(parents=True, exist_ok=True)
    save(folder / FILE, pictures)
    return f"{name}/{FILE}", problems


def _folder_name(sample: Mapping[str, Any]) -> str:
    """`SF1_to_TM3/200001`, with nothing in it that leads elsewhere."""
    names = [str(sample["direction"]).replace(">", "_to_"), str(sample["utterance"])]
    safe = ["".join(c if c.isalnum() or c in "-_." else "_" for c in name) for name in names]
    return "/".join(name.strip(".") or "_" for name in safe)


def _read(folder: Path, relative: str) -> tuple[Array, int]:
    from vcbench import audio

    path = inside(folder, relative)
    samples, rate = audio.read_samples(path)
    waveform = samples.mean(axis=1)
    problem = audio.problem(waveform, rate)
    if not problem and len(waveform) > MAXIMUM_SECONDS * rate:
        problem = f"longer than {MAXIMUM_SECONDS} s, for which no picture is drawn"
    if problem:
        raise DataError(f"{path}: {problem}")
    return waveform, rate


def _kept(target: Any, n_gated: int | None) -> NDArray[np.intp]:
    """Which frames of an analysis stand in the gated one that F0 is compared on."""
    speech = (target.pitch or target).speech
    kept = np.flatnonzero(speech)
    if n_gated is None or len(kept) == n_gated:
        return kept
    return np.arange(n_gated)  # zeros were appended, under a protocol that keeps all frames


def _edges_hz() -> Array:
    top = 2595.0 * np.log10(1.0 + TOP_HZ / 700.0)
    return np.asarray(700.0 * (10.0 ** (np.linspace(0.0, top, BANDS + 2) / 2595.0) - 1.0))


def _mel_bands(sample_rate: int, size: int) -> Array:
    """(BANDS, size // 2 + 1) weights, each row's sum 1, or 0 above half the sampling rate."""
    frequencies = np.arange(size // 2 + 1) * sample_rate / size
    edges = _edges_hz()
    low, centre, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    rising, falling = (frequencies - low) / (centre - low), (high - frequencies) / (high - centre)
    weights = np.maximum(0.0, np.minimum(rising, falling))
    total = weights.sum(axis=1, keepdims=True)
    return np.asarray(np.divide(weights, total, out=np.zeros_like(weights), where=total > 0))
