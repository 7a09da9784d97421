"""Checks of corpus files: are they there, readable, of the right rate, and intact?"""

from __future__ import annotations

from pathlib import Path

import soundfile

from vcbench import audio, fingerprint
from vcbench.corpora import FileProblem
from vcbench.errors import DataError


def check_file(path: Path, *, sample_rate: int, sha256: str | None = None) -> FileProblem | None:
    """What is wrong with one speech file; None if nothing is.

    `sample_rate` is the rate it must have, in Hz; `sha256` the sum of its bytes, if that is known.
    """
    if not path.is_file():
        return FileProblem(path, "missing", "no such file")
    try:
        audio.read(path, sample_rate=sample_rate, resample=True)
    except DataError as error:
        return FileProblem(path, "corrupt", str(error).removeprefix(f"{path}: "))
    header = soundfile.info(str(path))
    if header.samplerate != sample_rate:
        detail = f"sampled at {header.samplerate} Hz; {sample_rate} Hz is needed"
        return FileProblem(path, "wrong-rate", detail)
    if header.channels != 1:
        return FileProblem(path, "corrupt", f"{header.channels} channels; mono is needed")
    return check_sum(path, sha256) if sha256 else None


def check_sum(path: Path, sha256: str) -> FileProblem | None:
    """A problem if the file's bytes do not have this sum."""
    found = fingerprint.of_file(path)
    if found == sha256:
        return None
    detail = f"sha256 is {found[:12]}..., not {sha256[:12]}...: not the file as it was made"
    return FileProblem(path, "corrupt", detail)


def read_sums(path: Path) -> dict[str, str]:
    """The lines of a `sha256sum` file as {file name: sum in hex}."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return {name: digest for digest, name in (line.split("  ", 1) for line in lines if line)}


def listing(names: list[str], *, at_most: int = 5) -> str:
    """Names for an error message: the first few, and how many more there are."""
    shown = ", ".join(names[:at_most])
    return shown if len(names) <= at_most else f"{shown} and {len(names) - at_most} more"
