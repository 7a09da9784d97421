"""A comparison in words: the suite's question answered in one sentence, and what stands beside it.

A sentence never says yes or no, which the question's wording would decide: it says which system
changes the metric which way, by how much, and between which bounds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from vcbench.reporting import format as fmt
from vcbench.reporting.model import Comparison, Effect, Leaderboard
from vcbench.reporting.run_files import Cell
from vcbench.reporting.wording import confidence, decimals_of, detectable_amount, gap, magnitude
from vcbench.statistics import ALPHA, MIN_SEEDS
from vcbench.training.health import SATURATED

_LISTED = 4  # comparisons up to which the sentence tells each of them


def verdict(comparison: Comparison, leaderboard: Leaderboard) -> str:
    """The answer in one sentence."""
    return f"{_Words(comparison, leaderboard).sentence()}."


def power(comparison: Comparison, leaderboard: Leaderboard) -> list[str]:
    """What the design could have found, where something is undecided though it need not be."""
    column = comparison.column
    undecided = [e for e in comparison.effects if e.decision == "undecided" and e.claimable]
    found = [effect.differences[column.key] for effect in undecided]
    text = detectable_amount(found, column, decimals_of(leaderboard, column)) if found else ""
    return [f"With 80 % power this design finds {text}."] if text else []


def saturation(leaderboard: Leaderboard) -> list[str]:
    """In how many cells the discriminator saturated: one sentence where that may matter, or none.

    It may where it happened, and where the systems differ in discriminator or objective.
    """
    comparison = leaderboard.comparison
    rows = [leaderboard.row(s) for s in comparison.systems] if comparison else []
    cells = {r.system: [c for c in r.cells if not c.skipped] for r in rows if r and r.trained}
    cells = {system: ran for system, ran in cells.items() if ran}
    found = {
        system: sum(any(flag.startswith(SATURATED) for flag in c.health) for c in ran)
        for system, ran in cells.items()
    }
    if not any(found.values()):
        if not cells or not _adversaries_differ(leaderboard, cells):
            return []
        n = sum(map(len, cells.values()))
        return [
            f"The discriminator saturated in none of {fmt.count_of(n, 'cell')}{_within(cells)}."
        ]
    flagged = [s for s in cells if found[s]]
    first, *others = flagged
    counts = [f"{found[first]} of {fmt.count_of(len(cells[first]), 'cell')} of {first}"]
    counts += [f"{found[s]} of {len(cells[s])} of {s}" for s in others]
    spared = [s for s in cells if not found[s]]
    text = f"The discriminator saturated in {fmt.listing(counts)}"
    if spared:
        of_whom = fmt.listing(spared) if len(spared) < 3 else "the others"
        text += f"{',' if len(flagged) > 1 else ''} and in none of {of_whom}"
    return [f"{text}{_within(cells)}."]


def effect_notes(leaderboard: Leaderboard) -> list[str]:
    """What the plot and the table of effects show."""
    comparison = leaderboard.comparison
    if comparison is None:
        return []
    k = len(comparison.effects)
    claimable = any(effect.claimable for effect in comparison.effects)
    if k == 1 or not claimable:
        level = "Intervals are 95 % intervals"
    else:
        level = (
            f"Intervals have the levels at which Holm's procedure tested the {k} differences of a "
            f"metric (from {confidence(ALPHA / k)} for the smallest p), so that they exclude "
            "zero exactly where p, corrected for all of them, is at most 0.05"
        )
    trained = comparison.n_seeds
    if 0 < trained < MIN_SEEDS:
        covers = (
            f"they cover the choice of sentences only: {_seeds(trained)} "
            f"{'tells' if trained == 1 else 'tell'} too little of luck in training"
        )
    elif trained:
        covers = (
            "they resample seeds and sentences, equal seeds of two systems together; they do not "
            "cover the choice of speakers"
        )
    else:
        covers = "they resample sentences; they do not cover the choice of speakers"
    label = fmt.metric_label(comparison.column.metric)
    others = [r.system for r in leaderboard.trained if r.system not in comparison.systems]
    apart = f"Trained, but not in this comparison: {fmt.one_line(fmt.listing(others))}."
    return [
        f"Differences are system minus {comparison.baseline}. {level}; {covers}.",
        f"Better and worse are said of {label} alone, where the interval excludes zero and there "
        f"are at least {comparison.needed} seeds and sentences, fewer than which could not reach "
        f"significance in an exact sign-flip test"
        f"{f' corrected for {k} comparisons' if k > 1 else ''}. Nothing is claimed from the other "
        "metrics.",
        *([apart] if others else []),
    ]


def decision_words(effect: Effect, comparison: Comparison) -> str:
    """What was decided of one system: `better (p = 0.003)`, `undecided: too few seeds`."""
    if effect.decision == "equal":
        return "no difference"
    if effect.decision == "missing":
        return f"not compared: {fmt.one_line(effect.reason)}"
    if not effect.claimable:
        few = 0 < effect.n_seeds < comparison.needed
        return f"{effect.decision}: too few {'seeds' if few else 'sentences'}"
    p = fmt.probability(effect.differences[comparison.column.key].p_holm)
    return f"{effect.decision} ({p})"


class _Words:
    """The parts of the answer's sentence."""

    def __init__(self, comparison: Comparison, leaderboard: Leaderboard) -> None:
        self.comparison = comparison
        self.column = comparison.column
        self.effects = comparison.effects
        self.base = comparison.baseline
        self.label = fmt.metric_label(self.column.metric)
        scored = any(c.key == self.column.key for c in leaderboard.columns)
        self.decimals = decimals_of(leaderboard, self.column) if scored else 2

    def sentence(self) -> str:
        if self.comparison.baseline_reason:
            reason = fmt.one_line(self.comparison.baseline_reason)
            return f"No answer: {self.base} cannot be compared ({reason})"
        there = [e for e in self.effects if e.decision != "missing"]
        if not there:
            return f"No answer: with {self.base} nothing can be compared: {self._absent()}"
        if len(there) == 1 and len(self.effects) == 1:
            return self._one(there[0])
        if all(e.decision == "equal" for e in there):
            text = self._all_equal(there)
        elif len(self.effects) <= _LISTED:
            text = self._each(there)
        else:
            text = self._many(there)
        return f"{text}; not compared: {self._absent()}" if self._absent() else text

    def _one(self, effect: Effect) -> str:
        difference = effect.differences[self.column.key]
        if effect.decision == "equal":
            return self._all_equal([effect])
        if effect.decided:
            return f"{effect.system} {self._changes(effect, f' against {self.base}')}"
        measured = gap(difference, self.column, self.decimals).split(" [")
        interval = f" [{measured[1]}" if len(measured) > 1 else ""
        text = f"{effect.system} differs from {self.base} by {measured[0]} {self.label}{interval}"
        if not effect.claimable:
            return f"Undecided: {self._in_this_run()}{text}{self._alone()}; {self._needs()}"
        return f"Undecided: {text}, which bounds any effect to {self._bound([effect])}"

    def _each(self, there: list[Effect]) -> str:
        """Every system with its difference."""
        if all(e.decision == "undecided" for e in there):
            listed = fmt.listing((f"{self._gap(e)} for {e.system}" for e in there), shown=_LISTED)
            text = f"against {self.base}, {self.label} differs by {listed}"
            if self._unclaimable(there):
                alone = f", with intervals{self._alone()}" if self._alone() else ""
                return f"Undecided: {self._in_this_run()}{text}{alone}; {self._needs()}"
            return f"Undecided: {text}, which bounds any effect to {self._bound(there)}"
        text = f"against {self.base}, {'; '.join(map(self._clause, there))}"
        text = f"A{text[1:]}" if any(e.decided for e in there) else f"Undecided: {text}"
        return text + self._unless_claimable(there)

    def _clause(self, effect: Effect) -> str:
        if effect.decision == "equal":
            return f"{effect.system} makes no difference (every {self.label} is equal)"
        if effect.decided:
            return f"{effect.system} {self._changes(effect)}"
        return f"{effect.system} is undecided ({self._gap(effect)})"

    def _many(self, there: list[Effect]) -> str:
        """How many are decided, and the largest; the others are in the plot."""
        decided = sorted((e for e in there if e.decided), key=self._size, reverse=True)
        undecided = [e for e in there if e.decision == "undecided"]
        equal = [e for e in there if e.decision == "equal"]
        k = len(self.effects)
        if decided:
            verb = "differs" if len(decided) == 1 else "differ"
            text = f"{len(decided)} of {k} systems {verb} from {self.base} in {self.label}"
            text += f"{', most of all' if len(decided) > 1 else ':'} {decided[0].system}, which "
            text += self._changes(decided[0], metric="it")
            if undecided:
                verb = "is" if len(undecided) == 1 else "are"
                bound = f", with effects of at most {self._bound(undecided)}"
                text += f"; {len(undecided)} {verb} undecided"
                text += self._unless_claimable(undecided) or bound
        else:
            largest = max(undecided, key=self._size)
            what = f"the largest of {k} differences from {self.base} in {self.label} is "
            what += f"{self._gap(largest)}{self._alone()}, of {largest.system}"
            text = f"Undecided: {self._in_this_run() if self._unclaimable(there) else ''}{what}"
            text += self._unless_claimable(there) or f"; none exceeds {self._bound(undecided)}"
        if equal:
            text += (
                f"; {fmt.listing(e.system for e in equal)} made no difference to any {self.label}"
            )
        return f"{text} (see the effects)"

    def _all_equal(self, effects: list[Effect]) -> str:
        names = fmt.listing(e.system for e in effects)
        scores = f"every score is equal between {names} and {self.base}"
        if all(e.identical for e in effects):
            return f"No difference: {scores}"
        return f"No difference in {self.label}: {scores}; in other metrics some differ"

    def _changes(self, effect: Effect, against: str = "", *, metric: str = "") -> str:
        """`lowers MCD by 0.31 dB [0.10, 0.52] against sigmoid`."""
        difference = effect.differences[self.column.key]
        verb = "raises" if difference.mean > 0 else "lowers"
        by = gap(magnitude(difference), self.column, self.decimals, sign=False)
        return f"{verb} {metric or self.label} by {by}{against}"

    def _gap(self, effect: Effect) -> str:
        return gap(effect.differences[self.column.key], self.column, self.decimals)

    def _size(self, effect: Effect) -> float:
        return abs(effect.differences[self.column.key].mean)

    def _bound(self, effects: Iterable[Effect]) -> str:
        """The end of an interval that is farthest from zero."""
        found = [e.differences[self.column.key] for e in effects]
        widest = max(found, key=lambda d: max(abs(d.low), abs(d.high)))
        decimals = fmt.decimals_for_difference(widest, self.decimals)
        bound = fmt.number(max(abs(widest.low), abs(widest.high)), decimals)
        return " ".join(t for t in (bound, self.column.unit) if t)

    def _absent(self) -> str:
        missing = [e for e in self.effects if e.decision == "missing"]
        return fmt.one_line(fmt.listing(f"{e.system} ({e.reason})" for e in missing))

    @staticmethod
    def _unclaimable(effects: Iterable[Effect]) -> bool:
        return any(not e.claimable and e.decision == "undecided" for e in effects)

    def _unless_claimable(self, effects: Iterable[Effect]) -> str:
        return f"; {self._needs()}" if self._unclaimable(effects) else ""

    def _in_this_run(self) -> str:
        n = self.comparison.n_seeds
        return f"in this run of {_seeds(n)}, " if n else "in this run, "

    def _alone(self) -> str:
        """What the interval lacks, to be put behind it."""
        return " over sentences alone" if 0 < self.comparison.n_seeds < MIN_SEEDS else ""

    def _needs(self) -> str:
        """What is lacking for a claim."""
        needed, k = self.comparison.needed, len(self.effects)
        lacking = []
        if 0 < self.comparison.n_seeds < needed:
            lacking.append(f"{needed} seeds")
        if self.comparison.n_sentences < needed:
            lacking.append(f"{needed} sentences")
        about = f" about {k} systems" if k > 1 else ""
        return f"a claim{about} needs {fmt.listing(lacking)}"


def _seeds(n: int) -> str:
    return "one seed" if n == 1 else f"{n} seeds"


def _adversaries_differ(leaderboard: Leaderboard, systems: Iterable[str]) -> bool:
    described = (leaderboard.manifest.get("suite") or {}).get("systems") or {}
    found = [described.get(system) or {} for system in systems]
    return any(
        [s.get(part) for s in found] != [found[0].get(part)] * len(found)
        for part in ("discriminator", "objective")
    )


def _within(cells: Mapping[str, list[Cell]]) -> str:
    """How long the trainings were, where all were equally long."""
    lengths = {c.iterations for ran in cells.values() for c in ran}
    (length,) = lengths if len(lengths) == 1 else (None,)
    return f", within {length} iterations" if length else ""
