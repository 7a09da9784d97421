"""Training speech of known speakers, which a metric may ask for: a pair alone tells no voice."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from vcbench.alignment import Analysis


@dataclass(frozen=True)
class Speakers:
    """Recordings of several speakers, under the protocol of the pair that is measured.

    Two of them are equal where recordings and analysis are: a metric is called with them for every
    pair, and may keep what it made of them (`functools.lru_cache`).

    key: of all that decides the analyses. recordings: by speaker, what `analyze` takes.
    """

    key: str
    sample_rate: int
    recordings: Mapping[str, Sequence[Any]] = field(compare=False, repr=False)
    analyze: Callable[[Any], Analysis] = field(compare=False, repr=False)

    @property
    def names(self) -> tuple[str, ...]:
        """Whose speech there is."""
        return tuple(self.recordings)

    def analyses(self, name: str) -> Iterator[Analysis]:
        """Gated mel-cepstra and F0 of each recording of a speaker, one after the other.

        They have no envelopes. Where a protocol keeps no frame of a recording, it has none.
        """
        return map(self.analyze, self.recordings[name])
