"""The engine's training step against the reference step: `vcbench bench train`."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from vcbench.bench import clone, floor
from vcbench.bench.floor import Floor
from vcbench.bench.paired import PAIRS, Paired, compare
from vcbench.errors import UsageError, did_you_mean
from vcbench.plugins import Registry
from vcbench.threads import torch_threads
from vcbench.training.cell import Cell, ComponentSpec, Recipe
from vcbench.training.models import Networks, build_networks, build_objective, isolated_rng
from vcbench.training.precision import float32_products
from vcbench.training.schedule import loss_weights
from vcbench.training.step import CycleGan

if TYPE_CHECKING:
    from vcbench.suite import Component, Suite

# Of the paper (arXiv:1711.11293), in the wide reading of its figure, with its least-squares losses.
PAPER_SYSTEM = Cell(
    system="cyclegan-vc-1d, gated-patchgan, lsgan",
    source="A",
    target="B",
    seed=0,
    generator=ComponentSpec("cyclegan-vc-1d"),
    discriminator=ComponentSpec("gated-patchgan", {"sigmoid": False}),
    objective=ComponentSpec("lsgan"),
    recipe=Recipe(iterations=400_000),
    scale=1.0,
    features={"n_mcep": 24},
    train_features={},
    validation_features={},
)
# Recipe keys that change what a step is given, or what is done beside it; and how exactly the
# engine computes, which is what is compared.
NO_PART_OF_A_STEP = frozenset(
    {
        "crops",
        "pairing",
        "sentences",
        "pitch",
        "precision",
        "generator_optimizers",
        "validation_utterances",
        "log_every",
        "validate_every",
        "checkpoint_every",
    }
)
CROPS = 8  # that training goes round and round
COMPARED_STEPS = 5  # whose losses are compared


def cell_of(suite: Suite, system: str | None) -> Cell:
    """A cell of a suite's system; raises `UsageError` where `system` names none of several."""
    if system is None and len(suite.systems) == 1:
        system = next(iter(suite.systems))
    if system is None or system not in suite.systems:
        hint = did_you_mean(system or "", suite.systems)
        said = "give --system" if system is None else f"--system {system}: no such system"
        raise UsageError(f"suite '{suite.name}': {said}; {hint}")
    chosen = suite.systems[system]

    def spec(component: Component) -> ComponentSpec:
        return ComponentSpec(component.name, dict(component.options))

    return replace(
        PAPER_SYSTEM,
        system=system,
        generator=spec(chosen.generator),
        discriminator=spec(chosen.discriminator),
        objective=spec(chosen.objective),
        recipe=Recipe.from_json(chosen.training.model_dump()),
        scale=suite.scale,
        features={"n_mcep": suite.features.n_mcep},
        plugin_files=tuple(str(path) for path in suite.registry.files),
    )


@dataclass(frozen=True)
class Stage:
    """The steps of one part of a training: `time.first_s` is the reference's, `.second_s` the
    engine's, and the ratio how many times as many iterations the engine makes."""

    identity_loss: bool
    time: Paired
    floor: Floor


@dataclass(frozen=True)
class Comparison:
    """Stages with the identity loss and without it, as far as the recipe has them.

    loss_difference: the largest relative one of any loss in the first steps, from equal weights.
    """

    stages: list[Stage]
    loss_difference: float


def compare_steps(
    cell: Cell,
    registry: Registry,
    *,
    threads: int = 1,
    pairs: int = PAIRS,
    progress: Callable[[str, int, int | None], None] | None = None,
) -> Comparison:
    """Time the engine's step of a cell and the reference step, on noise as normalised mel-cepstra.

    The reference computes in float32 whatever the cell's precision is; on a GPU that is what
    PyTorch makes of it by default, with convolutions in TF32. Raises `UsageError` where
    the reference step does not train as the cell does, and outside a clone of vcbench.
    """
    reference = _reference_step(cell, registry)
    networks = build_networks(cell, registry).to(cell.device)
    plain = reference(copy.deepcopy(networks))
    gan = CycleGan(networks, build_objective(cell, registry, networks), cell)
    shape = (CROPS, 2, cell.recipe.batch_size, cell.n_mcep, cell.recipe.segment_frames)
    with isolated_rng("bench", "crops"):
        crops = torch.randn(shape, device=cell.device)
    difference = 0.0
    for number in range(COMPARED_STEPS):
        source, target = crops[number % CROPS]
        with float32_products(cell.recipe):
            losses = gan.step(source, target, number)
        expected = plain.step(source, target, number)
        for name in losses.keys() & expected.keys():
            relative = float((losses[name] - expected[name]).abs() / expected[name].abs())
            if not relative <= difference:  # NaN too is a difference
                difference = relative
    stages = []
    for iteration, identity_loss in _stages(cell.recipe):
        name = f"training step {'with' if identity_loss else 'without'} identity loss"

        def advance(done: int, wanted: int, name: str = name) -> None:
            if progress:
                progress(name, done, wanted)

        time = compare(
            _steps(plain, crops, iteration),
            _engine_steps(gan, crops, iteration),
            device=cell.device,
            threads=threads,
            pairs=pairs,
            progress=advance,
        )
        with torch_threads(threads):
            least = floor.measure(gan, crops[0, 0], crops[0, 1], iteration)
        stages.append(Stage(identity_loss, time, least))
    return Comparison(stages, difference)


def _engine_steps(gan: CycleGan, crops: Tensor, iteration: int) -> Callable[[], object]:
    step = _steps(gan, crops, iteration)

    def within_precision() -> object:
        with float32_products(gan.recipe):  # as training does
            return step()

    return within_precision


def _steps(side: Any, crops: Tensor, iteration: int) -> Callable[[], object]:
    """A function that trains on the next crops, always as in this iteration."""
    done = 0

    def step() -> object:
        nonlocal done
        done += 1
        source, target = crops[done % CROPS]
        return side.step(source, target, iteration)

    return step


def _stages(recipe: Recipe) -> list[tuple[int, bool]]:
    """(an iteration of it, whether it has an identity loss) of each part of a training."""
    until = recipe.identity_until
    begins = [0] if until is None else [0, until]
    found = {
        bool(loss_weights(i, recipe).identity): i for i in reversed(begins) if i < recipe.iterations
    }
    return [(found[on], on) for on in (True, False) if on in found]


def _reference_step(cell: Cell, registry: Registry) -> Callable[[Networks], Any]:
    """What makes the reference step of networks; raises `UsageError` if it trains otherwise."""
    module = clone.reference_step()
    recipe = cell.recipe
    defaults = Recipe(iterations=recipe.iterations)
    other = [
        f"{f.name}: {getattr(recipe, f.name)}"
        for f in fields(Recipe)
        if f.name not in module.RECIPE_KEYS | NO_PART_OF_A_STEP
        and getattr(recipe, f.name) != getattr(defaults, f.name)
    ]
    if other:
        raise UsageError(
            f"system '{cell.system}' trains with {', '.join(other)}, which the reference step does "
            "not know; bench train compares systems that are trained as in the first CycleGAN-VC "
            "paper"
        )
    defaults_of_objective = {
        option.name: option.default
        for option in registry.get("objective", cell.objective.name).options
    }
    for name, value in cell.objective.options.items():
        if value != defaults_of_objective[name]:
            raise UsageError(
                f"system '{cell.system}' has objective '{cell.objective.name}' with {name}: "
                f"{value}, which the reference step does not know"
            )

    def make(networks: Networks) -> Any:
        sigmoid = bool(getattr(networks.discriminator_target, "sigmoid", False))
        loss = module.LOSSES.get((cell.objective.name, sigmoid))
        if loss is None:
            known = sorted({name for name, _ in module.LOSSES})
            raise UsageError(
                f"system '{cell.system}' has objective '{cell.objective.name}'; the reference step "
                f"has {' and '.join(known)}"
            )
        return module.ReferenceStep(networks, loss, recipe)

    return make
