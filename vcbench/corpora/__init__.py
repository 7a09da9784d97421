"""Corpora: which speakers there are, what they said, and where the files lie.

A corpus lists utterances and knows how they come to the disk; it never reads audio itself.
Utterances of different speakers with one `id` are the same sentence: that is what scoring pairs.
"""

from __future__ import annotations

import abc
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vcbench.errors import UsageError

Subset = Literal["train", "eval"]
# (what is being done, done so far, total or None): called often, draws a progress bar.
ProgressCallback = Callable[[str, int, int | None], None]


@dataclass(frozen=True, order=True)
class Utterance:
    """One recorded sentence: `id` is equal across speakers for the same sentence."""

    speaker: str
    id: str
    path: Path


@dataclass(frozen=True)
class FileProblem:
    """Something wrong with a corpus file, or (`unverified`) something that could not be checked."""

    path: Path
    kind: Literal["missing", "corrupt", "wrong-rate", "unverified"]
    detail: str

    @property
    def is_harmful(self) -> bool:
        """Whether the file cannot be used; what is only unverified can."""
        return self.kind != "unverified"


class Corpus(abc.ABC):
    """What a corpus plugin returns."""

    name: str
    variants: tuple[str, ...] = ()  # what `fetch` can be asked for, where there is a choice

    @abc.abstractmethod
    def speakers(self) -> tuple[str, ...]:
        """Names of the speakers on disk; raises `DataError`, saying how to get it, if absent."""

    @abc.abstractmethod
    def utterances(self, speaker: str, subset: Subset) -> tuple[Utterance, ...]:
        """Utterances sorted by id; raises `DataError` for an unknown speaker or missing files."""

    def prepare(self, progress: ProgressCallback | None = None) -> None:  # noqa: B027
        """Bring into being what can be made here (the demo corpus synthesises its speech)."""

    def fetch(
        self, progress: ProgressCallback | None = None, *, variant: str | None = None
    ) -> Path:
        """Download the corpus; returns its folder. Raises `UsageError` where that is impossible.

        `variant` is one of `variants`, or None for the corpus's own choice.
        """
        raise UsageError(f"corpus '{self.name}' cannot be downloaded: bring your own files")

    def check(self, *, sample_rate: int = 16000) -> list[FileProblem]:
        """What is missing, corrupt or not at `sample_rate` Hz; an empty list if all is well."""
        return []
