"""The protocols themselves: vcbench's own, and those of the field's tools as their sources have it.

What a tool does was read in its source; the tests compare with the tool where it installs, and
elsewhere with the same steps put together from pyworld, pysptk, scipy and fastdtw.
"""

from __future__ import annotations

from dataclasses import replace

from vcbench.protocols.definition import ANY_RATE, Protocol

DEFAULT = "vcbench-1"

_VCBENCH_1 = Protocol(DEFAULT)

# The family that ESPnet's VC recipes founded: WORLD, Harvest, the level counts, fastdtw.
_ESPNET_VC = Protocol(
    "espnet-vc",
    f0_method="harvest",
    fft_size=1024,
    mel_cepstra=((ANY_RATE, 24, 0.41),),
    path_from=0,
    mcd_from=0,
    path="fastdtw",
    prints="mean MCD over utterances (utils/mcd_calculate.py of ESPnet 1, since December 2020)",
    differs="F0 by Harvest, c0 counts in path and distance, fastdtw",
    chosen="F0 limits, which the tool requires per speaker; order 24, which its VC recipes pass",
)
_S3PRL_VC = replace(
    _ESPNET_VC,
    id="s3prl-vc",
    scale=32767.0,
    f0_ceil_hz=800.0,
    mel_cepstra=((ANY_RATE, 39, 0.466),),
    pitch="voiced",
    prints=(
        "MCD, RMSE of F0 in Hz, and its correlation in Hz here f0-correlation-hz "
        "(evaluate/dtw_based.py of s3prl-vc and seq2seq-vc; mcd_f0 of VERSA with dtw: true)"
    ),
    differs=(
        "F0 by Harvest, order 39 and constant 0.466 at every rate, c0 counts in path and distance, "
        "fastdtw, F0 on a second path through voiced frames only"
    ),
    chosen="F0 limits: VERSA's defaults; s3prl-vc and seq2seq-vc read them per speaker",
)
_PYMCD_DTW = Protocol(
    "pymcd-dtw",
    scale=1.0,
    resample_hz=22050,
    low_cut_hz=0.0,
    f0_floor_hz=71.0,
    f0_ceil_hz=800.0,
    fft_size=512,
    cepstrum="mcep-of-power",
    mel_cepstra=((ANY_RATE, 13, 0.65),),
    kept="all",
    mcd_from=0,
    path="fastdtw",
    prints="MCD (pymcd 0.2.1, mode dtw)",
    differs=(
        "everything at 22050 Hz, order 13 and constant 0.65, the power spectrum taken for an "
        "amplitude spectrum, c0 counts in the distance but not in the path, no gate, fastdtw"
    ),
    warning=(
        "depends on the recordings' level: scaling both files moves the value by whole dB, so it "
        "compares only files of one level"
    ),
)

PRESETS = (
    _VCBENCH_1,
    Protocol(
        "espnet2",
        low_cut_hz=0.0,
        hop_samples=256,
        f0_method="harvest",
        f0_ceil_hz=800.0,
        fft_size=1024,
        cepstrum="mcep",
        mel_cepstra=(
            (16000, 23, 0.42),
            (22050, 34, 0.45),
            (24000, 34, 0.46),
            (44100, 39, 0.53),
            (48000, 39, 0.55),
        ),
        kept="all",
        path_from=0,
        mcd_from=0,
        path="fastdtw",
        pitch="world",
        prints=(
            "MCD (evaluate_mcd.py) and RMSE of ln F0 (evaluate_f0.py), of ESPnet 2 and "
            "ParallelWaveGAN"
        ),
        differs=(
            "SPTK's mcep of the waveform every 256 samples and not WORLD's envelope, c0 counts in "
            "path and distance, no gate, fastdtw, F0 on a path of its own"
        ),
    ),
    _ESPNET_VC,
    replace(
        _ESPNET_VC,
        id="espnet-vc-2020-06",
        kept="voiced",
        prints="mean MCD over utterances (utils/mcd_calculate.py of ESPnet 1, until December 2020)",
        differs="as espnet-vc, but the frames with F0 are kept and power is not looked at",
    ),
    _S3PRL_VC,
    replace(
        _S3PRL_VC,
        id="versa-default",
        kept="all",
        path="truncated",
        pitch="path",
        unvoiced_counts=True,
        prints=(
            "MCD, RMSE of F0 in Hz, and its correlation in Hz over all frames, here "
            "f0-correlation-hz (mcd_f0 of VERSA, dtw: false)"
        ),
        differs=(
            "as s3prl-vc, but no gate and no DTW: frame i is compared with frame i; and F0 in Hz "
            "at all frames, 0 where unvoiced"
        ),
        chosen="",
    ),
    Protocol(
        "sprocket",
        frame_periods_ms=((22050, 4.988662131519274),),
        f0_method="harvest",
        mel_cepstra=(
            (16000, 24, 0.41),
            (22050, 34, 0.455),
            (44100, 40, 0.544),
            (48000, 40, 0.554),
        ),
        gate_db=-15.0,
        deltas=True,
        path="fastdtw",
        prints="MCD of the joint features while it aligns (estimate_twf_and_jnt.py of sprocket)",
        differs=(
            "F0 by Harvest, gate at -15 dB, path and distance see each frame's difference from the "
            "one before too, fastdtw"
        ),
        chosen="F0 limits and gate of its speaker template, where users tune both per speaker",
    ),
    Protocol(
        "crank",
        scale=1.0,
        frame_periods_ms=((22050, 5.80499), (24000, 5.333333)),
        f0_method="harvest",
        fft_size=1024,
        mel_cepstra=((16000, 24, 0.41), (22050, 34, 0.466), (24000, 34, 0.466)),
        kept="voiced",
        path_from=0,
        mcd_from=0,
        path="fastdtw",
        prints="MCD, averaged for each pair of speakers (evaluate_mcd.py of crank)",
        differs="F0 by Harvest, frames with F0 are kept, c0 counts in path and distance, fastdtw",
        chosen=(
            "F0 limits, which the tool reads per speaker; 16000 Hz at all, for which it ships no "
            "settings and extracts no mel-cepstra"
        ),
    ),
    Protocol(
        "nnmnkwii",
        kept="all",
        path="fastdtw",
        prints=(
            "melcd, lf0_mean_squared_error (an RMSE, of ln F0 where both sides are voiced) and "
            "vuv_error, as a fraction (nnmnkwii 0.1.3, after its DTWAligner)"
        ),
        differs="no gate, fastdtw",
        chosen="the features, which are the caller's: those of vcbench-1, c0 left out",
    ),
    Protocol(
        "mattshannon",
        kept="all",
        mean="reference",
        prints=(
            "MCD over all utterances together (get_mcd_dtw of MattShannon/mcd): its sums are added "
            "before they are divided, so it is the mean weighted by the references' lengths"
        ),
        differs="no gate; the sum over the path is divided by the number of reference frames",
        chosen="the features, which are the caller's: those of vcbench-1",
    ),
    Protocol(
        "kubichek-0.0.4",
        low_cut_hz=0.0,
        frame_period_ms=8.0,
        cepstrum="mel-bands",
        mel_cepstra=((ANY_RATE, 15, 0.0),),
        kept="all",
        path="fastdtw",
        fastdtw_radius=10,
        mcd_unit="bel",
        prints="the first number of compare_audio_files (mel-cepstral-distance 0.0.4)",
        differs=(
            "a DCT of log10 mel-band energies and not a mel-cepstrum, path by the band energies, "
            "no factor: not in dB and not comparable with any of the others"
        ),
    ),
    replace(
        _PYMCD_DTW,
        id="pymcd-plain",
        path="padded",
        prints="MCD (pymcd 0.2.1, mode plain)",
        differs="as pymcd-dtw, but frame i is compared with frame i, zeros behind the shorter file",
    ),
    _PYMCD_DTW,
    replace(
        _PYMCD_DTW,
        id="pymcd-dtw_sl",
        mean="length-ratio",
        prints="MCD (pymcd 0.2.1, mode dtw_sl)",
        differs="as pymcd-dtw, times the longer side's number of frames by the shorter's",
    ),
)

ALIASES = {"versa-dtw": "s3prl-vc", "seq2seq-vc": "s3prl-vc", "parallel-wavegan": "espnet2"}

_MFCC = (
    "MFCC are no mel-cepstra: their scale depends on the library's log, DCT and liftering, and "
    "distances of them reach hundreds where mel-cepstral distortion is about ten dB; use "
    "vcbench-1, or kubichek-0.0.4 for a definition on mel bands that is published as a tool"
)
REFUSED = dict.fromkeys(("mfcc", "librosa-mfcc", "mfcc-mcd"), _MFCC)
