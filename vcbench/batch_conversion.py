"""Converting the evaluation speech of all units both ways, once each, a few at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vcbench import fingerprint, usage
from vcbench.baselines import SMOOTHED_FRAMES
from vcbench.conversion_tasks import ConversionTask, FeatureFiles, is_done, run_task
from vcbench.errors import VcbenchError
from vcbench.external_speech import external_wavs
from vcbench.parallel import map_processes
from vcbench.planning import Plan
from vcbench.terminal import count_of, say
from vcbench.training.files import CHECKPOINT
from vcbench.units import Direction, Outputs, Unit
from vcbench.world import pyworld_version

if TYPE_CHECKING:
    from vcbench.corpora import ProgressCallback, Utterance

# Editing any of these changes what is said.
_SOURCES = (
    "vcbench.audio",
    "vcbench.conversion",
    "vcbench.conversion_tasks",
    "vcbench.dtw",
    "vcbench.mapped",
    "vcbench.normalization",
    "vcbench.parallel_gmm",
    "vcbench.threads",
    "vcbench.training.checkpoint",
    "vcbench.training.models",
    "vcbench.world",
)
# So does another version of these.
_PACKAGES = ("nnmnkwii", "numpy", "pysptk", "scikit-learn", "scipy", "soundfile", "torch")


def convert_units(
    plan: Plan, units: Sequence[Unit], cache_dir: Path, jobs: int, progress: ProgressCallback | None
) -> Outputs:
    """Convert the evaluation speech of every unit both ways; what was converted is not again.

    Units that share a training, because their systems differ in name alone, share what it says.
    """
    outputs, work = _laid_out(plan, units, cache_dir)
    usage.note(wav for *_, task in work for wav in task.outputs)
    for unit in units:
        if unit.planned:
            usage.note_suite(unit.planned.folder, plan.suite.name)
            usage.note([unit.planned.folder / CHECKPOINT])
    tasks = list(dict.fromkeys(task for *_, task in work))
    done = dict.fromkeys(tasks, (0, ""))
    missing = [task for task in tasks if not is_done(task)]
    before = len(tasks) - len(missing)

    def report(count: int) -> None:
        if progress:
            progress("converting speech", count, len(tasks))

    for count in range(before):
        report(count + 1)
    results = map_processes(
        _converted,
        missing,
        jobs=jobs,
        on_done=lambda count: report(before + count),
        on_death=_lost,
    )
    done |= zip(missing, results, strict=True)
    for unit, direction, task in work:
        _, problem = done[task]
        if problem:
            unit.record.fail("failed", f"conversion {direction}: {problem}")
            say(f"FAILED {unit.record.cell}: {unit.record.reason}")
            outputs.pop((unit.record.cell, direction))
    written = sum(count for count, _ in done.values())
    failed = sum(bool(problem) for _, problem in done.values())
    asked = sum(len(task.outputs) for task, (_, problem) in done.items() if not problem)
    lost = f", {count_of(failed, 'direction')} failed" if failed else ""
    converted = count_of(written, "utterance")
    say(f"conversion: {converted} converted, {asked - written} cached{lost}")
    return outputs


def outputs_of(plan: Plan, units: Sequence[Unit], cache_dir: Path) -> Outputs:
    """Where the speech of every unit lies, or will."""
    return _laid_out(plan, units, cache_dir)[0]


def _laid_out(
    plan: Plan, units: Sequence[Unit], cache_dir: Path
) -> tuple[Outputs, list[tuple[Unit, Direction, ConversionTask]]]:
    version = conversion_version()
    outputs: Outputs = {}
    work: list[tuple[Unit, Direction, ConversionTask]] = []
    for unit in units:
        if unit.record.status != "ok":
            continue
        for direction in unit.directions:
            spoken = plan.speech.evaluation[direction.source]
            if unit.record.system == "source-copy":
                wavs = {u.id: u.path for u in spoken}
            elif unit.record.kind == "external":
                wavs = external_wavs(plan, unit.record.system, direction)
            else:
                task = _task(plan, unit, direction, cache_dir, version)
                wavs = dict(zip([u.id for u in spoken], task.outputs, strict=True))
                work.append((unit, direction, task))
            outputs[unit.record.cell, direction] = wavs
    return outputs, work


def conversion_version() -> str:
    """Of all that turns features into speech, beside a cell's own weights."""
    packages = [pyworld_version(), *map(fingerprint.version_of, _PACKAGES)]
    return fingerprint.of_json([fingerprint.of_sources(_SOURCES), packages])[:16]


def _task(
    plan: Plan, unit: Unit, direction: Direction, cache_dir: Path, version: str
) -> ConversionTask:
    again = unit.record.system in ("resynthesis", "smoothed-target")
    utterances = plan.speech.evaluation[direction.target if again else direction.source]
    inputs = tuple(plan.features[u] for u in utterances)
    statistics = parallel = None
    if unit.planned:
        folder = unit.planned.folder / "converted"
    else:
        folder = cache_dir / "baselines" / unit.record.system
        if not again:
            statistics = _files_of(plan, direction, plan.speech.train)
            if unit.record.system == "parallel-gmm":
                parallel = _parallel(plan, direction)
            learnt_from = [
                [[p.name for p in s] for s in sides or ()] for sides in (statistics, parallel)
            ]
            folder = folder / fingerprint.of_json(learnt_from)[:16]
    names = [
        f"{utterance.id}-{path.stem[:12]}.wav"
        for utterance, path in zip(utterances, inputs, strict=True)
    ]
    return ConversionTask(
        direction=str(direction),
        inputs=inputs,
        outputs=tuple(folder / version / direction.file_name / name for name in names),
        parameters=plan.parameters,
        checkpoint=unit.planned.folder / CHECKPOINT if unit.planned else None,
        plugin_files=unit.planned.cell.plugin_files if unit.planned else (),
        statistics_from=statistics,
        parallel=parallel,
        smoothed_frames=SMOOTHED_FRAMES if unit.record.system == "smoothed-target" else 1,
    )


def _files_of(
    plan: Plan, direction: Direction, speech: Mapping[str, Sequence[Utterance]]
) -> tuple[FeatureFiles, FeatureFiles]:
    """Feature files of the source's and of the target's utterances."""
    source, target = (
        tuple(plan.features[u] for u in speech[speaker])
        for speaker in (direction.source, direction.target)
    )
    return source, target


def _parallel(plan: Plan, direction: Direction) -> tuple[FeatureFiles, FeatureFiles]:
    """Sentences that both speakers say: of the training ones, or, where those are disjoint as in
    the paper's split, the evaluation sentences themselves."""
    train = plan.speech.train
    spoken = [{u.id for u in train[s]} for s in (direction.source, direction.target)]
    shared = set.intersection(*spoken)
    if not shared:
        return _files_of(plan, direction, plan.speech.evaluation)
    return _files_of(plan, direction, {s: [u for u in train[s] if u.id in shared] for s in train})


def _converted(task: ConversionTask) -> tuple[int, str]:
    """(files written, what went wrong): one direction that fails must not end the run."""
    try:
        return run_task(task), ""
    except VcbenchError as error:
        return 0, str(error)
    except OSError as error:
        return 0, f"{task.outputs[0].parent}: cannot be written ({error.strerror or error})"
    except Exception as error:  # a plugin's generator may raise anything
        return 0, f"{type(error).__name__}: {error}"


def _lost(how: str) -> tuple[int, str]:
    """Of a task whose process died: a plugin's generator may crash, too."""
    return 0, f"{how} while it converted speech"
