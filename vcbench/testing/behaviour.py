"""Checks of what a network computes: shapes, gradients, samples, silence, scores, masks."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from vcbench.errors import PluginError
from vcbench.testing.subject import Subject, require, require_equal, tensor
from vcbench.training.models import isolated_rng

# Each side of what strides of 2 to 16 divide, and lengths of whole sentences.
LENGTHS = (*range(1, 10), 15, 16, 17, 31, 33, 63, 65, 100, 127, 128, 129, 255, 383, 601)
CROPS = (32, 64, 128, 200, 256)
COEFFICIENTS = (4, 13, 25, 36, 81)  # a suite may ask for 4 to 80, and pitch can be one more
CONSTANTS = (0.0, -4.0, 4.0)
GPU = "cuda"
# Below this share of the largest gradient there is only rounding.
DEAD = 1e-9


def any_length(subject: Subject) -> None:
    """Any number of frames gives as many; a discriminator takes every crop length."""
    if not subject.is_generator:
        _every_crop(subject)
        return
    network = subject.build().eval()
    wrong: list[str] = []
    for frames in LENGTHS:
        batch = 3 if frames == 33 else 1
        wrong += _faults(network, subject.mcep(batch, frames=frames), f"{frames} frames")
    require(
        not wrong,
        f"of {len(LENGTHS)} lengths, {len(wrong)} went wrong: {'; '.join(wrong[:4])}. It must "
        "return the shape that it is given: pad the input to what the strides divide, and crop "
        "the output to the input's length",
    )


def _every_crop(subject: Subject) -> None:
    for frames in CROPS:
        try:
            network = subject.build(segment_frames=frames).eval()
        except PluginError as error:
            require(frames != 128 and "segment_frames" in str(error.__cause__), str(error))
            continue
        with torch.no_grad():
            scores = tensor(network(subject.mcep(3, frames=frames)))
        require(
            scores.ndim >= 1 and scores.shape[0] == 3,
            f"3 crops of {frames} frames gave scores of shape {tuple(scores.shape)}; the first "
            "dimension must stay the batch",
        )
        require(
            bool(torch.isfinite(scores).all()),
            f"crops of {frames} frames gave scores that are not finite",
        )


def coefficients(subject: Subject) -> None:
    """Other numbers of coefficients work, or are refused with a reason that names n_mcep."""
    for n_mcep in COEFFICIENTS:
        try:
            network = subject.build(n_mcep=n_mcep).eval()
        except PluginError as error:
            require(
                "n_mcep" in str(error.__cause__),
                f"{error}. Where a number of coefficients cannot work, raise ValueError with a "
                f"text such as 'n_mcep ({n_mcep}) must be at least 16'",
            )
            continue
        mcep = subject.mcep(2, frames=subject.frames, n_mcep=n_mcep)
        if subject.is_generator:
            wrong = _faults(network, mcep, f"n_mcep {n_mcep}")
            require(not wrong, f"{'; '.join(wrong)}; it must return the shape that it is given")
        else:
            with torch.no_grad():
                scores = tensor(network(mcep))
            require(
                scores.shape[:1] == (2,) and bool(torch.isfinite(scores).all()),
                f"n_mcep {n_mcep}: scores of shape {tuple(scores.shape)} for 2 crops, which must "
                "be finite and keep the batch",
            )


def _faults(network: nn.Module, mcep: Tensor, label: str) -> list[str]:
    """What is wrong with a generator's output, as a list of one or none."""
    try:
        with torch.no_grad():
            found = tensor(network(mcep.clone()))
    except AssertionError:
        raise
    except Exception as error:
        return [f"{label}: {type(error).__name__}: {error}"]
    if found.shape != mcep.shape:
        return [f"{label}: {tuple(mcep.shape)} became {tuple(found.shape)}"]
    if not torch.isfinite(found).all():
        return [f"{label}: the output is not finite"]
    return []


def gradients(subject: Subject) -> None:
    """Gradients are finite and reach every parameter and the input."""
    network = subject.shaken()
    mcep = subject.mcep(2).requires_grad_(True)
    scores = tensor(network(mcep.clone()))
    # A random direction: the plain sum of a normalised output depends on nothing.
    generator = torch.Generator().manual_seed(1)
    direction = torch.randn(scores.shape, generator=generator, dtype=scores.dtype)
    (scores * direction).sum().backward()
    trained = {n: p for n, p in network.named_parameters() if p.requires_grad}
    require(bool(trained), "it has no parameter that training could change")
    unreached = [name for name, p in trained.items() if p.grad is None]
    require(
        not unreached,
        f"no gradient reaches {_listed(unreached)}: use them in forward, or remove them",
    )
    sizes = {n: float(p.grad.abs().max()) for n, p in trained.items() if p.grad is not None}
    broken = [name for name, size in sizes.items() if not size < float("inf")]
    require(not broken, f"the gradients of {_listed(broken)} are not finite")
    # A norm takes away the bias in front of it: one-dimensional parameters may have none.
    least = DEAD * max(sizes.values())
    dead = [n for n, size in sizes.items() if size <= least and trained[n].ndim > 1]
    require(
        not dead,
        f"the gradients of {_listed(dead)} are zero: they change nothing in the output; use "
        "them in forward, or remove them",
    )
    reached = mcep.grad is not None and bool((mcep.grad.abs().amax(dim=(1, 2)) > 0).all())
    require(reached, "no gradient reaches the input: training a generator needs it; do not detach")


def samples_apart(subject: Subject) -> None:
    """Each sample of a batch is treated by itself, in training as in conversion."""
    network = subject.shaken()
    one, other = subject.mcep(1, seed=1), subject.mcep(2, seed=2)

    def first_of(neighbours: Tensor) -> Tensor:
        with torch.no_grad(), isolated_rng("vcbench.testing"):
            return tensor(copy.deepcopy(network)(torch.cat([one, neighbours])))[:1]

    advice = "use instance norm, not batch norm: training joins unrelated inputs into one batch"
    require_equal(
        first_of(other),
        first_of(5 * other + 3),
        f"in training mode a sample's output depends on its neighbours in the batch; {advice}",
    )
    network.eval()
    with torch.no_grad():
        together = network(torch.cat([one, other]))
        apart = torch.cat([network(one.clone()), network(other.clone())])
    require_equal(together, apart, f"a batch is not what its samples give by themselves; {advice}")


def finite(subject: Subject) -> None:
    """Silence and constants give finite outputs and gradients."""
    network = subject.build()
    for value in CONSTANTS:
        network.zero_grad()
        mcep = torch.full((1, 24, subject.frames), value, requires_grad=True, dtype=torch.float32)
        found = tensor(network(mcep.clone()))
        advice = "add an epsilon to what is divided by, and inside roots and logarithms"
        require(
            bool(torch.isfinite(found).all()),
            f"an input that is {value:g} everywhere gives an output that is not finite; {advice}",
        )
        found.square().sum().backward()
        named = [("the input", mcep), *network.named_parameters()]
        wrong = [n for n, p in named if p.grad is not None and not torch.isfinite(p.grad).all()]
        require(
            not wrong,
            f"an input that is {value:g} everywhere gives gradients of {_listed(wrong)} that are "
            f"not finite; {advice}",
        )


def sigmoid(subject: Subject) -> None:
    """The attribute `sigmoid` tells the truth about the scores."""
    network = subject.build()
    says = getattr(network, "sigmoid", False)
    require(
        isinstance(says, bool), f"its attribute `sigmoid` is {says!r}; it must be True or False"
    )
    low, high = float("inf"), float("-inf")
    for _ in range(4):  # weights grow until scores without a sigmoid must leave 0 to 1
        with torch.no_grad():
            scores = tensor(network(5 * subject.mcep(4)))
            for parameter in network.parameters():
                parameter.mul_(5)
        scores = scores[~scores.isnan()]
        if scores.numel():
            low, high = min(low, float(scores.min())), max(high, float(scores.max()))
    inside = low >= 0 and high <= 1
    require(
        inside or not says,
        f"`sigmoid` is True, so scores are probabilities, but they reach from {low:.3g} to "
        f"{high:.3g}; end with torch.sigmoid or say sigmoid=False",
    )
    require(
        says or not inside,
        f"`sigmoid` is {'False' if hasattr(network, 'sigmoid') else 'missing'}, but whatever the "
        "weights, all scores lie between 0 and 1; set `self.sigmoid = True` on the module where "
        "it ends with a sigmoid, so that the objective knows",
    )


def mask(subject: Subject) -> None:
    """A generator that takes a mask uses it: nothing hidden is seen, and None hides nothing."""
    network = subject.shaken().eval()
    mcep = subject.mcep(2)
    seen = torch.ones(2, 1, mcep.shape[-1], dtype=torch.float32)
    partly = seen.clone()
    partly[..., 10:30] = 0
    with torch.no_grad():
        without = tensor(network(mcep.clone()))
        some = tensor(network(mcep.clone(), partly))
        for found in (without, some):
            require(
                found.shape == mcep.shape and bool(torch.isfinite(found).all()),
                f"with a mask {tuple(partly.shape)} it turned {tuple(mcep.shape)} into "
                f"{tuple(found.shape)}; it must return the input's shape, finite",
            )
        none = "called as network(mcep, None) it is not what network(mcep) is"
        require_equal(network(mcep.clone(), None), without, none)
        ones = "with a mask of ones, which hides nothing, it is not what it is without a mask"
        require_equal(network(mcep.clone(), seen), without, ones)
        hidden = mcep + 3 * (1 - partly)
        require_equal(
            network(hidden, partly.clone()),
            some,
            "frames that the mask hides change the output; multiply the input by the mask first",
        )
        same = torch.allclose(some, without, rtol=1e-4, atol=1e-5)
    require(not same, "a mask that hides frames changes nothing; multiply the input by it")


def device(subject: Subject) -> None:
    """On a GPU it computes what it computes on the CPU."""
    network = subject.shaken().eval()
    mcep = subject.mcep(2)
    with torch.no_grad():
        expected = tensor(network(mcep.clone()))
        # TF32 rounds to 10 bits, which would hide what is compared here.
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            found = tensor(network.to(GPU)(mcep.to(GPU))).cpu()
    worst = float((found - expected).abs().max()) / max(1.0, float(expected.abs().max()))
    require(
        found.shape == expected.shape and worst < 1e-3,
        f"on the GPU its output differs from the CPU's by {worst:.3g} of the largest value",
    )


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(names[:5]) + more
