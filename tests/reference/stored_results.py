"""What one published folder holds, read without any code that wrote it, and how it is rounded.

Values come from the CSV and JSON files of the folder alone, parsed to the last bit, so that a
number on a page is compared with what a reader would find in them.
"""

from __future__ import annotations

import csv
import json
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

Row = dict[str, str]
SCALES = {"k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}
REFERENCE = "mean-variance"


@dataclass(frozen=True)
class Estimate:
    """A mean and its interval, None where there is none; `n` of `expected` were scored."""

    mean: float | None
    low: float | None = None
    high: float | None = None
    n: int | None = None
    expected: int | None = None

    def without_direction(self) -> Estimate:
        """What a sentence gives that tells the direction in words."""
        if self.mean is None or self.mean >= 0:
            return self
        low, high = (None if v is None else -v for v in (self.high, self.low))
        return Estimate(-self.mean, low, high, self.n, self.expected)


def shows(text: str, value: float | None, *, sign: bool = False) -> bool:
    """Whether `text` is `value` rounded to the decimals that it has, as a page writes it.

    A minus is `−`, thousands are parted by commas or not at all, a number with a prefix (`9.51 M`)
    is that of `value` divided, and what is missing is a dash. sign: above zero stands a plus, as
    in differences; elsewhere there is none.
    """
    if value is None:
        return text == "–"
    digits, _, prefix = text.partition(" ")
    scaled = value / SCALES[prefix] if prefix in SCALES else value
    if prefix and prefix not in SCALES:
        return False
    decimals = len(digits.partition(".")[2])
    comma = "," if "," in digits else ""
    plain = f"{scaled:{comma}.{decimals}f}"
    rounded = float(plain.replace(",", ""))
    expected = plain.removeprefix("-") if rounded == 0 else plain.replace("-", "−")
    return digits == (f"+{expected}" if sign and rounded > 0 else expected)


def number(text: str | None) -> float | None:
    """A cell of a CSV as the value that was written; None where it is empty."""
    return float(text) if text else None


def count(text: str | None) -> int | None:
    """A cell of a CSV as a count."""
    return int(float(text)) if text else None


def needed(comparisons: int = 1) -> int:
    """The fewest signs of which 2 / 2 ** n, the smallest p, is at most 0.05 / `comparisons`."""
    return next(n for n in range(1, 99) if 2 / 2**n <= 0.05 / comparisons)


@dataclass
class Results:
    """One published folder."""

    folder: Path

    def _json(self, name: str) -> Any:
        return json.loads((self.folder / name).read_text(encoding="utf-8"))

    def table(self, name: str) -> list[Row]:
        """The rows of a CSV file; none where it was not written."""
        path = self.folder / name
        if not path.is_file():
            return []
        with path.open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))

    @cached_property
    def summary(self) -> dict[str, Any]:
        return dict(self._json("summary.json"))

    @cached_property
    def board(self) -> dict[str, Any]:
        return dict(self._json("leaderboard.json"))

    @cached_property
    def suite(self) -> dict[str, Any]:
        return dict(self._json("suite.json"))

    @cached_property
    def cells(self) -> list[dict[str, Any]]:
        lines = (self.folder / "cells.jsonl").read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines]

    @cached_property
    def rows(self) -> dict[str, Row]:
        """leaderboard.csv by system, in its order."""
        return {row["system"]: row for row in self.table("leaderboard.csv")}

    @cached_property
    def directions(self) -> dict[tuple[str, str, str, str], Row]:
        return {
            (row["system"], row["direction"], row["metric"], row["protocol"]): row
            for row in self.table("tables/directions.csv")
        }

    @cached_property
    def effects(self) -> dict[tuple[str, str, str], Row]:
        return {
            (row["system"], row["metric"], row["protocol"]): row
            for row in self.table("tables/effects.csv")
        }

    @cached_property
    def checks(self) -> list[Row]:
        return self.table("checks.csv") if (self.folder / "checks.csv").stat().st_size > 1 else []

    @cached_property
    def levels(self) -> dict[str, Row]:
        return {row["system"]: row for row in self.table("levelling.csv")}

    @property
    def metrics(self) -> dict[str, dict[str, Any]]:
        """By the key of their columns; the table's order."""
        return dict(self.board["metrics"])

    @property
    def comparison(self) -> dict[str, Any]:
        return dict(self.board["comparison"] or {})

    @cached_property
    def asked(self) -> dict[str, dict[str, Any]]:
        """The comparison's systems, each with its difference in the metric asked about."""
        found = {}
        for effect in self.comparison.get("systems", []):
            difference = effect["differences"].get(self.comparison["metric"])
            found[effect["system"]] = {**effect, "asked": difference}
        return found

    def decided(self, *decisions: str) -> list[str]:
        """The systems of the comparison of which this was decided."""
        return [s for s, found in self.asked.items() if found["decision"] in decisions]

    @cached_property
    def names(self) -> list[str]:
        """All systems, so that none comes after one whose name begins with its own."""
        return sorted(self.rows, key=len, reverse=True)

    @property
    def first(self) -> str:
        """The metric by which systems are ranked."""
        return next(iter(self.metrics))

    def unit(self, key: str) -> str:
        return str(self.metrics[key]["unit"])

    @property
    def trained(self) -> list[str]:
        return [s for s, row in self.rows.items() if row["kind"] != "baseline"]

    @property
    def ranked(self) -> list[str]:
        return [s for s, row in self.rows.items() if row["rank"]]

    @property
    def beaten(self) -> list[str]:
        """Who beats the untrained reference."""
        return [s for s, row in self.rows.items() if row[f"beats_{REFERENCE}"] == "True"]

    @cached_property
    def seeds(self) -> int:
        """Trainings of the ranked system that has the fewest."""
        ended = {
            s: {c["seed"] for c in self.cells if c["system"] == s and c["status"] == "ok"}
            for s in self.ranked or self.trained
            if self.rows[s]["kind"] == "trained"
        }
        return min((len(found) for found in ended.values() if found), default=0)

    def trainings(self, system: str) -> list[dict[str, Any]]:
        """The cells of a system that were tried."""
        return [c for c in self.cells if c["system"] == system and c["status"] != "skipped"]

    @cached_property
    def lengths(self) -> dict[str, str]:
        """For how many iterations each system was trained, as a sentence says it."""
        found = {}
        for system in self.trained:
            ended = {c["iterations"] for c in self.trainings(system) if c["status"] == "ok"}
            if ended - {None, 0}:
                found[system] = " or ".join(f"{n:,}" for n in sorted(ended - {None, 0}))
        return found

    def score(self, system: str, key: str) -> Estimate:
        """A mean of the table."""
        row = self.rows[system]
        low, high = (number(row[f"{key}_ci95_{end}"]) for end in ("low", "high"))
        n, expected = (count(row[f"{key}_{name}"]) for name in ("n", "expected"))
        return Estimate(number(row[f"{key}_mean"]), low, high, n, expected)

    def to_reference(self, system: str) -> Estimate:
        """A system minus the untrained reference."""
        row = self.rows[system]
        return Estimate(*(number(row[f"versus_{REFERENCE}_{k}"]) for k in ("mean", "low", "high")))

    @cached_property
    def against(self) -> dict[tuple[str, str], Row]:
        """By system and baseline, in the first metric."""
        return {(r["system"], r["baseline"]): r for r in self.table("tables/against.csv")}

    @cached_property
    def told(self) -> list[str]:
        """Texts with numbers that are stored as they are said, the longest first."""
        crops = self.board["same_crops"]
        found = {*crops["mismatches"], *crops["fed_differently"], *crops["without_hash"]}
        for row in self.board["rows"]:
            found |= {*row["health"], row["unranked_because"]}
        for cell in self.cells:
            found |= {cell["cell"], cell["reason"]}
        found |= {effect["missing_because"] for effect in self.asked.values()}
        found |= {self.comparison.get("baseline_missing_because"), *self.summary["protocols"]}
        texts = {text for text in found if text and re.search(r"[a-z]", text)}
        return sorted((t for t in texts if re.search(r"\d", t)), key=len, reverse=True)

    def to_leader(self, system: str) -> Estimate:
        """A system minus the first: what is stored of it, which may be its mean alone."""
        stored = {row["system"]: row for row in self.board["rows"]}[system].get("versus_leader")
        if stored:
            return Estimate(stored["mean"], *(stored["ci"] or (None, None)))
        found = self.against.get((system, self.ranked[0]))
        return Estimate(number(found["mean"]) if found else None)

    def effect(self, system: str) -> Estimate:
        """A system minus the comparison's baseline, in the metric asked about."""
        found = self.asked[system]["asked"]
        return Estimate(found["mean"], *(found["ci"] or (None, None)))


def row_estimate(row: Row) -> Estimate:
    """Of a table in long form."""
    values = (number(row[name]) for name in ("mean", "low", "high"))
    return Estimate(*values, *(count(row[name]) for name in ("n", "expected")))
