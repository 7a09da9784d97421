"""Files of the cache that were cut short, or in which a bit has flipped: made again, never used."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from place import Place, tables

# What lies in the cache, and whether damage to one may cost its cell in the run that finds it.
KINDS = {
    "features/*/*.npz": False,
    "cells/*/checkpoint.pt": True,
    "cells/*/status.json": False,
    "cells/*/cell.json": False,
    "cells/*/code.json": False,
    "cells/*/log.jsonl": False,
    "cells/*/converted/*/*/*.wav": False,
    "scores/*/*.json": False,
}


def cut_short(path: Path, rng: random.Random) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: rng.randrange(len(content))])


def flip_a_bit(path: Path, rng: random.Random) -> None:
    content = bytearray(path.read_bytes())
    content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    path.write_bytes(content)


def change_a_digit(path: Path, rng: random.Random) -> None:
    """JSON stays JSON."""
    content = bytearray(path.read_bytes())
    at = rng.choice([match.end() for match in re.finditer(rb"\d\.(?=\d)", content)])
    content[at] = ord("0") + (content[at] - ord("0") + 1) % 10
    path.write_bytes(content)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, speech: Path) -> Place:
    place = Place(tmp_path_factory.mktemp("damaged"), speech, {"a": {}, "b": {"width": 5}})
    done = place.run()
    assert done.returncode == 0, done.stderr
    return place


def damage(place: Place, kinds: list[str], how: list[Callable], seed: int) -> list[Path]:
    """One file of each kind for each way of damage."""
    rng = random.Random(seed)
    hit = []
    for kind in kinds:
        found = sorted(place.cache.glob(kind))
        assert len(found) >= len(how), kind
        for path, harm in zip(rng.sample(found, len(how)), how, strict=True):
            harm(path, rng)
            hit.append(path)
    return hit


@pytest.mark.slow
def test_what_is_damaged_is_made_again(finished: Place) -> None:
    """All kinds but checkpoints at once; nothing is lost even in the run that finds it."""
    expected = tables(finished.latest)
    kinds = [kind for kind, costs in KINDS.items() if not costs]
    damage(finished, ["scores/*/*.json"], 3 * [change_a_digit], seed=2)
    damage(finished, kinds, [cut_short, flip_a_bit], seed=1)
    done = finished.run()
    assert done.returncode == 0, done.stderr
    assert tables(finished.latest) == expected


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_in_any_file_at_any_place(seed: int, finished: Place) -> None:
    """Of each kind by itself; a cell whose checkpoint it was may be missing once, and is told."""
    expected = tables(finished.latest)
    for kind, may_cost in KINDS.items():
        how = [cut_short, flip_a_bit][(seed + len(kind)) % 2]
        (hit,) = damage(finished, [kind], [how], seed)
        if "checkpoint" in kind:  # else nobody reads it
            for wav in hit.parent.glob("converted/*/*/*.wav"):
                wav.unlink()
        done = finished.run()
        if done.returncode == 1 and may_cost:
            assert "FAILED" in done.stderr
            done = finished.run()
        assert done.returncode == 0, (kind, how.__name__, done.stderr)
        assert tables(finished.latest) == expected, (kind, how.__name__)
