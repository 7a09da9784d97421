"""The Python API: waveforms as arrays in, a table of scores out."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from vcbench import audio, protocols
from vcbench.alignment import Analysis
from vcbench.errors import DataError, UsageError
from vcbench.plugins import Plugin, Registry
from vcbench.protocols import Protocol
from vcbench.scoring import enrolment
from vcbench.scoring.pair import given, measure
from vcbench.speakers import Speakers

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ["utterance", "metric", "protocol", "value", "unit", "failure"]


def score(
    reference: ArrayLike | Mapping[str, ArrayLike],
    converted: ArrayLike | Mapping[str, ArrayLike],
    *,
    sample_rate: int,
    protocol: str = protocols.DEFAULT,
    metrics: Sequence[str] | None = None,
    speakers: Mapping[str, Sequence[ArrayLike]] | None = None,
    target: str = "",
) -> pd.DataFrame:
    """Score converted speech against reference speech.

    >>> import numpy as np
    >>> from vcbench.scoring import score
    >>> t = np.arange(16000) / 16000  # one second at 16 kHz
    >>> pulses = np.sin(2 * np.pi * 120 * t) ** 21
    >>> hiss = 0.01 * np.random.default_rng(0).normal(size=(2, 16000))
    >>> table = score(pulses + hiss[0], pulses + hiss[1], sample_rate=16000, metrics=["f0-rmse"])
    >>> table[["metric", "protocol", "unit"]].values.tolist()
    [['f0-rmse', 'vcbench-1', 'Hz']]
    >>> bool(table["value"][0] < 1.0)
    True

    Of many utterances, pass mappings, and take means by metric:

    >>> pairs = {"s1": pulses + hiss[0], "s2": pulses + hiss[1]}
    >>> table = score(pairs, pairs, sample_rate=16000, metrics=["mcd", "f0-rmse"])
    >>> table.groupby("metric")["value"].mean().to_dict()
    {'f0-rmse': 0.0, 'mcd': 0.0}

    Args:
        reference: (samples,) of the target speaker, floats in [-1, 1]; or such by utterance id.
        converted: the same of the converted speech; a mapping where `reference` is one.
        sample_rate: of all of them, in Hz.
        protocol: how it is measured; `vcbench show protocol NAME` tells.
        metrics: names of metrics; by default all that can be computed from what is given.
        speakers: training speech of two speakers or more, for metrics that compare with it (
            `speaker-similarity`): waveforms by speaker, other sentences than those scored.
        target: which of them the converted speech should sound like.

    Returns:
        One row per utterance and metric, with the columns utterance, metric, protocol, value, unit
        and failure. `value` is NaN where a metric is undefined, and where it could not be computed;
        then `failure` says why. The utterance of a single pair is ''. Ids that one side alone has
        are in the table, as failures.

    Raises:
        DataError: a single pair cannot be scored (of mappings, the others are), or the protocol
            does not define the sampling rate.
        UsageError, PluginError: an unknown protocol or metric, one mapping and one array, or a
            metric that needs `speakers` without them.
    """
    import pandas as pd

    wanted = protocols.get(protocol)
    registry = Registry()
    if metrics is None:
        plugins = usual_metrics(registry, with_speakers=speakers is not None)
    else:
        plugins = {name: registry.get("metric", name) for name in metrics}
    known = None
    if enrolment.require(plugins, speakers or {}, {target}):
        known = _enrolled(speakers or {}, sample_rate, wanted)
    how = _How(sample_rate, wanted, plugins, known, target)
    if isinstance(reference, Mapping) and isinstance(converted, Mapping):
        scored = _score_many(reference, converted, how)
    elif isinstance(reference, Mapping) or isinstance(converted, Mapping):
        raise UsageError("reference and converted must both be mappings, or both be waveforms")
    else:
        scored = iter([("", *_score_pair(reference, converted, how))])
    unit_of = {n: wanted.unit(n, plugin.details["unit"]) for n, plugin in plugins.items()}
    rows = [
        (id_, name, wanted.id, values.get(name, math.nan), unit_of[name], why)
        for id_, values, failed in scored
        for name in plugins
        for why in [failed.get(name, "")]
    ]
    return pd.DataFrame(rows, columns=COLUMNS)


def usual_metrics(registry: Registry, *, with_speakers: bool) -> dict[str, Plugin]:
    """The metrics of a conversion that can be computed here, sorted by name.

    Those that compare with speakers' training speech only if there is some. Those that compare two
    waveforms moment by moment, which a conversion with its source's timing cannot have, not at all.
    """
    names = [d.name for d in registry.declarations("metric") if not d.problem]
    found = {name: registry.get("metric", name) for name in names}
    left_out = set() if with_speakers else set(enrolment.asking(found))
    return {n: m for n, m in found.items() if n not in left_out and not m.asks("waveforms")}


@dataclass(frozen=True)
class _How:
    """What is the same for all pairs."""

    sample_rate: int
    protocol: Protocol
    metrics: Mapping[str, Plugin]
    speakers: Speakers | None
    target: str


def _enrolled(
    speakers: Mapping[str, Sequence[ArrayLike]], sample_rate: int, protocol: Protocol
) -> Speakers:
    analyses = {
        name: [
            _analyze(waveform, f"speaker '{name}', waveform {number}", sample_rate, protocol)
            for number, waveform in enumerate(waveforms)
        ]
        for name, waveforms in speakers.items()
    }
    return enrolment.of_analyses(analyses, sample_rate=sample_rate)


def _score_many(
    reference: Mapping[str, ArrayLike], converted: Mapping[str, ArrayLike], how: _How
) -> Iterator[tuple[str, dict[str, float], dict[str, str]]]:
    """(id, values, failures by metric) of every id of either side, in the references' order."""
    for id_ in dict.fromkeys([*reference, *converted]):
        try:
            for side, waveforms in (("reference", reference), ("converted", converted)):
                if id_ not in waveforms:
                    raise DataError(f"no {side} waveform")
            pair = reference[id_], converted[id_]
            yield id_, *_score_pair(*pair, how)
        except DataError as error:
            yield id_, {}, dict.fromkeys(how.metrics, f"{id_}: {error}")


def _score_pair(
    reference: ArrayLike, converted: ArrayLike, how: _How
) -> tuple[dict[str, float], dict[str, str]]:
    sides = [
        _analyze(waveform, side, how.sample_rate, how.protocol)
        for side, waveform in (("reference", reference), ("converted", converted))
    ]
    waveforms = np.asarray(reference, dtype=np.float64), np.asarray(converted, dtype=np.float64)
    offered = given(waveforms, how.sample_rate, how.speakers, how.target)
    return measure(how.protocol.align(*sides), how.metrics, offered)


def _analyze(waveform: ArrayLike, side: str, sample_rate: int, protocol: Protocol) -> Analysis:
    samples = np.asarray(waveform)
    if samples.ndim != 1 or not np.issubdtype(samples.dtype, np.floating):
        raise DataError(
            f"{side}: {samples.dtype} of shape {samples.shape}; must be floats in [-1, 1] of shape "
            "(samples,): mix channels down, divide 16-bit integers by 32768"
        )
    problem = audio.problem(samples, sample_rate)
    if problem:
        raise DataError(f"{side}: {problem}")
    return protocol.analyze(samples.astype(np.float64), sample_rate)
