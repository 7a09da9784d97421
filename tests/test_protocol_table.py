"""The tables of docs/metrics.md: up to date, and made of what scoring computes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from voices import voice

from vcbench import protocol_table, protocols
from vcbench.plugins import Registry
from vcbench.scoring import ScoreItem, score

PAGE = Path(__file__).parents[1] / "docs" / "metrics.md"


def between(text: str, marks: tuple[str, str]) -> list[list[str]]:
    """The cells of each row of the table between two marks."""
    inside = text.partition(marks[0])[2].partition(marks[1])[0]
    return [row.strip("| ").split(" | ") for row in inside.strip().splitlines()]


def test_the_definitions_are_up_to_date() -> None:
    inside = PAGE.read_text(encoding="utf-8").partition(protocol_table.DEFINITIONS[0])[2]
    wrong = "run: python -m vcbench.protocol_table docs/metrics.md"
    assert inside.startswith(f"\n\n{protocol_table.definitions_table()}\n\n"), wrong


def test_the_definitions_name_every_protocol_and_alias() -> None:
    names = [row.split("|")[1] for row in protocol_table.definitions_table().splitlines()[2:]]
    assert names[0] == " `vcbench-1` "
    for name in [*protocols.names(), *protocols.ALIASES]:
        assert sum(f"`{name}`" in row for row in names) == 1


def test_there_are_scores_of_every_protocol() -> None:
    _, _, *rows = between(PAGE.read_text(encoding="utf-8"), protocol_table.SCORES)
    assert [row[0].split("`")[1] for row in rows] == protocol_table.ordered_names()
    assert all(row[-1] == "216/216" for row in rows if "versa-default" not in row[0])


def test_every_metric_is_on_the_page() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert [name for name in Registry().names("metric") if f"[`{name}`]" not in text] == []


def test_a_row_is_the_mean_of_scores_and_counts_what_is_missing(tmp_path: Path) -> None:
    waves = {name: voice(0.6, f0_hz=f0_hz) for name, f0_hz in (("A", 110), ("B", 170))}
    waves["long"] = voice(0.9, f0_hz=120)
    for name, wave in waves.items():
        soundfile.write(tmp_path / f"{name}.wav", wave, 16000, subtype="FLOAT")
    items = [
        ScoreItem(tmp_path / "A.wav", tmp_path / f"{name}.wav", (f"{name}>A", "1"))
        for name in ("B", "long")
    ]
    names = ["vcbench-1", "versa-default"]
    head, _, ours, truncated = protocol_table.scores_table(items, names, jobs=1).splitlines()
    assert "| B → A | long → A |" in head
    mcd = [
        score(
            np.float64(np.float32(waves["A"])),
            np.float64(np.float32(waves[name])),
            sample_rate=16000,
            metrics=["mcd"],
        )["value"][0]
        for name in ("B", "long")
    ]
    cells = ours.strip("| ").split(" | ")
    assert cells[0] == "`vcbench-1`"
    assert cells[1] == f"**{np.mean(mcd):.2f}**"
    assert cells[3:5] == [f"{value:.2f}" for value in mcd]
    assert (cells[5], cells[-1]) == ("-", "2/2")
    cells = truncated.strip("| ").split(" | ")
    assert cells[4] == "-"
    assert cells[-1] == "1/2"


def test_a_file_without_a_place_for_the_tables_is_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "page.md"
    page.write_text("no markers", encoding="utf-8")
    assert protocol_table.main([str(page)]) == 2
    assert "no place for the table" in capsys.readouterr().err
    assert protocol_table.main([str(tmp_path / "absent.md")]) == 2
    assert "absent.md" in capsys.readouterr().err
    marks = [*protocol_table.DEFINITIONS, *protocol_table.SCORES]
    page.write_text("\n".join(marks), encoding="utf-8")
    assert protocol_table.main([str(page), "--data", str(tmp_path)]) != 0
    assert "vcbench data fetch" in capsys.readouterr().err
    assert page.read_text(encoding="utf-8") == "\n".join(marks)


@pytest.mark.slow
def test_the_scores_of_vcbench_1_are_what_it_computes(vcc2016_dir: Path) -> None:
    corpus = Registry().get("corpus", "vcc2016").factory(data_dir=vcc2016_dir)
    items = protocol_table.score_items(corpus)
    made = protocol_table.scores_table(items, ["vcbench-1"], jobs=2).splitlines()
    text = PAGE.read_text(encoding="utf-8")
    assert all(line in text for line in made)
