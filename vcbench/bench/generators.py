"""The built-in generators and the training step against their frozen copies: the speed gates."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn

from vcbench.bench import clone, counts
from vcbench.bench.counts import FRAMES, N_MCEP, Counts
from vcbench.bench.paired import MOST_PAIRS, PAIRS, Function, Paired, compare
from vcbench.discovery import NETWORKS, Kind
from vcbench.errors import PluginError, VcbenchError
from vcbench.plugins import Plugin, Registry, marked
from vcbench.training.cell import Cell, ComponentSpec, Recipe
from vcbench.training.models import build_module, build_networks, build_objective, isolated_rng
from vcbench.training.step import CycleGan

Phase = Literal["forward", "backward", "step"]
PHASES: tuple[Phase, ...] = ("forward", "backward", "step")
WHAT = {"forward": "forward", "backward": "forward and backward", "step": "training step"}

# The step has four networks and three times the passes: at full size it would take minutes.
SCALES = {"forward": 1.0, "backward": 1.0, "step": 0.25}
AGREEMENT = 1e-4  # of the largest value; other orders of the same sums differ by 1e-6
REFREEZE = "if that is meant, run: python tests/benchmark/freeze.py"


class FrozenRegistry:
    """The architectures and objectives as they were when `freeze.py` was run, by `get` alone."""

    def __init__(self) -> None:
        clone.frozen()
        architectures = importlib.import_module("vcbench_frozen.architectures")
        files = pkgutil.iter_modules(architectures.__path__, f"{architectures.__name__}.")
        modules = [importlib.import_module(file.name) for file in files]
        self._plugins = [plugin for module in modules for plugin in marked(module)]

    def get(self, kind: Kind, name: str) -> Plugin:
        """As `Registry.get`."""
        for plugin in self._plugins:
            if (plugin.kind, plugin.name) == (kind, name):
                return plugin
        raise PluginError(f"{kind} '{name}' has no frozen copy; {REFREEZE}")


def built_in(registry: Registry, kind: Kind) -> list[str]:
    """Names of vcbench's own plugins of a kind: who brings others guards them himself."""
    declared = registry.declarations(kind)
    return sorted({d.name for d in declared if d.module.startswith("architectures.")})


def gates(registry: Registry) -> set[str]:
    """Names of all gates: those of what is registered, and those of what was when the frozen copies
    were taken, so that none vanishes without a word."""
    recorded = counts.recorded()
    names = {kind: {*built_in(registry, kind), *recorded[kind]} for kind in NETWORKS}
    timed = {f"{name} {phase}" for name in names["generator"] for phase in PHASES}
    return timed | {f"{name} counts" for kind in NETWORKS for name in names[kind]}


def compare_prepared(
    live: Function,
    frozen: Function,
    *,
    device: str = "cpu",
    threads: int = 1,
    pairs: int = PAIRS,
    progress: Callable[[int, int], None] | None = None,
) -> Paired:
    """What `prepared` returned, in turns, for as long as it takes to be sure or `MOST_PAIRS`."""
    return compare(
        live,
        frozen,
        device=device,
        threads=threads,
        pairs=pairs,
        most_pairs=max(pairs, MOST_PAIRS),
        progress=progress,
    )


@dataclass(frozen=True)
class Examined:
    """All of a generator's gates: `changed` counts in words, and for each phase the times beside
    the frozen copy's, or why there are none."""

    name: str
    counts: Counts
    changed: list[str]
    phases: dict[Phase, Paired | str]

    @property
    def failed(self) -> bool:
        """Whether a gate fails."""
        slower = [t for t in self.phases.values() if isinstance(t, str) or t.verdict == "slower"]
        return bool(self.changed or slower)


def examine(
    name: str,
    *,
    device: str,
    threads: int,
    pairs: int,
    progress: Callable[[str, int, int | None], None],
) -> Examined:
    """Try all gates of a built-in generator."""
    recorded = counts.recorded()["generator"].get(name)
    found = counts.count(Registry(), "generator", name)
    changed = counts.differences(recorded, found) if recorded else [f"no counts; {REFREEZE}"]
    phases: dict[Phase, Paired | str] = {}
    for phase in PHASES:
        try:
            phases[phase] = compare_prepared(
                *prepared(name, phase, device=device),
                device=device,
                threads=threads,
                pairs=pairs,
                progress=partial(progress, f"{name}, {WHAT[phase]}"),
            )
        except VcbenchError as error:
            phases[phase] = str(error)
    return Examined(name, found, changed, phases)


def prepared(
    name: str, phase: Phase, *, device: str = "cpu", scale: float | None = None
) -> tuple[Function, Function]:
    """A generator or a step as it is, and its frozen copy, with equal weights and input.

    Forward and backward are those of the full-size generator on (1, 24, 128), the step that of a
    system at a quarter of the width. Raises `VcbenchError` where both do not compute the same, or
    there is no frozen copy.
    """
    scale = SCALES[phase] if scale is None else scale
    with isolated_rng("bench", name):
        if phase == "step":
            live, frozen = _steps(name, scale, device)
        else:
            mcep = torch.randn(1, N_MCEP, FRAMES, device=device)
            work = forward if phase == "forward" else forward_and_backward
            networks = generators(name, scale=scale, device=device)
            live, frozen = (work(network, mcep) for network in networks)
    difference = _relative_difference(live(), frozen())
    if not difference <= AGREEMENT:
        raise VcbenchError(
            f"{name}, {WHAT[phase]}: from equal weights and input it and its frozen copy compute "
            f"what differs by {difference:.1e} of the largest value, more than {AGREEMENT:.0e}: it "
            f"is another function now; {REFREEZE}"
        )
    return live, frozen


def generators(name: str, *, scale: float, device: str = "cpu") -> tuple[nn.Module, nn.Module]:
    """The generator as it is and its frozen copy, with equal weights."""
    spec = ComponentSpec(name)
    live = build_module(Registry(), "generator", spec, n_mcep=N_MCEP, scale=scale)
    frozen_models = _frozen_module("training.models")
    frozen = frozen_models.build_module(
        FrozenRegistry(), "generator", spec, n_mcep=N_MCEP, scale=scale
    )
    _copy_weights(name, live, frozen)
    return live.to(device), frozen.to(device)


def forward(generator: nn.Module, mcep: Tensor) -> Callable[[], list[Tensor]]:
    """As in conversion: no gradients."""
    generator.eval()

    def call() -> list[Tensor]:
        with torch.inference_mode():
            return [generator(mcep)]

    return call


def forward_and_backward(generator: nn.Module, mcep: Tensor) -> Callable[[], list[Tensor]]:
    """As in training: gradients of the mean magnitude with respect to all parameters."""
    parameters = list(generator.parameters())

    def call() -> list[Tensor]:
        return list(torch.autograd.grad(generator(mcep).abs().mean(), parameters))

    return call


def _steps(
    name: str, scale: float, device: str
) -> tuple[Callable[[], list[Tensor]], Callable[[], list[Tensor]]]:
    registry, frozen_registry = Registry(), FrozenRegistry()
    cell = Cell(
        system="bench",
        source="A",
        target="B",
        seed=0,
        generator=ComponentSpec(name),
        discriminator=ComponentSpec(_discriminator(registry, name)),
        objective=ComponentSpec("lsgan"),
        recipe=Recipe(iterations=400_000),
        scale=scale,
        features={"n_mcep": N_MCEP},
        train_features={},
        validation_features={},
        device=device,
    )
    networks = build_networks(cell, registry)
    models: Any = _frozen_module("training.models")
    frozen_networks = models.build_networks(cell, frozen_registry)
    _copy_weights(name, networks, frozen_networks)
    batch = [torch.randn(1, N_MCEP, FRAMES, device=device) for _ in range(2)]
    live = CycleGan(networks.to(device), build_objective(cell, registry, networks), cell)
    frozen = _frozen_module("training.step").CycleGan(
        frozen_networks.to(device),
        models.build_objective(cell, frozen_registry, frozen_networks),
        cell,
    )

    def losses(gan: Any) -> Callable[[], list[Tensor]]:
        return lambda: list(gan.step(*batch, 0).values())

    return losses(live), losses(frozen)


def _discriminator(registry: Registry, generator: str) -> str:
    """That of the same file, else CycleGAN-VC2's."""
    module = registry.declaration("generator", generator).module
    own = [d.name for d in registry.declarations("discriminator") if d.module == module]
    return own[0] if own else "cyclegan-vc2-patchgan"


def _frozen_module(name: str) -> Any:
    clone.frozen()
    return importlib.import_module(f"vcbench_frozen.{name}")


def _copy_weights(name: str, live: nn.Module, frozen: nn.Module) -> None:
    try:
        frozen.load_state_dict(live.state_dict())
    except RuntimeError:
        raise VcbenchError(
            f"{name}: its weights have other names or shapes than those of its frozen copy; "
            f"{REFREEZE}"
        ) from None


def _relative_difference(found: Iterable[Tensor], expected: Iterable[Tensor]) -> float:
    pairs = [(a.detach(), b.detach()) for a, b in zip(found, expected, strict=True)]
    # By PyTorch, whose maximum of a NaN is NaN: Python's may pass over it.
    largest = torch.stack([b.abs().max() for _, b in pairs]).max()
    return float(torch.stack([(a - b).abs().max() for a, b in pairs]).max() / largest)
