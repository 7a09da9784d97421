"""One fresh process for the checks import-and-spawn of many plugins: starting one takes seconds."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

from vcbench.testing import citizenship, global_state
from vcbench.testing.subject import Subject

Ask = Callable[[list[dict[str, Any]]], list[dict[str, Any]]]


def ask_once(subjects: Iterable[Subject]) -> Ask:
    """What `citizenship.ask_fresh_process` answers about each, asked in one go beforehand."""
    with global_state.preserved():
        descriptions = [citizenship.described(subject) for subject in subjects]
    answers = citizenship.ask_fresh_process(descriptions)
    keys = [json.dumps(description) for description in descriptions]
    known = dict(zip(keys, answers, strict=True))
    return lambda asked: [known[json.dumps(description)] for description in asked]
