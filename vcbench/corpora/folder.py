"""The folder corpus: your own recordings, one folder per speaker."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from vcbench.corpora import Corpus, FileProblem, Subset, Utterance
from vcbench.corpora.checking import check_file, listing
from vcbench.errors import DataError, UsageError, did_you_mean
from vcbench.plugins import register_corpus

SUFFIXES = (".wav", ".flac")
_SPEAKER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._]*")


@register_corpus("folder")
def folder(*, data_dir: Path, root: str = ".", eval_fraction: float = 0.1) -> Corpus:
    """Your own ROOT/SPEAKER/*.wav or *.flac; one file name is one sentence.

    `root` is absolute, or relative to the data folder. Of the sentences that every speaker has,
    sorted by name, the last `eval_fraction` (rounded, at least one) are for evaluation; everything
    else is for training. Raises `UsageError` unless 0 < eval_fraction < 1.
    """
    if not 0 < eval_fraction < 1:
        raise UsageError(f"corpus 'folder': eval_fraction is {eval_fraction}; 0 < it < 1 is valid")
    return Folder(data_dir / Path(root).expanduser(), eval_fraction)


class Folder(Corpus):
    """ROOT/SPEAKER/ID.wav|flac; see `folder` for the split. Names are compared exactly."""

    name = "folder"

    def __init__(self, root: Path, eval_fraction: float) -> None:
        self.root = root
        self.eval_fraction = eval_fraction
        self._files: dict[str, dict[str, Path]] | None = None

    def speakers(self) -> tuple[str, ...]:
        """Folders below the root that hold audio files, sorted."""
        return tuple(self._listed())

    def utterances(self, speaker: str, subset: Subset) -> tuple[Utterance, ...]:
        """Utterances sorted by id.

        Raises `DataError` for an unknown speaker, where no sentence is common to all speakers, or
        where evaluation would leave this speaker nothing to train on.
        """
        files = self._listed()
        if speaker not in files:
            hint = did_you_mean(speaker, files)
            raise DataError(f"corpus 'folder' at {self.root} has no speaker '{speaker}': {hint}")
        held_out = self._eval_ids(files)
        if held_out.issuperset(files[speaker]):
            raise DataError(
                f"{self.root / speaker}: all of its {len(files[speaker])} sentences are held out "
                "for evaluation and none is left for training; add recordings"
            )
        return tuple(
            Utterance(speaker, id_, path)
            for id_, path in sorted(files[speaker].items())
            if (id_ in held_out) == (subset == "eval")
        )

    def check(self, *, sample_rate: int = 16000) -> list[FileProblem]:
        """Whether every file can be read, is mono and at `sample_rate` Hz."""
        found = [path for files in self._listed().values() for path in files.values()]
        problems = [check_file(path, sample_rate=sample_rate) for path in sorted(found)]
        return [problem for problem in problems if problem]

    def _eval_ids(self, files: Mapping[str, Mapping[str, Path]]) -> set[str]:
        common = sorted(set.intersection(*(set(ids) for ids in files.values())))
        if not common:
            raise DataError(f"{self.root}: no sentence is common to all speakers; {_why(files)}")
        return set(common[-max(1, round(self.eval_fraction * len(common))) :])

    def _listed(self) -> dict[str, dict[str, Path]]:
        """{speaker: {id: path}}, read from the disk once."""
        if self._files is None:
            self._files = _list_files(self.root)
        return self._files


def _list_files(root: Path) -> dict[str, dict[str, Path]]:
    layout = "expected ROOT/SPEAKER/*.wav or *.flac (corpus option 'root', or --data)"
    if not root.is_dir():
        raise DataError(f"{root}: no such folder; {layout}")
    speakers: dict[str, dict[str, Path]] = {}
    for directory in sorted(p for p in root.iterdir() if p.is_dir()):
        files: dict[str, Path] = {}
        for path in sorted(directory.iterdir()):
            if path.suffix.lower() not in SUFFIXES or path.name.startswith("."):
                continue
            if path.stem in files:
                names = f"{files[path.stem].name} and {path.name}"
                raise DataError(f"{directory}: {names} are the same sentence; keep one of them")
            files[path.stem] = path
        if files:
            speakers[directory.name] = files
    if not speakers:
        raise DataError(f"{root}: no folder with audio files in it; {layout}")
    for speaker in speakers:
        if not _SPEAKER.fullmatch(speaker):
            raise DataError(
                f"{root / speaker}: a speaker's name holds letters, digits, '.' and '_' only, "
                "since a pair is written A-B; rename the folder"
            )
    return speakers


def _why(files: Mapping[str, Mapping[str, Path]]) -> str:
    """Which speaker shares nothing with anyone, or else how few sentences they share."""
    for speaker, ids in files.items():
        others = [set(other) for name, other in files.items() if name != speaker]
        if others and not set(ids).intersection(*others) and not any(set(ids) & o for o in others):
            return (
                f"'{speaker}' ({listing(sorted(ids), at_most=3)}) shares no file name with any "
                "other; the same sentence must have the same name, exactly, in every folder"
            )
    return (
        "each sentence is missing for some speaker; the same sentence must have the same name, "
        "exactly, in every folder"
    )
