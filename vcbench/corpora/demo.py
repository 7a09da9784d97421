"""The demo corpus: four synthetic speakers, made on this machine in a few seconds.

espeak-ng reads sentences that were written for vcbench. It is GPL-3, comes as the optional package
`espeakng-loader` (`pip install 'vcbench[demo]'`), and is no part of vcbench. The voices differ in
formants, pitch and rate, so there is something to convert: matching means and variances lowers the
mel-cepstral distortion (vcbench-1) of all twelve directions, by 0.2 dB between the two female
voices and by up to 2.4 dB from male to female. Being synthetic and very regular, they show that a
system learns, not how good it is on people.

The speech is synthesised in a process of its own, since espeak-ng's state is global to a process:
`python -m vcbench.corpora.demo FOLDER [SPLIT]`.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import zlib
from importlib import metadata
from pathlib import Path
from typing import Literal

from vcbench import child, fingerprint, paths
from vcbench.corpora import Corpus, FileProblem, ProgressCallback, Subset, Utterance
from vcbench.corpora.checking import check_file, listing, read_sums
from vcbench.corpora.espeak import Espeak, Voice, require_espeak
from vcbench.errors import DataError, PluginError, UsageError, did_you_mean
from vcbench.plugins import register_corpus

Split = Literal["disjoint", "full"]
SPLITS: tuple[Split, ...] = ("disjoint", "full")
SAMPLE_RATE = 16000
VOICES = {
    "DF1": Voice("f2", words_per_minute=165, pitch=60),
    "DF2": Voice("f3", words_per_minute=180, pitch=35),
    "DM1": Voice("m2", words_per_minute=170, pitch=65, pitch_range=70),
    "DM2": Voice("m7", words_per_minute=155, pitch=40),
}
TRAIN_SENTENCES = 20  # each speaker's own
PARALLEL_SENTENCES = 40  # of the full split: half of all, since analysing speech takes its time
GAIN = 0.5  # espeak-ng comes close to full scale; resampling would overshoot it
NOISE_RMS = 2e-4  # -74 dB of full scale: pauses of real recordings are not digital zero either
_SENTENCES = Path(__file__).with_name("demo_sentences.txt")
_SUMS = "SHA256SUMS"


@register_corpus("demo", licence="synthesised on this machine; sentences under vcbench's licence")
def demo(*, data_dir: Path, split: Split = "disjoint") -> Corpus:  # noqa: ARG001
    """Four synthetic speakers (DF1, DF2, DM1, DM2), made here by espeak-ng.

    split `disjoint`: each trains on twenty sentences of its own. `full`: all on the same forty.
    """
    if split not in SPLITS:
        raise UsageError(f"corpus 'demo': split '{split}': {did_you_mean(split, SPLITS)}")
    return Demo(paths.cache_dir(), split)


class Demo(Corpus):
    """The synthetic corpus below `cache_dir`/corpora; the folder's name says what made it.

    Every speaker reads the sentences e001 to e012 for evaluation. With split `disjoint`, speaker
    number i of `VOICES` reads its own twenty for training, so the training sets of any pair are
    disjoint, as in the CycleGAN-VC paper (arXiv:1711.11293, section 4.1). With `full`, every
    speaker reads t001 to t040, so that questions about parallel sentences can be asked.
    """

    name = "demo"

    def __init__(self, cache_dir: Path, split: Split = "disjoint") -> None:
        self._corpora = cache_dir / "corpora"
        self._split = split

    def speakers(self) -> tuple[str, ...]:
        """DF1, DF2, DM1, DM2."""
        return tuple(VOICES)

    def utterances(self, speaker: str, subset: Subset) -> tuple[Utterance, ...]:
        """Utterances sorted by id; raises `DataError` unless `prepare` was called before."""
        if speaker not in VOICES:
            hint = did_you_mean(speaker, VOICES)
            raise DataError(f"corpus 'demo' has no speaker '{speaker}': {hint}")
        folder = self._folder()
        found = tuple(
            Utterance(speaker, id_, folder / _file_name(speaker, subset, id_))
            for id_ in sentences(speaker, subset, self._split)
        )
        missing = [str(u.path) for u in found if not u.path.is_file()]
        if missing:
            raise DataError(
                f"corpus 'demo': {len(missing)} files are not there ({listing(missing)}); "
                f"make them: {self._command()}"
            )
        return found

    def prepare(self, progress: ProgressCallback | None = None) -> None:
        """Synthesise what is not there yet; safe if several processes do it at once.

        Raises `PluginError` if espeak-ng is not installed or fails, `DataError` if the cache
        cannot be written.
        """
        folder = self._folder()
        if _is_complete(folder, self._split):
            return
        temporary = None
        try:
            self._corpora.mkdir(parents=True, exist_ok=True)
            temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=self._corpora))
            _run_synthesis(temporary / "new", self._split, progress)
            _publish(temporary, folder, self._split)
        except OSError as error:
            reason = error.strerror or error
            raise DataError(f"{self._corpora}: cannot write the demo corpus ({reason})") from None
        finally:
            if temporary is not None:
                shutil.rmtree(temporary, ignore_errors=True)

    def fetch(
        self, progress: ProgressCallback | None = None, *, variant: str | None = None
    ) -> Path:
        """There is nothing to download: the same as `prepare`; returns the folder."""
        self.prepare(progress)
        return self._folder()

    def check(self, *, sample_rate: int = SAMPLE_RATE) -> list[FileProblem]:
        """Compare all files with the sums that were written when they were made.

        Raises `DataError` if `prepare` was never called.
        """
        folder = self._folder()
        if not folder.is_dir():
            raise DataError(f"{folder}: not made yet; make it: {self._command()}")
        sums = read_sums(folder / _SUMS) if (folder / _SUMS).is_file() else {}
        problems = [
            check_file(folder / name, sample_rate=sample_rate, sha256=sums.get(name))
            for name in _readings(self._split)
        ]
        return [problem for problem in problems if problem]

    def _command(self) -> str:
        option = "" if self._split == "disjoint" else f" --set split={self._split}"
        return f"vcbench data fetch demo{option}"

    def _folder(self) -> Path:
        """Named by all that decides the bytes: voices, text, code and libraries."""
        require_espeak()
        folder = Path(__file__).parent
        made_by = {
            "sources": fingerprint.of_sources(
                [folder / "demo.py", folder / "espeak.py", _SENTENCES, "vcbench.audio"]
            ),
            "packages": {n: metadata.version(n) for n in ("espeakng-loader", "numpy", "scipy")},
        }
        name = "demo" if self._split == "disjoint" else f"demo-{self._split}"
        return self._corpora / f"{name}-{fingerprint.of_json(made_by)[:16]}"


def sentences(speaker: str, subset: Subset, split: Split = "disjoint") -> dict[str, str]:
    """{id: text} of what a speaker reads, sorted by id."""
    lines = _SENTENCES.read_text(encoding="utf-8").splitlines()
    texts = dict(line.split(" ", 1) for line in lines if line and not line.startswith("#"))
    if subset == "eval":
        return {id_: text for id_, text in texts.items() if id_.startswith("e")}
    train = [(id_, text) for id_, text in texts.items() if id_.startswith("t")]
    if split == "full":
        return dict(train[:PARALLEL_SENTENCES])
    first = list(VOICES).index(speaker) * TRAIN_SENTENCES
    return dict(train[first : first + TRAIN_SENTENCES])


def _file_name(speaker: str, subset: Subset, id_: str) -> str:
    return f"{speaker}/{subset}/{id_}.wav"


def _readings(split: Split) -> dict[str, tuple[str, str]]:
    """{file: (speaker, text)} in the order of synthesis, on which the bytes depend.

    What `disjoint` has comes first in either split, so that the evaluation speech is the same.
    """
    subsets: tuple[Subset, ...] = ("train", "eval")
    splits: tuple[Split, ...] = ("disjoint",) if split == "disjoint" else ("disjoint", split)
    return {
        _file_name(speaker, subset, id_): (speaker, text)
        for part in splits
        for speaker in VOICES
        for subset in subsets
        for id_, text in sentences(speaker, subset, part).items()
    }


def _is_complete(folder: Path, split: Split) -> bool:
    return all((folder / name).is_file() for name in (*_readings(split), _SUMS))


def _publish(temporary: Path, folder: Path, split: Split) -> None:
    """Rename `temporary`/new to `folder`; what another process made meanwhile is kept."""
    try:
        (temporary / "new").rename(folder)
    except OSError:
        if _is_complete(folder, split):
            return
        folder.rename(temporary / "damaged")  # files were deleted from it
        (temporary / "new").rename(folder)


def _run_synthesis(folder: Path, split: Split, progress: ProgressCallback | None) -> None:
    """Run this module in a process of its own; it prints a line for every file it wrote."""
    total = len(_readings(split))
    with (
        tempfile.TemporaryFile("w+") as errors,
        subprocess.Popen(
            child.command("vcbench.corpora.demo", folder, split),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env=child.environment(),
        ) as process,
    ):
        try:
            for done, _ in enumerate(process.stdout or (), start=1):
                if progress:
                    progress("synthesising the demo corpus", done, total)
            status = process.wait()
        except BaseException:
            process.kill()
            raise
        if status:
            errors.seek(0)
            reason = errors.read().strip().rpartition("\n")[2] or f"it ended with status {status}"
            raise PluginError(f"corpus 'demo' could not be synthesised: {reason}")


def synthesise(folder: Path, split: Split) -> None:
    """Write the whole corpus below `folder`, printing the name of each file; fresh process only."""
    import numpy as np

    from vcbench import audio

    engine = Espeak()
    readings = _readings(split)
    for name, (speaker, text) in readings.items():
        seed = zlib.crc32(name.encode())
        spoken = GAIN * engine.say(text, VOICES[speaker], seed=seed)
        speech = audio.convert_rate(spoken, engine.sample_rate, SAMPLE_RATE)
        noise = np.random.default_rng(seed).standard_normal(len(speech))
        audio.write(folder / name, speech + NOISE_RMS * noise, sample_rate=SAMPLE_RATE)
        print(name, flush=True)
    sums = "".join(f"{fingerprint.of_file(folder / name)}  {name}\n" for name in readings)
    (folder / _SUMS).write_text(sums, encoding="utf-8")


if __name__ == "__main__":
    synthesise(Path(sys.argv[1]), "full" if sys.argv[2:] == ["full"] else "disjoint")
