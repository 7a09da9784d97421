"""Results that are committed on purpose, from the suite to the page.

`curves SUITE --every N -o FILE` trains the cells of a suite as `vcbench run` does, and scores them
every N iterations: from these curves a budget is chosen.

`publish RUN_DIR reports/reference/NAME` copies of a run what a reader needs: tables, figures, every
utterance's scores, the manifest, the suite as resolved, how each cell was trained, and thinned
loss curves; no audio, no weights, nothing of the corpus, and no path of this machine.

`findings` writes docs/findings.md, and the README's table, from what is published.

`check reports/reference/NAME --cell ID` trains one cell again from what is stored there, scores it,
and compares every row. Equal numbers need the same kind of machine, the same number of threads and
the same versions; on another, `--tolerance` says how far a score may be off.
"""

from __future__ import annotations

from pathlib import Path

# Here, for a command line that imports no NumPy: processes that score are started with it, and one
# that has NumPy before it is told its number of threads sums in another order.
STORED, PAGE, README = Path("reports/reference"), Path("docs/findings.md"), Path("README.md")
