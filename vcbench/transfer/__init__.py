"""Results in one file, to take from one machine to another.

The archive is a zip whose paths are those of the cache, which are made of content: taking it over
twice changes nothing the second time. `vcbench.transfer.MANIFEST` names each file with its size
and SHA-256, the cells with their state, the data's fingerprint and the protocol. What is in it is
the same whenever it is made, and so is every byte of it.

Three ways lead there: a suite's results; a run's; or the cells of an earlier archive, which is what
a machine that only trains, and has neither the suite nor the speech packages, sends back.

A cell is called by the key that its content gives, with the code that it was trained with: where
it is taken over although that is other code than there, its folder has another key.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

FORMAT = "vcbench-results-1"
MANIFEST = "manifest.json"
OUTPUT = "output.log"  # what a cell's process said
# Of a cell's folder, what travels; the status is last, since it says that there is a result.
CELL_FILES = (
    "cell.json",
    "code.json",
    "suites.json",
    "log.jsonl",
    OUTPUT,
    "checkpoint.pt",
    "status.json",
)
# Of one that failed.
FAILURE_FILES = ("code.json", OUTPUT, "failure.json")
STATES = ("done", "failed", "to train")
KEY = re.compile(r"[0-9a-f]{16}-[0-9a-f]{48}")
_NAME = r"[^/\\\x00-\x1f\ud800-\udfff]{1,200}"
_HASHED = r"[0-9a-f]{2}/[0-9a-f]{64}"
_WAV = rf"{_NAME}_to_{_NAME}/{_NAME}\.wav"
# All that may be in an archive, and so all that an archive can write.
ALLOWED = re.compile(
    rf"cells/{KEY.pattern}/(?:{'|'.join(map(re.escape, (*CELL_FILES, *FAILURE_FILES)))})"
    rf"|cells/{KEY.pattern}/converted/[0-9a-f]{{16}}/{_WAV}"
    rf"|baselines/[a-z][a-z0-9-]{{0,63}}(?:/[0-9a-f]{{16}}){{1,2}}/{_WAV}"
    rf"|(?:features|speech)/{_HASHED}\.npz"
    rf"|scores/{_HASHED}\.json"
)


@dataclass(frozen=True)
class Manifest:
    """What an archive says of itself.

    cells: by key {"cell": id, "state": one of `STATES`}. protocol: {"id", "sha256"} of the
    text that defines it. files: by path {"bytes", "sha256"}.
    """

    vcbench: str
    suite: str
    budget: str | None
    protocol: Mapping[str, str] | None
    data_fingerprint: str | None
    cells: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    files: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """A plain dict; `from_json` reads it back."""
        return {"format": FORMAT, **asdict(self)}

    @classmethod
    def from_json(cls, stored: Any) -> Manifest:
        """Read what `to_json` wrote; raises `ValueError` for anything else."""
        if not isinstance(stored, dict) or stored.get("format") != FORMAT:
            raise ValueError(f"its format is not '{FORMAT}'")
        try:
            found = cls(**{name: value for name, value in stored.items() if name != "format"})
            for described in found.files.values():
                is_size = type(described["bytes"]) is int and described["bytes"] >= 0
                if not (is_size and re.fullmatch(r"[0-9a-f]{64}", described["sha256"])):
                    raise ValueError("a file is not described by its size and SHA-256")
            for key, cell in found.cells.items():
                if not KEY.fullmatch(key) or cell["state"] not in STATES:
                    raise ValueError("a cell is not described by its key and state")
                if not cell["cell"].isprintable():
                    raise ValueError("a cell's id has characters that cannot be printed")
            texts = [found.vcbench, found.suite, *(found.protocol or {"id": ""}).values()]
            texts += [found.budget or "", found.data_fingerprint or ""]
            if not all(text.isprintable() for text in texts):
                raise ValueError("it has characters that cannot be printed")
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{type(error).__name__}: {error}") from None
        return found
