"""What a cell trains on: normalised frames, with pitch below them where the recipe says so."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tiny_cells import LENGTHS, tiny_cell

from vcbench import features
from vcbench.training import speech as speech_module
from vcbench.training.cell import Cell
from vcbench.training.crops import BLOCK
from vcbench.training.speech import Speech, batches, crop_stream, iterations_at_once, middle


def spoken(cell: Cell, speaker: str) -> list[features.WorldFeatures]:
    return [features.load(Path(path)) for path in cell.train_features[speaker]]


def log_f0(utterance: features.WorldFeatures) -> NDArray[np.float64]:
    """Continuous, by numpy's own interpolation of the voiced frames."""
    f0_hz = utterance.f0_hz
    times = np.arange(len(f0_hz))
    return np.interp(times, times[f0_hz > 0], np.log(f0_hz[f0_hz > 0]))


@pytest.mark.parametrize("pitch", ["log-gaussian", "mean-shift"])
def test_networks_see_the_coefficients_alone(pitch: str, tmp_path: Path) -> None:
    cell = tiny_cell(tmp_path, recipe={"pitch": pitch})
    found = Speech(cell, "SF1")
    pooled = np.concatenate([u.mcep for u in spoken(cell, "SF1")])
    expected = (pooled - pooled.mean(axis=0)) / pooled.std(axis=0)
    np.testing.assert_allclose(found.frames.numpy(), expected.T, atol=1e-5)
    assert [crop.shape for crop in found.validation] == 2 * [(1, 24, 32)]


def test_with_pitch_converted_log_f0_is_the_last_row(tmp_path: Path) -> None:
    """Normalised by mean and deviation over all frames; no line is drawn between utterances."""
    cell = tiny_cell(tmp_path, recipe={"pitch": "cyclegan"})
    plain = tiny_cell(tmp_path)
    for speaker in ("SF1", "TM3"):
        found = Speech(cell, speaker)
        assert found.frames.shape == (25, sum(LENGTHS[speaker]))
        assert torch.equal(found.frames[:24], Speech(plain, speaker).frames)
        tracks = np.concatenate([log_f0(u) for u in spoken(cell, speaker)])
        expected = (tracks - tracks.mean()) / tracks.std()
        np.testing.assert_allclose(found.frames[24].numpy(), expected, atol=1e-5)


def test_held_out_crops_have_pitch_too(tmp_path: Path) -> None:
    """Interpolated over the whole utterance, cut afterwards."""
    cell = tiny_cell(tmp_path, recipe={"pitch": "cyclegan"})
    found = Speech(cell, "SF1")
    tracks = np.concatenate([log_f0(u) for u in spoken(cell, "SF1")])
    assert [crop.shape for crop in found.validation] == 2 * [(1, 25, 32)]
    for path, crop in zip(cell.validation_features["SF1"], found.validation, strict=True):
        track = log_f0(features.load(Path(path)))
        begin = (len(track) - 32) // 2
        expected = (track[begin : begin + 32] - tracks.mean()) / tracks.std()
        np.testing.assert_allclose(crop[0, 24].numpy(), expected, atol=1e-5)


def both(cell: Cell) -> dict[str, Speech]:
    return {name: Speech(cell, name) for name in ("SF1", "TM3")}


@pytest.mark.parametrize("pitch", ["log-gaussian", "cyclegan"])
@pytest.mark.parametrize("chunk_bytes", [1, 3_000_000, speech_module.CHUNK_BYTES])
def test_batches_are_what_the_stream_says(
    pitch: str, chunk_bytes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut one by one here, over the end of a block and of a chunk, from the first on or not."""
    monkeypatch.setattr(speech_module, "CHUNK_BYTES", chunk_bytes)
    cell = tiny_cell(tmp_path, recipe={"pitch": pitch, "batch_size": 3, "iterations": BLOCK + 9})
    speech = both(cell)
    blocks = np.concatenate([crop_stream(cell, speech).block(index) for index in (0, 1)])
    for begun in (0, 1, 500, BLOCK - 2, BLOCK, BLOCK + 5):
        number = begun - 1
        for number, (crops, *found) in enumerate(batches(cell, speech, begun), begun):
            np.testing.assert_array_equal(crops, blocks[number])
            if number % 100 > 8 and number < BLOCK - 5:
                continue
            for name, batch, column in zip(("SF1", "TM3"), found, (0, 2), strict=True):
                assert batch.shape == (3, cell.n_mcep, 32)
                assert batch.dtype == torch.float32
                assert batch.is_contiguous()
                for row in range(3):
                    utterance, first = crops[row, column : column + 2]
                    begin = sum(LENGTHS[name][:utterance]) + first
                    assert torch.equal(batch[row], speech[name].frames[:, begin : begin + 32])
        assert number == BLOCK + 8  # the cell's last
    assert list(batches(cell, speech, BLOCK + 9)) == []


def test_a_batch_lies_at_the_same_place_in_memory_wherever_training_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To the alignment that PyTorch gives its own tensors."""
    monkeypatch.setattr(speech_module, "CHUNK_BYTES", 100_000)
    cell = tiny_cell(tmp_path, recipe={"segment_frames": 31, "iterations": 60}, n_mcep=5)
    speech = both(cell)

    def alignments(first: int) -> list[int]:
        return [source.data_ptr() % 64 for _, source, _ in batches(cell, speech, first)]

    whole = alignments(0)
    assert len(set(whole)) > 1  # or there was nothing to see
    for first in (1, 7, 59):
        assert alignments(first) == whole[first:]


def test_what_is_held_in_memory_is_bounded(tmp_path: Path) -> None:
    small = tiny_cell(tmp_path)
    assert iterations_at_once(small) == BLOCK
    paper = tiny_cell(tmp_path, recipe={"segment_frames": 128})
    assert iterations_at_once(paper) == 2**24 // (2 * 24 * 128 * 4)
    assert iterations_at_once(replace(paper, recipe=replace(paper.recipe, batch_size=10_000))) == 1
    source = next(batches(paper_sized(paper), both(paper_sized(paper)), 0))[1]
    assert source.untyped_storage().nbytes() <= 2**23


def paper_sized(cell: Cell) -> Cell:
    """With crops of as many values as the paper's, of the short utterances of these tests."""
    return replace(
        cell, recipe=replace(cell.recipe, segment_frames=32, batch_size=4, iterations=900)
    )


def test_many_iterations_are_cut_in_one_operation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = tiny_cell(tmp_path, recipe={"iterations": 2 * BLOCK})
    speech = both(cell)
    calls = []
    cut = Speech.crops
    monkeypatch.setattr(Speech, "crops", lambda *given: calls.append(given) or cut(*given))
    assert sum(1 for _ in batches(cell, speech, 0)) == 2 * BLOCK
    assert len(calls) == 4  # two speakers, two blocks


def test_the_recipe_chooses_the_stream(tmp_path: Path) -> None:
    blocks = {}
    for crops in ("fresh", "fixed"):
        for pairing in ("independent", "same-index"):
            cell = tiny_cell(tmp_path, recipe={"crops": crops, "pairing": pairing})
            speech = {name: Speech(cell, name) for name in ("SF1", "TM3")}
            blocks[crops, pairing] = crop_stream(cell, speech).block(0).reshape(-1, 4)
    for (crops, pairing), block in blocks.items():
        places = len(np.unique(block[:, :2], axis=0))
        assert (places == 4) == (crops == "fixed")  # of four utterances
        same_index = (block[:, 0] % 3 == block[:, 2]).all()
        assert same_index == (pairing == "same-index")


def test_the_middle() -> None:
    frames = np.arange(11.0)[:, None]
    np.testing.assert_array_equal(middle(frames, 4)[:, 0], [3, 4, 5, 6])
    np.testing.assert_array_equal(middle(frames, 11), frames)
