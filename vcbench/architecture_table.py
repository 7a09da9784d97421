"""`python -m vcbench.architecture_table README.md`: writes the README's table of architectures.

The table stands between two markers and comes from the registry alone; a test compares them.
"""

from __future__ import annotations

import inspect
import sys
from pathlib import Path

from vcbench import marked_text
from vcbench.discovery import NETWORKS
from vcbench.inspection import inspect_network
from vcbench.plugins import Option, Plugin, Registry, choices
from vcbench.training.cell import ComponentSpec
from vcbench.training.models import build_module

BEGIN = "<!-- architectures: made by python -m vcbench.architecture_table README.md -->"
END = "<!-- architectures: end -->"
N_MCEP, FRAMES = 24, 128


def table() -> str:
    """The generators and discriminators that come with vcbench, as a Markdown table."""
    registry = Registry()
    rows = [
        "| name | kind | paper | parameters | MACs | options, default first |",
        "|---|---|---|--:|--:|---|",
    ]
    for kind in NETWORKS:
        for declaration in registry.declarations(kind):
            if declaration.module.startswith("architectures."):
                rows.append(_row(registry, registry.get(kind, declaration.name)))
    return "\n".join(rows)


def with_table(text: str) -> str:
    """The text with the table as it is now; raises `UsageError` where the markers are missing."""
    return marked_text.replaced(text, (BEGIN, END), by=table())


def _row(registry: Registry, plugin: Plugin) -> str:
    seen = inspect_network(
        lambda: build_module(
            registry,
            plugin.kind,
            ComponentSpec(plugin.name),
            n_mcep=N_MCEP,
            scale=1.0,
            segment_frames=FRAMES,
        ),
        n_mcep=N_MCEP,
        frames=FRAMES,
        layers=False,
    )
    options = "; ".join(map(_option, plugin.options))
    paper = plugin.details.get("paper", "")
    cells = [
        f"`{plugin.name}`",
        plugin.kind,
        paper,
        f"{seen.parameters:,}",
        f"{seen.macs / 1e6:,.0f} M",
        options,
    ]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _option(option: Option) -> str:
    """`width`: wide, narrow."""
    if option.default is inspect.Parameter.empty:
        return f"`{option.name}`: required"
    values = [option.default, *(c for c in choices(option) if c != option.default)]
    return f"`{option.name}`: {', '.join(_as_in_a_suite(value) for value in values)}"


def _as_in_a_suite(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


if __name__ == "__main__":
    for name in sys.argv[1:]:
        path = Path(name)
        path.write_text(with_table(path.read_text(encoding="utf-8")), encoding="utf-8")
