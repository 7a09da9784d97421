"""`external:` names folders of speech converted elsewhere, which is scored and not trained."""

from __future__ import annotations

import re
import string
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from vcbench.errors import did_you_mean
from vcbench.suite.positions import Node, Problem, show
from vcbench.suite.schema import BASELINES, PAIR_PATTERN
from vcbench.suite.wording import label

_PLACEHOLDERS = ("{direction}", "{source}", "{target}")


@dataclass(frozen=True)
class External:
    """A system that was run elsewhere: where its wavs lie, with placeholders for the speakers."""

    directory: str

    def folder(self, source: str, target: str) -> Path:
        """The folder of the speech of `source` converted to sound like `target`.

        >>> External("out/{direction}").folder("SF1", "TM3").name
        'SF1_to_TM3'
        """
        names = {"direction": f"{source}_to_{target}", "source": source, "target": target}
        return Path(self.directory.format_map(names))


def external_problems(root: Node, systems: Collection[str]) -> list[Problem]:
    """What is wrong with `external:` beside its types; `systems` are the names of the others."""
    problems = []
    for name, node in root.entries("external").items():
        where = label(("external", name))
        if name in BASELINES or name in systems:
            what = "a baseline" if name in BASELINES else "a system of this suite"
            text = f"{where}'{name}' is the name of {what}; give the external one another name"
            problems.append(Problem(node.key or node.place, text))
        directory = node.find("directory")
        if directory is not None and isinstance(directory.value, str):
            text = _wrong_template(directory.value) or _no_folder(directory.value, root)
            if text:
                place = label(("external", name, "directory"))
                problems.append(Problem(directory.place, f"{place}{text}"))
    return problems


def _wrong_template(directory: str) -> str:
    """What is wrong with the placeholders; empty if nothing is."""
    try:
        found = [f"{{{p[1]}}}" for p in string.Formatter().parse(directory) if p[1] is not None]
        simple = not any(p[2] or p[3] for p in string.Formatter().parse(directory))
    except ValueError as error:
        return f"{show(directory)} cannot be read ({error}); a brace itself is written twice"
    for placeholder in found:
        if placeholder not in _PLACEHOLDERS or not simple:
            return f"unknown placeholder {placeholder}; {did_you_mean(placeholder, _PLACEHOLDERS)}"
    if "{direction}" in found or {"{source}", "{target}"} <= set(found):
        return ""
    return (
        f"{show(directory)} would be one folder for all directions; it must hold {{direction}}, "
        "which becomes SOURCE_to_TARGET, or {source} and {target}"
    )


def _no_folder(directory: str, root: Node) -> str:
    """Which of the folders of the suite's pairs is not there; empty if all are."""
    pairs = [p.value for p in root.items("pairs") if isinstance(p.value, str)]
    speakers = [pair.split("-") for pair in pairs if re.match(PAIR_PATTERN, pair)]
    folders = [External(directory).folder(*names) for one in speakers for names in (one, one[::-1])]
    missing = [folder for folder in dict.fromkeys(folders) if not folder.is_dir()]
    if not missing:
        return ""
    return (
        f"{missing[0]} is not a folder ({len(missing)} of {len(folders)} directions lack theirs); "
        "for a direction that was not converted make an empty one"
    )
