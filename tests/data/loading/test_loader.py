"""Training and evaluation batches, against recordings whose samples tell where they come from."""

import dataclasses
import itertools
import multiprocessing

import numpy as np
import pytest

from spectrodiff.core.errors import ConfigError, CorpusError
from spectrodiff.data.loading.batches import collate
from spectrodiff.data.loading.examples import Cutter, ExampleFormat
from spectrodiff.data.loading.loader import TrainingBatches
from spectrodiff.data.pieces import MemoryPieces, PieceLength, whole
from spectrodiff.data.recordings import Plan, Recording, RecordingGroup, StemReader
from spectrodiff.music.notes import Notes
from tests.support.corpora import (
    HOP,
    SMALL,
    corpus,
    dense_then_sparse,
    numbered,
    recording,
    table,
)

PIECES = PieceLength(25, 20)


def test_tokens_are_padded():
    example = Cutter(whole(recording(40)), SMALL).cut(0)
    long = dataclasses.replace(example, tokens=np.full(65, 5, np.int32))
    batch = collate([example, long], 96)
    assert batch["tokens"].shape == (2, 96)
    np.testing.assert_array_equal(np.count_nonzero(batch["tokens"], axis=1), [7, 65])
    np.testing.assert_array_equal(batch["tokens"][0, :7], example.tokens)
    np.testing.assert_array_equal(batch["tokens"][1, :65], 5)


def take(batches: TrainingBatches, count: int) -> list[dict[str, np.ndarray]]:
    with batches:
        return list(itertools.islice(batches, count))


def assert_same(ours, theirs):
    assert len(ours) == len(theirs)
    for one, other in zip(ours, theirs, strict=True):
        assert one.keys() == other.keys()
        for name in one:
            assert one[name].dtype == other[name].dtype
            np.testing.assert_array_equal(one[name], other[name])


def training(**settings) -> TrainingBatches:
    settings = {"batch_size": 6, "seed": 3, **settings}
    sources = [MemoryPieces(corpus(7), PIECES), MemoryPieces(corpus(3, first=15_000), PIECES)]
    return TrainingBatches(sources, SMALL, **settings)


def test_batches_are_what_the_training_step_takes():
    (batch,) = take(training(), 1)
    assert {name: (array.shape, array.dtype.name) for name, array in batch.items()} == {
        "tokens": ((6, 32), "int32"),
        "audio": ((6, 28 * HOP), "int16"),
        "context_frames": ((6,), "int32"),
    }
    first_samples = np.concatenate([batch["audio"][:, 8 * HOP] for batch in take(training(), 9)])
    # Samples count up from 1 or from 15,000: both corpora are drawn from.
    assert {bool(sample < 14_000) for sample in first_samples} == {True, False}


def test_number_of_workers_changes_nothing():
    expected = take(training(batch_size=70), 5)
    assert_same(take(training(batch_size=70, workers=2), 5), expected)


def test_errors_of_workers_are_raised():
    broken = BrokenPieces(corpus(3), PIECES)
    with (
        TrainingBatches([broken], SMALL, batch_size=2, seed=0, workers=1) as batches,
        pytest.raises(ValueError, match="cannot be read"),
    ):
        next(batches)


def test_workers_go_on_when_asked_to_end_and_are_missed_when_killed():
    with training(workers=1) as batches:
        next(batches)
        (worker,) = multiprocessing.active_children()
        worker.terminate()  # as a scheduler does with all processes of a job
        for _ in range(40):
            next(batches)
        worker.kill()
        with pytest.raises(CorpusError, match="expected running worker processes, got one that"):
            take(batches, 1000)


class BrokenPieces(MemoryPieces):
    """MemoryPieces whose audio cannot be read."""

    def __getitem__(self, number: int):
        raise ValueError("cannot be read")


def test_seeds_give_other_batches():
    audio = [take(training(seed=seed), 1)[0]["audio"] for seed in (0, 1)]
    assert np.any(audio[0] != audio[1])


@pytest.mark.parametrize("processes", [2, 3])
def test_processes_share_the_batches_of_one(processes):
    whole = take(training(), 9)
    for process in range(processes):
        first, end = 6 // processes * process, 6 // processes * (process + 1)
        rows = [{name: array[first:end] for name, array in b.items()} for b in whole]
        assert_same(take(training(process=process, processes=processes), 9), rows)


def test_resumed_batches_go_on_exactly():
    whole = take(training(), 12)
    with training() as batches:
        assert_same([next(batches) for _ in range(5)], whole[:5])
        state = batches.get_state()
        assert_same([next(batches)], whole[5:6])
    assert state == {"batches": 5}
    resumed = training()
    resumed.set_state(state)
    assert_same(take(resumed, 7), whole[5:])
    with training() as batches:
        next(batches)
        batches.set_state(state)  # Also in the middle of things, and backwards.
        assert_same([next(batches)], whole[5:6])
        batches.set_state({"batches": 1})
        assert_same([next(batches)], whole[1:2])


def test_a_position_is_that_of_all_processes():
    whole = take(training(), 6)
    with training() as batches:
        for _ in range(4):
            next(batches)
        position = batches.get_state()
    # Half of the work in a run of two processes.
    resumed = training(process=1, processes=2)
    resumed.set_state(position)
    rows = [{name: array[3:] for name, array in b.items()} for b in whole[4:]]
    assert_same(take(resumed, 2), rows)


def test_counts_of_skipped_examples_are_exact():
    source = MemoryPieces([dense_then_sparse()])
    with TrainingBatches([source], SMALL, batch_size=4, seed=0) as batches:
        taken = list(itertools.islice(batches, 1024))
        counts = dict(batches.counts)
    assert counts["examples"] == 4096
    assert counts["truncated"] == 0
    # Of 39 frames the first ten are too dense.
    share = counts["skipped"] / (counts["skipped"] + 4096)
    assert share == pytest.approx(10 / 39, abs=0.03)
    frames = {int(row[8 * HOP]) // HOP for batch in taken for row in batch["audio"]}
    assert frames == set(range(10, 39))


# Around


def make_audio() -> np.ndarray:
    return numbered(16_000).astype(np.float32) / 32768


def make_notes() -> Notes:
    return table((0.1, 0.5, 60))


def test_prepared_corpora_are_loaded(tmp_path):
    from spectrodiff.data.prepare.prepare import prepare
    from spectrodiff.data.source import load_source

    groups = [RecordingGroup.single(str(n), StemReader(make_audio, make_notes)) for n in range(3)]
    prepare("mine", "v1", Plan({"train": groups}), tmp_path)
    source = load_source(tmp_path, "mine", "train")
    batches = take(TrainingBatches([source.pieces], SMALL, batch_size=2, seed=0), 3)
    songs = [Recording(str(n), numbered(16_000), source[n].notes) for n in range(3)]
    in_memory = MemoryPieces(songs)
    assert_same(take(TrainingBatches([in_memory], SMALL, batch_size=2, seed=0), 3), batches)
    # Numbers of tokens are kept beside the corpus, and belong to a tokenization.
    (kept,) = (tmp_path / "mine/v1/2.0.0").glob("tokens-*.npy")
    np.save(kept, np.full((3, 7), 64, np.uint16))
    (batch,) = take(TrainingBatches([source.pieces], SMALL, batch_size=2, seed=0), 1)
    assert batch["tokens"].shape == (2, 64)
    kept.write_bytes(kept.read_bytes()[:40])  # damaged: counted again
    assert_same(take(TrainingBatches([source.pieces], SMALL, batch_size=2, seed=0), 3), batches)
    other = dataclasses.replace(SMALL, target_frames=3)
    (batch,) = take(TrainingBatches([source.pieces], other, batch_size=2, seed=0), 1)
    assert batch["tokens"].shape == (2, 32)
    # The source can be sent to a fresh process.
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        there = pool.apply(source.pieces.__getitem__, (1,))
    np.testing.assert_array_equal(there.audio, source.pieces[1].audio)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"batch_size": 0}, "batch_size: expected a positive multiple of the 1 processes, got 0"),
        ({"batch_size": 6, "processes": 4}, "a positive multiple of the 4 processes, got 6"),
        ({"weights": [1.0]}, r"weights: expected 2 positive numbers.*got \[1.0\]"),
        ({"weights": [1.0, 0.0]}, "weights: expected 2 positive numbers"),
        ({"seed": -1}, "seed: expected a whole number >= 0, got -1"),
    ],
)
def test_impossible_settings(settings, message):
    with pytest.raises(ConfigError, match=message):
        training(**settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"context_frames": -1},
            "ExampleFormat.context_frames: expected a whole number >= 0, got -1",
        ),
        ({"max_tokens": 1.5}, "ExampleFormat.max_tokens: expected a whole number >= 2, got 1.5"),
        (
            {"overflow": "drop"},
            "ExampleFormat.overflow: expected one of skip, truncate, got 'drop'",
        ),
    ],
)
def test_impossible_format(settings, message):
    with pytest.raises(ConfigError, match=message):
        ExampleFormat(**settings)


def test_corpora_without_recordings():
    with pytest.raises(CorpusError, match="recordings in every corpus, got none"):
        TrainingBatches([MemoryPieces(corpus(1)), MemoryPieces([])], SMALL, batch_size=1, seed=0)
