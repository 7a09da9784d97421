"""Sentences of a page: every number in them by the phrase in which it stands.

A phrase says what its number is, of which system: the number must be that stored value, with its
sign and its unit. What no phrase accounts for is reported.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import cache

from page_rules import wrong_rule
from page_tables import NUMBER as N
from page_tables import PROBABILITY, probability_shown, unescaped
from stored_results import REFERENCE, Estimate, Results, needed, number, shows

from vcbench.reporting.expectations import RULES

# The only numbers that are no result, each with the words in which it may stand.
EXCUSED = (
    r"Intervals of means are 95 % bootstrap intervals that resample sentences",
    r"Intervals are 95 % intervals;",
    r"with its 95 % interval over cells, lies within 0\.1 dB of zero",
    r"where p, corrected for all of them, is at most 0\.05\b",
    r"of one generator, the latter over 128 frames\.",
    r"each mel-cepstrum averaged over 5 frames",
)
_DIGITS = re.compile(r"(?<![\w.])[+−]?\d[\d,.]*(?!\w)|(?<=[-–/])\d+(?:\.\d+)?(?!\w)")
NAMES = 0xE000  # private characters stand for systems
S = "[\ue000-\uf8ff]"
PROBABLE = "probability"
Match = re.Match[str]
Check = Callable[[Match, Results, str], bool]  # of a phrase, and the system `who` in it


def readable(line: str) -> str:
    """A line without what is not read: links' targets, code, HTML, escapes."""
    text = re.sub(r"<!--.*?-->|<a [^>]*>|(?<!\\)`[^`]*`", " ", line, flags=re.DOTALL)
    return unescaped(re.sub(r"\]\([^)]*\)", "]", text))


def leftovers(text: str) -> list[str]:
    """Numbers for which nothing has accounted."""
    return _DIGITS.findall(text)


def wrong_in_line(line: str, results: Results) -> Iterator[str]:
    """What is wrong in a line that is about `results`."""
    for rule, words in RULES.items():
        if line.startswith(f"- {words} "):
            yield from wrong_rule(rule, readable(line.removeprefix(f"- {words} ")), results)
            return
    if line.startswith("*") and unescaped(line.strip("*")) == results.summary["question"]:
        return
    made = re.fullmatch("### How (.+) was made", line)
    if made and f"/{results.folder.as_posix()}".endswith(f"/{made[1]}"):
        return
    text = readable(line)
    for pattern in EXCUSED:
        text = re.sub(pattern, " ", text)
    for told in results.told:
        text = text.replace(told, " ")
    if not leftovers(text):
        return
    for i, system in enumerate(results.names):
        name = rf"(?<![\w-]){re.escape(system)}(?![\w-]|\.\d)"
        text = re.sub(name, chr(NAMES + i), text)

    def with_names(text: str) -> str:
        return re.sub(S, lambda match: results.names[ord(match[0]) - NAMES], text)

    labels = tuple(m["metric"].replace("-", " ") for m in results.metrics.values())
    units = tuple(sorted({m["unit"] for m in results.metrics.values() if m["unit"]}, reverse=True))
    for phrase, check in _phrases(labels, units):
        for match in phrase.finditer(text):
            try:
                fine = check(match, results, with_names(match.groupdict().get("who") or ""))
            except (KeyError, IndexError):  # said of a system that has no such value
                fine = False
            if not fine:
                yield f"'{with_names(match[0])}' is not what is stored"
            text = text[: match.start()] + "\n" * len(match[0]) + text[match.end() :]
    for found in leftovers(text):
        yield f"'{found}' is of nothing that is known, in '{with_names(text).strip()}'"


def _estimate(match: Match, stored: Estimate, unit: str, *, sign: bool) -> bool:
    """Whether what is shown of an estimate is what is stored; `sign` as in `shows`."""
    fine = shows(match["mean"], stored.mean, sign=sign) and (match["unit"] or "") == unit
    if match["low"]:
        fine &= stored.low is not None and shows(match["low"], stored.low)
        fine &= stored.high is not None and shows(match["high"], stored.high)
    return fine


def _score(match: Match, results: Results, system: str) -> bool:
    key = results.first
    return _estimate(match, results.score(system, key), results.unit(key), sign=False)


def _leads(match: Match, results: Results, system: str) -> bool:
    return system == results.ranked[0] and _score(match, results, system)


def _ahead(match: Match, results: Results, system: str) -> bool:
    """Of the first, whose sentence it is, before `system`."""
    stored = results.to_leader(system).without_direction()
    return _estimate(match, stored, results.unit(results.first), sign=False)


def _beats(match: Match, results: Results, _: str) -> bool:
    best = results.ranked[0]
    stored = results.to_reference(best).without_direction()
    return best in results.beaten and _estimate(
        match, stored, results.unit(results.first), sign=False
    )


def _beside(match: Match, results: Results, _: str) -> bool:
    stored = results.to_reference(results.ranked[0])
    return _estimate(match, stored, results.unit(results.first), sign=True)


def _of_reference(match: Match, results: Results, system: str) -> bool:
    """`A +0.28 dB [0.21, 0.36], p = 0.031, 80 % power for differences from 0.1 dB on`."""
    row = results.rows[system]
    p, detectable = (number(row[f"versus_{REFERENCE}_{k}"]) for k in ("p_holm", "detectable"))
    unit = results.unit(results.first)
    fine = _estimate(match, results.to_reference(system), unit, sign=True)
    fine &= match["probability"] is None if p is None else probability_shown(match[PROBABLE], p)
    return fine and (match["from"] is None or shows(match["from"], detectable))


def _largest_p(match: Match, results: Results, _: str) -> bool:
    """`each p < 0.001`, or the largest `at most`; of one alone neither."""
    several, bounded = len(results.beaten) > 1, "<" in match[PROBABLE]
    if (match["each"], match["most"]) != (
        "each " if several and bounded else None,
        " at most" if several and not bounded else None,
    ):
        return False
    found = [number(results.rows[s][f"versus_{REFERENCE}_p_holm"]) or 0 for s in results.beaten]
    return bool(found) and probability_shown(match[PROBABLE], max(found))


def _confidence(match: Match, results: Results, _: str) -> bool:
    """`intervals at 95 % to 99.17 %`: of all that are tested against the reference."""
    found = [number(results.rows[s][f"versus_{REFERENCE}_level"]) for s in results.ranked]
    levels = [level for level in found if level is not None]
    said = [f"{100 * (1 - level):.4g}" for level in (max(levels), min(levels))]
    return [match["least"], match["most"] or match["least"]] == said


def _alike(match: Match, results: Results, _: str) -> bool:
    """`apart from A, B and 2 more`: whom the run's sentences leave level with the first."""
    told = {row["system"]: row["apart_from_leader_in_this_run"] for row in results.board["rows"]}
    named = [results.names[ord(c) - NAMES] for c in re.findall(S, match["names"])]
    alike = [system for system, apart in told.items() if apart is False]
    return set(named) <= set(alike) and len(named) + int(match["more"] or 0) == len(alike)


def _cost(match: Match, results: Results, system: str) -> bool:
    """`A 137 k parameters, 111 M MACs`: three significant digits."""
    row = results.rows[system]
    stored = (row["generator_parameters"], row["generator_macs"])
    return system in results.beaten and all(
        shows(match[name], float(f"{float(value):.3g}"))
        for name, value in zip(("size", "macs"), stored, strict=True)
    )


def _effect(match: Match, results: Results, system: str) -> bool:
    unit = results.unit(results.comparison["metric"])
    return _estimate(match, results.effect(system), unit, sign=True)


def _changes(match: Match, results: Results, system: str) -> bool:
    """`raises MCD by 0.31`: the verb tells the sign."""
    stored, unit = results.effect(system), results.unit(results.comparison["metric"])
    verb = "raises" if stored.mean is not None and stored.mean > 0 else "lowers"
    fine = _estimate(match, stored.without_direction(), unit, sign=False)
    return match["verb"] == verb and fine


def _bound(match: Match, results: Results, _: str) -> bool:
    """The end of the undecided systems' intervals that is farthest from zero."""
    found = [results.effect(system) for system in results.decided("undecided")]
    ends = [abs(end) for e in found for end in (e.low, e.high) if end is not None]
    return bool(ends) and shows(match["bound"], max(ends))


def _power(match: Match, results: Results, _: str) -> bool:
    """The largest of what could be found of those that are undecided, or level with the first."""
    if results.comparison:
        judged = [results.asked[system]["asked"] for system in results.decided("undecided")]
        judged = [found for found in judged if found["claimable"]]
    else:
        judged = [row.get("versus_leader") for row in results.board["rows"]]
        judged = [d for d in judged if d and not (d["ci"] and d["ci"][0] * d["ci"][1] > 0)]
    sizes = [d["detectable_at_80_percent_power"] for d in judged]
    return any(sizes) and shows(match["from"], max(filter(None, sizes)))


def _few_seeds(match: Match, results: Results, _: str) -> bool:
    """2 / 2 ** n is the smallest p of an exact sign-flip test."""
    n, least = results.seeds, needed()
    said = [match[k] for k in ("n", "again", "least", "p", "least_p")]
    return said == [str(n), str(n), str(least), f"{2 / 2**n:.2g}", f"{2 / 2**least:.2g}"]


def _trained_for(match: Match, results: Results, _: str) -> bool:
    found = results.lengths
    return len(set(found.values())) == 1 and match["n"] in found.values()


def _iterations(match: Match, results: Results, _: str) -> bool:
    """`A, B and 2 more 2,000`: those named, and as many others, were trained for so long."""
    named = [results.names[ord(c) - NAMES] for c in re.findall(S, match["names"])]
    alike = [s for s, said in results.lengths.items() if said == match["n"]]
    return set(named) <= set(alike) and len(named) + int(match["more"] or 0) == len(alike)


def _saturated(match: Match, results: Results, system: str) -> bool:
    cells = results.trainings(system)
    n = sum(any(f.startswith("discriminator saturated") for f in c["health"]) for c in cells)
    return match["k"] == str(n) and match["n"] == str(len(cells))


def _none_saturated(match: Match, results: Results, _: str) -> bool:
    systems = {results.comparison["baseline"], *results.asked}
    cells = [c for s in systems if s in results.trained for c in results.trainings(s)]
    return match["n"] == str(len(cells)) and not any(c["health"] for c in cells)


def _within(match: Match, results: Results, _: str) -> bool:
    return {match["n"]} == {
        str(c["iterations"]) for s in results.trained for c in results.trainings(s)
    }


def _cells(match: Match, results: Results, _: str) -> bool:
    """`3 of 24 cells did not finish`, `were skipped`, `were run`."""
    left_out = [c for c in results.cells if (c["reason"] or "").startswith("left out by --only")]
    skipped = [c for c in results.cells if c["status"] == "skipped" and c not in left_out]
    failed = [c for c in results.cells if c["status"] not in ("ok", "skipped")]
    k = {"did not finish": len(failed), "skipped": len(skipped)}
    expected = k.get(match["what"], len(results.cells) - len(left_out))
    return match["k"] == str(expected) and match["n"] == str(len(results.cells))


def _undefined(match: Match, results: Results, _: str) -> bool:
    scores = [results.score(system, key) for system in results.rows for key in results.metrics]
    found = {(str((s.expected or 0) - (s.n or 0)), str(s.expected)) for s in scores}
    return (match["k"], match["n"]) in found


def _decay(match: Match, results: Results, _: str) -> bool:
    trainings = [s.get("training") or {} for s in results.suite["systems"].values()]
    starts = sorted({int(t["decay_start"]) for t in trainings if t.get("decay_start")})
    return match["n"] == " or ".join(f"{start:,}" for start in starts)


def _are(**expected: Callable[[Results], object]) -> Check:
    """Groups of the phrase that are the counts which `expected` gives, where they are said."""

    def check(match: Match, results: Results, _: str) -> bool:
        groups = match.groupdict()
        return all(
            groups[name] is None or groups[name] == str(value(results))
            for name, value in expected.items()
        )

    return check


def _asked(results: Results) -> int:
    return len(results.asked)


def _required(results: Results) -> int:
    """Seeds, or sentences, without which the comparison claims nothing."""
    stored = int(results.comparison["seeds_and_sentences_needed"])
    return stored if stored == needed(_asked(results)) else -1


def _learners(results: Results) -> int:
    return len(results.trained)


def _run_seeds(results: Results) -> int:
    return int(results.comparison["seeds"]) if results.comparison else results.seeds


def _curve_sentences(results: Results) -> int:
    spoken = {(row["direction"], row["utterance"]) for row in results.table("learning_curves.csv")}
    return len(spoken) // len({direction for direction, _ in spoken})


# ⟨S⟩ a system, ⟨L⟩ a metric, ⟨N⟩ a number, ⟨U⟩ a unit, ⟨E⟩ an estimate, ⟨P⟩ a p.
_PHRASES: tuple[tuple[str, Check], ...] = (
    (r"(?P<who>⟨S⟩) has the (?:lowest|highest) ⟨L⟩, ⟨E⟩", _leads),
    (r"(?P<who>⟨S⟩) leads on ⟨L⟩ with ⟨E⟩", _leads),
    (r"(?P<who>⟨S⟩) reaches ⟨E⟩", _leads),
    (r"(?P<who>⟨S⟩), is at ⟨E⟩", _leads),
    (r"untrained (?P<who>⟨S⟩) on ⟨L⟩ \(⟨E⟩\)", _score),
    (
        r"(?P<who>⟨S⟩) (?P<size>⟨N⟩(?: [kMG])?) parameters, (?P<macs>⟨N⟩(?: [kMG])?) MACs(?=[;.])",
        _cost,
    ),
    (r"⟨E⟩ (?:below|above|better than) (?P<who>⟨S⟩)", _ahead),
    (r"it beats the untrained ⟨S⟩ by ⟨E⟩", _beats),
    (r"it does not beat the untrained ⟨S⟩ \(difference ⟨E⟩\)", _beside),
    (r"its difference to the untrained ⟨S⟩ is ⟨E⟩", _beside),
    (r", a difference of ⟨E⟩", _beside),
    (r"(?P<who>⟨S⟩)(?:, which)? (?P<verb>raises|lowers) (?:⟨L⟩|it) by ⟨E⟩", _changes),
    (r"(?P<who>⟨S⟩) differs from ⟨S⟩ by ⟨E⟩", _effect),
    (r"⟨E⟩ for (?P<who>⟨S⟩)", _effect),
    (r"(?P<who>⟨S⟩) is undecided \(⟨E⟩\)", _effect),
    (r" is ⟨E⟩(?: over sentences alone)?, of (?P<who>⟨S⟩)", _effect),
    (r"(?:bounds any effect to|with effects of at most|none exceeds) (?P<bound>⟨N⟩)⟨U⟩", _bound),
    (r"With 80 % power this design finds differences from (?P<from>⟨N⟩)⟨U⟩ on", _power),
    (
        r"(?P<who>⟨S⟩) ⟨E⟩(?:, ⟨P⟩)?"
        r"(?:, 80 % power for differences from (?P<from>⟨N⟩)⟨U⟩ on)?(?=[;.])",
        _of_reference,
    ),
    (r"[;(] ?(?P<each>each )?⟨P⟩(?P<most> at most)?\)", _largest_p),
    (r"; intervals at (?P<least>⟨N⟩) %(?: to (?P<most>⟨N⟩) %)?(?=[;)\n])", _confidence),
    (
        r"sentences do not tell it apart from (?P<names>⟨S⟩(?:(?:, | and )⟨S⟩)*)"
        r"(?: and (?P<more>\d+) more)?",
        _alike,
    ),
    (
        r"Only (?P<n>\d+) seeds: too few seeds for a claim about the system \(an exact sign-flip "
        r"test cannot go below p = (?P<p>⟨N⟩) with (?P<again>\d+), (?P<least_p>⟨N⟩) with "
        r"(?P<least>\d+)\)",
        _few_seeds,
    ),
    (r"in this run of (?P<n>\d+) seeds\b", _are(n=_run_seeds)),
    (r"sentences only: (?P<n>\d+) seeds tell", _are(n=_run_seeds)),
    (
        r"a claim(?: about (?P<k>\d+) systems)? needs "
        r"(?:(?P<n>\d+) seeds)?(?: and )?(?:(?P<m>\d+) sentences)?",
        _are(k=_asked, n=_required, m=_required),
    ),
    (r"at least (?P<n>\d+) seeds and sentences, fewer than which", _are(n=_required)),
    (r"sign-flip test corrected for (?P<k>\d+) comparisons", _are(k=_asked)),
    (
        r"tested the (?P<k>\d+) differences of a metric "
        r"\(from (?P<level>⟨N⟩) % for the smallest p\)",
        _are(k=_asked, level=lambda results: f"{100 * (1 - 0.05 / _asked(results)):.4g}"),
    ),
    (r"largest of (?P<k>\d+) differences from", _are(k=_asked)),
    (
        r"(?P<n>\d+) of (?P<k>\d+) systems differs? from",
        _are(n=lambda results: len(results.decided("better", "worse")), k=_asked),
    ),
    (
        r"; (?P<n>\d+) (?:is|are) undecided",
        _are(n=lambda results: len(results.decided("undecided"))),
    ),
    (r"Holm over (?P<k>\d+) systems", _are(k=_learners)),
    (
        r"(?P<n>\d+) of (?P<k>\d+) trained systems beats?",
        _are(n=lambda results: len(results.beaten), k=_learners),
    ),
    (
        r"which of (?P<k>\d+) trained systems? beats it on ⟨L⟩; a sign-flip test needs (?P<n>\d+)",
        _are(k=_learners, n=lambda results: needed(_learners(results))),
    ),
    (
        r"(?:one of (?P<k>\d+) systems|the system) beats ⟨S⟩ needs (?P<n>\d+)",
        _are(k=_learners, n=lambda results: needed(_learners(results))),
    ),
    (r"Only (?P<n>\d+) sentences?:", _are(n=lambda results: results.summary["sentences"])),
    (r"intervals from fewer than (?P<n>\d+) are too narrow", _are(n=lambda _: needed())),
    (r"the seeds of systems with at least (?P<n>\d+); elsewhere", _are(n=lambda _: needed())),
    (
        r"(?P<k>\d+) of (?P<n>\d+) cells? (?:was |were )?(?P<what>did not finish|skipped|run)\b",
        _cells,
    ),
    (r"(?P<k>\d+) of (?P<n>\d+) (?:cells? )?of (?P<who>⟨S⟩)", _saturated),
    (r"saturated in none of (?P<n>\d+) cells?", _none_saturated),
    (r", within (?P<n>\d+) iterations", _within),
    (r"Trained for (?P<n>⟨N⟩(?: or ⟨N⟩)*) iterations", _trained_for),
    (
        r"(?:(?<=: )|(?<=; ))(?P<names>⟨S⟩(?:(?:, | and )⟨S⟩)*)(?: and (?P<more>\d+) more)? "
        r"(?P<n>⟨N⟩(?: or ⟨N⟩)*)(?=[;.])",
        _iterations,
    ),
    (r"⟨L⟩ undefined for (?P<k>\d+) of (?P<n>\d+) utterances", _undefined),
    (
        r"in (?P<k>\d+) of (?P<n>\d+) groups? of cells",
        _are(
            k=lambda results: len(results.board["same_crops"]["mismatches"]),
            n=lambda results: results.board["same_crops"]["groups_compared"],
        ),
    ),
    (
        r"are of the first (?P<n>\d+) evaluation sentences of each direction",
        _are(n=_curve_sentences),
    ),
    (r"Learning rates fall to zero from iteration (?P<n>⟨N⟩(?: or ⟨N⟩)*) on\b", _decay),
)


@cache
def _phrases(
    labels: tuple[str, ...], units: tuple[str, ...]
) -> list[tuple[re.Pattern[str], Check]]:
    """The phrases of a run with these metrics and units."""
    unit = f"(?: (?P<unit>{'|'.join(map(re.escape, units))}))?" if units else "(?P<unit>$.)?"
    label = f"(?i:{'|'.join(map(re.escape, labels))})"
    interval = rf"(?: \[(?P<low>{N}), (?P<high>{N})\])?"
    parts = {
        "S": S,
        "N": N,
        "L": label,
        "U": unit.replace("?P<unit>", "?:"),
        "E": f"(?P<mean>{N}){unit}(?: {label})?{interval}",
        "P": f"(?P<{PROBABLE}>{PROBABILITY})",
    }
    found = []
    for pattern, check in _PHRASES:
        for name, part in parts.items():
            pattern = pattern.replace(f"⟨{name}⟩", part)
        found.append((re.compile(pattern), check))
    return found
