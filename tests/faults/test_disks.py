"""A disk that is full, and one that is read-only: during features, a checkpoint, a report."""

from __future__ import annotations

import ctypes
import os
import shlex
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from place import Place, cells, scored, tables

# The checkpoint of `wide` takes some megabytes, that of `narrow` less than one.
SYSTEMS = {"narrow": {"width": 4}, "wide": {"width": 1500}}
# Of the disks under the cache and under the reports, step by step, and how a step ends.
STEPS = {
    "features": "leave 200 cache",
    "checkpoint": "leave 4000 cache",
    "results": "leave 60000 cache; leave 12 reports",
    "page": "leave 200 reports",
    "conversion": "rm -r $DISKS/cache/cells/*/converted $DISKS/cache/scores; leave 0 cache; "
    "leave 60000 reports",
    "read-only": "leave 60000 cache; mount -o remount,ro $DISKS/reports",
    "again": "mount -o remount,rw $DISKS/reports",
}
SCRIPT = """\
for disk in cache reports; do
  mkdir $DISKS/$disk
  mount -t tmpfs -o size=64m none $DISKS/$disk
done
# So many kilobytes of the disk are free.
leave() { mount -o "remount,size=$(($(du -sk $DISKS/$2 | cut -f 1) + $1))k" $DISKS/$2; }
"""


def require_namespaces() -> None:
    """Skip where no disk of our own can be mounted: as another user than root this needs user
    namespaces, which some systems forbid."""
    command = [
        "unshare",
        "--user",
        "--map-root-user",
        "--mount",
        "mount",
        "-t",
        "tmpfs",
        "x",
        "/mnt",
    ]
    if shutil.which("unshare") is None or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("needs user and mount namespaces (unshare -rm)")


class Steps:
    """What each step left: the command's exit code, what it said, and the newest run's files."""

    def __init__(self, place: Place, kept: Path) -> None:
        self.place, self.kept = place, kept

    def code(self, step: str) -> int:
        return int((self.kept / step / "code").read_text())

    def said(self, step: str) -> str:
        said = (self.kept / step / "said").read_text()
        assert "Traceback" not in said, said
        return said

    def latest(self, step: str) -> Path:
        return (self.kept / step / "reports" / "faults" / "latest").resolve()


@pytest.fixture(scope="module")
def steps(tmp_path_factory: pytest.TempPathFactory, speech: Path) -> Steps:
    """One suite run again and again, on disks that are too small for one thing after the other."""
    require_namespaces()
    place = Place(tmp_path_factory.mktemp("disks"), speech, SYSTEMS)
    kept = place.folder / "kept"
    script = [SCRIPT]
    for step, change in STEPS.items():
        here = shlex.quote(str(kept / step))
        script += [
            change,
            f"mkdir -p {here}",
            f"{shlex.join(place.command())} >{here}/said 2>&1 && code=0 || code=$?",
            f"echo $code >{here}/code",
            f"cp -a $DISKS/reports {here}/reports",
        ]
    command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-ec", "\n".join(script)]
    environment = {**place.environment(), "DISKS": str(place.folder)}
    subprocess.run(command, env=environment, check=True)
    return Steps(place, kept)


@pytest.mark.slow
def test_a_disk_that_is_full_of_features_ends_the_run_before_anything_is_trained(
    steps: Steps,
) -> None:
    assert steps.code("features") == 3
    said = steps.said("features")
    assert "No space left on device" in said
    assert str(steps.place.cache) in said
    assert "the same command continues" in said
    assert "training" not in said
    assert not steps.latest("features").exists()


@pytest.mark.slow
def test_a_disk_that_is_full_at_a_checkpoint_costs_that_cell(steps: Steps) -> None:
    assert steps.code("checkpoint") == 1
    run = steps.latest("checkpoint")
    found = cells(run)
    assert found["wide"]["status"] == "failed"
    assert "the checkpoint of iteration 2 cannot be written" in found["wide"]["reason"]
    assert "No space left on device" in found["wide"]["reason"]
    assert {name for name, cell in found.items() if cell["status"] == "ok"} == {
        "narrow",
        "source-copy",
    }
    assert scored(run)["narrow"] == 8


@pytest.mark.parametrize("step", ["results", "page"])
@pytest.mark.slow
def test_a_disk_that_is_full_at_the_report_keeps_the_one_before(steps: Steps, step: str) -> None:
    assert steps.code(step) == 3
    said = steps.said(step)
    assert "No space left on device" in said
    assert str(steps.place.reports) in said
    assert "the same command continues" in said
    # The newest run that is whole is still the one before, and nothing in it was touched.
    assert tables(steps.latest(step)) == tables(steps.latest("checkpoint"))


@pytest.mark.slow
def test_a_disk_that_is_full_at_conversion_costs_those_cells(steps: Steps) -> None:
    assert steps.code("conversion") == 1
    run = steps.latest("conversion")
    found = cells(run)
    for system in SYSTEMS:
        assert found[system]["status"] == "failed"
        assert "cannot be written (No space left on device)" in found[system]["reason"]
    # Its scores, which cannot be kept, are in the table all the same.
    assert (found["source-copy"]["status"], scored(run)["source-copy"]) == ("ok", 8)


@pytest.mark.slow
def test_reports_that_are_read_only_are_told_before_anything_is_computed(steps: Steps) -> None:
    assert steps.code("read-only") == 2
    said = steps.said("read-only")
    assert f"{steps.place.reports}: reports cannot be written there" in said
    assert "--reports" in said
    assert "utterances to analyse" not in said


@pytest.mark.slow
def test_with_room_the_same_command_ends_as_if_nothing_had_been(
    steps: Steps, undisturbed: Callable[[Place], Path]
) -> None:
    assert steps.code("again") == 0, steps.said("again")
    assert "training: 0 cells trained, 2 cached" in steps.said("again")
    assert tables(steps.latest("again")) == tables(undisturbed(steps.place))


@pytest.mark.slow
def test_nothing_half_written_is_left_behind(steps: Steps) -> None:
    left = [p for p in (steps.kept / "again" / "reports").rglob("*") if ".tmp" in p.name]
    assert left == []


def without_privileges() -> None:
    """In the child: root is held to a folder's permissions like everybody else."""
    if os.geteuid() == 0:
        drop, override_permissions = 24, 1  # PR_CAPBSET_DROP, CAP_DAC_OVERRIDE
        assert ctypes.CDLL(None).prctl(drop, override_permissions, 0, 0, 0) == 0


@pytest.mark.parametrize("kind", ["permissions", "file"])
def test_reports_that_cannot_be_written_are_told_before_anything_is_computed(
    kind: str, place: Callable[..., Place]
) -> None:
    here = place({"fine": {}})
    if kind == "permissions":
        here.reports.mkdir(mode=0o555)
    else:
        here.reports.touch()
    done = here.run(preexec_fn=without_privileges)
    assert done.returncode == 2
    reason = "cannot be written" if kind == "permissions" else "is a file"
    assert f"{here.reports}: reports cannot be written there" in done.stderr
    assert reason in done.stderr
    assert not here.cache.exists()
