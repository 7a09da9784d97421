"""The feature cache: every utterance is analysed once, whoever asks, however often.

A feature file is named by the SHA-256 of the audio's bytes, the parameters, the source of the
analysis and the versions of the packages that decide what it holds; change any of them and it is
computed anew. Files are whole or not there, so a killed extraction leaves nothing half done, and
one that is damaged later is computed again (`vcbench.sealed`). Loading needs NumPy
alone: a machine that only trains needs none of the speech packages.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vcbench import fingerprint, regular_files, sealed, usage
from vcbench.errors import DataError, some_of
from vcbench.parallel import map_processes
from vcbench.world import FeatureParameters, WorldFeatures, pyworld_version

if TYPE_CHECKING:
    from vcbench.corpora import ProgressCallback, Utterance

# As many as the scoring protocol asks for before it speaks of an F0 error.
MINIMUM_VOICED_FRAMES = 10

_ARRAYS = ("f0_hz", "mcep", "coded_aperiodicity")
# How WAV and FLAC files begin: every decoder makes the same samples of these. What it makes of the
# others (MP3, Vorbis) is soundfile's, and may change with its version.
_LOSSLESS = (b"RIFF", b"fLaC")
# Editing any of these changes what a feature file holds.
_SOURCES = ("vcbench.audio", "vcbench.features", "vcbench.world")


@dataclass(frozen=True)
class Extraction:
    """Where the features of each utterance lie, and how many had to be computed."""

    paths: dict[Utterance, Path]
    extracted: int
    cached: int


class FeatureStore:
    """Features of one set of parameters, below `cache_dir`/features."""

    def __init__(self, cache_dir: Path, parameters: FeatureParameters) -> None:
        self.folder = cache_dir / "features"
        self.parameters = parameters
        packages = {"pyworld": pyworld_version()}
        if parameters.mel_cepstrum == "sptk":  # a matrix product, with pysptk's constant
            packages |= {name: str(fingerprint.version_of(name)) for name in ("numpy", "pysptk")}
        self._version = fingerprint.of_json(
            {
                "parameters": parameters.to_json(),
                "source": fingerprint.of_sources(_SOURCES),
                "packages": packages,
            }
        )

    def path(self, audio: Path) -> Path:
        """Where the features of this audio file are or will be; raises `DataError` if unreadable.

        The path depends on what the file holds, not on its name.
        """
        try:
            with regular_files.opened(audio) as file:
                beginning = file.read(4)
                file.seek(0)
                digest = hashlib.file_digest(file, "sha256")
        except OSError as error:
            raise DataError(f"{audio}: cannot be read ({error.strerror})") from None
        if beginning not in _LOSSLESS:
            digest.update(f"soundfile {fingerprint.version_of('soundfile')}".encode())
        digest.update(self._version.encode())
        key = digest.hexdigest()
        return self.folder / key[:2] / f"{key}.npz"

    def extract(
        self,
        utterances: Sequence[Utterance],
        *,
        jobs: int,
        progress: ProgressCallback | None = None,
    ) -> Extraction:
        """Make sure that the features of all `utterances` exist, `jobs` at a time.

        Raises one `DataError` that lists every utterance that cannot be used; the features of all
        others are kept.
        """
        problems: list[str] = []
        paths: dict[Utterance, Path] = {}
        for utterance in utterances:
            try:
                paths[utterance] = self.path(utterance.path)
            except DataError as error:
                problems.append(str(error))
        missing = {path: u for u, path in paths.items() if not sealed.is_whole_npz(path)}
        usage.note(path for path in paths.values() if path not in missing)
        # The longest first: begun last, one alone would be waited for at the end.
        missing = dict(sorted(missing.items(), key=lambda m: -m[1].path.stat().st_size))
        work = [(u.path, path, self.parameters) for path, u in missing.items()]
        report = (lambda n: progress("extracting features", n, len(work))) if progress else None
        reasons = map_processes(_extract_one, work, jobs=jobs, on_done=report)
        unusable = {path: why for path, why in zip(missing, reasons, strict=True) if why}
        # Files of equal content, several empty ones say, were looked at once and are all named.
        problems += [f"{u.path}: {unusable[p]}" for u, p in paths.items() if p in unusable]
        if problems:
            listing = some_of(sorted(problems))
            raise DataError(
                f"{len(problems)} of {len(utterances)} audio files cannot be used "
                f"(repair or remove them; all others are kept):\n  {listing}"
            )
        return Extraction(paths, extracted=len(work), cached=len(utterances) - len(work))


def load(path: Path) -> WorldFeatures:
    """Read a feature file; raises `DataError`, saying what to do, if it is missing or damaged."""
    try:
        with regular_files.opened(path) as file:  # a stranger's cell may name a pipe
            if sealed.unpacks_to_more(path):
                raise ValueError("it unpacks to more than its size")
            with np.load(file, allow_pickle=False) as arrays:
                return WorldFeatures(*(arrays[name].astype(np.float64) for name in _ARRAYS))
    except FileNotFoundError:
        raise DataError(f"{path}: no such feature file; `vcbench run` computes it again") from None
    except Exception as error:  # a damaged file can make zipfile and NumPy raise anything
        raise DataError(
            f"{path}: damaged feature file ({error}); `vcbench run` computes it again"
        ) from None


def save(path: Path, features: WorldFeatures) -> None:
    """Write a feature file atomically: float32, but F0 in float64 as WORLD needs it."""
    with sealed.replacing(path) as temporary:
        with temporary.open("wb") as file:
            np.savez(
                file,
                f0_hz=features.f0_hz,
                mcep=features.mcep.astype(np.float32),
                coded_aperiodicity=features.coded_aperiodicity.astype(np.float32),
            )
        sealed.seal_npz(temporary)


def unvoiced(features: WorldFeatures, parameters: FeatureParameters) -> str:
    """Why speech with so few voiced frames cannot be used, or an empty string if it can."""
    voiced = int(np.count_nonzero(features.f0_hz > 0))
    if voiced >= MINIMUM_VOICED_FRAMES:
        return ""
    return (
        f"unvoiced: {voiced} frames with F0 between {parameters.f0_floor_hz:g} and "
        f"{parameters.f0_ceil_hz:g} Hz, at least {MINIMUM_VOICED_FRAMES} are needed; "
        "it is not speech, or whispered"
    )


def _extract_one(work: tuple[Path, Path, FeatureParameters]) -> str:
    """Analyse one file; returns what is wrong with it, its name left out, or an empty string."""
    from vcbench import audio, world

    source, destination, parameters = work
    try:
        waveform = audio.read(source, sample_rate=parameters.sample_rate)
    except DataError as error:
        return str(error).removeprefix(f"{source}: ")
    features = world.analyze(waveform, parameters)
    problem = unvoiced(features, parameters)
    # Named by what the recording held when it was planned; else other speech would keep its name.
    if FeatureStore(destination.parents[2], parameters).path(source) != destination:
        problem = "changed while it was analysed; run again"
    if not problem:
        save(destination, features)
    return problem
