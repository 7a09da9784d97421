"""Scores of (reference, converted) pairs of waveforms, under a stated protocol.

`score` takes arrays and returns a table. `score_all` takes files, many at a time; `utterances`
finds them, `score_sets` matches converted sets with their references by id, and `compare` tells how
the sets differ. Every result is a value per metric or a reason in words.
"""

from vcbench.scoring.arrays import score
from vcbench.scoring.batch import score_all
from vcbench.scoring.inputs import refuse_repeated_files, utterances
from vcbench.scoring.items import ScoreItem, ScoreResult
from vcbench.scoring.sets import ScoredSet, compare, score_sets

__all__ = [
    "ScoreItem",
    "ScoreResult",
    "ScoredSet",
    "compare",
    "refuse_repeated_files",
    "score",
    "score_all",
    "score_sets",
    "utterances",
]
