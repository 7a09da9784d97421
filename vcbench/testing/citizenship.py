"""Checks of how a plugin lives with the harness: seeds, state, sizes, and a fresh process."""

from __future__ import annotations

import copy
import hashlib
import io
import json
import subprocess
from typing import Any

import torch
from torch import Tensor, nn

from vcbench import child
from vcbench.errors import PluginError
from vcbench.plugins import Registry
from vcbench.testing import global_state
from vcbench.testing.subject import N_MCEP, Subject, require, require_equal, tensor
from vcbench.training.models import count_parameters, isolated_rng

CHILD_TIMEOUT_S = 300


def deterministic(subject: Subject) -> None:
    """A seed decides the weights, and the same input twice gives the same."""
    first, again = subject.build(seed=1), subject.build(seed=1)
    advice = "draw them from torch's global generator, which the harness seeds"
    require(
        _same_state(first, again),
        f"built twice with one seed, it has other weights the second time; {advice}",
    )
    # What seeds PyTorch by itself is told so by another check.
    if not subject.reseeded:
        require(
            not _same_state(first, subject.build(seed=2)),
            f"built with two seeds, it has the same weights both times; {advice}",
        )
    mcep = subject.mcep(2)
    kept = mcep.clone()
    for network, mode in ((first.eval(), "eval"), (again.train(), "training")):
        require_equal(
            _output(copy.deepcopy(network), mcep),
            _output(copy.deepcopy(network), mcep),
            f"with one seed, in {mode} mode, the same input gives another output the second time",
        )
    with torch.no_grad():
        once, twice = tensor(first(mcep.clone())), tensor(first(mcep))
    require(
        torch.equal(mcep, kept),
        "it changes its input in place, which training uses again; work on a copy",
    )
    require_equal(once, twice, "in eval mode the same input gives another output the second time")


def _output(network: nn.Module, mcep: Tensor) -> Tensor:
    with torch.no_grad(), isolated_rng("vcbench.testing"):
        return tensor(network(mcep.clone()))


def _same_state(one: nn.Module, other: nn.Module) -> bool:
    first, second = one.state_dict(), other.state_dict()
    return first.keys() == second.keys() and all(
        torch.equal(value, second[key]) if isinstance(value, Tensor) else value == second[key]
        for key, value in first.items()
    )


def state_dict(subject: Subject) -> None:
    """A saved state, loaded into a new network, makes the same network of it."""
    first, second = subject.build(seed=1), subject.build(seed=2)
    mcep = subject.mcep()
    with torch.no_grad():
        first(mcep.clone())  # in training mode: state that it gathers must be saved too
    file = io.BytesIO()
    torch.save(first.state_dict(), file)
    file.seek(0)
    # As checkpoints are loaded: a stranger's file runs no code.
    second.load_state_dict(torch.load(file, weights_only=True))
    require_equal(
        _output(second.eval(), mcep),
        _output(first.eval(), mcep),
        "a network that has loaded another's state_dict() gives another output; make whatever "
        "decides the output a parameter or a persistent buffer",
    )


def no_global_state(subject: Subject) -> None:
    """Building and running it leave random states, threads, dtype and flags alone."""
    with global_state.preserved():
        subject.build()  # imports it, which is another check's to look at
    before = global_state.snapshot()
    network = subject.build()
    after = global_state.snapshot()
    found = global_state.changes(before, after)
    if subject.reseeded:
        found.append("PyTorch's seed (torch.manual_seed)")
    require(
        not found,
        f"building it changes {'; '.join(found)}. The harness seeds and sets what is global; "
        "use torch's generator as it is",
    )
    mcep = subject.mcep(2).requires_grad_(True)
    # The process' own seed may be the very one that the plugin sets.
    with isolated_rng("vcbench.testing", "no-global-state"):
        seed = torch.initial_seed()
        tensor(network(mcep.clone())).square().sum().backward()
        found = global_state.changes(after, global_state.snapshot())
        if torch.initial_seed() != seed:
            found.append("PyTorch's seed (torch.manual_seed)")
    require(
        not found,
        f"running it changes {'; '.join(found)}. Use the functions of torch for what is random, "
        "and leave settings to the harness",
    )


def import_and_spawn(subject: Subject) -> None:
    """Importing it in a fresh process does no work, and it can be built there."""
    network, again = subject.build(), subject.build()
    (found,) = ask_fresh_process([described(subject)])
    require(not found["error"], f"in a fresh process: {found['error']}")
    require(
        not found["changed"],
        f"importing it changes {'; '.join(found['changed'])}. Do no work at import: build "
        "networks and set things inside of the factory alone",
    )
    if _same_state(network, again):  # otherwise no seed decides them here either
        require(
            found["weights"] == _digest(network),
            "built with one seed, it has other weights in another process; depend on nothing "
            "that differs there, such as hash() of a text or the order of a set",
        )


def described(subject: Subject) -> dict[str, Any]:
    """What a fresh process needs to know of a subject."""
    return {
        "files": [str(path) for path in subject.registry.files],
        "kind": subject.kind,
        "name": subject.name,
        "options": dict(subject.options),
        "scale": subject.scale,
    }


def ask_fresh_process(descriptions: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One answer of `look` for each, from one new process; raises `AssertionError` if it dies."""
    command = child.command("vcbench.testing.fresh_process", json.dumps(descriptions))
    try:
        done = subprocess.run(
            command,
            env=child.environment(),
            capture_output=True,
            text=True,
            check=False,
            timeout=CHILD_TIMEOUT_S,
        )
    except subprocess.TimeoutExpired:
        raise AssertionError(
            f"a fresh process was not done with importing and building it after "
            f"{CHILD_TIMEOUT_S} s; do no work at import"
        ) from None
    lines = [line for line in (done.stderr or done.stdout).splitlines() if line.strip()]
    require(
        done.returncode == 0,
        "a fresh process that imports and builds it ended with code "
        f"{done.returncode}: {lines[-1] if lines else 'no output'}",
    )
    return list(json.loads(done.stdout.splitlines()[-1]))


def look(description: dict[str, Any]) -> dict[str, Any]:
    """In the fresh process: what importing a plugin `changed`, its `weights`, or the `error`."""
    kind, name = description["kind"], description["name"]
    registry = Registry(description["files"])
    with global_state.preserved():
        before, random = global_state.snapshot(), torch.get_rng_state()
        try:
            registry.get(kind, name)
            changed = global_state.changes(before, global_state.snapshot())
            if not torch.equal(random, torch.get_rng_state()):
                changed.append("PyTorch's random state")
            subject = Subject(registry, kind, name, description["options"])
            network = subject.build(scale=description["scale"])
            digest = _digest(network)
            with torch.no_grad():
                network.eval()(subject.mcep())
        except Exception as error:
            return {"changed": [], "weights": "", "error": f"{type(error).__name__}: {error}"}
    return {"changed": changed, "weights": digest, "error": ""}


def _digest(network: nn.Module) -> str:
    digest = hashlib.sha256()
    for name, value in network.state_dict().items():
        if isinstance(value, Tensor):
            digest.update(name.encode() + value.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def scale(subject: Subject) -> None:
    """Scales of 0.03 to 1 work, and a smaller scale has fewer parameters."""
    counts = {}
    for factor in (0.03, 0.125, 0.5, 1.0):
        try:
            counts[factor] = _count(subject, factor)
        except PluginError as error:
            raise AssertionError(
                f"{error}. Widths must stay at least 1: max(1, round(width * scale))"
            ) from None
    said = ", ".join(f"{count:,} at scale {factor:g}" for factor, count in counts.items())
    require(
        counts[1.0] > counts[0.5] > counts[0.125] >= counts[0.03],
        f"a smaller scale must have fewer parameters: {said}; take `scale` as an argument and "
        "multiply the widths by it",
    )


def parameters(subject: Subject) -> None:
    """The decorator's `parameters=` is what it has at 24 coefficients and scale 1."""
    declared = subject.registry.declaration(subject.kind, subject.name).parameters
    found = _count(subject, 1.0)
    require(
        declared == found,
        f"its decorator says parameters={declared:_}, but it has {found:,} with default options "
        f"at {N_MCEP} coefficients and scale 1; write parameters={found:_}",
    )


def _count(subject: Subject, factor: float) -> int:
    """Parameters, counted without memory for them where the plugin allows that."""
    try:
        with torch.device("meta"):
            return count_parameters(subject.build(scale=factor))
    except Exception:
        return count_parameters(subject.build(scale=factor))
