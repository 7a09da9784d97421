"""How numbers and names are written for people; machines get the raw values (CSV, JSON)."""

from __future__ import annotations

import math
import re
import statistics
from collections.abc import Iterable

from vcbench.statistics import Estimate
from vcbench.terminal import count_of as count_of

MISSING = "–"
MINUS = "−"
ARROWS = {"lower": "↓", "higher": "↑"}

# Typography only: an unknown word of a metric's name is simply written in lower case.
_ACRONYMS = frozenset({"cer", "dtw", "f0", "ffe", "gpe", "gv", "mcd", "mos", "msd", "pesq", "rmse"})
_ACRONYMS |= {"snr", "stoi", "vde", "vuv", "wer"}
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]+")


def one_line(text: object) -> str:
    """Any text on one line, without control or text-direction characters."""
    return _CONTROL.sub(" ", str(text)).strip()


def spreadsheet_text(text: object) -> object:
    """A text for a CSV that people open in a spreadsheet, where what begins like a formula would be
    computed: an apostrophe before it keeps it a text. Numbers stay as they are.

    >>> spreadsheet_text("=1+1"), spreadsheet_text(-1.5)
    ("'=1+1", -1.5)
    """
    is_formula = isinstance(text, str) and text.startswith(("=", "+", "-", "@", "\t", "\r"))
    return f"'{text}" if is_formula else text


def metric_label(name: str) -> str:
    """A metric's name as prose.

    >>> metric_label("log-f0-rmse")
    'log F0 RMSE'
    """
    return " ".join(w.upper() if w in _ACRONYMS else w for w in one_line(name).split("-"))


def direction_label(direction: str) -> str:
    """`SF1>TM3` as `SF1 → TM3`."""
    return one_line(direction).replace(">", " → ", 1)


def shortened(names: Iterable[str], length: int) -> list[str]:
    """Names cut in their middle to at most `length` characters each: a sweep's differ at ends.

    All of them are left longer where two names would become one.
    """
    texts = [one_line(name) for name in names]
    longest = max(map(len, texts), default=0)
    found = [_cut(text, length) for text in texts]
    while length < longest and len(set(found)) < len(set(texts)):
        length += 1
        found = [_cut(text, length) for text in texts]
    return found


def _cut(text: str, length: int) -> str:
    if len(text) <= length:
        return text
    tail = (length - 1) // 2
    return f"{text[: length - 1 - tail]}…{text[len(text) - tail :]}"


def decimals_for(values: Iterable[float]) -> int:
    """Decimals for a column: three significant digits of its median, four if that begins with 1.

    At most 4. The median, so that one system far off does not coarsen the others' numbers.
    """
    sizes = [abs(v) for v in values if math.isfinite(v) and v]
    if not sizes:
        return 2
    return min(4, max(0, 2 - math.floor(math.log10(statistics.median(sizes) / 2))))


def decimals_for_difference(estimate: Estimate, decimals: int) -> int:
    """More decimals than the means have where the difference's interval would vanish in them."""
    width = estimate.high - estimate.low if estimate.has_interval else abs(estimate.mean)
    while decimals < 4 and 0 < width < 4 * 10.0**-decimals:
        decimals += 1
    return decimals


def number(value: float | None, decimals: int) -> str:
    """A number with a true minus sign, or a dash where there is none."""
    if value is None or not math.isfinite(value):
        return MISSING
    text = f"{value:.{decimals}f}"
    if float(text) == 0:
        text = text.removeprefix("-")
    return text.replace("-", MINUS)


def signed(value: float, decimals: int) -> str:
    """Like `number`, with a plus sign before what is above zero."""
    text = number(value, decimals)
    return f"+{text}" if math.isfinite(value) and float(f"{value:.{decimals}f}") > 0 else text


def interval(estimate: Estimate, decimals: int) -> str:
    """`[7.80, 8.02]`, or nothing where no interval could be computed."""
    if not estimate.has_interval:
        return ""
    return f"[{number(estimate.low, decimals)}, {number(estimate.high, decimals)}]"


def with_interval(estimate: Estimate, decimals: int, *, sign: bool = False) -> str:
    """`7.91 [7.80, 8.02] (36/36)`: mean, interval, scored of expected."""
    mean = signed(estimate.mean, decimals) if sign else number(estimate.mean, decimals)
    parts = [mean, interval(estimate, decimals), counted(estimate)]
    return " ".join(part for part in parts if part)


def scored(estimate: Estimate) -> str:
    """`30/36`: scored of expected; nothing where nothing was expected."""
    return f"{estimate.n}/{estimate.expected}" if estimate.expected else ""


def counted(estimate: Estimate) -> str:
    """`(30/36)`, or nothing."""
    return f"({scored(estimate)})" if estimate.expected else ""


def probability(p: float) -> str:
    """`p = 0.031`, `p < 0.001`, or nothing where there is none."""
    if not math.isfinite(p):
        return ""
    return "p < 0.001" if p < 0.001 else f"p = {p:.2g}"


def quantity(value: float | None) -> str:
    """A count with an SI prefix and three significant digits: `38.1 M`."""
    if value is None or not math.isfinite(value):
        return MISSING
    for factor, prefix in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        # 999.6 k would be written '1000 k': what rounds up to the next prefix takes it.
        if abs(value) >= factor * 0.9995:
            return f"{_three_digits(value / factor)} {prefix}"
    return _three_digits(value)


def measurement(value: float | None) -> str:
    """A measured value with three significant digits, never in powers of ten."""
    if value is None or not math.isfinite(value):
        return MISSING
    return _three_digits(value)


def listing(names: Iterable[str], *, shown: int = 4) -> str:
    """`a, b and c`; what exceeds `shown` is counted."""
    items = list(names)
    if len(items) > shown:
        items = [*items[: shown - 1], f"{len(items) - shown + 1} more"]
    if len(items) < 2:
        return "".join(items)
    return f"{', '.join(items[:-1])} and {items[-1]}"


def _three_digits(value: float) -> str:
    if value == 0:
        return "0"
    digits = 2 - math.floor(math.log10(abs(value)))
    rounded = round(value, digits)
    # 9.996 rounds up to 10.0, which has one digit more before the point.
    digits = 2 - math.floor(math.log10(abs(rounded)))
    return number(rounded, max(0, digits))
