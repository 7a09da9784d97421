"""Small pictures under a player: a mel spectrogram as PNG, F0 contours as SVG.

Written by hand: a page holds hundreds, and a plotting library would take seconds and kilobytes for
each. Colours of lines are the page's variables, as in `vcbench.reporting.figures`. A picture is as
wide as its player, and its labels keep their size: only the lines are stretched.
"""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import matplotlib
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

RANGE_DB = 70  # below the loudest band of the sentence; what is softer is black
# Of a contour: it is stretched to any width, and HEIGHT is pixels; labels stand around it.
WIDTH, HEIGHT = 300, 84
_APART = 14  # pixels between two labels, at least
_TICKS_HZ = (100, 200, 400, 800, 50, 150, 300, 600, 75, 250, 125, 175, 350, 60, 500, 700)
_POINTS = 150  # of a contour's line; a picture is not wider on a page


@dataclass(frozen=True)
class Line:
    """One contour: f0_hz (frames,), 0 where there is none; `css` is its stroke."""

    f0_hz: Array
    css: str
    width: float
    dashes: str = ""


def spectrogram_png(mel_db: Array, *, loudest_db: float) -> bytes:
    """(bands, frames) -> a PNG of as many rows and columns, the highest band at the top.

    Each level of dB is one of `RANGE_DB` + 1 colours, the brightest at `loudest_db`.
    """
    level = np.clip(np.rint(mel_db - loudest_db) + RANGE_DB, 0, RANGE_DB)
    rows = level.astype(np.uint8)[::-1]
    height, width = rows.shape
    # Every row begins with the filter that it was written with: 0, none.
    data = np.hstack([np.zeros((height, 1), dtype=np.uint8), rows]).tobytes()
    header = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)  # 8 bits, indexed
    chunks = [(b"IHDR", header), (b"PLTE", _palette()), (b"IDAT", zlib.compress(data, 9))]
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*c) for c in [*chunks, (b"IEND", b"")])


def as_data(png: bytes) -> str:
    """A PNG as an address that a page can hold."""
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def contour_svg(
    lines: Sequence[Line], *, frame_period_ms: float, limits_hz: tuple[float, float]
) -> str:
    """Contours over one time axis, on a logarithmic axis of frequency; it holds numbers alone."""
    frames = max((len(line.f0_hz) for line in lines), default=0)
    low, high = (np.log(limit) for limit in limits_hz)

    def x(frame: float) -> float:
        return WIDTH * frame / max(frames, 1)

    def y(hertz: float) -> float:
        return float(HEIGHT * (high - np.log(hertz)) / (high - low))

    paths, labels = [], []
    ticks = _ticks(limits_hz, y)
    for hertz in ticks:
        at = f"{y(hertz):.1f}"
        unit = " Hz" if hertz == ticks[-1] else ""
        paths.append(f'<path d="M0 {at}H{WIDTH}" stroke="var(--rule)" stroke-width=".6"/>')
        labels.append(f'<text x="-6" y="{y(hertz) + 4:.1f}" text-anchor="end">{hertz}{unit}</text>')
    seconds = frames * frame_period_ms / 1000
    step = next((s for s in (0.25, 0.5, 1, 2, 5, 10, 30) if seconds / s <= 5), 60)
    for i in range(int(seconds / step) + 1):
        start = 100 * i * step / max(seconds, 1e-9)
        if start <= 92:
            unit = " s" if i == 0 else ""
            labels.append(f'<text x="{start:.1f}%" y="{HEIGHT + 15}">{i * step:g}{unit}</text>')
    for line in lines:
        d = _path(line.f0_hz, x, y)
        dashes = f' stroke-dasharray="{line.dashes}"' if line.dashes else ""
        if d:
            paths.append(
                f'<path d="{d}" fill="none" stroke="{line.css}" stroke-width="{line.width:g}" '
                f'stroke-linecap="round"{dashes}/>'
            )
    return (
        f'<svg class="contour" height="{HEIGHT}" aria-hidden="true">'
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" preserveAspectRatio="none">{"".join(paths)}</svg>'
        f"{''.join(labels)}</svg>"
    )


def mel_ticks(bands: int, top_hz: float) -> list[tuple[str, str]]:
    """Labels on the axis of a spectrogram of so many mel bands: (`4`, how far from the top).

    Bands are spaced as in `vcbench.pictures`; a row of pixels is one band.
    """

    def mel(hertz: float) -> float:
        return float(np.log1p(hertz / 700.0))

    found: list[tuple[str, str]] = []
    for khz in (8, 4, 2, 1):
        row = (bands + 1) * mel(1000.0 * khz) / mel(top_hz) - 0.5
        if 1000 * khz <= top_hz:
            share = min(1.0, row / bands)
            found.append((f"{khz}{'' if found else ' kHz'}", f"{100 * (1 - share):.1f}%"))
    return found


def limits_hz(contours: Sequence[Array]) -> tuple[float, float] | None:
    """A range in Hz that holds every voiced frame with a little room; None where there is none."""
    voiced = np.concatenate([c[c > 0] for c in contours]) if contours else np.empty(0)
    if not voiced.size:
        return None
    low, high = float(voiced.min()) / 1.06, float(voiced.max()) * 1.06
    return (low, high) if high > 1.4 * low else (low / 1.2, high * 1.2)


def _path(f0_hz: Array, x: Callable[[float], float], y: Callable[[float], float]) -> str:
    """`M..L..` through the voiced frames: every n-th, and each run's ends, so that none is lost."""
    step = max(1, len(f0_hz) // _POINTS)
    voiced = np.flatnonzero(f0_hz > 0)
    commands = []
    for run in np.split(voiced, np.flatnonzero(np.diff(voiced) > 1) + 1):
        kept = [*run[:-1:step], *run[-1:]]
        # One frame alone is a dot: a line of no length with round ends.
        points = [f"{x(i + 0.5):.1f} {y(f0_hz[i]):.1f}" for i in (kept * 2)[: max(2, len(kept))]]
        commands.append(f"M{points[0]}L{'L'.join(points[1:])}" if len(run) else "")
    return "".join(commands)


def _ticks(limits: tuple[float, float], y: Callable[[float], float]) -> list[int]:
    """Frequencies to label, lowest first, the roundest that are far enough apart."""
    found: list[int] = []
    for hertz in _TICKS_HZ:
        inside = limits[0] <= hertz <= limits[1]
        if inside and all(abs(y(hertz) - y(other)) >= _APART for other in found):
            found.append(hertz)
    return sorted(found)


def _chunk(kind: bytes, data: bytes) -> bytes:
    check = zlib.crc32(kind + data)
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", check)


def _palette() -> bytes:
    colours = matplotlib.colormaps["magma"](np.linspace(0.0, 1.0, RANGE_DB + 1))[:, :3]
    return np.rint(255 * colours).astype(np.uint8).tobytes()
