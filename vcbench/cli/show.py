"""`vcbench show NAME`: a plugin's options and paper, and the layers of a network.

`vcbench show protocol NAME`: what a protocol's scores are computed from.
"""

from __future__ import annotations

import argparse
import json
import sys
from contextlib import redirect_stdout
from typing import TYPE_CHECKING, Any

from vcbench.cli import plugin_arguments
from vcbench.discovery import NETWORKS
from vcbench.errors import PluginError, UsageError

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

    from vcbench.plugins import Plugin, Registry
    from vcbench.protocols import Protocol

HELP = "show a plugin's options and paper, a network's layers, or the text of a protocol"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    plugin_arguments.add(parser, name_help="the plugin, see 'vcbench list'; or: protocol")
    parser.add_argument(
        "protocol", nargs="?", metavar="PROTOCOL", help="after 'protocol': which; by default, all"
    )
    parser.add_argument("--scale", type=float, default=1.0, help="multiply all widths (default: 1)")
    parser.add_argument("--n-mcep", type=int, default=24, help="coefficients in (default: 24)")
    parser.add_argument("--frames", type=int, default=128, help="frames in (default: 128)")
    parser.add_argument("--json", action="store_true", help="print JSON")


def execute(args: argparse.Namespace) -> int:
    """Print what the plugin or the protocol is."""
    if args.name == "protocol":
        return _show_protocols(args.protocol, as_json=args.json)
    if args.protocol is not None:
        raise UsageError(
            f"show {args.name} {args.protocol}: one name, please; of two, the first is 'protocol'"
        )
    sizes = {"--scale": args.scale, "--n-mcep": args.n_mcep, "--frames": args.frames}
    for name, value in sizes.items():
        if not value > 0:
            raise UsageError(f"{name} {value}: must be more than 0")
    with redirect_stdout(sys.stderr):  # a plugin may print, and stdout is for the results
        plugin, found = _found(args)
    if args.json:
        print(json.dumps(found, indent=2, default=str))
    else:
        _print(found, plugin, args)
    return 0


def _show_protocols(name: str | None, *, as_json: bool) -> int:
    """The text of one protocol, or a line for each."""
    from rich.table import Table

    from vcbench import protocols
    from vcbench.terminal import console

    if name is None:
        if as_json:
            print(json.dumps([_told(protocols.get(n)) for n in protocols.names()], indent=2))
            return 0
        table = Table("protocol", "other than vcbench-1", box=None, pad_edge=False)
        for known in protocols.names():
            table.add_row(known, protocols.get(known).differs or "-")
        console().print(table)
        return 0
    protocol = protocols.get(name)
    if as_json:
        print(json.dumps(_told(protocol), indent=2))
        return 0
    screen = console()
    screen.print(protocol.text, highlight=False, markup=False)
    if protocol.path in ("exact", "fastdtw"):
        other = "fastdtw" if protocol.path == "exact" else "exact"
        base = protocol.id.partition("@")[0]
        screen.print(f"On the other path: {base}@{other}", highlight=False, markup=False)
    return 0


def _told(protocol: Protocol) -> dict[str, Any]:
    from vcbench import protocols

    return {
        "name": protocol.id,
        "kind": "protocol",
        "aliases": [alias for alias, id in protocols.ALIASES.items() if id == protocol.id],
        "path": protocol.path,
        "mcd_unit": protocol.mcd_unit,
        "warning": protocol.warning,
        "differs": protocol.differs,
        "prints": protocol.prints,
        "chosen": protocol.chosen,
        "text": protocol.text,
    }


def _found(args: argparse.Namespace) -> tuple[Plugin, dict[str, Any]]:
    registry = plugin_arguments.registry_of(args.name, args.plugin)
    kind = registry.kind_of(args.name)
    plugin = registry.get(kind, args.name)
    options = plugin_arguments.options_of(plugin, args.option)
    found: dict[str, Any] = {
        "name": args.name,
        "kind": kind,
        "summary": plugin.summary,
        "description": plugin.description,
        "paper": plugin.details.get("paper", ""),
        "options": {o.name: options.get(o.name, _default(o.default)) for o in plugin.options},
    }
    if kind in NETWORKS:
        found |= _layers(registry, plugin, options, args)
    return plugin, found


def _layers(
    registry: Registry, plugin: Plugin, options: dict[str, Any], args: argparse.Namespace
) -> dict[str, Any]:
    from vcbench.inspection import inspect_network
    from vcbench.training.cell import ComponentSpec
    from vcbench.training.models import build_module

    try:
        seen = inspect_network(
            lambda: build_module(
                registry,
                plugin.kind,
                ComponentSpec(plugin.name, options),
                n_mcep=args.n_mcep,
                scale=args.scale,
                segment_frames=args.frames,
            ),
            n_mcep=args.n_mcep,
            frames=args.frames,
        )
    except PluginError:
        raise
    except Exception as error:
        raise UsageError(
            f"{plugin.kind} '{args.name}' cannot take {args.n_mcep} x {args.frames}: "
            f"{type(error).__name__}: {error}"
        ) from None
    layers = [layer.to_json() for layer in seen.layers]
    return {"parameters": seen.parameters, "macs": seen.macs, "layers": layers}


def _default(value: Any) -> Any:
    import inspect

    return "required" if value is inspect.Parameter.empty else value


def _print(found: dict[str, Any], plugin: Plugin, args: argparse.Namespace) -> None:
    from rich.console import Console
    from rich.markup import escape

    from vcbench.plugins import choices
    from vcbench.terminal import UNBOUNDED, console

    screen = console()
    screen.print(f"[bold]{found['name']}[/] ({found['kind']}): {escape(found['summary'])}")
    if found["paper"]:
        screen.print(escape(found["paper"]))
    if found["description"]:
        screen.print(escape(found["description"]), highlight=False)
    for option in plugin.options:
        default, value = _default(option.default), found["options"][option.name]
        said = f"option {option.name}, default {default!r}"
        said += f", here {value!r}" if value != default else ""
        valid = " | ".join(map(repr, choices(option)))
        screen.print(escape(said + (f", of {valid}" if valid else "")), highlight=False)
    if "layers" not in found:
        return
    table = _table(found["layers"], narrow=False)
    if Console(width=UNBOUNDED).measure(table).maximum > screen.width:
        table = _table(found["layers"], narrow=True)
    screen.print(table)
    screen.print(
        f"{found['parameters']:,} parameters, {found['macs']:,} MACs on "
        f"{args.n_mcep} x {args.frames}",
        highlight=False,
    )


def _table(layers: list[dict[str, Any]], *, narrow: bool) -> Table:
    """A row per layer. Numbers stay whole; `narrow` puts all words into one column that folds."""
    from rich.console import Group
    from rich.padding import Padding
    from rich.table import Table

    # A column of blanks says nothing, and width is scarce.
    followers = [c for c in ("shuffle", "norm", "activation") if any(r[c] for r in layers)]
    sizes = ["kernel", "stride", "channels"]
    columns = ["name", *sizes] if narrow else ["name", "op", *sizes, *followers]
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    for column in [*columns, "output"]:
        words = narrow and column == "name"
        heading = "layer" if column == "name" else column
        table.add_column(heading, overflow="fold", no_wrap=not words)
    for heading in ("parameters", "MACs"):
        table.add_column(heading, justify="right", no_wrap=True)
    for layer in layers:
        texts: list[RenderableType] = [layer[column] for column in [*columns, "output"]]
        if narrow:
            said = ", ".join([layer["op"], *(layer[c] for c in followers if layer[c])])
            texts[0] = Group(layer["name"], Padding(said, (0, 0, 0, 2)))
        table.add_row(*texts, f"{layer['parameters']:,}", f"{layer['macs']:,}")
    return table
