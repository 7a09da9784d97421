"""A protocol in words: all that is needed to compute a score without vcbench.

Numbers are written from the protocol's fields. The rest is prose about code elsewhere
(`vcbench.world`, `vcbench.alignment`, the metrics) and has to be kept true by hand.
"""

from __future__ import annotations

from vcbench.protocols import features
from vcbench.protocols.definition import ANY_RATE, Protocol


def text_of(protocol: Protocol) -> str:
    """The definition of a protocol in a paragraph."""
    said = f"{protocol.id}: "
    if protocol.warning:
        said += f"WARNING: {protocol.warning}. Definition: "
    said += " ".join(
        part(protocol) for part in (_audio, _world, _cepstrum, _gate, _alignment, _distance, _f0)
    )
    said += " A score is the mean over utterances."
    if protocol.prints:
        said += f" The tool prints: {protocol.prints}; all else is vcbench's on the same arrays."
    if protocol.chosen:
        said += f" Left open by the tool and chosen here: {protocol.chosen}."
    if protocol.differs:
        said += f" In short, other than vcbench-1: {protocol.differs}."
    return said


def _audio(p: Protocol) -> str:
    scale = f"scaled to 16-bit range (x {p.scale:g})" if p.scale != 1.0 else "in [-1, 1]"
    if p.resample_hz is None:
        rate = "at one sampling rate, never resampled"
    else:
        rate = (
            f"resampled to {p.resample_hz} Hz in float32 by soxr's quality HQ where they are not "
            "(librosa.load of librosa 0.11)"
        )
    said = f"both waveforms mono, {rate}, in float64 {scale}, "
    if not p.low_cut_hz:
        return said + "not filtered."
    return said + (
        f"through a causal linear-phase high-pass FIR filter "
        f"(Hamming-windowed sinc, {p.low_cut_taps} taps, cut-off {p.low_cut_hz:g} Hz, "
        "unit gain at the Nyquist frequency; output as long as the input, its delay left in)."
    )


def _world(p: Protocol) -> str:
    f0 = {"dio": "DIO refined by StoneMask", "harvest": "Harvest"}[p.f0_method]
    if p.hop_samples is not None:
        period = f"{p.hop_samples} samples"
    elif p.cepstrum == "mel-bands":
        period = f"{p.frame_period_ms:g} ms, in whole samples rounded down"
    else:
        others = [f"{ms!r} ms at {rate} Hz" for rate, ms in p.frame_periods_ms]
        period = f"{p.frame_period_ms:g} ms" + "".join(f", {other}" for other in others)
    fft_size = f"FFT size {p.fft_size}"
    if p.fft_size is None:
        fft_size = "FFT size 1024 below 44.1 kHz, 2048 from there"
    return (
        f"WORLD analysis every {period}: F0 by {f0}, "
        f"{p.f0_floor_hz:g} to {p.f0_ceil_hz:g} Hz; power spectrum by CheapTrick "
        f"(q1 -0.15), {fft_size}; WORLD's defaults for all "
        "else."
    )


def _cepstrum(p: Protocol) -> str:
    if p.cepstrum == "mel-bands":
        return (
            f"Cepstrum: the waveform divided by its peak; frames of {features.MEL_WINDOW_MS:g} ms, "
            "in whole samples rounded down, at the same period, from the first sample on while a "
            "frame starts before the last frame's length, in a symmetric Hann window; energies "
            f"|FFT|^2 in {features.MEL_BANDS} triangular bands of height 1, their corners equally "
            "spaced on the mel scale 2595 log10(1 + f / 700) from 0 to half the sampling rate and "
            "at bin floor((samples + 1) f / sampling rate); log10 of energy plus 2.2e-16; "
            "coefficient i is the sum over bands n = 1 to "
            f"{features.MEL_BANDS} of cos(i (n - 1/2) pi / {features.MEL_BANDS}) times that, no "
            f"factor; i = 1 stands as c0, i = 2 to {features.MEL_COEFFICIENTS} as c1 to cD. "
            "Frame t has F0 and spectrum of WORLD's frame t + 2, whose centre is the nearest."
        )
    orders = ", ".join(
        f"{'any rate' if rate == ANY_RATE else f'{rate} Hz'}: {order} and {alpha:g}"
        for rate, order, alpha in p.mel_cepstra
    )
    if p.mel_cepstra[0][0] != ANY_RATE:
        orders += "; no other rate"
    if p.cepstrum == "sp2mc":
        what = (
            "of the power spectrum as SPTK's sp2mc (ln power = 2 sum "
            "of ck cos kw on the warped axis)"
        )
    elif p.cepstrum == "mcep-of-power":
        what = (
            "by SPTK's mcep of the power spectrum given as an amplitude spectrum (itype 3), 1e-8 "
            "added to its square (etype 1), no iteration (maxiter 0)"
        )
    else:
        what = (
            f"by SPTK's mcep of frames of {features.FRAME_SAMPLES} samples, the first from the "
            "first sample on, none incomplete, in a Hamming window of unit energy, 1e-6 added to "
            "the periodogram (etype 1), else SPTK's defaults"
        )
    said = (
        f"Mel-cepstrum c0 to cD {what}, order D and all-pass constant by sampling rate: {orders}."
    )
    if p.cepstrum == "mcep":
        said += " Frame t has the spectrum of WORLD's frame t + 2, which has the same centre."
    return said


def _gate(p: Protocol) -> str:
    if p.kept == "all":
        return "No gate: all frames are kept."
    if p.kept == "voiced":
        return "Gate, on each side by itself: frames with F0 are kept and joined."
    return (
        "Gate, on each side by itself: the power of a frame is its "
        "power spectrum summed over both halves of the FFT (inner bins twice), in dB relative "
        "to the mean of that power over all frames of the file; frames above "
        f"{p.gate_db:g} dB are kept and joined."
    )


def _alignment(p: Protocol) -> str:
    if p.path == "truncated":
        return (
            "Alignment: none, frame t with frame t while both sides last; refused where the "
            "difference in frames is a tenth of their sum or more."
        )
    if p.path == "padded":
        return "Alignment: none, zeros behind the shorter waveform, then frame t with frame t."
    seen = "the log10 band energies" if p.cepstrum == "mel-bands" else _seen(p, p.path_from)
    if p.path == "fastdtw":
        return (
            f"Alignment of the kept frames: fastdtw 0.3.4 of radius {p.fastdtw_radius}, Euclidean "
            f"distance of {seen}."
        )
    return (
        "Alignment of the kept frames: exact dynamic "
        f"time warping from the first pair to the last, Euclidean distance of {seen}, steps "
        "(1,1), (1,0) and (0,1) of weight 1, no window; among equally cheap steps into a pair "
        "(1,1) is taken, then (1,0), which advances the reference."
    )


def _distance(p: Protocol) -> str:
    distance = (
        "that distance"
        if p.path_from == p.mcd_from
        and p.cepstrum != "mel-bands"
        and p.path in ("exact", "fastdtw")
        else f"the Euclidean distance of {_seen(p, p.mcd_from)}"
    )
    mean = "averaged over the pairs of the path"
    if p.mean == "reference":
        mean = "summed over the pairs of the path, divided by the number of the reference's frames"
    elif p.mean == "length-ratio":
        mean += ", times the ratio of the sides' numbers of frames, the larger by the smaller"
    factor = f"10 sqrt(2) / ln 10 times {distance}" if p.mcd_unit == "dB" else distance
    unit = "in dB" if p.mcd_unit == "dB" else f"in {p.mcd_unit}, which is not dB"
    return (
        f"Mel-cepstral distortion: {factor}, {mean}, {unit}. Global variance distance, without the "
        "path: population "
        "variance of each of c1 to cD over the kept frames of each side, mean over the "
        "coefficients of |ln(variance converted / variance reference)|, undefined with fewer "
        "than 2 kept frames on a side or where a variance is 0."
    )


def _f0(p: Protocol) -> str:
    where = "on the path again"
    if p.pitch == "voiced":
        where = (
            "on another path, found as the first but through all frames with F0 of each side, "
            "gate or no gate"
        )
    elif p.pitch == "world":
        where = (
            "on another path, found as the first but through all of WORLD's frames, by mel-cepstra "
            "of its power spectrum as SPTK's sp2mc, of the same order and constant"
        )
    said = (
        f"F0 {where}: root mean square differences over the pairs voiced "
        "on both sides, in Hz and in ln Hz, undefined with fewer than 10 of them; "
    )
    if p.unvoiced_counts:
        said += "but that in Hz is over all pairs, 0 Hz where unvoiced; "
    pairs = "all pairs" if p.pitch == "path" else "all pairs of the first path"
    return said + f"voicing error: percentage of {pairs} that are voiced on one side only."


def _seen(p: Protocol, first: int) -> str:
    seen = f"c{first} to cD"
    if p.deltas:
        seen += (
            " and of their differences from the frame before, taken before the gate (the first "
            "frame's is the second's)"
        )
    return seen
