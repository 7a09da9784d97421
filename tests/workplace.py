"""A suite and a corpus for tests of planning, which reads bytes and never listens."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vcbench import planning, suite
from vcbench.planning import Plan

SPEAKERS = ("F1", "F2", "M1")

SUITE = """\
suite: small
plugins: [plug.py]
corpus: {name: folder, root: speech, eval_fraction: 0.25}
pairs: [F1-M1, M1-F2]
systems:
  first:
    generator: {name: test-gen, kernel: 3, width: 4}
    discriminator: patchgan
    objective: lsgan
  second:
    generator: cyclegan-vc-1d
    discriminator: {name: gated-patchgan, sigmoid: true}
    objective: bce
training: {iterations: 6, validation_utterances: 1}
scale: 0.03
seeds: [0]
metrics: [mcd]
"""

PLUGIN = """\
from pathlib import Path

from vcbench.corpora import Corpus, Utterance
from vcbench.plugins import register_corpus, register_generator


@register_generator("test-gen")
def gen(*, n_mcep: int, scale: float, kernel: int = 1, width: int = 2):
    raise AssertionError("planning builds nothing")


class Listed(Corpus):
    def __init__(self, root, train, evaluation):
        self.root, self.ids = root, {"train": train.split(), "eval": evaluation.split()}

    def speakers(self):
        return tuple(sorted(path.name for path in self.root.iterdir()))

    def utterances(self, speaker, subset):
        files = [self.root / speaker / f"{id_}.wav" for id_ in self.ids[subset]]
        said = [file for file in files if subset == "train" or file.exists()]
        return tuple(Utterance(speaker, file.stem, file) for file in said)


@register_corpus("test-listed")
def listed(*, data_dir: Path, train: str, evaluation: str) -> Corpus:
    return Listed(data_dir / "speech", train, evaluation)
"""


class Workplace:
    """A suite, its plugin and a corpus of three speakers with eight sentences each.

    Planning reads bytes and never listens, so the recordings are none.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        for speaker in SPEAKERS:
            (root / "speech" / speaker).mkdir(parents=True)
            for number in range(8):
                self.wav(speaker, f"s{number}").write_text(f"{speaker} says {number}")
        self.plugin.write_text(PLUGIN)
        self.write(SUITE)

    @property
    def plugin(self) -> Path:
        return self.root / "plug.py"

    def wav(self, speaker: str, sentence: str) -> Path:
        return self.root / "speech" / speaker / f"{sentence}.wav"

    def write(self, text: str) -> None:
        (self.root / "suite.yaml").write_text(text)

    def plan(self, *sets: str, seeds: Sequence[int] | None = None, **options: object) -> Plan:
        """The plan of the suite as it is now."""
        path = str(self.root / "suite.yaml")
        loaded = suite.load(path, sets=sets, seeds=seeds, trust_plugins=True)
        return planning.make_plan(
            loaded,
            data_dir=self.root,
            cache_dir=self.root / "cache",
            device="cpu",
            **options,
        )

    def keys(self, *sets: str) -> dict[str, str]:
        """{cell id: key}."""
        return {planned.cell.id: planned.key for planned in self.plan(*sets).cells}
