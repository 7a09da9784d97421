"""What a page says of each rule that is known beforehand, against `checks.csv`."""

from __future__ import annotations

import re
from collections.abc import Iterator

from stored_results import Results, Row

WORDS = {
    "contradicts": "**Contradicted** by",
    "not shown": "**Not shown** for",
    "agrees": "Holds for",
    "does not apply": "Does not apply to",
}


def wrong_rule(rule: str, text: str, results: Results) -> Iterator[str]:
    """`Holds for A (−1.19 dB; width 0.25)`: outcomes, systems, differences and words are stored.

    text: what stands behind the rule itself, as it is read.
    """
    rows = [row for row in results.checks if row["rule"] == rule]
    parts = []
    for outcome, words in WORDS.items():
        said = [_system(row) for row in rows if row["outcome"] == outcome]
        if said:
            listed = " and ".join(filter(None, [", ".join(said[:-1]), said[-1]]))
            parts.append(f"{words} {listed}.")
    expected = " ".join(parts)
    found = re.sub(r" \(\[table\].*$", "", text.strip())
    if found != expected:
        yield f"rule '{rule}': '{found}' is not '{expected}'"


def _system(row: Row) -> str:
    details = [row["said"]] if row["said"] else []
    if row["against"]:
        text = f"{float(row['difference']):+.2f}"
        text = text[1:] if float(text) == 0 else text.replace("-", "−")
        details.insert(0, f"{text} dB")
    return row["system"] + (f" ({'; '.join(details)})" if details else "")
