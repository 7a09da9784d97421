"""What a run leaves on disk, and nothing else writes there: see `reports/README.md`.

Files are written to a temporary name and renamed, so a reader never sees half of one; `cells.jsonl`
alone grows line by line.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vcbench.errors import UsageError
from vcbench.sealed import replacing

if TYPE_CHECKING:
    import pandas as pd

RESULTS = [
    "suite",
    "system",
    "pair",
    "direction",
    "seed",
    "utterance",
    "metric",
    "protocol",
    "value",
    "unit",
]
TRAINING = ["system", "pair", "seed", "iteration", "name", "value"]
THROUGHPUT = ["system", "device", "phase", "metric", "value", "unit"]


@dataclass
class CellRecord:
    """How one cell fared: a line of `cells.jsonl`."""

    cell: str
    system: str
    pair: str
    seed: int | None
    kind: str  # trained, external or baseline
    status: str = "ok"
    reason: str = ""
    cached: bool = False
    key: str = ""
    seconds: float = 0.0
    iterations: int | None = None
    health: Sequence[str] = field(default_factory=tuple)
    crop_stream_sha256: str | None = None
    log: str = ""

    def fail(self, status: str, reason: str) -> None:
        """Note the first thing that went wrong; later ones are its consequences."""
        if self.status == "ok":
            self.status, self.reason = status, reason


class RunFolder:
    """One run's folder, `reports/<suite>/<UTC>-<gitsha7>[-dirty]`."""

    def __init__(self, reports_dir: Path, suite: str, revision: str) -> None:
        """Create the folder; raises `UsageError` if the reports cannot be written there."""
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        parent = reports_dir / suite
        for attempt in range(1, 100):
            suffix = "" if attempt == 1 else f".{attempt}"  # two runs within one second
            self.path = parent / f"{stamp}-{revision}{suffix}"
            try:
                self.path.mkdir(parents=True)
                return
            except FileExistsError:
                continue
            except OSError as error:
                raise UsageError(
                    f"{parent}: reports cannot be written there ({error.strerror}); "
                    "name another folder with --reports or VCBENCH_REPORTS_DIR"
                ) from None
        raise UsageError(f"{parent}: too many runs in one second")

    def write_json(self, name: str, value: Any) -> None:
        """Write one JSON file."""
        text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
        self._replace(name, lambda path: path.write_text(text + "\n", encoding="utf-8"))

    def add_cell(self, record: CellRecord) -> None:
        """Append a cell's line."""
        with (self.path / "cells.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(record), ensure_ascii=False) + "\n")

    def write_results(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Write `results.csv` and `results.parquet`."""
        table = _table(rows, RESULTS)
        table["seed"] = table["seed"].astype("Int64")
        self._write_csv("results.csv", table)
        self._replace("results.parquet", lambda path: table.to_parquet(path, index=False))

    def write_training(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Write `training.csv` and `training.parquet`, the loss curves."""
        table = _table(rows, TRAINING)
        self._write_csv("training.csv", table)
        self._replace("training.parquet", lambda path: table.to_parquet(path, index=False))

    def write_throughput(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Write `throughput.csv`."""
        self._write_csv("throughput.csv", _table(rows, THROUGHPUT))

    def add_sample(self, source: Path, relative: str) -> str:
        """Copy a wav below `samples/`; returns its path relative to the run's folder."""
        destination = self.path / "samples" / relative
        destination.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, destination)
        return f"samples/{relative}"

    def point_latest_here(self) -> None:
        """Make `latest`, beside the run's folder, a link to it."""
        temporary = self.path.parent / f".latest.{os.getpid()}"
        temporary.unlink(missing_ok=True)
        temporary.symlink_to(self.path.name)
        temporary.replace(self.path.parent / "latest")

    def _write_csv(self, name: str, table: pd.DataFrame) -> None:
        self._replace(name, lambda path: table.to_csv(path, index=False, lineterminator="\n"))

    def _replace(self, name: str, write: Any) -> None:
        with replacing(self.path / name) as temporary:
            write(temporary)


def _table(rows: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame(list(rows), columns=list(columns))
