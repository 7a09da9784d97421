"""What is kept is named by all that decides it, and by nothing else."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from workplace import PLUGIN, SUITE, Workplace

from vcbench import batch_conversion, fingerprint, plugin_modules
from vcbench.features import FeatureStore
from vcbench.plugins import Registry
from vcbench.scoring import cache
from vcbench.stored_cells import code_of, note_code
from vcbench.training.cell import Cell
from vcbench.training.files import write_status
from vcbench.world import FeatureParameters

SLOW = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=8
)
STAGE = {"from_share": 0.5, "adversarial": 1.0, "cycle": 1.0, "identity": 0.0}
HELPED = """\
from .layers import kernel_of
from vcbench.plugins import register_generator


@register_generator("helped")
def helped(*, n_mcep: int, scale: float):
    return kernel_of(n_mcep)
"""


@pytest.fixture
def place(tmp_path: Path) -> Workplace:
    return Workplace(tmp_path / "place")


def shuffled(value: Any, order: random.Random) -> Any:
    """The same mappings in another order of their keys."""
    if isinstance(value, dict):
        items = [(key, shuffled(inner, order)) for key, inner in value.items()]
        order.shuffle(items)
        return dict(items)
    return [shuffled(inner, order) for inner in value] if isinstance(value, list) else value


@SLOW
@given(seed=st.integers(0, 2**32), comment=st.text("abc #:-'\"", max_size=20))
def test_the_order_of_a_suite_and_its_comments_change_nothing(
    seed: int, comment: str, place: Workplace
) -> None:
    place.write(SUITE)
    before = place.plan()
    order = random.Random(seed)
    text = yaml.safe_dump(shuffled(yaml.safe_load(SUITE), order), sort_keys=False)
    lines = text.splitlines()
    lines.insert(order.randrange(len(lines)), f"# {comment}")
    place.write("\n".join(lines) + f"  # {comment}\n\n")
    after = place.plan()
    assert {p.cell.id: p.key for p in after.cells} == {p.cell.id: p.key for p in before.cells}
    assert after.data_fingerprint == before.data_fingerprint


def leaves(value: Any, path: tuple = ()) -> Iterator[tuple]:
    """Paths of all values that are no mappings."""
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from leaves(inner, (*path, key))
    else:
        yield path


def changed(value: Any) -> Any:
    if isinstance(value, bool) or value is None:
        return 3 if value is None else not value
    if isinstance(value, int | float):
        return value + 1
    if isinstance(value, list | tuple):
        return (
            [*value, "0" * 64 + ".npz"] if not value or isinstance(value[0], str) else value[::-1]
        )
    return f"{value}x"


def test_every_value_of_a_cell_is_in_its_key_but_for_names_and_places(place: Workplace) -> None:
    cell = place.plan().cells[0].cell
    described = cell.to_json()
    described["generator"]["options"]["more"] = {}  # an option that is a mapping
    keys: dict[str, tuple] = {}
    unchanged = set()
    before = Cell.from_json(described).key(Registry(), code="code")
    for path in leaves(described):
        other = json.loads(json.dumps(described))
        inner = other
        for name in path[:-1]:
            inner = inner[name]
        inner[path[-1]] = [STAGE] if path[-1] == "loss_stages" else changed(inner[path[-1]])
        key = Cell.from_json(other).key(Registry(), code="code")
        if key == before:
            unchanged.add(path[0])
        else:
            assert key not in keys, (path, keys.get(key))
            keys[key] = path
    assert unchanged == {"system", "plugin_files"}
    assert {"seed", "scale", "device", "deterministic"} < {path[0] for path in keys.values()}
    elsewhere = replace(
        cell,
        train_features={
            s: tuple(f"/elsewhere/{Path(p).name}" for p in paths)
            for s, paths in cell.train_features.items()
        },
    )
    assert elsewhere.key(Registry(), code="code") == cell.key(Registry(), code="code")


def left(place: Workplace) -> None:
    """Leave what training leaves of every cell, without weights."""
    plan = place.plan()
    for planned in plan.cells:
        planned.folder.mkdir(parents=True, exist_ok=True)
        (planned.folder / "cell.json").write_text(json.dumps(planned.cell.to_json()))
        torch.save({}, planned.folder / "checkpoint.pt")
        write_status(planned.folder, {"iterations": 6})
        note_code(planned.folder, code_of(planned.cell, plan.suite.registry))


def with_helper(place: Workplace) -> Path:
    """The suite with a plugin that imports a file beside it; that file."""
    (place.root / "helped.py").write_text(HELPED)
    helper = place.root / "layers" / "__init__.py"
    helper.parent.mkdir()
    helper.write_text("from .deeper import kernel_of\n")
    deeper = helper.with_name("deeper.py")
    deeper.write_text("def kernel_of(n_mcep):\n    raise AssertionError('builds nothing')\n")
    third = "  third: {generator: helped, discriminator: patchgan, objective: lsgan}\ntraining:"
    suite = SUITE.replace("[plug.py]", "[plug.py, helped.py]").replace("training:", third)
    place.write(suite)
    return deeper


def test_a_file_beside_a_plugin_makes_its_cells_stale_and_no_others(place: Workplace) -> None:
    deeper = with_helper(place)
    left(place)
    assert all(planned.done for planned in place.plan().cells)
    deeper.write_text(deeper.read_text() + "# an afterthought\n")
    stale = {p.cell.id: p.reason for p in place.plan().cells if not p.done}
    why = "trained before, but the source of its generator has changed since (deeper.py)"
    assert stale == {"third/F1-M1/0": why, "third/M1-F2/0": why}
    (place.root / "unrelated.py").write_text("x = 1\n")
    assert len([p for p in place.plan().cells if p.done]) == 4


def test_the_packages_that_an_imported_module_is_in_count_too(tmp_path: Path) -> None:
    """Importing `layers.inner.deeper` executes both of their `__init__.py`."""
    inner = tmp_path / "layers" / "inner"
    inner.mkdir(parents=True)
    files = [inner.parent / "__init__.py", inner / "__init__.py", inner / "deeper.py"]
    for path in files:
        path.write_text("x = 1\n")
    plugin = tmp_path / "deep.py"
    plugin.write_text("from .layers.inner.deeper import x\n" + HELPED)
    found = fingerprint.sources_of(plugin_modules.module_name(plugin))
    assert found >= set(files)


def test_a_plugin_runs_with_what_lies_beside_it(place: Workplace) -> None:
    with_helper(place)
    registry = Registry([place.root / "helped.py"])
    plugin = registry.get("generator", "helped")
    with pytest.raises(AssertionError, match="builds nothing"):
        plugin.factory(n_mcep=24, scale=1.0)
    assert {path.name for path in plugin.source_files} == {"helped.py", "__init__.py", "deeper.py"}


def test_files_of_one_name_in_two_folders_stay_apart(tmp_path: Path) -> None:
    for number in (1, 2):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "layers.py").write_text(f"def kernel_of(n_mcep):\n    return {number}\n")
        (folder / "helped.v1.py").write_text(HELPED)
    found = [
        Registry([tmp_path / str(n) / "helped.v1.py"])
        .get("generator", "helped")
        .factory(n_mcep=1, scale=1.0)
        for n in (1, 2)
    ]
    assert found == [1, 2]


UNREADABLE = {
    "broken": b"broken (",
    "of nowhere": b"from ....nowhere import x\n",
    "deep": b"-" * 200_000 + b"1",
    "long": b"#" * 2**21,
    "no text": b"\xff",
    "nul": b"\0",
    "dots": b"from ." + b"a." * 5000 + b"b import c\n",
}


@pytest.mark.parametrize("helper", UNREADABLE)
def test_a_helper_that_cannot_be_read_counts_all_the_same(helper: str, tmp_path: Path) -> None:
    (tmp_path / "layers.py").write_bytes(UNREADABLE[helper])
    source = "from vcbench.plugins import register_generator\n"
    (tmp_path / "lazy.py").write_text(
        source + "@register_generator('lazy')\ndef lazy(*, n_mcep: int, scale: float):\n"
        "    from .layers import kernel_of\n"
    )
    plugin = Registry([tmp_path / "lazy.py"]).get("generator", "lazy")
    assert {path.name for path in plugin.source_files} == {"lazy.py", "layers.py"}
    assert fingerprint.packages_of(plugin.source_files) == {}


def test_what_a_plugin_imports_of_vcbench_counts(tmp_path: Path) -> None:
    (tmp_path / "uses.py").write_text(
        "from vcbench.alignment import AlignedPair\n"
        "from vcbench.plugins import register_metric\n"
        "@register_metric('uses', unit='dB', better='lower')\n"
        "def uses(pair: AlignedPair) -> float: return 0.0\n"
    )
    plugin = Registry([tmp_path / "uses.py"]).get("metric", "uses")
    names = {path.name for path in plugin.source_files}
    assert {"uses.py", "alignment.py", "dtw.py"} <= names
    assert "plugins.py" not in names  # only finds them


def version_of(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a package have another version."""
    real = metadata.version
    monkeypatch.setattr(metadata, "version", lambda n: "9.9" if n == package else real(n))


@pytest.mark.parametrize("package", ["torch", "numpy", "PyYAML"])
def test_packages_that_train_are_in_the_key_of_a_cell(
    package: str, place: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    if package == "PyYAML":  # one that a plugin imports
        place.plugin.write_text("import yaml\n" + PLUGIN)
    left(place)
    version_of(package, monkeypatch)
    found = {p.cell.id: p.reason for p in place.plan().cells if not p.done}
    with_plugin = {"first/F1-M1/0", "first/M1-F2/0"}
    assert set(found) == (with_plugin if package == "PyYAML" else {*place.keys()})
    assert all("was " in reason and ", now 9.9" in reason for reason in found.values())


def test_packages_that_do_not_matter_are_not(
    place: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = place.keys()
    for package in ("pysptk", "scipy", "pandas", "pydantic"):
        version_of(package, monkeypatch)
    assert place.keys() == before


PACKAGES_OF_FEATURES = {
    ("world-codec", "pyworld"): True,
    ("world-codec", "numpy"): False,
    ("world-codec", "pysptk"): False,
    ("sptk", "numpy"): True,
    ("sptk", "pysptk"): True,
}


@pytest.mark.parametrize(("mel_cepstrum", "package"), PACKAGES_OF_FEATURES)
def test_packages_that_analyse_are_in_the_key_of_features(
    mel_cepstrum: Any, package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.wav").write_bytes(b"RIFF and more")
    parameters = FeatureParameters(mel_cepstrum=mel_cepstrum)

    def name() -> str:
        return FeatureStore(tmp_path, parameters).path(tmp_path / "a.wav").name

    before = name()
    for called in ("pyworld", "pyworld-prebuilt") if package == "pyworld" else (package,):
        version_of(called, monkeypatch)
    assert (name() != before) == PACKAGES_OF_FEATURES[mel_cepstrum, package]


def test_a_decoder_matters_where_it_decides_the_samples(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    contents = {"a.wav": b"RIFF1", "a.flac": b"fLaC1", "a.mp3": b"ID3 1"}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)

    def names() -> list[str]:
        store = FeatureStore(tmp_path, FeatureParameters())
        return [store.path(tmp_path / name).name for name in contents]

    before = names()
    version_of("soundfile", monkeypatch)
    assert [a == b for a, b in zip(before, names(), strict=True)] == [True, True, False]


@pytest.mark.parametrize("package", ["numpy", "scipy", "soundfile", "fastdtw", "pystoi", "pesq"])
def test_packages_that_measure_are_in_the_key_of_scores(
    package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugins = {name: Registry().get("metric", name) for name in ("mcd", "pesq", "stoi")}
    only_mcd = {"mcd": plugins["mcd"]}
    before = cache.version("vcbench-1", plugins), cache.version("vcbench-1", only_mcd)
    version_of(package, monkeypatch)
    assert cache.version("vcbench-1", plugins) != before[0]
    own = package in ("pystoi", "pesq")  # of metrics that are not asked for
    assert (cache.version("vcbench-1", only_mcd) == before[1]) == own


def test_protocol_and_metrics_are_in_the_key_of_scores(tmp_path: Path) -> None:
    def metric(text: str) -> dict:
        path = tmp_path / f"m{len(text)}" / "m.py"
        path.parent.mkdir()
        path.write_text(
            "from vcbench.plugins import register_metric\n"
            f"@register_metric('m', unit='dB', better='lower')\ndef m(pair): return {text}\n"
        )
        return {"m": Registry([path]).get("metric", "m")}

    one, other = metric("0.0"), metric("0.25")
    versions = {
        cache.version("vcbench-1", one),
        cache.version("vcbench-1", other),
        cache.version("espnet-vc", one),
        cache.version("vcbench-1", {**one, "mcd": Registry().get("metric", "mcd")}),
    }
    assert len(versions) == 4
    assert cache.entry("v", "a", "b") != cache.entry("v", "b", "a")


@pytest.mark.parametrize("package", ["torch", "numpy", "scipy", "soundfile", "nnmnkwii"])
def test_packages_that_convert_are_in_the_key_of_converted_speech(
    package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = batch_conversion.conversion_version()
    version_of(package, monkeypatch)
    assert batch_conversion.conversion_version() != before


def test_packages_are_named_as_they_are_installed(tmp_path: Path) -> None:
    path = tmp_path / "a.py"
    path.write_text("import sklearn.mixture, os\nfrom yaml import x\nfrom architectures import y\n")
    assert fingerprint.packages_of([path]) == {
        "PyYAML": metadata.version("PyYAML"),
        "scikit-learn": metadata.version("scikit-learn"),
    }
    assert fingerprint.version_of("nowhere", "PyYAML") == metadata.version("PyYAML")
    assert fingerprint.version_of("nowhere") is None


def test_other_recordings_are_other_data(place: Workplace) -> None:
    before = place.plan()
    place.wav("F2", "s0").write_text("something else")
    after = place.plan()
    assert after.data_fingerprint != before.data_fingerprint
    told = [a.cell.pair for a, b in zip(after.cells, before.cells, strict=True) if a.key != b.key]
    assert told == ["M1-F2", "M1-F2"]  # the pairs of that speaker
