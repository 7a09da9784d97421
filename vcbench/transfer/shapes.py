"""Whether unpacked files are such as vcbench writes: every later run reads them, and trusts them.

Nobody can tell here whether the numbers in them are those that were computed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from vcbench import sealed
from vcbench.failures import FAILURE, failure_of
from vcbench.stored_cells import CODE
from vcbench.training.files import LOG, STATUS, STATUS_TYPES, wrong_in_status
from vcbench.training.log import is_number, line_of
from vcbench.typed import is_typed
from vcbench.usage import SUITES

_SEALED = (STATUS, FAILURE, SUITES)


def problem(file: Path, name: str) -> str:
    """Why a file, called `name` in its archive, cannot be used here; "" if it can."""
    kind = "score" if name.startswith("scores/") else name.rpartition("/")[2]
    has_checksum = file.suffix in (".npz", ".pt", ".wav") or kind in ("score", *_SEALED)
    try:
        if file.suffix in (".npz", ".pt") and sealed.unpacks_to_more(file):
            return "unpacks to more than its size, as nothing that vcbench writes does"
        is_damaged = has_checksum and not sealed.is_whole(file)
    except OSError:
        raise
    except Exception:  # damaged headers can make the reader raise anything
        is_damaged = True
    if is_damaged:
        return "was damaged when it was packed; pack it again"
    try:
        is_ours = kind not in _CHECKS or _CHECKS[kind](file)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        is_ours = False
    return "" if is_ours else "holds what vcbench does not write"


def _is_status(file: Path) -> bool:
    status = _json(file)
    return status.keys() >= STATUS_TYPES.keys() and not wrong_in_status(status)


def _is_log(file: Path) -> bool:
    with file.open(encoding="utf-8") as lines:
        return all(line_of(text) is not None for text in lines)


def _is_failure(file: Path) -> bool:
    return bool(_json(file)) and failure_of(file.parent) is not None


def _is_code(file: Path) -> bool:
    return is_typed(_json(file), Mapping[str, Mapping[str, str | None]])


def _is_suites(file: Path) -> bool:
    return is_typed(tuple(_json(file)["suites"]), tuple[str, ...])


def _is_score(file: Path) -> bool:
    score = _json(file)
    are_numbers = all(value is None or is_number(value) for value in score["values"].values())
    return are_numbers and is_typed(tuple(score["notes"]), tuple[str, ...])


def _json(file: Path) -> Any:
    """Its value; raises `ValueError` also for text that no file can hold again."""
    found = json.loads(file.read_text(encoding="utf-8"))
    json.dumps(found, ensure_ascii=False).encode()
    return found


_CHECKS: Mapping[str, Callable[[Path], bool]] = {
    STATUS: _is_status,
    LOG: _is_log,
    FAILURE: _is_failure,
    CODE: _is_code,
    SUITES: _is_suites,
    "score": _is_score,
}
