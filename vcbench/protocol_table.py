"""`python -m vcbench.protocol_table docs/metrics.md`: what protocols are, and one audio under each.

The audio is VCC2016's evaluation speech, each source speaker's recording scored as if it were the
conversion (the baseline `source-copy`), in the four directions of the CycleGAN-VC paper. Each table
stands between two markers of the file that is named.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from pathlib import Path

from vcbench import marked_text, paths, protocols, terminal
from vcbench.corpora import Corpus, ProgressCallback
from vcbench.errors import UsageError, VcbenchError
from vcbench.parallel import default_jobs
from vcbench.plugins import Registry
from vcbench.scoring import ScoreItem, ScoreResult, score_all
from vcbench.statistics import mean_with_interval

_MADE = "made by python -m vcbench.protocol_table docs/metrics.md"
DEFINITIONS = f"<!-- protocols: {_MADE} -->", "<!-- protocols: end -->"
SCORES = f"<!-- scores: {_MADE} -->", "<!-- scores: end -->"
# Source to target alone: the other way differs where a protocol looks at the reference's length.
DIRECTIONS = (("SF1", "TF2"), ("SF1", "TM3"), ("SM1", "TF2"), ("SM1", "TM3"))
# Metric, decimals.
METRICS = {"mcd": 2, "path-excess": 3, "f0-rmse": 1, "log-f0-rmse": 3, "vuv-error": 1}


def score_items(corpus: Corpus) -> list[ScoreItem]:
    """Every evaluation sentence of the four directions; labels are (direction, sentence).

    Raises `DataError` where the corpus is not on the disk.
    """
    files = {
        speaker: {u.id: u.path for u in corpus.utterances(speaker, "eval")}
        for speaker in dict.fromkeys(speaker for pair in DIRECTIONS for speaker in pair)
    }
    return [
        ScoreItem(files[target][sentence], path, (f"{source}>{target}", sentence))
        for source, target in DIRECTIONS
        for sentence, path in files[source].items()
    ]


def definitions_table() -> str:
    """A Markdown table of what each protocol is, with its other names."""
    rows = [["protocol", "what its tool prints", "other than `vcbench-1`"], ["---"] * 3]
    for name in ordered_names():
        protocol = protocols.get(name)
        aliases = [f"`{alias}`" for alias, id_ in protocols.ALIASES.items() if id_ == name]
        called = " = ".join([f"`{name}`", *aliases])
        differs = protocol.differs + (f". It {protocol.warning}" if protocol.warning else "")
        rows.append([called, protocol.prints or "-", differs or "-"])
    return _markdown(rows)


def scores_table(
    items: Sequence[ScoreItem],
    names: Sequence[str],
    *,
    jobs: int,
    progress: ProgressCallback | None = None,
) -> str:
    """A Markdown table with the scores of the items under each of the named protocols.

    Scores are cached, so that a call that was interrupted goes on where it was.
    """
    directions = list(dict.fromkeys(item.labels[0] for item in items))
    head = ["protocol", "MCD", "95 % interval", *(d.replace(">", " → ") for d in directions)]
    head += ["of it by fastdtw", "F0 RMSE, Hz", "ln F0 RMSE", "V/UV error, %", "n"]
    rows = [head, ["---", *["--:"] * (len(head) - 1)]]
    registry = Registry()
    for name in names:

        def told(_: str, done: int, total: int | None, name: str = name) -> None:
            if progress:
                progress(name, done, total)

        results = score_all(
            items,
            protocol=name,
            metrics=list(METRICS),
            registry=registry,
            jobs=jobs,
            progress=told,
        )
        rows.append(row(name, results, directions))
    return _markdown(rows)


def ordered_names() -> list[str]:
    """All protocols, the default first."""
    return sorted(protocols.names(), key=lambda name: (name != protocols.DEFAULT, name))


def row(name: str, results: Sequence[ScoreResult], directions: Sequence[str]) -> list[str]:
    """One protocol's cells: means over everything, MCD by direction too, and how many there are."""
    protocol = protocols.get(name)
    sentences = [result.item.labels[1] for result in results]
    found = {
        metric: mean_with_interval([_value(r, metric) for r in results], sentences)
        for metric in METRICS
    }
    mcd = found["mcd"]
    unit = "" if protocol.mcd_unit == "dB" else f", in {protocol.mcd_unit}, not dB"
    cells = [f"`{protocol.id}`{unit}", f"**{_number(mcd.mean, 'mcd')}**"]
    cells.append(f"{_number(mcd.low, 'mcd')} to {_number(mcd.high, 'mcd')}")
    for direction in directions:
        of_it = [_value(r, "mcd") for r in results if r.item.labels[0] == direction]
        scored = [value for value in of_it if not math.isnan(value)]
        cells.append(_number(sum(scored) / len(scored) if scored else math.nan, "mcd"))
    for metric in list(METRICS)[1:]:
        is_exact = metric == "path-excess" and protocol.path != "fastdtw"
        cells.append("-" if is_exact else _number(found[metric].mean, metric))
    return [*cells, f"{mcd.n}/{mcd.expected}"]


def _markdown(rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(cells)} |" for cells in rows)


def _value(result: ScoreResult, metric: str) -> float:
    return result.values.get(metric, math.nan)


def _number(value: float, metric: str) -> str:
    return "-" if math.isnan(value) else f"{value:.{METRICS[metric]}f}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the tables and write them into the files; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m vcbench.protocol_table", description=__doc__)
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="with the markers")
    parser.add_argument("--data", metavar="DIR", help="folder of VCC2016 (VCBENCH_DATA_DIR)")
    parser.add_argument("--jobs", type=int, metavar="N", help="processes; by default all cores")
    args = parser.parse_args(arguments)
    try:
        # Whatever is wrong with the files is said before the long computation.
        texts = {path: path.read_text(encoding="utf-8") for path in args.files}
        for path, text in texts.items():
            texts[path] = marked_text.replaced(text, DEFINITIONS, by=definitions_table())
            marked_text.replaced(text, SCORES, by="")
        corpus = Registry().get("corpus", "vcc2016").factory(data_dir=paths.data_dir(args.data))
        with terminal.progress_bars() as progress:
            scores = scores_table(
                score_items(corpus),
                ordered_names(),
                jobs=args.jobs or default_jobs(),
                progress=progress,
            )
        for path, text in texts.items():
            path.write_text(marked_text.replaced(text, SCORES, by=scores), encoding="utf-8")
    except VcbenchError as error:
        print(f"protocol_table: {error}", file=sys.stderr)
        return error.exit_code
    except OSError as error:
        print(f"protocol_table: {error}", file=sys.stderr)
        return UsageError.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
