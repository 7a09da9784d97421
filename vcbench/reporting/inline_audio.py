"""Sounds in the page itself, so that it can be sent without its folder.

16-bit files go in as FLAC, which holds the same samples in about half the bytes (13.5 of 26.1 MB
for the sounds of a VCC2016 run) and which current browsers play; all others as they are.
"""

from __future__ import annotations

import base64
import io
import mimetypes
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from vcbench.own_files import inside


def put_sounds_in(folder: Path, groups: list[dict[str, Any]]) -> None:
    """Replace the path of every player, below a run's `folder`, by its sound."""
    for group in groups:
        for sample in group["samples"]:
            for player in sample["players"]:
                if player["src"]:
                    player["src"] = as_data(inside(folder, unquote(player["src"])))


def as_data(path: Path) -> str:
    """The sound of a file as an address that a page can hold."""
    content, kind = _packed(path), "audio/flac"
    if content is None:
        content, kind = path.read_bytes(), mimetypes.guess_type(path.name)[0] or "audio/wav"
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def _packed(path: Path) -> bytes | None:
    """The file as FLAC; None where that would lose something or cannot be done."""
    import soundfile

    try:
        with soundfile.SoundFile(path) as sound:
            if sound.subtype != "PCM_16":
                return None
            samples, rate = sound.read(dtype="int16"), sound.samplerate
        packed = io.BytesIO()
        soundfile.write(packed, samples, rate, format="FLAC", subtype="PCM_16")
    except (RuntimeError, ValueError):  # what soundfile raises for what it cannot read or write
        return None
    return packed.getvalue()
