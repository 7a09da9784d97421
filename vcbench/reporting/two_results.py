"""Two sets of scores against each other: two runs, two results of `vcbench score`, or one of each.

Scores are paired by (pair, direction, seed, utterance) and compared per system and metric, as a
suite's own comparison is: over seeds and sentences where there are seeds enough, and otherwise
over sentences, which says nothing of other trainings. All systems in all metrics are one family
(`vcbench.statistics.families`): a gate looks at all of them at once, and a table that claimed more
than its gate would contradict it. What stands on one side only is counted and named.

Scores of different protocols are different quantities: they are refused, and so is one name for
two definitions.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from vcbench.errors import DataError, UsageError
from vcbench.plugins import Registry
from vcbench.reporting import format as fmt
from vcbench.reporting.model import Column
from vcbench.reporting.run_files import SCORE_KEYS, read_run, read_table
from vcbench.reporting.seeds import differences, equal_scores, evidence, n_seeds, scores_by_seed
from vcbench.statistics import Difference, Evidence, judged, needed

_WAYS = ("lower", "higher", "neither")
_COLUMNS = [*SCORE_KEYS, "value", "unit"]
_UNREADABLE = (
    OSError,
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    OverflowError,
    RecursionError,
)
_OF_SCORE = ["system", "utterance", "metric", "protocol", "value", "unit"]  # vcbench score --csv


@dataclass(frozen=True)
class Results:
    """Scores in long form (`_COLUMNS`), which way is better, and the texts of protocols."""

    path: Path
    scores: pd.DataFrame
    better: Mapping[str, str] = field(default_factory=dict)
    protocols: Mapping[str, str] = field(default_factory=dict)
    fingerprint: str = ""


@dataclass(frozen=True)
class Compared:
    """One system in one metric. `difference` is b minus a, in the column's unit.

    `mean_a` and `mean_b` are over the same scores, those that both sides have. `decision` is
    equal, better or worse (of b), different (where no way is better, or none is known), undecided,
    or missing where no score could be paired. `unpaired` names what one side alone has;
    `undefined` counts the scores that neither has.
    """

    a: str
    b: str
    column: Column
    mean_a: float
    mean_b: float
    difference: Difference
    decision: str
    n_seeds: int
    unpaired: tuple[str, ...]
    undefined: int

    @property
    def system(self) -> str:
        """The system's name, or both where they differ."""
        return self.a if self.a == self.b else f"{self.a} / {self.b}"

    @property
    def named(self) -> str:
        """`SYSTEM, METRIC`; a file of one system may not name it."""
        return ", ".join(text for text in (self.system, self.column.key) if text)


@dataclass(frozen=True)
class TwoResults:
    """All that two sets of scores have in common, and `gaps`: what they do not."""

    compared: tuple[Compared, ...]
    gaps: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def needed(self) -> int:
        """Seeds (where there are any), and sentences, without which no claim is made."""
        return needed(len(self.compared))


def read_results(path: Path) -> Results:
    """Read a run's folder, or a file of `vcbench score --json` or `--csv`, or a results.csv.

    Raises:
        UsageError: there is no such file or folder.
        DataError: it cannot be understood.
    """
    if path.is_dir():
        run = read_run(path)
        described = run.manifest.get("metrics") or {}
        return Results(
            path,
            run.results[_COLUMNS],
            {name: str(about.get("better") or "") for name, about in described.items()},
            dict(run.manifest.get("protocols") or {}),
            str((run.manifest.get("data") or {}).get("fingerprint") or ""),
        )
    if not path.is_file():
        raise UsageError(
            f"{path}: no such file or folder; name a run's folder (reports/SUITE/latest) or a file "
            "that vcbench score wrote with --json or --csv"
        )
    return _from_json(path) if path.suffix == ".json" else _from_csv(path)


def compare_results(a: Results, b: Results) -> TwoResults:
    """b minus a for every system and metric that both hold.

    Raises:
        UsageError: nothing can be paired, or a metric was scored under different protocols.
    """
    _refuse_other_protocols(a, b)
    systems, gaps = _systems(a, b)
    metrics, other = _metrics(a, b)
    gaps += other
    asked = [(one, two, column) for column in metrics for one, two in systems]
    pairs = [
        _pair(_of(a.scores, column), _of(b.scores, column), one, two) for one, two, column in asked
    ]
    family = judged([pair.evidence for pair in pairs])
    compared = [
        _compared(*of_whom, pair, found)
        for of_whom, pair, found in zip(asked, pairs, family, strict=True)
    ]
    if not any(c.difference.n for c in compared):
        raise UsageError(
            f"{a.path} and {b.path} share no score: scores are paired by pair, direction, seed and "
            "utterance, of equal systems and metrics"
        )
    notes = _undefined(compared)
    if a.fingerprint and b.fingerprint and a.fingerprint != b.fingerprint:
        notes.insert(0, "the two runs did not use the same data (their fingerprints differ)")
    gaps += [f"{c.named}: {text}" for c in compared for text in c.unpaired]
    return TwoResults(tuple(compared), tuple(gaps), tuple(notes))


def _undefined(compared: Sequence[Compared]) -> list[str]:
    """A line for each metric that has scores which neither side could compute."""
    found: dict[str, list[str]] = {}
    for one in compared:
        if one.undefined:
            of_whom = f"{one.undefined} of {one.system}" if one.system else str(one.undefined)
            found.setdefault(one.column.key, []).append(of_whom)
    return [
        f"{key}: scores undefined on both sides are left out: {fmt.listing(whose)}"
        for key, whose in found.items()
    ]


def _from_json(path: Path) -> Results:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        systems = document.get("systems") or {"": document}
        protocol = str(document["protocol"])
        better = {}
        rows = []
        for system, one in systems.items():
            for metric, about in one["metrics"].items():
                better[metric] = str(about.get("better") or "")
                for utterance in one["utterances"]:
                    value = utterance["values"].get(metric)
                    unit = str(about.get("unit") or "")
                    key = (system, "", "", "", str(utterance["id"]), metric, protocol)
                    if not isinstance(value, int | float | None):
                        raise TypeError(f"the value {value!r} is no number")
                    rows.append((*key, value, unit))
        scores = pd.DataFrame(rows, columns=_COLUMNS)
        scores["value"] = pd.to_numeric(scores["value"], errors="coerce").astype("float64")
    except _UNREADABLE as error:
        raise DataError(f"{path}: not what vcbench score --json writes: {error!r}") from None
    texts = {protocol: str(document.get("protocol_text") or "")}
    return Results(path, _unique(path, scores), better, texts)


def _from_csv(path: Path) -> Results:
    scores = read_table(path, _OF_SCORE, optional=["pair", "direction", "seed"])
    return Results(path, _unique(path, scores[_COLUMNS]))


def _unique(path: Path, scores: pd.DataFrame) -> pd.DataFrame:
    twice = scores[scores.duplicated(SCORE_KEYS)]
    if len(twice):
        first = twice.iloc[0]
        where = ", ".join(f"{key} {first[key]}" for key in SCORE_KEYS if first[key])
        raise DataError(f"{path}: {len(twice)} scores stand twice, the first for {where}")
    return scores


def _refuse_other_protocols(a: Results, b: Results) -> None:
    under = [_protocols(results.scores) for results in (a, b)]
    for metric in sorted(under[0].keys() & under[1].keys()):
        if not under[0][metric] & under[1][metric]:
            first, second = (", ".join(sorted(found[metric])) for found in under)
            raise UsageError(
                f"{metric} was scored under {first} in {a.path} and under {second} in {b.path}: "
                "different protocols measure different quantities; score both under one"
            )
    for name in sorted(a.protocols.keys() & b.protocols.keys()):
        # Which path was stored with its name in front does not matter.
        texts = {r.protocols[name].removeprefix(f"{name}:").strip() for r in (a, b)} - {""}
        if len(texts) > 1:
            raise UsageError(
                f"protocol {name} is not the same in {a.path} and {b.path}: its text has changed "
                "between them; score both with one version"
            )


def _protocols(scores: pd.DataFrame) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for metric, protocol in zip(scores["metric"], scores["protocol"], strict=True):
        found.setdefault(str(metric), set()).add(str(protocol))
    return found


def _systems(a: Results, b: Results) -> tuple[list[tuple[str, str]], list[str]]:
    """Systems to compare: of equal names, or the only one of each; and who stands alone."""
    one, two = (list(dict.fromkeys(r.scores["system"])) for r in (a, b))
    if len(one) == len(two) == 1:
        return [(one[0], two[0])], []
    gaps = [
        f"{system}: only in {r.path}"
        for r, mine, others in ((a, one, two), (b, two, one))
        for system in mine
        if system not in others
    ]
    return [(system, system) for system in one if system in two], gaps


def _metrics(a: Results, b: Results) -> tuple[list[Column], list[str]]:
    """Columns (metric and protocol) that both hold, in a's order; and those of one side.

    A table does not tell which way is better: then the registered metric of that name does.
    """
    one, two = (
        list(dict.fromkeys(zip(r.scores["metric"], r.scores["protocol"], strict=True)))
        for r in (a, b)
    )
    both = [key for key in one if key in two]
    names = [metric for metric, _ in both]
    units = a.scores.drop_duplicates(["metric", "protocol"]).set_index(["metric", "protocol"])
    told = {metric: a.better.get(metric) or b.better.get(metric) or "" for metric in names}
    told |= _registered(metric for metric, way in told.items() if way not in _WAYS)
    columns = [
        Column(
            key=metric if names.count(metric) == 1 else f"{metric}@{protocol}",
            metric=metric,
            protocol=protocol,
            unit=str(units.loc[(metric, protocol), "unit"]),
            better=told[metric],
        )
        for metric, protocol in both
    ]
    gaps = [
        f"{metric} ({protocol}): only in {r.path}"
        for r, mine, others in ((a, one, two), (b, two, one))
        for metric, protocol in mine
        if (metric, protocol) not in others
    ]
    return columns, gaps


def _registered(metrics: Iterable[str]) -> dict[str, str]:
    """Which way is better by what plugins declare, of those metrics that one plugin has.

    Nothing is imported, so that a metric whose packages are not installed here is known too.
    """
    asked = set(metrics)
    ways: dict[str, set[str]] = {}
    for declared in Registry().declarations("metric") if asked else ():
        if declared.name in asked:
            ways.setdefault(declared.name, set()).add(declared.details.get("better", ""))
    one = {metric: next(iter(found)) for metric, found in ways.items() if len(found) == 1}
    return {metric: way if (way := one.get(metric)) in _WAYS else "" for metric in asked}


@dataclass(frozen=True)
class _Pair:
    """Differences of one system in one metric, and all scores of both sides."""

    table: pd.DataFrame
    scores: pd.DataFrame
    unpaired: tuple[str, ...]
    undefined: int

    @property
    def evidence(self) -> Evidence | None:
        return evidence(self.table) if len(self.table) else None


def _of(scores: pd.DataFrame, column: Column) -> pd.DataFrame:
    return scores[(scores["metric"] == column.metric) & (scores["protocol"] == column.protocol)]


def _pair(a: pd.DataFrame, b: pd.DataFrame, one: str, two: str) -> _Pair:
    sides = [a[a["system"] == one].assign(system="a"), b[b["system"] == two].assign(system="b")]
    keys = ["pair", "direction", "seed", "utterance"]
    there = [set(s[keys].itertuples(index=False)) for s in sides]
    defined = [set(s.loc[s["value"].notna(), keys].itertuples(index=False)) for s in sides]
    scores = scores_by_seed(pd.concat(sides))
    unpaired = []
    in_a, in_b = defined
    for mine, other, name in ((in_a, in_b, "the first"), (in_b, in_a, "the second")):
        alone = sorted(mine - other)
        if alone:
            first = " ".join(str(part) for part in alone[0] if part)
            unpaired.append(f"{len(alone)} scored only in {name} (such as {first})")
    undefined = len((there[0] | there[1]) - in_a - in_b)
    return _Pair(differences(scores, "b", "a"), scores, tuple(unpaired), undefined)


def _compared(a: str, b: str, column: Column, pair: _Pair, found: Difference) -> Compared:
    both = pair.table.notna().all(axis=1)
    of_side = pair.scores[both].T.groupby(level="system").mean().T
    means = [
        float(of_side[s].mean()) if both.any() and s in of_side else float("nan") for s in "ab"
    ]
    return Compared(
        a=a,
        b=b,
        column=column,
        mean_a=means[0],
        mean_b=means[1],
        difference=found,
        decision=_decision(column, found, equal=equal_scores(pair.scores, "a", "b")),
        n_seeds=n_seeds(pair.table),
        unpaired=pair.unpaired,
        undefined=pair.undefined,
    )


def _decision(column: Column, found: Difference, *, equal: bool) -> str:
    if not found.n:
        return "missing"
    if equal:
        return "equal"
    if not found.decided:
        return "undecided"
    if not column.has_direction:
        return "different"
    return "better" if column.is_better(found) else "worse"
