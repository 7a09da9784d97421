"""Plugins: how architectures, objectives, metrics, corpora and engines join vcbench.

A plugin is a decorated function in an importable module::

    from vcbench.plugins import register_generator

    @register_generator("my-generator", paper="Doe et al., 2026, arXiv:2601.00001")
    def my_generator(*, n_mcep: int, scale: float, kernel: int = 5) -> torch.nn.Module:
        \"\"\"One line that `vcbench list` prints.\"\"\"

The module is found through an entry point (groups `ENTRY_POINT_GROUPS`; the value is the module)
or because a suite names the file under `plugins:`. Such a file imports what lies beside it as
`from .my_layers import Block`; all that it imports of its project is part of what its cells are
named by. vcbench's own plugins come in the same way.

A decorator only marks its function; importing a plugin changes nothing else. `Registry` reads the
decorators from the *source text* first, so that listing names imports neither the plugin nor
torch, and imports a module only when one of its plugins is asked for.

What each kind's function may ask for by naming it as a keyword, and what it returns:

==============  ============================  =================================================
kind            is given                      returns
==============  ============================  =================================================
generator       n_mcep: int, scale: float     Module: (batch, n_mcep, frames) -> the same shape,
                                              for any number of frames; see below for masks
discriminator   n_mcep: int, scale: float,    Module: (batch, n_mcep, frames) -> (batch, ...)
                segment_frames: int           scores; its attribute `sigmoid: bool` tells
                                              whether they are probabilities
objective       sigmoid: bool                 `Objective`, below
metric          waveforms: pair of arrays,    float, NaN where undefined; the first argument, by
                sample_rate: int,             position, is a `vcbench.alignment.AlignedPair`; see
                speakers, target: str         below for what it may ask for
corpus          data_dir: Path                `vcbench.corpora.Corpus`
engine          jobs: int, device: str,       `vcbench.engines.Engine`; the last are what
                resources, options            `--engine-option a=b` gives, strings by name
==============  ============================  =================================================

All other parameters of the function are options that a suite may set. `scale` multiplies widths;
`segment_frames` is the length of the crops that a discriminator judges. Networks treat each sample
of a batch by itself (instance norm, not batch norm): training joins inputs into one call. On a GPU
a step is recorded and played back: a network or an objective that reads values of its tensors in
Python (`.item()`, `if loss > 1`) runs slower, unrecorded; what Python decides otherwise (a counter
of calls, `random`) stays as it was in the fourth call. What changes must be in tensors.

A generator whose attribute `takes_mask` is true is called as `generator(mcep, mask)` where a recipe
hides frames from it; the mask, (batch, 1, frames), is 1 where a frame can be seen. Called without a
mask, it sees all.

A metric that names `waveforms` is given (reference, converted), each (samples,) in [-1, 1], and by
`sample_rate` their rate in Hz. One that names `speakers` is given training speech of several
speakers (`vcbench.speakers.Speakers`), and by `target` the name of the one whose voice is meant. A
run has them always; `vcbench score` has them where they are given, and refuses the metric else.
"""

from __future__ import annotations

import functools
import inspect
import typing
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, TypeVar

from vcbench import fingerprint
from vcbench.discovery import (
    KINDS,
    Declaration,
    Kind,
    decorated,
    missing_import,
    registrations,
    source_of,
    source_text,
    syntax_tree,
)
from vcbench.errors import PluginError, UntrustedPlugin, did_you_mean
from vcbench.plugin_modules import import_plugin

PLURALS: dict[str, Kind] = {
    "generators": "generator",
    "discriminators": "discriminator",
    "objectives": "objective",
    "metrics": "metric",
    "corpora": "corpus",
    "engines": "engine",
}

ENTRY_POINT_GROUPS = (
    "vcbench.architectures",
    "vcbench.metrics",
    "vcbench.corpora",
    "vcbench.engines",
)

# What the harness passes to a factory; every other parameter is an option of the suite file.
HARNESS_ARGUMENTS: dict[Kind, frozenset[str]] = {
    "generator": frozenset({"n_mcep", "scale"}),
    "discriminator": frozenset({"n_mcep", "scale", "segment_frames"}),
    "objective": frozenset({"sigmoid"}),
    "metric": frozenset({"pair", "waveforms", "sample_rate", "speakers", "target"}),
    "corpus": frozenset({"data_dir"}),
    "engine": frozenset({"jobs", "device", "resources", "options"}),
}

_MARK = "__vcbench_plugin__"
# Told of a plugin file that nobody has allowed to be executed.
NOT_EXECUTED = "a plugin file, which is read and not executed here; --trust-plugins allows it"


@dataclass(frozen=True)
class Objective:
    """An adversarial objective, as the functions of scores (tensors) that are minimised.

    `chance_loss` is the discriminator's loss when it cannot tell real from fake: a loss far below
    it for long means a saturated discriminator. `generator_bound` is the loss that a generator has
    where its discriminator is sure of every fake, or None where that grows without bound.
    """

    discriminator: Callable[[Any, Any], Any]  # (real scores, fake scores) -> scalar
    generator: Callable[[Any], Any]  # fake scores -> scalar
    chance_loss: float
    generator_bound: float | None = None


F = TypeVar("F", bound=Callable[..., Any])


def register_generator(
    name: str, *, paper: str = "", parameters: int | None = None
) -> Callable[[F], F]:
    """Mark a function as the generator `name`; `paper` is its citation.

    `parameters`: how many it has with default options, 24 coefficients and scale 1, so that
    listing plugins needs not build them; `vcbench check` counts them.
    """
    return _mark("generator", name, paper=paper, parameters=_text(parameters))


def register_discriminator(
    name: str, *, paper: str = "", parameters: int | None = None
) -> Callable[[F], F]:
    """Mark a function as the discriminator `name`; see `register_generator`."""
    return _mark("discriminator", name, paper=paper, parameters=_text(parameters))


def register_objective(name: str, *, paper: str = "") -> Callable[[F], F]:
    """Mark a function as the adversarial objective `name`; `paper` is its citation."""
    return _mark("objective", name, paper=paper)


def register_metric(
    name: str, *, unit: str, better: Literal["lower", "higher", "neither"], paper: str = ""
) -> Callable[[F], F]:
    """Mark a function as the metric `name`, in `unit`; `better` tells which way is good.

    `neither` is for a number that describes, such as a count or a signed difference.
    """
    return _mark("metric", name, paper=paper, unit=unit, better=better)


def register_corpus(name: str, *, paper: str = "", licence: str = "") -> Callable[[F], F]:
    """Mark a function as the corpus `name`; `licence` is that of its audio."""
    return _mark("corpus", name, paper=paper, licence=licence)


def register_engine(name: str) -> Callable[[F], F]:
    """Mark a function as the engine `name`, which runs cells."""
    return _mark("engine", name, paper="")


def _text(value: int | None) -> str:
    return "" if value is None else str(value)


def _mark(kind: Kind, name: str, **details: str) -> Callable[[F], F]:
    def decorate(factory: F) -> F:
        setattr(factory, _MARK, (kind, name, details))
        return factory

    return decorate


@dataclass(frozen=True)
class Option:
    """A keyword that a suite may give to a plugin."""

    name: str
    annotation: Any
    default: Any  # inspect.Parameter.empty where the suite must give it


def choices(option: Option) -> tuple[Any, ...]:
    """The values of an option that has but a few (`Literal`, bool); else none."""
    if option.annotation is bool:
        return (False, True)
    is_literal = typing.get_origin(option.annotation) is Literal
    return typing.get_args(option.annotation) if is_literal else ()


@dataclass(frozen=True)
class Plugin:
    """An imported plugin: the function and where it comes from."""

    kind: Kind
    name: str
    factory: Callable[..., Any]
    origin: str
    details: Mapping[str, str]

    @property
    def summary(self) -> str:
        """First line of the function's docstring."""
        return (inspect.getdoc(self.factory) or "").partition("\n")[0]

    @property
    def description(self) -> str:
        """What the function's docstring says below its first line, or an empty string."""
        return (inspect.getdoc(self.factory) or "").partition("\n")[2].strip()

    @property
    def options(self) -> tuple[Option, ...]:
        """The keywords a suite may give: all that the harness does not pass itself.

        Raises `PluginError` where an annotation names something that the module does not have.
        """
        try:
            parameters = inspect.signature(self.factory, eval_str=True).parameters.values()
        except (NameError, AttributeError, TypeError, ValueError, SyntaxError) as error:
            raise PluginError(
                f"{self.kind} '{self.name}' ({self.origin}) cannot be used: its signature: "
                f"{type(error).__name__}: {error}"
            ) from error
        # A suite cannot know what *args or **kwargs would take.
        named = [p for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
        return tuple(
            Option(p.name, Any if p.annotation is p.empty else p.annotation, p.default)
            for p in named
            if p.name not in HARNESS_ARGUMENTS[self.kind]
        )

    def asked(self, offered: Mapping[str, Any]) -> dict[str, Any]:
        """Those of the harness's arguments that the function names."""
        parameters = inspect.signature(self.factory).parameters
        anything = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
        return {name: v for name, v in offered.items() if anything or name in parameters}

    def asks(self, argument: str) -> bool:
        """Whether the function names this argument of the harness."""
        return argument in inspect.signature(self.factory).parameters

    @property
    def source_files(self) -> set[Path]:
        """What defines the plugin: its file and what that imports of its own package.

        They are part of the key of everything computed with it.
        """
        factory = self.factory
        while isinstance(factory, functools.partial):
            factory = factory.func
        return fingerprint.sources_of(inspect.unwrap(factory).__module__)


class Registry:
    """All plugins that can be used: those of installed packages and those of `files`.

    trusted: whether `files` may be executed. Where they may not, their source text is read and
    nothing else: what it does not tell is missing (`hidden`), and asking for one of their plugins
    raises `UntrustedPlugin`.

    Raises `PluginError` where a name is unknown (with the nearest valid one), declared twice (with
    both origins), or its module cannot be imported (with the reason).
    """

    def __init__(self, files: Iterable[str | Path] = (), *, trusted: bool = True) -> None:
        self.files = tuple(Path(f).resolve() for f in files)
        self.trusted = trusted
        self._declarations: tuple[Declaration, ...] | None = None

    def declarations(self, kind: Kind | None = None) -> tuple[Declaration, ...]:
        """Every declared plugin, sorted by kind and name, the unusable ones included."""
        if self._declarations is None:
            found: list[Declaration] = []
            for module, label in _modules(self.files):
                found.extend(_declared_in(module, label, self.executes(module)))
            unique = {(d.kind, d.name, d.origin): d for d in found}
            self._declarations = tuple(
                sorted(unique.values(), key=lambda d: (KINDS.index(d.kind), d.name, d.origin))
            )
        return tuple(d for d in self._declarations if kind in (None, d.kind))

    def executes(self, module: str) -> bool:
        """Whether a module, or a plugin file, may be executed; installed packages always may."""
        return self.trusted or not module.endswith(".py")

    @property
    def hidden(self) -> list[Path]:
        """Plugin files that may register more than their text tells, and were not executed."""
        return [Path(d.module) for d in self.declarations() if d.problem == NOT_EXECUTED]

    def names(self, kind: Kind) -> list[str]:
        """Sorted names of one kind."""
        return sorted({d.name for d in self.declarations(kind) if d.is_named})

    def declaration(self, kind: Kind, name: str) -> Declaration:
        """The one declaration of `name`; raises `PluginError` if there is none or two."""
        found = [d for d in self.declarations(kind) if d.name == name]
        if not found:
            hint = did_you_mean(name, self.names(kind))
            # A file that was not executed may be the one that registers it.
            error = UntrustedPlugin if self.hidden else PluginError
            raise error(f"unknown {kind} '{name}': {hint}{self._unusable()}")
        if len(found) > 1:
            origins = " and ".join(d.origin for d in found)
            raise PluginError(
                f"{kind} '{name}' is declared twice: {origins}; rename one or uninstall its package"
            )
        return found[0]

    def kind_of(self, name: str, kinds: tuple[Kind, ...] = KINDS) -> Kind:
        """The first of `kinds` that has a plugin `name`; raises `PluginError` if none has."""
        for kind in kinds:
            if name in self.names(kind):
                return kind
        hint = did_you_mean(name, [n for kind in kinds for n in self.names(kind)])
        what = "plugin" if kinds == KINDS else " or ".join(kinds)
        raise PluginError(f"no {what} '{name}': {hint}{self._unusable()}")

    def _unusable(self) -> str:
        """A line for each plugin that cannot be used: one of them may be what is missed."""
        broken = [d for d in self.declarations() if d.problem]
        return "".join(f"\n  unusable plugin at {d.origin}: {d.problem}" for d in broken)

    def get(self, kind: Kind, name: str) -> Plugin:
        """Import the plugin `name`; see the class for what is raised."""
        declaration = self.declaration(kind, name)
        if not self.executes(declaration.module):
            raise UntrustedPlugin(f"{kind} '{name}' ({declaration.origin}): {NOT_EXECUTED}")
        if declaration.problem:
            raise PluginError(
                f"{kind} '{name}' ({declaration.origin}) cannot be used: {declaration.problem}"
            )
        module = import_plugin(declaration.module, label=f"{kind} '{name}' ({declaration.origin})")
        for plugin in marked(module):
            if (plugin.kind, plugin.name) == (kind, name):
                return plugin
        raise PluginError(
            f"{kind} '{name}' is declared at {declaration.origin}, but importing that module "
            "does not define it; a decorated function must stay at module level"
        )


def _modules(files: tuple[Path, ...]) -> list[tuple[str, str]]:
    """(import path or file, where it was named) of every module that may hold plugins."""
    modules = [
        (entry.value.partition(":")[0], f"entry point {group}:{entry.name}")
        for group in ENTRY_POINT_GROUPS
        for entry in metadata.entry_points(group=group)
    ]
    modules += [(str(path), f"plugin file {path}") for path in files]
    return sorted(set(modules))


def _declared_in(module: str, label: str, may_execute: bool) -> list[Declaration]:
    """Declarations read from a module's source; the module is imported only if it hides some, and
    only if that is allowed."""
    unknown = Declaration("generator", f"({module})", module, label, problem="")
    try:
        path = Path(module) if module.endswith(".py") else source_of(module)
        tree = syntax_tree(source_text(path), filename=str(path))
    except Exception as error:
        # Finding pkg.module imports pkg, and a stranger's package can raise anything.
        return [_with_problem(unknown, f"{type(error).__name__}: {error}")]
    problem = missing_import(tree)
    found = [
        Declaration(kind, name, module, f"{path}:{line}", summary, details, problem)
        for kind, name, line, summary, details in decorated(tree)
    ]
    if problem:
        return found or [_with_problem(unknown, problem)]
    if found and len(found) == registrations(tree):
        return found
    if not may_execute:
        return [*found, _with_problem(unknown, NOT_EXECUTED)]
    try:
        plugins = marked(import_plugin(module, label=label))
    except PluginError as error:
        return [*found, _with_problem(unknown, str(error))]
    seen = {(d.kind, d.name) for d in found}
    hidden = [p for p in plugins if (p.kind, p.name) not in seen]
    return found + [
        Declaration(p.kind, p.name, module, p.origin, p.summary, p.details) for p in hidden
    ]


def _with_problem(declaration: Declaration, problem: str) -> Declaration:
    return Declaration(
        declaration.kind, declaration.name, declaration.module, declaration.origin, problem=problem
    )


def marked(module: ModuleType) -> list[Plugin]:
    """What the module's decorators have marked, and what it imported of that."""
    plugins = []
    for value in vars(module).values():
        mark = getattr(value, _MARK, None)
        if callable(value) and isinstance(mark, tuple):
            kind, name, details = mark
            plugins.append(Plugin(kind, name, value, _origin(value, module), details))
    return plugins


def _origin(value: object, module: ModuleType) -> str:
    try:
        lines = inspect.getsourcelines(value)  # type: ignore[arg-type]
        return f"{inspect.getsourcefile(value)}:{lines[1]}"  # type: ignore[arg-type]
    except (TypeError, OSError):  # a partial, or made by exec
        return str(module.__file__)
