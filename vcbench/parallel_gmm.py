"""The supervised topline: a joint-density GMM on parallel sentences, with trajectory generation.

Toda, Black and Tokuda, "Voice Conversion Based on Maximum-Likelihood Estimation of Spectral
Parameter Trajectory", IEEE Trans. ASLP 15(8), 2007: a Gaussian mixture over aligned source and
target frames, each with its delta; the converted trajectory is the likeliest one (section III; no
global variance, so it is smoother than speech). The mixture is scikit-learn's, the trajectory
nnmnkwii's. It uses what CycleGAN-VC does without: the same sentences said by both speakers. So it
shows how far mel-cepstra can be brought by such data, and is no rival to the systems.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from vcbench.dtw import dtw_path
from vcbench.errors import DataError
from vcbench.world import Array

COMPONENTS = 32
# Fewer frames than this for each Gaussian say little about its full covariance.
FRAMES_PER_COMPONENT = 400
ITERATIONS = 30
REGULARIZATION = 1e-3  # variance added to each value, the values having variance 1
SEED = 0
# Static values and their slope over three frames.
_WINDOWS = [(0, 0, np.array([1.0])), (1, 1, np.array([-0.5, 0.0, 0.5]))]


class ParallelGmm:
    """A conversion learnt from parallel sentences; call it with normalised mel-cepstra.

    pairs: (source, target) of each sentence, each (frames, n_mcep), normalised with its speaker's
    statistics. Raises `DataError` if there are too few frames to fit one Gaussian.
    """

    def __init__(self, pairs: Sequence[tuple[Array, Array]]) -> None:
        joint = np.concatenate([_joint(source, target) for source, target in pairs])
        minimum = joint.shape[1] + 1
        if len(joint) < minimum:
            raise DataError(
                f"parallel-gmm: {len(joint)} aligned frames of {len(pairs)} parallel sentences are "
                f"too few, at least {minimum} are needed; score more sentences, or leave "
                "parallel-gmm out of the baselines"
            )
        components = max(1, min(COMPONENTS, len(joint) // FRAMES_PER_COMPONENT))
        self._trajectory = _trajectory(_fitted(joint, components))

    def __call__(self, normalized: Array) -> Array:
        """(frames, n_mcep) of the source to as many of the target."""
        frames = len(normalized)
        if frames < 3:  # a slope needs three
            normalized = np.pad(normalized, ((0, 3 - frames), (0, 0)), mode="edge")
        return np.asarray(self._trajectory.transform(_with_slope(normalized)))[:frames]


def folds(n: int, *, n_folds: int = 3) -> list[tuple[list[int], list[int]]]:
    """(indices to learn from, indices to convert) for each fold of `n` sentences.

    Where only the sentences to be scored are parallel, each is converted by a mixture that has not
    seen it. Sentence i is in fold i modulo the number of folds.
    """
    count = min(n_folds, n)
    return [
        ([i for i in range(n) if i % count != fold], [i for i in range(n) if i % count == fold])
        for fold in range(count)
    ]


def _joint(source: Array, target: Array) -> Array:
    """Aligned frames with their deltas, (length of the path, 4 * n_mcep)."""
    path = dtw_path(source, target)
    sides = [_with_slope(side) for side in (source, target)]
    return np.concatenate([side[path[:, i]] for i, side in enumerate(sides)], axis=1)


def _with_slope(trajectory: Array) -> Array:
    """(frames, n_mcep) -> (frames, 2 * n_mcep): each frame and how it changes."""
    from nnmnkwii.preprocessing import delta_features

    return np.asarray(delta_features(trajectory, _WINDOWS))


def _fitted(joint: Array, components: int) -> Any:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture

    mixture = GaussianMixture(
        components,
        covariance_type="full",
        max_iter=ITERATIONS,
        reg_covar=REGULARIZATION,
        random_state=SEED,
    )
    with warnings.catch_warnings():
        # The number of iterations is part of the definition.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return mixture.fit(joint)


def _trajectory(mixture: Any) -> Any:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="pkg_resources is deprecated")
        from nnmnkwii.baseline.gmm import MLPG
    return MLPG(mixture, windows=_WINDOWS)
