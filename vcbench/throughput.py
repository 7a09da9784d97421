"""How fast a system trains and converts, how large it is, and what memory it takes.

Measured apart from training, one system at a time, each in a process of its own
(`python -m vcbench.throughput`), with as many threads as a cell trains with. Every timing is
repeated; the median is the figure and the quartiles are its spread. Whatever else the machine does
at the time shows in them: compare systems on a machine that is otherwise idle.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vcbench import child
from vcbench.errors import VcbenchError
from vcbench.training.files import CELL, CHECKPOINT

if TYPE_CHECKING:
    from vcbench.plugins import Registry
    from vcbench.training.cell import Cell

LIMIT_S = 1800.0  # for one system: nothing hangs for ever
FRAMES = 128  # of the generator's input, as in the paper's figure
# In the folder of a cell that was trained on another machine: the rows measured there.
THERE = "throughput.json"

Row = dict[str, Any]


def measure_in_process(
    cell_folder: Path,
    wav: Path,
    *,
    seconds: float,
    threads: int,
    plugin_files: Sequence[str] = (),
) -> list[Row]:
    """Measure the trained cell in `cell_folder` in a fresh process; returns throughput.csv rows.

    wav: a recording of the source speaker to convert. seconds: time spent on each of the three
    phases, at least. threads: of PyTorch, as many as a cell trains with. plugin_files: those that
    define the system: what the stored cell names, which may be somebody else's, is not executed.
    Raises `VcbenchError` with the last line of what the process said.
    """
    if (cell_folder / THERE).exists():
        return list(json.loads((cell_folder / THERE).read_text(encoding="utf-8")))
    settings = ["--seconds", seconds, "--threads", threads]
    settings += [part for file in plugin_files for part in ("--plugin", file)]
    command = child.command("vcbench.throughput", cell_folder, wav, *settings)
    environment = child.environment()
    try:
        done = subprocess.run(
            command,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=LIMIT_S,
        )
    except subprocess.TimeoutExpired:
        raise VcbenchError(
            f"throughput of {cell_folder.name} could not be measured within {LIMIT_S / 60:.0f} min"
        ) from None
    if done.returncode != 0:
        tail = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise VcbenchError(f"throughput of {cell_folder.name} could not be measured: {tail}")
    try:
        return list(json.loads(done.stdout.splitlines()[-1]))  # a plugin may print before it
    except (IndexError, TypeError, ValueError):
        raise VcbenchError(
            f"throughput of {cell_folder.name} could not be measured: its process printed no rows"
        ) from None


def measure(
    cell_folder: Path, wav: Path, *, seconds: float, plugin_files: Sequence[str] = ()
) -> list[Row]:
    """All rows of one system, see `measure_in_process`; takes the whole process for itself."""
    from vcbench.conversion import trained_converter
    from vcbench.plugins import Registry
    from vcbench.training.cell import Cell
    from vcbench.training.checkpoint import Checkpoint

    cell = Cell.read(cell_folder / CELL)
    registry = Registry(plugin_files)
    rows = measure_networks(cell, registry, cell_folder, seconds=seconds)
    if not (cell_folder / CHECKPOINT).exists():  # it stayed where it was trained
        return rows
    # Loaded only now: a checkpoint's weights and moments are no part of what training takes.
    checkpoint = Checkpoint.load(cell_folder / CHECKPOINT)
    convert = trained_converter(
        checkpoint, registry, f"{cell.source}>{cell.target}", device=cell.device
    )
    factors = _conversion_factors(convert, wav, seconds)
    return rows + _spread(cell, "conversion", "real_time_factor", factors, "s/s")


def measure_networks(
    cell: Cell, registry: Registry, cell_folder: Path, *, seconds: float
) -> list[Row]:
    """The rows of model, training and generator; needs PyTorch and NumPy alone.

    Raises `VcbenchError` if the registry's plugins are not those that `cell_folder` was made with.
    """
    import torch

    from vcbench.inspection import count_macs
    from vcbench.training.models import build_networks, build_objective, count_parameters
    from vcbench.training.step import CycleGan

    rows: list[Row] = []

    def add(phase: str, metric: str, value: float, unit: str) -> None:
        rows.append(_row(cell, phase, metric, value, unit))

    def add_spread(phase: str, metric: str, values: list[float], unit: str) -> None:
        rows.extend(_spread(cell, phase, metric, values, unit))

    networks = build_networks(cell, registry).to(cell.device)
    generator = networks.source_to_target
    crop = torch.randn(1, cell.n_mcep, FRAMES, device=cell.device)
    add("model", "threads", torch.get_num_threads(), "count")
    add("model", "generator_parameters", count_parameters(generator), "count")
    judge = networks.discriminator_target
    add("model", "discriminator_parameters", count_parameters(judge), "count")
    add("model", "parameters", count_parameters(networks), "count")
    add("model", "macs", count_macs(generator, crop), "MAC")

    gan = CycleGan(networks, build_objective(cell, registry, networks), cell)
    cell.checked_code(registry, cell_folder.resolve())
    shape = (cell.recipe.batch_size, cell.n_mcep, cell.recipe.segment_frames)
    source, target = (torch.randn(shape, device=cell.device) for _ in range(2))

    def step() -> None:
        gan.step(source, target, 0)
        _synchronize(cell.device)

    durations = _repeat(step, seconds)
    add_spread("training", "iterations_per_second", [1 / d for d in durations], "it/s")
    add("training", "peak_memory", _peak_memory_mib(cell.device), "MiB")

    def generate() -> None:
        with torch.inference_mode():
            generator(crop)
        _synchronize(cell.device)

    networks.eval()
    durations = _repeat(generate, seconds)
    frame_s = cell.features["frame_period_ms"] / 1000
    add_spread("generator", "frames_per_second", [FRAMES / d for d in durations], "frames/s")
    real_time = [d / (FRAMES * frame_s) for d in durations]
    add_spread("generator", "real_time_factor", real_time, "s/s")
    return rows


def _row(cell: Cell, phase: str, metric: str, value: float, unit: str) -> Row:
    row = {"system": cell.system, "device": cell.device, "phase": phase}
    return {**row, "metric": metric, "value": value, "unit": unit}


def _spread(cell: Cell, phase: str, metric: str, values: list[float], unit: str) -> list[Row]:
    """A median and its quartiles."""
    low, middle, high = _quartiles(values)
    return [
        _row(cell, phase, name, value, unit)
        for name, value in ((metric, middle), (f"{metric}_p25", low), (f"{metric}_p75", high))
    ]


def _conversion_factors(convert: Any, wav: Path, seconds: float) -> list[float]:
    """Analysis, generator and synthesis of one recording, in seconds per second of speech."""
    from vcbench import audio, world

    rate = convert.parameters.sample_rate
    waveform = audio.read(wav, sample_rate=rate)
    durations = _repeat(lambda: convert(world.analyze(waveform, convert.parameters)), seconds)
    return [d * rate / len(waveform) for d in durations]


def _repeat(function: Callable[[], Any], seconds: float, *, least: int = 5) -> list[float]:
    """Durations of repeated calls, at least `least` and for at least `seconds`, after two more."""
    function()
    function()
    durations: list[float] = []
    while len(durations) < least or sum(durations) < seconds:
        start = time.perf_counter()
        function()
        durations.append(time.perf_counter() - start)
    return durations


def _quartiles(values: list[float]) -> list[float]:
    import numpy as np

    return [float(q) for q in np.quantile(values, (0.25, 0.5, 0.75))]


def _synchronize(device: str) -> None:
    if device == "cuda":
        import torch

        torch.cuda.synchronize()


def _peak_memory_mib(device: str) -> float:
    """Peak of the GPU's memory, or of this whole process' resident memory, PyTorch included."""
    if device == "cuda":
        import torch

        return torch.cuda.max_memory_allocated() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # kB on Linux


def main(arguments: list[str] | None = None) -> int:
    """Print the rows as JSON."""
    parser = argparse.ArgumentParser(prog="python -m vcbench.throughput", description=__doc__)
    parser.add_argument("cell_folder", type=Path)
    parser.add_argument("wav", type=Path)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--plugin", action="append", default=[], metavar="FILE")
    options = parser.parse_args(arguments)

    import torch

    torch.set_num_threads(options.threads)
    torch.set_flush_denormal(True)  # as in training
    try:
        rows = measure(
            options.cell_folder, options.wav, seconds=options.seconds, plugin_files=options.plugin
        )
    except VcbenchError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    json.dump(rows, sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
