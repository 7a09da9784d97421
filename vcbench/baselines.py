"""What systems are measured against: conversions that no CycleGAN is trained for."""

from __future__ import annotations

# What `smoothed-target` averages over. Five frames are 25 ms at the usual frame period.
SMOOTHED_FRAMES = 5

SUMMARIES = {
    "source-copy": "the source recording, unchanged: what converting must improve on",
    "mean-variance": "mean and variance of mel-cepstra and log F0 matched to the target's",
    "resynthesis": "the target through analysis, coding and WORLD synthesis: the floor",
    "smoothed-target": "the target again, each mel-cepstrum averaged over 5 frames: what "
    "mel-cepstral distortion forgives",
    "parallel-gmm": "a joint-density GMM that has learnt from parallel sentences, which no system "
    "may use: how far supervision brings the mel-cepstra",
}
