"""What a trained cell leaves on another machine, for tests of bringing it back."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from vcbench.training.files import write_status


def put_result(folder: Path, sizes: Mapping[str, int]) -> None:
    """As a trained cell lies there: files of so many bytes, and those that say that it is whole."""
    for name, size in sizes.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x" * size)
    write_status(folder, {"iterations": 1})
    (folder / "machine.json").write_text("{}")
