"""`vcbench show NAME`: the layers of a generator or discriminator, its options and its paper."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Any

from vcbench.errors import PluginError, UsageError, did_you_mean

if TYPE_CHECKING:
    from vcbench.plugins import Kind, Plugin

HELP = "show the layers, parameters and options of a generator or discriminator"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("name", help="a generator or a discriminator, see 'vcbench list'")
    parser.add_argument(
        "--option", action="append", default=[], metavar="K=V", help="set an option, width=narrow"
    )
    parser.add_argument("--scale", type=float, default=1.0, help="multiply all widths (default: 1)")
    parser.add_argument("--n-mcep", type=int, default=24, help="coefficients in (default: 24)")
    parser.add_argument("--frames", type=int, default=128, help="frames in (default: 128)")
    parser.add_argument(
        "--plugin", action="append", default=[], metavar="FILE", help="a plugin file to look in too"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def execute(args: argparse.Namespace) -> int:
    """Print the layer table."""
    import torch

    from vcbench import inspection
    from vcbench.plugins import Registry
    from vcbench.training.cell import ComponentSpec
    from vcbench.training.models import build_module, count_parameters

    sizes = {"--scale": args.scale, "--n-mcep": args.n_mcep, "--frames": args.frames}
    for name, value in sizes.items():
        if not value > 0:
            raise UsageError(f"{name} {value}: must be more than 0")
    registry = Registry(args.plugin)
    kind = _kind(registry, args.name)
    plugin = registry.get(kind, args.name)
    spec = ComponentSpec(args.name, _options(plugin, args.option))
    network = build_module(registry, kind, spec, n_mcep=args.n_mcep, scale=args.scale)
    inputs = torch.zeros(1, args.n_mcep, args.frames)
    try:
        layers = inspection.layer_table(network.eval(), inputs)
    except RuntimeError as error:
        raise UsageError(
            f"{kind} '{args.name}' cannot take {args.n_mcep} x {args.frames}: {error}"
        ) from None
    found = {
        "name": args.name,
        "kind": kind,
        "summary": plugin.summary,
        "paper": plugin.details.get("paper", ""),
        "options": {o.name: _default(o.default) for o in plugin.options},
        "parameters": count_parameters(network),
        "macs": inspection.count_macs(network, inputs),
        "layers": [layer.to_json() for layer in layers],
    }
    if args.json:
        print(json.dumps(found, indent=2))
    else:
        _print(found, args)
    return 0


def _kind(registry: Any, name: str) -> Kind:
    kinds: tuple[Kind, ...] = ("generator", "discriminator")
    for kind in kinds:
        if name in registry.names(kind):
            return kind
    names = [n for kind in kinds for n in registry.names(kind)]
    raise PluginError(f"no generator or discriminator '{name}': {did_you_mean(name, names)}")


def _options(plugin: Plugin, settings: list[str]) -> dict[str, Any]:
    """Options from `K=V` texts, checked as a suite file's are."""
    from pydantic import TypeAdapter, ValidationError

    known = {o.name: o.annotation for o in plugin.options}
    options = {}
    for setting in settings:
        name, _, value = setting.partition("=")
        if name not in known:
            raise UsageError(f"--option {setting}: {did_you_mean(name, known)}")
        try:
            options[name] = TypeAdapter(known[name]).validate_strings(value)
        except ValidationError as error:
            raise UsageError(f"--option {setting}: {error.errors()[0]['msg']}") from None
    return options


def _default(value: Any) -> Any:
    import inspect

    return "required" if value is inspect.Parameter.empty else value


def _print(found: dict[str, Any], args: argparse.Namespace) -> None:
    from rich.table import Table

    from vcbench.terminal import console

    screen = console()
    screen.print(f"[bold]{found['name']}[/] ({found['kind']}): {found['summary']}")
    screen.print(found["paper"])
    for name, default in found["options"].items():
        screen.print(f"option {name}, default {default!r}", highlight=False)
    table = Table(box=None, pad_edge=False)
    for heading in ("layer", "op", "kernel", "stride", "channels", "output"):
        table.add_column(heading)
    for heading in ("parameters", "MACs"):
        table.add_column(heading, justify="right")
    for layer in found["layers"]:
        texts = [layer[k] for k in ("name", "op", "kernel", "stride", "channels", "output")]
        table.add_row(*texts, f"{layer['parameters']:,}", f"{layer['macs']:,}")
    screen.print(table)
    screen.print(
        f"{found['parameters']:,} parameters, {found['macs']:,} MACs on "
        f"{args.n_mcep} x {args.frames}",
        highlight=False,
    )
