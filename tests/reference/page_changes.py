"""Changes of one number of a page, to see whether a check finds them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from stored_results import Results

# Digits as a reader meets them; what only looks like a number is hidden from it before.
NUMBER = re.compile(r"(?<!\w)\d+(?:,\d{3})*(?:\.\d+)?(?!\w)")
HIDDEN = r"<!--.*?-->|<a [^>]*>|`[^`]*`|\]\([^)]*\)|^(?:- )?\*[^*\n]+\*$"


def numbers(text: str, stored: Mapping[str, Results], *, prose: bool) -> list[re.Match[str]]:
    """Where the numbers of a page's sentences, or of its tables, stand: but for those in links,
    code, questions and names."""
    names = {n for found in stored.values() for n in (*found.rows, *found.summary["protocols"])}
    pattern = "|".join(
        [HIDDEN, *(re.escape(name) for name in sorted(names, key=len, reverse=True))]
    )
    shown = re.sub(pattern, lambda match: " " * len(match[0]), text, flags=re.MULTILINE)
    places = NUMBER.finditer(shown)
    return [m for m in places if (shown[shown.rfind("\n", 0, m.start()) + 1] != "|") == prose]


def changed(number: str, by: int) -> str:
    """A number with `by` added in its last place; its point and its commas stay."""
    digits = re.sub(r"\D", "", number)
    places = iter(str(abs(int(digits) + by)).zfill(len(digits)))
    more = len(str(abs(int(digits) + by))) - len(digits)
    ahead = "".join(next(places) for _ in range(more))
    return ahead + re.sub(r"\d", lambda _: next(places), number)


def share_found(
    text: str, places: Sequence[re.Match[str]], wrong: Callable[[str], list[str]], *, draws: int
) -> float:
    """Of so many changes of one number by one in its last place, the share that is found."""
    rng = np.random.default_rng(8)
    found = 0
    for _ in range(draws):
        match = places[rng.integers(len(places))]
        other = changed(match[0], int(rng.choice([-1, 1])))
        found += bool(wrong(text[: match.start()] + other + text[match.end() :]))
    return found / draws
