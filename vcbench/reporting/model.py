"""What a leaderboard is made of: columns (metrics), rows (systems), and the whole.

All values are computed in `vcbench.reporting.leaderboard`; these classes only hold and look up.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from vcbench.reporting import format as fmt
from vcbench.reporting.crops import CropCheck
from vcbench.reporting.run_files import Cell
from vcbench.statistics import Difference, Estimate, needed

REFERENCE = "mean-variance"
Decision = Literal["better", "worse", "undecided", "equal", "missing"]
_SAID = {"timeout": "timed out", "oom": "ran out of memory", "lost": "lost with its node"}


@dataclass(frozen=True)
class Column:
    """A metric under a protocol: what a column of scores holds.

    `better` is lower, higher, neither where a number only describes, or empty where it is not
    known.
    """

    key: str
    metric: str
    protocol: str
    unit: str
    better: str
    summary: str = ""
    paper: str = ""

    @property
    def has_direction(self) -> bool:
        """Whether one way is known to be better."""
        return self.better in ("lower", "higher")

    @property
    def lower_is_better(self) -> bool:
        """Which way is good."""
        return self.better != "higher"

    @property
    def good(self) -> str:
        """`lower is better`, or what else holds."""
        if not self.better:
            return "which way is better is not known"
        return "neither way is better" if self.better == "neither" else f"{self.better} is better"

    def is_better(self, difference: Estimate) -> bool:
        """Whether the interval of `a - b` lies wholly where `a` is better."""
        if not difference.has_interval or not self.has_direction:
            return False
        return difference.high < 0 if self.lower_is_better else difference.low > 0


@dataclass(frozen=True)
class Measured:
    """A measured speed or size: median and quartiles where it was repeated, with its unit."""

    value: float
    unit: str
    p25: float = math.nan
    p75: float = math.nan


@dataclass(frozen=True)
class Speed:
    """What was measured of one system on one device, by (phase, metric)."""

    system: str
    device: str
    measured: Mapping[tuple[str, str], Measured]

    def value(self, phase: str, metric: str) -> float | None:
        """The number, or None where it was not measured."""
        found = self.measured.get((phase, metric))
        return None if found is None or not math.isfinite(found.value) else found.value


@dataclass(frozen=True)
class Row:
    """One system. Differences are this system's first metric minus another's, paired.

    The interval of `versus_leader` covers seeds and sentences; it has none with too few seeds.
    `apart_in_run`: whether the sentences tell these trainings from those of the first, which says
    nothing of other trainings; None of the first itself, and where sentences are too few to tell.
    `beats_reference` is None where there is no reference, or too little to tell.
    """

    system: str
    kind: str
    cells: tuple[Cell, ...]
    scores: Mapping[str, Estimate]
    rank: int | None = None
    unranked: str = ""
    versus_reference: Difference | None = None
    versus_leader: Difference | None = None
    apart_in_run: bool | None = None
    beats_reference: bool | None = None
    speed: Speed | None = None

    @property
    def trained(self) -> bool:
        """Whether the system has learnt, here or (an external one) elsewhere; no baseline has."""
        return self.kind != "baseline"

    @property
    def cells_ok(self) -> int:
        """How many cells reached their end."""
        return sum(cell.ok for cell in self.cells)

    @property
    def health(self) -> tuple[str, ...]:
        """`CELL: what was noticed while it trained`, in the order of the cells."""
        return tuple(f"{cell.cell}: {flag}" for cell in self.cells for flag in cell.health)

    def incomplete(self, column: Column | None = None) -> str:
        """Why the system cannot be set beside others in that metric, or an empty string."""
        counts = Counter(_said(cell) for cell in self.cells if not cell.ok)
        if counts:
            listed = fmt.listing(f"{n} {said}" for said, n in counts.items())
            return f"of {fmt.count_of(len(self.cells), 'cell')}, {listed}"
        if column is not None:
            estimate, label = self.scores.get(column.key), fmt.metric_label(column.metric)
            if estimate is None:
                return f"{label} was not scored"
            if estimate.n < estimate.expected or not estimate.n:
                missing = estimate.expected - estimate.n
                return f"{label} undefined for {missing} of {estimate.expected} utterances"
        return ""

    def value(self, phase: str, metric: str) -> float | None:
        """A throughput figure (of the first device where there are several), or None."""
        return None if self.speed is None else self.speed.value(phase, metric)

    @property
    def iterations_per_second(self) -> float | None:
        """Training speed."""
        return self.value("training", "iterations_per_second")

    @property
    def real_time_factor(self) -> float | None:
        """Seconds that the whole conversion takes per second of speech; lower is faster."""
        return self.value("conversion", "real_time_factor")

    @property
    def parameters(self) -> float | None:
        """Parameters of one generator."""
        return self.value("model", "generator_parameters")

    @property
    def macs(self) -> float | None:
        """Multiply-accumulates of one generator over 128 frames."""
        return self.value("model", "macs")


@dataclass(frozen=True)
class Effect:
    """What one system changes: its scores minus those of a comparison's baseline.

    `differences` has an entry for every column. `decision` is about the comparison's own metric;
    `reason` says why there is none (missing). `identical`: no score differs, in any metric.
    `n_seeds` is 0 where neither system trains. `claimable`: seeds and sentences are enough for a
    claim, see `vcbench.reporting.comparison`.
    """

    system: str
    differences: Mapping[str, Difference]
    decision: Decision
    reason: str = ""
    identical: bool = False
    n_seeds: int = 0
    claimable: bool = False

    @property
    def decided(self) -> bool:
        """Whether the interval lies on one side of zero, and seeds are enough to say so."""
        return self.decision in ("better", "worse")


@dataclass(frozen=True)
class Comparison:
    """The answer's numbers: every system of the family against one baseline, in one metric.

    `baseline_reason` says why the baseline cannot be compared, or is empty.
    """

    baseline: str
    column: Column
    effects: tuple[Effect, ...]
    n_sentences: int
    baseline_reason: str = ""

    @property
    def systems(self) -> tuple[str, ...]:
        """The baseline and what is set against it."""
        return (self.baseline, *(effect.system for effect in self.effects))

    @property
    def needed(self) -> int:
        """Seeds, and sentences, without which no claim is made."""
        return needed(len(self.effects))

    @property
    def n_seeds(self) -> int:
        """The fewest trainings of any system that could be compared; 0 if none was trained."""
        seeds = [e.n_seeds for e in self.effects if e.n_seeds and e.decision != "missing"]
        return min(seeds, default=0)


@dataclass(frozen=True)
class Against:
    """Trained systems minus one baseline (any system) in the first metric, judged as a family.

    `trained`: the baseline has learnt, so that too few seeds allow no claim and give no interval.
    """

    baseline: str
    trained: bool
    differences: Mapping[str, Difference]


@dataclass(frozen=True)
class Leaderboard:
    """All that the tables and the page show about scores.

    `rows` holds the ranked systems best first, then the unranked ones, then the baselines; a
    system of which every cell was left out by --only has none. `cells` are all of the run.
    `per_direction[column key][system][direction]` is the mean over one direction. `against` holds
    the trained systems against each possible baseline, the default one first.
    """

    suite: str
    question: str
    manifest: Mapping[str, Any]
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    cells: tuple[Cell, ...]
    directions: tuple[str, ...]
    per_direction: Mapping[str, Mapping[str, Mapping[str, Estimate]]]
    speeds: tuple[Speed, ...]
    crops: CropCheck
    n_sentences: int
    comparison: Comparison | None = None
    against: tuple[Against, ...] = ()

    @property
    def ranked_by(self) -> Column | None:
        """The suite's first metric, or None where nothing was scored."""
        return self.columns[0] if self.columns else None

    @property
    def trained(self) -> tuple[Row, ...]:
        """Rows of systems that learn."""
        return tuple(row for row in self.rows if row.trained)

    @property
    def ranked(self) -> tuple[Row, ...]:
        """Rows with a rank, best first."""
        return tuple(row for row in self.rows if row.rank is not None)

    @property
    def baselines(self) -> tuple[Row, ...]:
        """Rows of systems that need no training."""
        return tuple(row for row in self.rows if not row.trained)

    @property
    def n_seeds(self) -> int:
        """Seeds of the ranked system that has the fewest (of all trained ones if none is ranked).

        Only cells that reached their end count; 0 where there are none.
        """
        seeds = [
            {c.seed for c in row.cells if c.ok}
            for row in self.ranked or self.trained
            if row.kind != "external"
        ]
        return min((len(found) for found in seeds if found), default=0)

    @property
    def failed(self) -> tuple[Cell, ...]:
        """Cells that did not reach their end, less those that were skipped."""
        return tuple(cell for cell in self.cells if not cell.ok and not cell.skipped)

    @property
    def skipped(self) -> tuple[Cell, ...]:
        """Cells that were skipped although they were asked for: the run ended early."""
        return tuple(cell for cell in self.cells if cell.skipped and not cell.left_out)

    @property
    def left_out(self) -> tuple[Cell, ...]:
        """Cells that --only left out."""
        return tuple(cell for cell in self.cells if cell.left_out)

    @property
    def protocols(self) -> dict[str, str]:
        """Text of every protocol that a column uses, without its id in front."""
        texts = self.manifest.get("protocols") or {}
        return {
            c.protocol: str(texts.get(c.protocol, "")).removeprefix(f"{c.protocol}:").strip()
            for c in self.columns
        }

    def row(self, system: str) -> Row | None:
        """The row of one system."""
        return next((row for row in self.rows if row.system == system), None)


def _said(cell: Cell) -> str:
    """How a cell ended that did not end well; of a skipped one, also why."""
    if cell.skipped and cell.reason:
        return f"skipped ({cell.reason})"
    return _SAID.get(cell.status, cell.status)
