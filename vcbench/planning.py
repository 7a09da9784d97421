"""From a suite to what must be done: the corpus' utterances, the cells, and which are done.

Nothing is computed here: feature files and cells are named by the content that decides them, so
reading the audio's bytes is enough to know what is missing.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vcbench import fingerprint, protocols, sealed
from vcbench.errors import DataError, PluginError, UntrustedPlugin, VcbenchError
from vcbench.failures import failure_of
from vcbench.features import FeatureStore
from vcbench.locks import owner_of
from vcbench.misses import Misses
from vcbench.other_code import other_code
from vcbench.other_lengths import OtherLength, find
from vcbench.parallel import map_processes
from vcbench.plugins import Registry
from vcbench.stored_cells import StoredCells
from vcbench.suite import select
from vcbench.training.cell import Cell, ComponentSpec, Recipe
from vcbench.training.files import CHECKPOINT, STATUS, has_result, previous_of, read_status
from vcbench.world import FeatureParameters

if TYPE_CHECKING:
    from vcbench.corpora import Corpus, ProgressCallback, Subset, Utterance
    from vcbench.plugins import Kind
    from vcbench.suite import Cell as SuiteCell
    from vcbench.suite import Suite


# Beside the code of training, what decides whether a system can be trained.
_CHECK_SOURCES = ("vcbench.system_check",)


@dataclass(frozen=True)
class Speech:
    """The corpus as one suite uses it, each speaker's utterances in the order of their ids.

    train: without the held-out ones, which are in validation. They are held out before `_disjoint`
    divides what is left, so that no system trains on them and all are validated on the same; and
    speakers who read the same list hold out the same sentences. evaluation: the sentences to score;
    for every pair both speakers say all of them.
    """

    train: Mapping[str, tuple[Utterance, ...]]
    validation: Mapping[str, tuple[Utterance, ...]]
    evaluation: Mapping[str, tuple[Utterance, ...]]

    def all(self) -> list[Utterance]:
        """Every utterance that is used, once."""
        parts = (self.train, self.validation, self.evaluation)
        return sorted({u for part in parts for utterances in part.values() for u in utterances})


@dataclass(frozen=True)
class PlannedCell:
    """A cell, its content key, the folder of its results, and whether they are there.

    reason: why it is not done, or where it was found. iterations: how many are done, also by
    another that it goes on from. other: where it is neither done nor begun, a training with
    another schedule that it might go on from. other_code: of a result that was not trained with
    the code that is here, what differs.
    """

    cell: Cell
    key: str
    folder: Path
    done: bool
    reason: str
    iterations: int = 0
    fresh: bool = False
    other: OtherLength | None = None
    other_code: str = ""

    def status(self) -> dict[str, Any]:
        """What training left in `status.json`; raises `ValueError` if that is missing or torn."""
        found = read_status(self.folder)
        if found is None:
            raise ValueError(f"{self.folder / STATUS}: not there, or damaged")
        return found


@dataclass(frozen=True)
class Plan:
    """All that a run of `suite` will do."""

    suite: Suite
    speech: Speech
    parameters: FeatureParameters
    features: Mapping[Utterance, Path]
    cells: Sequence[PlannedCell]
    baselines: Sequence[SuiteCell]
    external: Sequence[SuiteCell]
    left_out: Sequence[SuiteCell]  # by --only
    data_fingerprint: str
    # Of which nothing is known before plugin files are executed, which was not allowed.
    unknown: Sequence[SuiteCell] = ()

    @property
    def missing_features(self) -> int:
        """Utterances that have yet to be analysed."""
        return sum(not sealed.is_whole_npz(path) for path in self.features.values())


def make_plan(
    suite: Suite,
    *,
    data_dir: Path,
    cache_dir: Path,
    device: str,
    deterministic: bool = False,
    only: str | None = None,
    fresh: bool = False,
    progress: ProgressCallback | None = None,
) -> Plan:
    """Look at corpus and cache; raises `DataError` for what is missing, `UsageError` for `only`."""
    protocols.get(suite.protocol).order_and_alpha(suite.features.sample_rate)
    everything = (*suite.cells(), *suite.external_cells(), *suite.baseline_cells())
    chosen = select(everything, only) if only else everything
    of_plan = set(chosen)
    left_out = [cell for cell in everything if cell not in of_plan]
    baselines = [c for c in chosen if c.system in suite.baselines]
    external = [c for c in chosen if c.system in suite.external]
    parameters = _parameters(suite)
    try:
        plugin = suite.registry.get("corpus", suite.corpus.name)
    except UntrustedPlugin:
        nothing = Speech({}, {}, {})
        trained_ones = [c for c in chosen if c.seed is not None]
        return Plan(
            suite, nothing, parameters, {}, [], baselines, external, left_out, "", trained_ones
        )
    corpus: Corpus = plugin.factory(data_dir=data_dir, **suite.corpus.options)
    corpus.prepare(progress)
    speech = _speech(suite, corpus)
    store = FeatureStore(cache_dir, parameters)
    paths = {u: store.path(u.path) for u in speech.all()}
    trained = [
        replace(_cell(suite, c, speech, paths, parameters, device), deterministic=deterministic)
        for c in chosen
        if c.seed is not None
    ]
    code = _code_of_systems(trained, suite)
    unknown = [c for c in chosen if c.seed is not None and c.system not in code]
    trained = [cell for cell in trained if cell.system in code]
    misses = Misses(StoredCells(cache_dir / "cells"), suite.registry)
    folders = [
        cache_dir / "cells" / cell.key(suite.registry, code=code[cell.system]) for cell in trained
    ]
    cells = [_planned(c, f, misses, fresh) for c, f in zip(trained, folders, strict=True)]
    cells = [
        _with_code(cell, suite.registry, code[cell.cell.system]) if cell.done else _with_news(cell)
        for cell in cells
    ]
    data = _data_fingerprint(paths)
    return Plan(
        suite, speech, parameters, paths, cells, baselines, external, left_out, data, unknown
    )


def check_systems(plan: Plan, cache_dir: Path) -> None:
    """Build each system that has yet to be trained once, before hours go into its neighbours.

    Which ones went well is remembered in `cache_dir`/checks: a full-size system takes seconds.
    Raises `PluginError` with a line for each that cannot be trained, and where it was written.
    """
    first = {p.cell.system: p.cell for p in reversed(plan.cells) if not p.done}
    code = _code_of_systems(list(first.values()), plan.suite)
    passed = {name: cache_dir / "checks" / _check_key(first[name], code[name]) for name in first}
    unknown = [n for n in plan.suite.systems if n in first and not passed[n].exists()]
    registry = plan.suite.registry
    work = [(first[name], registry.files, registry.trusted) for name in unknown]
    found = map_processes(_checked, work, jobs=1, on_death=_crashed)
    problems = []
    for name, (is_well, problem) in zip(unknown, found, strict=True):
        if is_well:
            passed[name].parent.mkdir(parents=True, exist_ok=True)
            passed[name].touch()
        elif problem:
            problems.append(f"{plan.suite.systems[name].place}: systems.{name}: {problem}")
    if problems:
        raise PluginError("\n".join(problems))


def _checked(work: tuple[Cell, tuple[Path, ...], bool]) -> tuple[bool, str]:
    """(whether the cell's system can be trained, what is wrong with it); in a process of its own,
    which the machine code of a plugin may crash."""
    from vcbench.system_check import check_system

    cell, plugin_files, trusted = work
    registry = Registry(plugin_files, trusted=trusted)
    try:
        check_system(_as_given(cell, registry), registry)
    except UntrustedPlugin:
        return False, ""  # to build it is to execute it
    except VcbenchError as error:
        return False, str(error)
    return True, ""


def _crashed(how: str) -> tuple[bool, str]:
    return False, f"{how} while its networks were built and run once"


def _check_key(cell: Cell, code: str) -> str:
    """Of all that the check of a system may look at: the cell but for whose speech it trains on."""
    described = cell.identity()
    for name in ("source", "target", "seed", "train_features", "validation_features", "device"):
        del described[name]
    return fingerprint.of_json([described, code, fingerprint.of_sources(_CHECK_SOURCES)])


def _as_given(cell: Cell, registry: Registry) -> Cell:
    """The cell without the options that are their plugin's defaults: an error shows the others."""

    def given(kind: Kind) -> ComponentSpec:
        component: ComponentSpec = getattr(cell, kind)
        # Told by repr: 1, 1.0 and True are equal, and a plugin may tell them apart.
        options = registry.get(kind, component.name).options
        defaults = {option.name: repr(option.default) for option in options}
        kept = {k: v for k, v in component.options.items() if repr(v) != defaults[k]}
        return ComponentSpec(component.name, kept)

    return replace(
        cell,
        generator=given("generator"),
        discriminator=given("discriminator"),
        objective=given("objective"),
    )


def _speech(suite: Suite, corpus: Corpus) -> Speech:
    held_out = {s.training.validation_utterances for s in suite.systems.values()}
    reserve = max(held_out, default=0)
    train, validation, evaluation = {}, {}, {}
    speakers = sorted({name for pair in suite.pairs for name in (pair.source, pair.target)})
    for speaker in speakers:
        utterances = _by_id(corpus, speaker, "train")
        if len(utterances) <= reserve:
            raise DataError(
                f"speaker {speaker} has {len(utterances)} training utterances, of which "
                f"validation_utterances ({reserve}) are held out: none is left to train on"
            )
        train[speaker] = utterances[: len(utterances) - reserve]
        validation[speaker] = utterances[len(utterances) - reserve :]
        evaluation[speaker] = _by_id(corpus, speaker, "eval")
    shared = set.intersection(*({u.id for u in evaluation[s]} for s in speakers))
    if not shared:
        raise DataError(
            f"corpus '{suite.corpus.name}': no evaluation sentence is spoken by all of "
            f"{', '.join(speakers)}; scoring compares the same sentence by two speakers"
        )
    chosen = sorted(shared)[: suite.eval_utterances]
    evaluation = {s: tuple(u for u in evaluation[s] if u.id in set(chosen)) for s in speakers}
    return Speech(train, validation, evaluation)


def _by_id(corpus: Corpus, speaker: str, subset: Subset) -> tuple[Utterance, ...]:
    """Sorted here too, and checked: sentences of two speakers are paired by their position."""
    utterances = sorted(corpus.utterances(speaker, subset), key=lambda u: u.id)
    for one, other in itertools.pairwise(utterances):
        if one.id == other.id:
            raise DataError(
                f"speaker {speaker} has the {subset} sentence '{one.id}' twice: "
                f"{one.path} and {other.path}"
            )
    return tuple(utterances)


def _parameters(suite: Suite) -> FeatureParameters:
    described = suite.features.model_dump()
    described.pop("kind")
    return FeatureParameters(**described)


def _cell(
    suite: Suite,
    chosen: SuiteCell,
    speech: Speech,
    paths: Mapping[Utterance, Path],
    parameters: FeatureParameters,
    device: str,
) -> Cell:
    assert chosen.seed is not None  # baselines have none, and train nothing
    system = suite.systems[chosen.system]
    speakers = (chosen.pair.source, chosen.pair.target)

    train = {s: speech.train[s] for s in speakers}
    if system.training.sentences == "disjoint":
        train = _disjoint(train, *speakers)

    def files(part: Mapping[str, tuple[Utterance, ...]]) -> dict[str, tuple[str, ...]]:
        return {s: tuple(str(paths[u]) for u in part[s]) for s in speakers}

    return Cell(
        system=chosen.system,
        source=chosen.pair.source,
        target=chosen.pair.target,
        seed=chosen.seed,
        generator=ComponentSpec(system.generator.name, dict(system.generator.options)),
        discriminator=ComponentSpec(system.discriminator.name, dict(system.discriminator.options)),
        objective=ComponentSpec(system.objective.name, dict(system.objective.options)),
        recipe=Recipe.from_json(system.training.model_dump()),
        scale=suite.scale,
        features=parameters.to_json(),
        train_features=files(train),
        validation_features=files(speech.validation),
        plugin_files=tuple(str(path) for path in suite.registry.files),
        device=device,
    )


def _disjoint(
    train: Mapping[str, tuple[Utterance, ...]], source: str, target: str
) -> dict[str, tuple[Utterance, ...]]:
    """Of the sentences that both say, in the order of their ids, the source keeps the first half
    (and the odd one), the target the second, as in the CycleGAN-VC paper (arXiv:1711.11293, section
    4.1); what only one of them says stays.

    Mean and variance of a speaker's features are then those of its half: training computes them
    from the cell's own utterances. The baseline `mean-variance` is not a system and uses all.
    """
    shared = sorted({u.id for u in train[source]} & {u.id for u in train[target]})
    if not shared:
        raise DataError(
            f"pair {source}-{target}: no training sentence is said by both, so that `sentences: "
            "disjoint` changes nothing; leave it out, or use a split of the corpus in which both "
            "say the same"
        )
    half = -(-len(shared) // 2)
    taken = {source: set(shared[half:]), target: set(shared[:half])}
    kept = {s: tuple(u for u in train[s] if u.id not in taken[s]) for s in (source, target)}
    if not kept[target]:
        raise DataError(
            f"pair {source}-{target}: of {target}'s training sentences only '{shared[0]}' is not "
            f"held out, and {source} says it too: with `sentences: disjoint` none is left; use "
            "`sentences: all` or lower validation_utterances"
        )
    return kept


def _code_of_systems(cells: Sequence[Cell], suite: Suite) -> dict[str, str]:
    """`Cell.code` by the system's name: its cells have the same plugins. Systems of which it
    would take a plugin file's execution, which is not allowed, are left out."""
    first = {cell.system: cell for cell in reversed(cells)}
    code = {}
    for name, cell in first.items():
        with suppress(UntrustedPlugin):
            code[name] = cell.code(suite.registry)
    return code


def _planned(cell: Cell, folder: Path, misses: Misses, fresh: bool) -> PlannedCell:
    """What is to be done for a cell whose key the folder is called by."""
    if fresh:
        again = "--fresh: trained again from the start"
        return PlannedCell(cell, folder.name, folder, False, again, fresh=True)
    if has_result(folder):
        total = cell.recipe.iterations
        return PlannedCell(cell, folder.name, folder, True, "trained before", total)
    newest = folder / CHECKPOINT
    if newest.exists() or previous_of(newest).exists():
        reason, iterations = _begun(newest, cell.recipe)
        return PlannedCell(cell, folder.name, folder, False, reason, iterations)
    other = find(folder, cell.recipe)
    reason = misses.reason(cell) + (f"; {other}" if other else "")
    on_from = other.iterations if other and not other.obstacle else 0
    return PlannedCell(cell, folder.name, folder, False, reason, on_from, other=other)


def _with_news(planned: PlannedCell) -> PlannedCell:
    """With what else is known of a cell that is not done: who trains it now, how it failed."""
    failure, owner = failure_of(planned.folder), owner_of(planned.folder)
    news = [f"being trained by {owner}"] if owner else []
    news += [str(failure)] if failure else []
    return replace(planned, reason="; ".join([*news, planned.reason]))


def _with_code(planned: PlannedCell, registry: Registry, code: str) -> PlannedCell:
    """With what tells a result of other code, which somebody took over all the same."""
    found = other_code(read_status(planned.folder) or {}, planned.cell, registry, code=code)
    reason = "; ".join(filter(None, [planned.reason, found]))
    return replace(planned, reason=reason, other_code=found)


def _begun(newest: Path, recipe: Recipe) -> tuple[str, int]:
    """(how far training has come, in words; after how many iterations it continues)."""
    from vcbench.training.checkpoint import iteration_of

    for path in (newest, previous_of(newest)):
        iterations = iteration_of(path)
        if iterations is not None:
            damaged = "" if path == newest else " (the newest checkpoint cannot be read)"
            at = f"{iterations} of {recipe.iterations}"
            return f"training unfinished at iteration {at}: continues there{damaged}", iterations
    return "begun before, but no checkpoint can be read: trained again from the start", 0


def _data_fingerprint(paths: Mapping[Utterance, Path]) -> str:
    """Of all speech in use and how it is analysed: feature files are named by both."""
    return fingerprint.of_json(sorted([u.speaker, u.id, p.name] for u, p in paths.items()))
