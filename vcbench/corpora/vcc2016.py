"""The Voice Conversion Challenge 2016 corpus, in both of its public layouts.

Toda et al., "The Voice Conversion Challenge 2016", Interspeech 2016; speech at
https://doi.org/10.7488/ds/1575 under CC BY 4.0. Ten speakers (S: source, T: target; F: female, M:
male), 162 training and 54 evaluation sentences each, the same for everyone; 16 kHz, 16 bit, mono.

- `official`: `vcc2016_training/SPK/100001-100162.wav` and `evaluation_all/SPK/200001-200054.wav`.
- `npVCC2016` (github.com/tarepan/npVCC2016Corpus): the split of the CycleGAN-VC paper
  (arXiv:1711.11293, section 4.1) and its four speakers only,
  `npVCC2016/trains|evals/SPK/wavs/*.wav`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

from vcbench import paths
from vcbench.corpora import Corpus, FileProblem, ProgressCallback, Subset, Utterance
from vcbench.corpora.checking import check_file, check_sum, listing, read_sums
from vcbench.corpora.fetch import Archive, download, find_folder, unpacked
from vcbench.errors import DataError, UsageError, did_you_mean
from vcbench.plugins import register_corpus

Split = Literal["paper", "full"]
Variant = Literal["official", "npVCC2016"]
SPLITS: tuple[Split, ...] = ("paper", "full")

SPEAKERS = ("SF1", "SF2", "SF3", "SM1", "SM2", "TF1", "TF2", "TM1", "TM2", "TM3")
TRAIN_IDS = tuple(str(number) for number in range(100001, 100163))
EVAL_IDS = tuple(str(number) for number in range(200001, 200055))
SUBSETS: tuple[Subset, ...] = ("train", "eval")
_KEPT = "it was left as it is: move it away and fetch again"
SUMS_FILE = Path(__file__).with_name("vcc2016.sha256")

# Utterance in the list of sums: (subset, speaker, id).
Key = tuple[Subset, str, str]


@dataclass(frozen=True)
class Part:
    """An archive, the folder it becomes, and the folders by which its contents are recognised."""

    archive: Archive
    folder: str
    children: tuple[str, ...]
    subsets: tuple[Subset, ...]


_DATASHARE = "https://datashare.is.ed.ac.uk/bitstream/handle/10283/2211"
# Neither publisher gives a sum of the archives: their contents are verified after unpacking.
PARTS: dict[Variant, tuple[Part, ...]] = {
    "npVCC2016": (
        Part(
            Archive(
                "https://github.com/tarepan/npVCC2016Corpus/releases/download/v1.0.0/"
                "npVCC2016-1.0.0.zip",
                "npVCC2016-1.0.0.zip",
            ),
            "npVCC2016",
            ("trains", "evals"),
            SUBSETS,
        ),
    ),
    "official": (
        Part(
            Archive(
                f"{_DATASHARE}/vcc2016_training.zip?sequence=8&isAllowed=y", "vcc2016_training.zip"
            ),
            "vcc2016_training",
            ("SF1", "TM3"),
            ("train",),
        ),
        Part(
            Archive(
                f"{_DATASHARE}/evaluation_all.zip?sequence=7&isAllowed=y", "evaluation_all.zip"
            ),
            "evaluation_all",
            ("SF1", "TM3"),
            ("eval",),
        ),
    ),
}


@register_corpus(
    "vcc2016",
    paper="Toda et al., The Voice Conversion Challenge 2016, Interspeech 2016",
    licence="CC BY 4.0",
)
def vcc2016(*, data_dir: Path, split: Split = "paper") -> Corpus:
    """Voice Conversion Challenge 2016: ten speakers, 162 + 54 parallel sentences.

    split `paper`: sources (S*) train on sentences 100001-100081, targets (T*) on 100082-100162, so
    no sentence is heard from both sides. `full`: all 162 for everyone. Evaluation is on
    200001-200054 in both.
    """
    if split not in SPLITS:
        raise UsageError(f"corpus 'vcc2016': split '{split}': {did_you_mean(split, SPLITS)}")
    return Vcc2016(data_dir, split)


@dataclass(frozen=True)
class Layout:
    """One copy of the corpus on disk: `folders` hold the speakers' folders of each subset."""

    variant: Variant
    root: Path
    folders: Mapping[Subset, Path]

    def path(self, key: Key) -> Path:
        """The file of one utterance."""
        subset, speaker, id_ = key
        below = "wavs" if self.variant == "npVCC2016" else "."
        return self.folders[subset] / speaker / below / f"{id_}.wav"

    def absent(self) -> list[Path]:
        """Which of its folders do not exist."""
        return [folder for folder in self.folders.values() if not folder.is_dir()]


class Vcc2016(Corpus):
    """VCC2016 at or below `data_dir`; see `vcc2016` for the split.

    `parts` says where to download from, and `sums` {(subset, speaker, id): sha256} which bytes are
    right; both are only ever given by tests.
    """

    name = "vcc2016"
    variants = ("npVCC2016", "official")

    def __init__(
        self,
        data_dir: Path,
        split: Split = "paper",
        *,
        parts: Mapping[Variant, tuple[Part, ...]] | None = None,
        sums: Mapping[Key, str] | None = None,
    ) -> None:
        self.data_dir = data_dir
        self.split = split
        self._parts = PARTS if parts is None else parts
        self._sums = published_sums() if sums is None else sums

    def speakers(self) -> tuple[str, ...]:
        """Those of the ten speakers that have a folder on disk."""
        layout = self._layout()
        return tuple(s for s in SPEAKERS if any((f / s).is_dir() for f in layout.folders.values()))

    def utterances(self, speaker: str, subset: Subset) -> tuple[Utterance, ...]:
        """Utterances sorted by id; raises `DataError` for an unknown speaker or missing files."""
        layout = self._layout()
        speakers = self.speakers()
        if speaker not in speakers:
            hint = did_you_mean(speaker, speakers)
            if speaker in SPEAKERS:
                hint = f"{hint}; all ten: vcbench data fetch vcc2016 --variant official"
            raise DataError(f"corpus 'vcc2016' at {layout.root} has no speaker '{speaker}': {hint}")
        ids = EVAL_IDS if subset == "eval" else self._train_ids(speaker)
        found = tuple(Utterance(speaker, i, layout.path((subset, speaker, i))) for i in ids)
        missing = [str(u.path) for u in found if not u.path.is_file()]
        if missing:
            raise DataError(
                f"corpus 'vcc2016': {len(missing)} of {len(found)} {subset} files of {speaker} are "
                f"missing: {listing(missing)}; see: vcbench data check vcc2016"
            )
        return found

    def check(self, *, sample_rate: int = 16000) -> list[FileProblem]:
        """Every file of the whole corpus as its publisher made it, whatever the split."""
        return self._problems(self._any_layout(), sample_rate=sample_rate)

    def fetch(
        self, progress: ProgressCallback | None = None, *, variant: str | None = None
    ) -> Path:
        """Download, verify and unpack into `data_dir`; returns the folder that holds the corpus.

        `variant` is `npVCC2016` (four speakers; the default of the split `paper`) or `official`
        (ten; the default of `full`). What is there already is verified and kept. Raises `DataError`
        if the download fails or is not what it should be.
        """
        chosen = variant or ("npVCC2016" if self.split == "paper" else "official")
        if chosen not in self._parts:
            raise UsageError(f"vcc2016: variant '{chosen}': {did_you_mean(chosen, self._parts)}")
        for layout in _layouts(self.data_dir):
            if layout.variant == chosen and not layout.absent():
                self._verify(layout, layout.root, _KEPT)
                return layout.root
        for part in self._parts[cast(Variant, chosen)]:
            self._fetch_part(cast(Variant, chosen), part, progress)
        return self.data_dir / ("npVCC2016" if chosen == "npVCC2016" else ".")

    def _fetch_part(self, variant: Variant, part: Part, progress: ProgressCallback | None) -> None:
        destination = self.data_dir / part.folder
        if destination.is_dir():
            self._verify(_layout_of(variant, part, destination), destination, _KEPT)
            return
        try:
            archive = download(part.archive, paths.cache_dir() / "downloads", progress)
        except DataError as error:
            example = destination.joinpath(part.children[0])
            raise DataError(
                f"{error}. By hand: download it with a browser and unpack it so that {example} "
                "exists, or point --data or VCBENCH_DATA_DIR at a copy"
            ) from None
        try:
            with unpacked(archive, destination, progress) as contents:
                found = find_folder(contents, part.children)
                if found is None:
                    wanted = " and ".join(part.children)
                    raise DataError(f"{part.archive.url}: no folder in it holds {wanted}")
                layout = _layout_of(variant, part, found)
                self._verify(layout, part.archive.url, "it was discarded, fetch again")
                found.rename(destination)
        except DataError:
            archive.unlink()  # the next attempt shall not find it again
            raise
        except OSError as error:
            raise DataError(f"{destination}: cannot be written ({error.strerror})") from None
        archive.unlink()

    def _verify(self, layout: Layout, what: str | Path, remedy: str) -> None:
        """Raises `DataError` if files are corrupt, or, in npVCC2016, missing.

        Of the official archives it is not known for sure which files they hold.
        """
        problems = [
            p
            for p in self._problems(layout, sample_rate=16000)
            if p.is_harmful and (layout.variant == "npVCC2016" or p.kind != "missing")
        ]
        if problems:
            names = [f"{p.path.relative_to(layout.root)} {p.kind}" for p in problems]
            shown = listing(names, at_most=3)
            raise DataError(f"{what}: {len(names)} files are not as published ({shown}); {remedy}")

    def _problems(self, layout: Layout, *, sample_rate: int) -> list[FileProblem]:
        """Missing, damaged or altered files.

        The sums are npVCC2016's. Nobody states that the official archives hold the same bytes, so
        there a differing sum counts only if some other file's sum is right: then they do, and the
        file was altered. If no sum at all is right, that is one `unverified` remark.
        """
        sums = {key: digest for key, digest in self._sums.items() if key[0] in layout.folders}
        is_official = layout.variant == "official"
        expected = _official_keys(tuple(layout.folders)) if is_official else sums
        problems: list[FileProblem] = []
        altered: list[FileProblem] = []
        absent: set[Path] = set()
        intact = 0
        for key in sorted(expected):
            path = layout.path(key)
            if not path.parent.is_dir():
                absent.add(path.parent)
            elif problem := check_file(path, sample_rate=sample_rate):
                problems.append(problem)
            elif key in sums:
                difference = check_sum(path, sums[key])
                altered += [difference] if difference else []
                intact += difference is None
        if altered and not intact and is_official:
            detail = (
                f"none of {len(altered)} files has npVCC2016's sha256: another edition of the "
                "speech, whose files can be read but not verified"
            )
            altered = [FileProblem(layout.root, "unverified", detail)]
        problems += [FileProblem(folder, "missing", "no such folder") for folder in absent]
        return sorted([*problems, *altered], key=lambda p: p.path)

    def _train_ids(self, speaker: str) -> tuple[str, ...]:
        if self.split == "full":
            return TRAIN_IDS
        return TRAIN_IDS[:81] if speaker.startswith("S") else TRAIN_IDS[81:]

    def _layout(self) -> Layout:
        """The copy to use for this split; raises `DataError`, saying what to do, without one."""
        layout = self._any_layout()
        if self.split == "full" and layout.variant == "npVCC2016":
            raise DataError(
                f"corpus 'vcc2016': split 'full' needs all 162 training sentences, and "
                f"{layout.root} is npVCC2016, which holds 81 of each speaker; get the official "
                "archives: vcbench data fetch vcc2016 --variant official, or choose split 'paper'"
            )
        return layout

    def _any_layout(self) -> Layout:
        """The first complete copy, official ones before npVCC2016, which holds fewer speakers."""
        layouts = list(_layouts(self.data_dir))
        for layout in layouts:
            if not layout.absent():
                return layout
        for layout in layouts:
            if len(layout.absent()) < len(SUBSETS):
                raise DataError(
                    f"corpus 'vcc2016' at {layout.root} is incomplete: there is no folder "
                    f"{layout.absent()[0]}; vcbench data fetch vcc2016 --variant {layout.variant}"
                )
        looked = listing([str(layout.folders["train"]) for layout in layouts], at_most=10)
        raise DataError(
            f"corpus 'vcc2016' not found; looked for {looked}. Set --data or VCBENCH_DATA_DIR to "
            "the folder that holds it, or download it: vcbench data fetch vcc2016"
        )


def published_sums(path: Path = SUMS_FILE) -> dict[Key, str]:
    """sha256 of npVCC2016's 540 files, shipped with vcbench."""
    sums: dict[Key, str] = {}
    for name, digest in read_sums(path).items():
        _, subset, speaker, _, file_name = name.split("/")
        key: Key = ("train" if subset == "trains" else "eval", speaker, Path(file_name).stem)
        sums[key] = digest
    return sums


def _layouts(data_dir: Path) -> Iterator[Layout]:
    """Every copy that could be at or below `data_dir`, best first."""
    bases = (data_dir, data_dir / "vcc2016")
    for base in bases:
        folders = {"train": base / "vcc2016_training", "eval": base / "evaluation_all"}
        yield Layout("official", base, cast(Mapping[Subset, Path], folders))
    for base in bases:
        yield _np_layout(base / "npVCC2016")
        yield _np_layout(base)


def _layout_of(variant: Variant, part: Part, folder: Path) -> Layout:
    """What a part's archive alone gives, unpacked to `folder`."""
    if variant == "npVCC2016":
        return _np_layout(folder)
    return Layout(variant, folder, dict.fromkeys(part.subsets, folder))


def _np_layout(root: Path) -> Layout:
    return Layout("npVCC2016", root, {"train": root / "trains", "eval": root / "evals"})


def _official_keys(subsets: tuple[Subset, ...]) -> Iterator[Key]:
    for subset in subsets:
        for speaker in SPEAKERS:
            for id_ in TRAIN_IDS if subset == "train" else EVAL_IDS:
                yield subset, speaker, id_
