"""`vcbench convert CHECKPOINT IN.wav ... -o DIR`: convert any speech with a trained cell."""

from __future__ import annotations

import argparse
from pathlib import Path

HELP = "convert wav files with a trained cell's checkpoint"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("checkpoint", type=Path, help="a cell's checkpoint.pt")
    parser.add_argument("wavs", type=Path, nargs="+", metavar="IN.wav", help="speech to convert")
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="DIR", help="output folder"
    )
    parser.add_argument(
        "--direction", metavar="A>B", help="default: from the cell's first speaker to its second"
    )
    parser.add_argument(
        "--resample", action="store_true", help="accept other sampling rates and stereo"
    )
    parser.add_argument(
        "--plugin",
        action="append",
        metavar="FILE",
        help="a plugin file that the checkpoint needs; it is executed",
    )
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")


def execute(args: argparse.Namespace) -> int:
    """Convert each file; one that cannot be is named, the others are converted, exit code 1."""
    from vcbench import audio, features, fingerprint, world
    from vcbench.cli.suite_arguments import resolve_device
    from vcbench.conversion import trained_converter
    from vcbench.discovery import NETWORKS
    from vcbench.errors import DataError, PluginError, UsageError
    from vcbench.foreign_checkpoint import refuse_unreasonable
    from vcbench.plugins import Registry
    from vcbench.terminal import say
    from vcbench.training.checkpoint import Checkpoint

    names = [wav.stem for wav in args.wavs]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UsageError(f"several inputs are called {', '.join(twice)}: outputs would overwrite")
    if not args.checkpoint.is_file():
        raise DataError(
            f"{args.checkpoint}: no such checkpoint; `vcbench plan SUITE --json` tells where that "
            "of each cell lies"
        )
    for wav in args.wavs:
        if (args.output / f"{wav.stem}.wav").resolve() == wav.resolve():
            raise UsageError(f"-o {args.output}: {wav} itself would be overwritten")
    checkpoint = Checkpoint.load(args.checkpoint)
    refuse_unreasonable(checkpoint, args.checkpoint)
    cell = checkpoint.cell
    direction = args.direction or f"{cell.source}>{cell.target}"
    registry = Registry(args.plugin or ())
    for kind in NETWORKS:
        name = getattr(cell, kind).name
        if name not in registry.names(kind) and cell.plugin_files:
            raise PluginError(
                f"{args.checkpoint}: its {kind} '{name}' comes from a plugin file: "
                f"{', '.join(cell.plugin_files)}; a checkpoint is not asked what to execute: name "
                "the file yourself if you trust it, with --plugin FILE"
            )
    device = resolve_device(args.device)
    converter = trained_converter(checkpoint, registry, direction, device=device)
    generator = registry.get("generator", cell.generator.name)
    if fingerprint.of_sources(generator.source_files) != checkpoint.generator_sha256:
        say(
            f"WARNING: generator '{generator.name}' ({generator.origin}) has been edited since it "
            "was trained; what it says now may differ from what was scored"
        )
    rate = converter.parameters.sample_rate
    failed = 0
    for wav in args.wavs:
        try:
            waveform = audio.read(wav, sample_rate=rate, resample=args.resample)
            analysed = world.analyze(waveform, converter.parameters)
            if problem := features.unvoiced(analysed, converter.parameters):
                raise DataError(f"{wav}: {problem}")
            output = args.output / f"{wav.stem}.wav"
            audio.write(output, converter(analysed), sample_rate=rate)
        except DataError as error:
            failed += 1
            say(f"vcbench convert: {error}")
        else:
            print(output)
    say(f"{len(args.wavs) - failed} of {len(args.wavs)} files converted, {direction}")
    return 1 if failed else 0
