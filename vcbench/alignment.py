"""Frames of a converted utterance matched with those of its reference: what metrics are given.

A protocol (`vcbench.protocols`) extracts an `Analysis` from each waveform; `align` drops the frames
that its gate does not pass and finds a path through the rest; what comes out, an `AlignedPair`, is
what every metric is called with. A protocol speaks through these arrays alone: which coefficients
the path and the distance see, on which path F0 is compared, how the mean is weighted.

Conventions: arguments stand in the order (reference, converted); a path is (length, 2) integers,
reference frame and converted frame, both non-decreasing.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vcbench.dtw import WarpingPath, dtw_path
from vcbench.errors import DataError

Array = NDArray[np.float64]
PathFinder = Callable[[Array, Array], WarpingPath]


@dataclass(frozen=True)
class Analysis:
    """What a protocol extracts from one waveform.

    mcep: (frames, order + 1), c0 to c_order. f0_hz: (frames,), 0 where unvoiced. speech: (frames,)
    bool, the frames that pass the gate. Frame t lies at t * frame_period_ms. power_spectrum:
    (frames, bins), WORLD's envelope, None where the protocol has none.

    dtw_features and mcd_features, (frames, dimensions): what the path is found by and what the
    mel-cepstral distance is taken over; where None, c1 to c_order. pitch: another analysis of the
    same waveform, on whose own path the protocol compares F0; where None, F0 is compared on the
    same path as all else. waveform: (samples,), kept where the protocol may have to pad it.
    """

    mcep: Array
    f0_hz: Array
    speech: NDArray[np.bool_]
    frame_period_ms: float
    power_spectrum: Array | None = None
    dtw_features: Array | None = None
    mcd_features: Array | None = None
    pitch: Analysis | None = None
    waveform: Array | None = None

    def gated(self) -> Analysis:
        """Only the frames with speech, one after the other; `pitch` is left as it is."""
        kept = self.speech
        if kept.all():
            return self
        return replace(
            self,
            mcep=self.mcep[kept],
            f0_hz=self.f0_hz[kept],
            speech=kept[kept],
            power_spectrum=_rows(self.power_spectrum, kept),
            dtw_features=_rows(self.dtw_features, kept),
            mcd_features=_rows(self.mcd_features, kept),
        )


@dataclass(frozen=True)
class AlignedPair:
    """Two gated analyses and the path between them; what a metric is called with.

    The properties are (reference, converted) arrays of one length, frame by frame. Metrics that
    compare durations or whole trajectories read `reference` and `converted` instead.

    mcd_scale: what a distance in dB is multiplied with, where the protocol's is another.
    per_reference_frame: whether distances are summed over the path and divided by the number of the
    reference's frames, and not by that of the path's pairs. pitch: the pair that F0 is compared on,
    if it is another; its path may be empty. unvoiced_counts: whether a difference of F0 in Hz is
    taken at all frames, 0 where unvoiced, as one tool has it, and not only where both sides are
    voiced. is_approximate: whether a cheaper path may exist.
    """

    reference: Analysis
    converted: Analysis
    path: WarpingPath
    mcd_scale: float = 1.0
    per_reference_frame: bool = False
    pitch: AlignedPair | None = None
    unvoiced_counts: bool = False
    is_approximate: bool = False

    @property
    def mcep(self) -> tuple[Array, Array]:
        """Mel-cepstra c0 to c_order along the path, each (length, order + 1)."""
        return self._along(self.reference.mcep, self.converted.mcep)

    @property
    def mcd_features(self) -> tuple[Array, Array]:
        """What mel-cepstral distortion is taken over, each (length, dimensions)."""
        return self._along(*(_measured(side) for side in (self.reference, self.converted)))

    @property
    def mcd_weight(self) -> float:
        """What the mean distance over the path, in dB, is multiplied with."""
        if not self.per_reference_frame:
            return self.mcd_scale
        return self.mcd_scale * len(self.path) / len(self.reference.mcep)

    @property
    def f0_hz(self) -> tuple[Array, Array]:
        """F0 along the path on which this protocol compares F0, each (length,); 0 where unvoiced.

        Under some protocols that path runs through voiced frames only, or is empty where a side has
        none.
        """
        on = self.pitch or self
        return on._along(on.reference.f0_hz, on.converted.f0_hz)

    @property
    def voiced(self) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Which frames are voiced along `path`, through speech of both kinds; each (length,)."""
        return self._along(self.reference.f0_hz > 0, self.converted.f0_hz > 0)

    @property
    def power_spectrum(self) -> tuple[Array, Array] | None:
        """WORLD's envelopes along the path, each (length, bins); None where there are none."""
        reference, converted = self.reference.power_spectrum, self.converted.power_spectrum
        if reference is None or converted is None:
            return None
        return self._along(reference, converted)

    def on_exact_path(self) -> AlignedPair:
        """The same pair on the cheapest path; itself if it is not approximate.

        `pitch` stays as it is. Raises `DataError` if the pair is too long.
        """
        if not self.is_approximate:
            return self
        path = dtw_path(_warped(self.reference), _warped(self.converted))
        return replace(self, path=path, is_approximate=False)

    def _along(self, reference: NDArray, converted: NDArray) -> tuple[NDArray, NDArray]:
        return reference[self.path[:, 0]], converted[self.path[:, 1]]


def align(
    reference: Analysis, converted: Analysis, *, find_path: PathFinder = dtw_path
) -> AlignedPair:
    """Gate both sides and find the path by their `dtw_features`; F0's own path, if any, too.

    Raises `DataError` if a side has no frame above the gate, or if the pair is too long.
    """
    for side, analysis in (("reference", reference), ("converted", converted)):
        if not analysis.speech.any():
            frames = len(analysis.speech)
            raise DataError(f"no frames above the gate: none of the {side}'s {frames} frames")
    pitch = _aligned_pitch(reference.pitch, converted.pitch, find_path)
    reference, converted = reference.gated(), converted.gated()
    path = find_path(_warped(reference), _warped(converted))
    return AlignedPair(reference, converted, path, pitch=pitch)


def fastdtw_path(reference: Array, converted: Array, *, radius: int) -> WarpingPath:
    """A path by fastdtw, which many tools use: quicker than a plain double loop, not exact.

    S. Salvador and P. Chan, "FastDTW: toward accurate dynamic time warping in linear time and
    space", Intelligent Data Analysis 11(5), 2007, by the package fastdtw 0.3.4, Euclidean distance.
    The converted side is passed first, as most tools do; it decides ties only.
    """
    package = importlib.import_module("fastdtw")
    # With its C extension built, `import fastdtw.fastdtw` anywhere in the process, which
    # mel-cepstral-distance does, puts the module where the function was.
    find = package.fastdtw if callable(package.fastdtw) else package.fastdtw.fastdtw
    _, path = find(converted, reference, radius=radius, dist=_euclidean)
    return np.array(path, dtype=np.intp)[:, ::-1]


def frame_by_frame(reference: Array, converted: Array) -> WarpingPath:
    """Frame i with frame i; raises `DataError` unless both sides have as many."""
    if len(reference) != len(converted):
        raise DataError(
            f"{len(reference)} and {len(converted)} frames cannot be matched one by one"
        )
    return frame_by_frame_of_shorter(reference, converted, tolerance=math.inf)


def frame_by_frame_of_shorter(
    reference: Array, converted: Array, *, tolerance: float = 0.1
) -> WarpingPath:
    """Frame i with frame i until the shorter side ends, the rest of the longer one left out.

    Raises `DataError` where as much as `tolerance` of all frames would be left out.
    """
    lengths = len(reference), len(converted)
    left_out = abs(lengths[0] - lengths[1]) / sum(lengths)
    if left_out >= tolerance:
        raise DataError(
            f"{lengths[0]} and {lengths[1]} frames are too different to be matched one by one: "
            f"{left_out:.3f} of all would be left out, less than {tolerance:g} is allowed; use a "
            "protocol with DTW"
        )
    return np.repeat(np.arange(min(lengths), dtype=np.intp)[:, None], 2, axis=1)


def _euclidean(a: Array, b: Array) -> float:
    difference = a - b
    return math.sqrt(difference @ difference)


def _aligned_pitch(
    reference: Analysis | None, converted: Analysis | None, find_path: PathFinder
) -> AlignedPair | None:
    if reference is None or converted is None:
        return None
    if not (reference.speech.any() and converted.speech.any()):
        return AlignedPair(reference, converted, np.empty((0, 2), dtype=np.intp))
    return align(reference, converted, find_path=find_path)


def _warped(analysis: Analysis) -> Array:
    return analysis.mcep[:, 1:] if analysis.dtw_features is None else analysis.dtw_features


def _measured(analysis: Analysis) -> Array:
    return analysis.mcep[:, 1:] if analysis.mcd_features is None else analysis.mcd_features


def _rows(array: Array | None, kept: NDArray[np.bool_]) -> Array | None:
    return None if array is None else array[kept]
