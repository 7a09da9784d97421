"""Whether every number of a page is the stored one that it is said to be.

A page is split into its sections, and each is compared with the one folder that it is about:
tables cell by cell (`page_tables`), sentences by the phrases in which their numbers stand
(`page_prose`). A number in a phrase that is not known is wrong.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from urllib.parse import unquote

from page_prose import leftovers, readable, wrong_in_line
from page_tables import unescaped, wrong_in_table
from stored_results import Results

import suites

QUESTIONS = "The field's questions"
_ROWS = re.compile(r"\[rows\]\(([^)]+)/results\.csv\)")
_TABLE = re.compile(r"leaderboard\.md\)|results\.csv\)|checks\.csv\)")


def stored_below(top: Path) -> dict[str, Results]:
    """Every published folder below `top` by its place in it."""
    return {
        path.parent.relative_to(top).as_posix(): Results(path.parent)
        for path in sorted(top.rglob("summary.json"))
    }


def wrong_on_page(text: str, stored: Mapping[str, Results], *, root: Path) -> list[str]:
    """What is wrong on a page whose links are relative to `root`; empty if nothing is."""
    intro, *sections = re.split(r"^## ", text, flags=re.MULTILINE)
    found = [f"introduction: {n}" for n in leftovers(readable(intro))]
    for section in sections:
        heading, _, body = section.partition("\n")
        if heading == QUESTIONS:
            wrong = list(_wrong_answers(body, stored, root))
        elif heading in stored:
            results = stored[heading]
            others = _linked(body, root) - {results.folder.resolve()}
            wrong = [f"links to {others}"] if others else wrong_in_part(body, results)
        else:
            wrong = ["no stored results"]
        found += [f"{heading}: {problem}" for problem in wrong]
    return found


def wrong_in_block(text: str, stored: Mapping[str, Results]) -> list[str]:
    """What is wrong in the README's part: it is of the study to which its last link leads."""
    anchor = re.search(r"#([^)]+)\)\.$", text.strip())
    if anchor is None:
        return leftovers(readable(text))
    of_anchor = {re.sub(r"\W", "-", place.lower()): place for place in stored}
    if anchor[1] not in of_anchor:
        return [f"no stored results '{anchor[1]}'"]
    return wrong_in_part(text, stored[of_anchor[anchor[1]]])


def wrong_in_part(text: str, results: Results) -> list[str]:
    """What is wrong in a text that is about one published folder."""
    found: list[str] = []
    heading, table = "", []
    for line in [*text.splitlines(), ""]:
        if line.startswith("|"):
            table.append(line)
            continue
        if table:
            found += wrong_in_table(table, heading, results)
            table = []
        heading = line if line.startswith("#") else heading
        found += wrong_in_line(line, results)
    return found


@cache
def _asked() -> frozenset[str]:
    return frozenset(question for _, question in suites.shipped())


def _linked(body: str, root: Path) -> set[Path]:
    """The folders in which the rows lie that stand behind the sentences."""
    return {(root / unquote(place)).resolve() for place in _ROWS.findall(body)}


def _wrong_answers(body: str, stored: Mapping[str, Results], root: Path) -> Iterator[str]:
    """Each answer against the folder to which it links; a question is as its suite has it."""
    folders = {results.folder.resolve(): results for results in stored.values()}
    asked = _asked()
    for line in body.splitlines():
        linked = _linked(line, root)
        if line.startswith("- *") and unescaped(line[3:-1]) in asked:
            continue  # no result
        if not linked:
            yield from (f"{line}: {n}" for n in leftovers(readable(line)))
        elif len(linked) > 1 or not linked <= {*folders}:
            yield f"{line}: links to {linked}"
        else:
            results = folders[linked.pop()]
            name = re.search(r"At budget \[([^]]+)\]", line)
            if name is None or stored.get(unescaped(name[1])) is not results:
                yield f"{line}: not of {results.folder}"
            line = re.sub(r"At budget \[[^]]+\]\([^)]*\):", "", line)
            yield from wrong_in_line(line, results)
