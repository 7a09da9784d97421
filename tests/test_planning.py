"""From a suite to cells: who is trained on what, and what a cell's key depends on."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from workplace import SPEAKERS, SUITE, Workplace

from vcbench import planning
from vcbench.corpora import Utterance
from vcbench.errors import DataError, UsageError
from vcbench.planning import Plan
from vcbench.training.files import write_status

# The same keys in another order, with what decides no training changed.
REORDERED = """\
suite: other-name
question: Which one?
metrics: [f0-rmse, mcd]
seeds: [0]
scale: 0.03
samples_per_direction: 1
eval_utterances: 1
baselines: [source-copy]
training: {validation_utterances: 1, iterations: 6}
systems:
  second:
    objective: bce
    discriminator: {sigmoid: true, name: gated-patchgan}
    generator: cyclegan-vc-1d
  first:
    objective: lsgan
    discriminator: patchgan
    generator: {width: 4, kernel: 3, name: test-gen}
pairs: [M1-F2, F1-M1]
corpus: {eval_fraction: 0.25, name: folder, root: speech}
plugins: [plug.py]
"""


@pytest.fixture
def place(tmp_path: Path) -> Workplace:
    return Workplace(tmp_path / "place")


def test_at_first_everything_is_missing_and_looking_changes_nothing(place: Workplace) -> None:
    plan = place.plan()
    assert [planned.cell.id for planned in plan.cells] == [
        f"{system}/{pair}/0" for system in ("first", "second") for pair in ("F1-M1", "M1-F2")
    ]
    assert len({planned.key for planned in plan.cells}) == 4
    assert {(planned.done, planned.reason) for planned in plan.cells} == {(False, "never trained")}
    assert [cell.id for cell in plan.baselines] == [
        f"{name}/{pair}/-"
        for name in ("source-copy", "mean-variance", "resynthesis")
        for pair in ("F1-M1", "M1-F2")
    ]
    assert plan.missing_features == 24
    assert not (place.root / "cache").exists()


def test_held_out_sentences_are_neither_trained_on_nor_scored(place: Workplace) -> None:
    plan = place.plan("training.validation_utterances=2")
    ids = {
        part: {s: [u.id for u in getattr(plan.speech, part)[s]] for s in SPEAKERS}
        for part in ("train", "validation", "evaluation")
    }
    for speaker in SPEAKERS:
        assert ids["train"][speaker] == ["s0", "s1", "s2", "s3"]
        assert ids["validation"][speaker] == ["s4", "s5"]
        assert ids["evaluation"][speaker] == ["s6", "s7"]
    by_path = {str(path): (u.speaker, u.id) for u, path in plan.features.items()}
    for planned in plan.cells:
        cell = planned.cell
        assert cell.train_features.keys() == {cell.source, cell.target}
        for speaker in (cell.source, cell.target):
            train = [by_path[path] for path in cell.train_features[speaker]]
            held_out = [by_path[path] for path in cell.validation_features[speaker]]
            assert train == [(speaker, f"s{n}") for n in range(4)]
            assert held_out == [(speaker, "s4"), (speaker, "s5")]


def test_every_system_has_the_same_training_speech(place: Workplace) -> None:
    """The largest validation set that any system asks for is left out of all."""
    plan = place.plan("systems.second.training.validation_utterances=3")
    assert {len(u) for u in plan.speech.validation.values()} == {3}
    files = {str(c.cell.train_features["M1"]) for c in plan.cells if c.cell.pair == "F1-M1"}
    assert len(files) == 1


DISJOINT = "systems.second.training.sentences=disjoint"


def trained_on(plan: Plan, cell: str) -> dict[str, tuple[list[str], list[str]]]:
    """{speaker: (ids of training sentences, of held-out ones)} of the cell."""
    by_path = {str(path): (u.speaker, u.id) for u, path in plan.features.items()}
    (found,) = [planned.cell for planned in plan.cells if planned.cell.id == cell]
    ids: dict[str, tuple[list[str], list[str]]] = {}
    for speaker in (found.source, found.target):
        parts = (found.train_features[speaker], found.validation_features[speaker])
        spoken = [[by_path[path] for path in part] for part in parts]
        assert {name for part in spoken for name, _ in part} == {speaker}
        ids[speaker] = ([id_ for _, id_ in spoken[0]], [id_ for _, id_ in spoken[1]])
    return ids


def test_disjoint_halves_cover_what_is_left_besides_the_held_out_sentences(
    place: Workplace,
) -> None:
    """In either pair M1 has the half that is its part there: it is the target, then the source."""
    plan = place.plan(DISJOINT)
    assert trained_on(plan, "second/F1-M1/0") == {
        "F1": (["s0", "s1", "s2"], ["s5"]),
        "M1": (["s3", "s4"], ["s5"]),
    }
    assert trained_on(plan, "second/M1-F2/0") == {
        "M1": (["s0", "s1", "s2"], ["s5"]),
        "F2": (["s3", "s4"], ["s5"]),
    }
    everything = ["s0", "s1", "s2", "s3", "s4"]
    assert trained_on(plan, "first/F1-M1/0") == {s: (everything, ["s5"]) for s in ("F1", "M1")}
    # Nothing but the training speech of that system differs from a suite without the option.
    plain = place.plan()
    assert plan.speech == plain.speech
    changed = [a.cell.id for a, b in zip(plan.cells, plain.cells, strict=True) if a.key != b.key]
    assert changed == ["second/F1-M1/0", "second/M1-F2/0"]


def utterances(speaker: str, ids: set[int]) -> tuple[Utterance, ...]:
    return tuple(Utterance(speaker, f"{n:03}", Path(f"{speaker}{n}")) for n in sorted(ids))


SENTENCES = st.sets(st.integers(0, 40), min_size=1)


@given(SENTENCES, SENTENCES)
def test_disjoint_leaves_no_sentence_to_both_and_none_out(said: set[int], other: set[int]) -> None:
    train = {"A": utterances("A", said), "B": utterances("B", other)}
    if not said & other:
        with pytest.raises(DataError, match=r"pair A-B: no training sentence is said by both"):
            planning._disjoint(train, "A", "B")
        return
    if len(said & other) == 1 == len(other):
        with pytest.raises(DataError, match=r"pair A-B: of B's training sentences only '\d+' is"):
            planning._disjoint(train, "A", "B")
        return
    kept = planning._disjoint(train, "A", "B")
    a, b = ({int(u.id) for u in kept[speaker]} for speaker in ("A", "B"))
    assert not a & b
    assert a | b == said | other
    assert (a - other, b - said) == (said - other, other - said)  # what one alone says stays
    assert a and b
    first, second = a & other, b & said
    assert len(first) - len(second) in (0, 1)
    assert max(first, default=-1) < min(second, default=41)
    assert all(set(kept[s]) <= set(train[s]) for s in train)
    assert [u.id for u in kept["A"]] == sorted(u.id for u in kept["A"])


def test_a_sentence_is_scored_if_all_speakers_say_it(place: Workplace) -> None:
    place.wav("F2", "s7").unlink()
    place.wav("F1", "s9").write_text("said by one alone")
    plan = place.plan()
    for speaker in SPEAKERS:
        spoken = plan.speech.evaluation[speaker]
        # Of the seven sentences common to all, the last quarter is for evaluation.
        assert [u.id for u in spoken] == ["s5", "s6"]
        assert {u.speaker for u in spoken} == {speaker}
    few = place.plan("eval_utterances=1").speech.evaluation
    assert [[u.id for u in few[speaker]] for speaker in SPEAKERS] == [["s5"]] * 3


# Of the sentences to score, the plugin's corpus lists those that the speaker's folder has.
LISTED = 'corpus={"name": "test-listed", "train": "%s", "evaluation": "%s"}'


def test_sentences_are_paired_whatever_order_a_corpus_lists_them_in(place: Workplace) -> None:
    plan = place.plan(LISTED % ("s2 s0 s3 s1", "s7 s5 s6"))
    for speaker in SPEAKERS:
        assert [u.id for u in plan.speech.train[speaker]] == ["s0", "s1", "s2"]
        assert [u.id for u in plan.speech.evaluation[speaker]] == ["s5", "s6", "s7"]


def test_all_speakers_of_a_suite_are_scored_on_the_same_sentences(place: Workplace) -> None:
    """In every pair, also those whose speakers have more in common."""
    place.wav("F2", "s5").unlink()
    place.wav("F1", "s6").unlink()
    plan = place.plan(LISTED % ("s0 s1 s2", "s4 s5 s6 s7"))
    for speaker in SPEAKERS:
        assert [u.id for u in plan.speech.evaluation[speaker]] == ["s4", "s7"]


@pytest.mark.parametrize(
    ("train", "evaluation", "words"),
    [
        (
            "s0",
            "s5",
            "speaker F1 has 1 training utterances, of which validation_utterances (1) are held "
            "out: none is left to train on",
        ),
        ("s0 s1 s2", "", "corpus 'test-listed': no evaluation sentence is spoken by all of F1, "),
        ("s0 s1 s2", "s5 s5", "speaker F1 has the eval sentence 's5' twice: "),
        ("s0 s1 s0", "s5", "speaker F1 has the train sentence 's0' twice: "),
        ("s0 s1 s9", "s5", "s9.wav: cannot be read (No such file or directory)"),
    ],
)
def test_a_corpus_that_cannot_be_used_is_told_in_words(
    train: str, evaluation: str, words: str, place: Workplace
) -> None:
    with pytest.raises(DataError) as caught:
        place.plan(LISTED % (train, evaluation))
    assert words in str(caught.value)


def test_keys_do_not_depend_on_order_place_or_what_is_not_trained(
    place: Workplace, tmp_path: Path
) -> None:
    before = place.keys()
    place.write(REORDERED)
    assert place.keys() == before
    # Elsewhere, in a folder that sorts before vcbench's own and in one that sorts after it.
    for name in ("!first", "~last"):
        moved = tmp_path / name
        shutil.copytree(place.root, moved)
        shutil.move(moved / "plug.py", moved / "speech" / "plug.py")
        other = object.__new__(Workplace)
        other.root = moved
        other.write(SUITE.replace("plug.py", "speech/plug.py"))
        assert other.keys() == before


def edit(path: Path, text: str) -> None:
    path.write_text(path.read_text() + text)


Change = str | Callable[[Workplace], None]  # an argument of --set, or something that is done


def byte(speaker: str, sentence: str) -> Change:
    return lambda place: edit(place.wav(speaker, sentence), "!")


def plugin_source(place: Workplace) -> None:
    edit(place.plugin, "# an afterthought\n")


ALL = ("first/F1-M1", "first/M1-F2", "second/F1-M1", "second/M1-F2")
FIRST, SECOND = ALL[:2], ALL[2:]
OF_F1 = ("first/F1-M1", "second/F1-M1")

CHANGES = [
    ("training.iterations=7", "training.iterations=7", ALL),
    ("one system's recipe", "systems.first.training.batch_size=2", FIRST),
    ("generator option", "systems.first.generator.kernel=5", FIRST),
    ("discriminator option", "systems.second.discriminator.sigmoid=false", SECOND),
    ("scale", "scale=0.04", ALL),
    ("n_mcep", "features.n_mcep=25", ALL),
    ("F0 estimator", "features.f0=dio", ALL),
    ("a byte of training speech", byte("F1", "s2"), OF_F1),
    ("a byte of both pairs' speaker", byte("M1", "s0"), ALL),
    ("a byte of validation speech", byte("F1", "s5"), OF_F1),
    ("a byte of evaluation speech", byte("F1", "s7"), ()),
    ("the plugin's source", plugin_source, FIRST),
    ("scores", "metrics=[f0-rmse]", ()),
]


@pytest.mark.parametrize(
    ("change", "affected"), [case[1:] for case in CHANGES], ids=[case[0] for case in CHANGES]
)
def test_a_key_changes_with_what_decides_its_cell(
    change: Change, affected: Sequence[str], place: Workplace
) -> None:
    before = place.plan()
    if callable(change):
        change(place)
    after = place.plan(*([] if callable(change) else [change]))
    keys = [{planned.cell.id: planned.key for planned in plan.cells} for plan in (before, after)]
    assert keys[0].keys() == keys[1].keys()
    changed = {cell for cell in keys[0] if keys[0][cell] != keys[1][cell]}
    assert changed == {f"{cell}/0" for cell in affected}


def test_the_datas_fingerprint_is_of_all_speech_that_is_used(place: Workplace) -> None:
    before = place.plan().data_fingerprint
    assert place.plan("training.iterations=7").data_fingerprint == before
    assert place.plan("eval_utterances=1").data_fingerprint != before
    edit(place.wav("F1", "s7"), "!")
    assert place.plan().data_fingerprint != before


def test_a_seed_has_keys_of_its_own(place: Workplace) -> None:
    one = {planned.cell.id: planned.key for planned in place.plan(seeds=[0, 7]).cells}
    before = place.keys()
    assert {cell: key for cell, key in one.items() if cell.endswith("/0")} == before
    assert len(set(one.values())) == 8


def test_what_is_done_and_what_was_begun(place: Workplace) -> None:
    done, begun, *_ = place.plan().cells
    for planned, names in ((done, ("status.json", "checkpoint.pt")), (begun, ("checkpoint.pt",))):
        planned.folder.mkdir(parents=True)
        for name in names:
            if name == "checkpoint.pt":
                left = {"format": "vcbench-checkpoint-2", "iteration": 4}
                torch.save(left, planned.folder / name)
            else:
                write_status(planned.folder, {"iterations": 6})
    found = place.plan().cells
    assert [planned.done for planned in found] == [True, False, False, False]
    assert [planned.reason for planned in found[:2]] == [
        "trained before",
        "training unfinished at iteration 4 of 6: continues there",
    ]
    assert [planned.iterations for planned in found] == [6, 4, 0, 0]
    assert found[0].status() == {"iterations": 6}
    whole = (done.folder / "checkpoint.pt").read_bytes()
    (done.folder / "checkpoint.pt").write_bytes(whole[:-40])  # damaged: trained again
    assert not place.plan().cells[0].done
    (done.folder / "checkpoint.pt").write_bytes(whole)
    (done.folder / "status.json").write_text('{"iter')
    assert not place.plan().cells[0].done
    fresh = place.plan(fresh=True).cells
    assert not any(planned.done for planned in fresh)
    assert {planned.reason for planned in fresh} == {"--fresh: trained again from the start"}


def test_deterministic_cells_are_others(place: Workplace) -> None:
    """A GPU may compute other numbers for them."""
    before, after = place.plan(), place.plan(deterministic=True)
    assert {p.cell.deterministic for p in before.cells} == {False}
    assert {p.cell.deterministic for p in after.cells} == {True}
    assert not {p.key for p in before.cells} & {p.key for p in after.cells}


def test_a_key_begins_with_its_family(place: Workplace) -> None:
    """What changes over time alone is not in it: see `vcbench.other_lengths`."""

    def families(*changes: str) -> list[str]:
        return [planned.key.partition("-")[0] for planned in place.plan(*changes).cells]

    before = families()
    assert len(set(before)) == 4
    for change in ("iterations=7", "learning_rate_decay=none", "identity_until=3"):
        assert families(f"training.{change}") == before
    for change in ("batch_size=2", "log_every=7", "learning_rate_generator=0.1"):
        assert not set(families(f"training.{change}")) & set(before)


def test_what_a_longer_training_can_go_on_from(place: Workplace) -> None:
    shorter, *_ = place.plan("training.learning_rate_decay=none").cells
    shorter.folder.mkdir(parents=True)
    torch.save({}, shorter.folder / "checkpoint.pt")
    write_status(shorter.folder, {"iterations": 6})
    (shorter.folder / "cell.json").write_text(json.dumps(shorter.cell.to_json()))
    longer, *others = place.plan("training.learning_rate_decay=none", "training.iterations=9").cells
    assert longer.other is not None
    assert longer.other.checkpoint == shorter.folder / "checkpoint.pt"
    missing = "trained before, but training.iterations was 6, now 9"
    on = "goes on from one with another schedule, after its 6 iterations"
    assert longer.reason == f"{missing}; {on}"
    assert {planned.reason for planned in others} == {"never trained"}
    assert [longer.iterations, *(planned.iterations for planned in others)] == [6, 0, 0, 0]
    decaying, *_ = place.plan("training.iterations=9").cells
    assert decaying.reason == (
        "trained before, but training.iterations was 6, now 9; training.learning_rate_decay was "
        "none, now linear; one with another schedule has done 6 iterations, but cannot be gone on "
        "from: the learning rate of iteration 6 would have been different"
    )
    fresh, *_ = place.plan(
        "training.learning_rate_decay=none", "training.iterations=9", fresh=True
    ).cells
    assert fresh.other is None
    previous = longer.folder / "checkpoint.previous.pt"  # killed between two renames
    previous.parent.mkdir()
    previous.touch()
    begun, *_ = place.plan("training.learning_rate_decay=none", "training.iterations=9").cells
    lost = "begun before, but no checkpoint can be read: trained again from the start"
    assert (begun.reason, begun.other) == (lost, None)
    torch.save({"format": "vcbench-checkpoint-2", "iteration": 8}, previous)
    begun, *_ = place.plan("training.learning_rate_decay=none", "training.iterations=9").cells
    assert (begun.reason, begun.iterations) == (
        "training unfinished at iteration 8 of 9: continues there (the newest checkpoint cannot "
        "be read)",
        8,
    )


def test_only_some_cells(place: Workplace) -> None:
    plan = place.plan(only="*/M1-F2/[-0]")
    assert [planned.cell.id for planned in plan.cells] == ["first/M1-F2/0", "second/M1-F2/0"]
    assert [cell.system for cell in plan.baselines] == [
        "source-copy",
        "mean-variance",
        "resynthesis",
    ]
    # What is scored stays the same: results of two partial runs can be put together.
    assert plan.speech == place.plan().speech
    with pytest.raises(UsageError, match="--only 'nothing' matches no cell"):
        place.plan(only="nothing")


def test_cells_hold_what_the_suite_says(place: Workplace) -> None:
    cell = place.plan("training.lambda_cycle=8").cells[0].cell
    assert (cell.generator.name, dict(cell.generator.options)) == (
        "test-gen",
        {"kernel": 3, "width": 4},
    )
    assert (cell.discriminator.name, cell.objective.name) == ("patchgan", "lsgan")
    assert (cell.recipe.iterations, cell.recipe.decay_start, cell.recipe.lambda_cycle) == (6, 3, 8)
    assert (cell.scale, cell.n_mcep, cell.device) == (0.03, 24, "cpu")
    assert cell.plugin_files == (str(place.plugin),)
