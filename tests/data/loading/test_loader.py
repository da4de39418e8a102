"""Training and evaluation batches, against recordings whose samples tell where they come from."""

import dataclasses
import itertools
import multiprocessing

import numpy as np
import pytest

from spectrodiff.core.errors import ConfigError, CorpusError
from spectrodiff.data.loading.batches import collate, pad_tokens
from spectrodiff.data.loading.examples import Cutter, ExampleFormat
from spectrodiff.data.loading.loader import TrainingBatches
from spectrodiff.data.loading.mixture import RandomExamples, mixture_weights
from spectrodiff.data.recordings import Plan, Recording, RecordingGroup, StemReader
from spectrodiff.music.notes import Notes
from tests.support.corpora import HOP, SMALL, corpus, dense_then_sparse, numbered, recording, table


def test_tokens_are_padded_to_the_bucket_of_the_longest():
    example = Cutter(recording(40), SMALL).cut(0)
    for longest, limit, length in [(64, 2048, 64), (65, 2048, 128), (1537, 2048, 2048), (9, 9, 9)]:
        long = dataclasses.replace(example, tokens=np.full(longest, 5, np.int32))
        batch = collate([example, long], limit) if longest > 9 else collate([long], limit)
        assert batch["tokens"].shape[1] == length
        assert np.count_nonzero(batch["tokens"][-1]) == longest
        np.testing.assert_array_equal(batch["tokens"][-1, :longest], 5)


def test_processes_can_agree_on_a_length():
    batch = collate([Cutter(recording(40), SMALL).cut(0)], 2048)
    longer = pad_tokens(batch, 256)
    assert longer["tokens"].shape == (1, 256)
    np.testing.assert_array_equal(longer["tokens"][:, :64], batch["tokens"])
    assert not longer["tokens"][:, 64:].any()


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
    settings = {"batch_size": 6, "seed": 3, "examples_per_reading": 4, "threads": 2, **settings}
    return TrainingBatches([corpus(7), corpus(3, first=15_000)], SMALL, **settings)


def test_batches_are_what_the_training_step_takes():
    (batch,) = take(training(), 1)
    assert {name: (array.shape, array.dtype.name) for name, array in batch.items()} == {
        "tokens": ((6, 64), "int32"),
        "audio": ((6, 28 * HOP), "int16"),
        "context_frames": ((6,), "int32"),
    }
    first_samples = batch["audio"][:, 8 * HOP]
    # Samples count up from 1 or from 15,000: both corpora are in the batch.
    assert {bool(sample < 14_000) for sample in first_samples} == {True, False}


def test_number_of_threads_changes_nothing():
    expected = take(training(threads=0), 9)
    for threads in (1, 5):
        assert_same(take(training(threads=threads), 9), expected)


def test_seeds_give_other_batches():
    audio = [take(training(seed=seed), 1)[0]["audio"] for seed in (0, 1)]
    assert np.any(audio[0] != audio[1])


@pytest.mark.parametrize("processes", [2, 3])
def test_processes_share_the_batches_of_one(processes):
    whole = take(training(), 9)
    for process in range(processes):
        rows = [{name: array[process::processes] for name, array in b.items()} for b in whole]
        assert_same(take(training(process=process, processes=processes), 9), rows)


def test_resumed_batches_go_on_exactly():
    whole = take(training(), 12)
    with training() as batches:
        assert_same([next(batches) for _ in range(5)], whole[:5])
        state = batches.get_state()
        assert_same([next(batches)], whole[5:6])
    assert state == {"batches": 5}
    resumed = training(threads=1)
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
    rows = [{name: array[1::2] for name, array in b.items()} for b in whole[4:]]
    assert_same(take(resumed, 2), rows)


def test_recordings_are_read_once_for_several_examples():
    class Counting(list):
        readings = 0

        def __getitem__(self, index):
            Counting.readings += 1
            return super().__getitem__(index)

    examples = RandomExamples(
        [Counting(corpus(5))], SMALL, batch_size=6, seed=0, examples_per_reading=4, keep_readings=6
    )
    for number in range(6 * 40):
        _ = examples[number]
    # Six places change their recording every four batches: 60 readings, and those of the first
    # batches, in which four of the places are already in the middle of a turn.
    assert 60 <= Counting.readings <= 66


def labeled(size: int, corpus: int = 0) -> list[Recording]:
    """Recordings whose every sample says which corpus and which recording it is from."""
    return [
        dataclasses.replace(recording(40), audio=np.full(39 * HOP + 7, 1000 * corpus + index + 1))
        for index in range(size)
    ]


def origin(examples: RandomExamples, number: int) -> tuple[int, int]:
    """The corpus of an example, and the number of its recording."""
    return divmod(int(examples[number].audio[SMALL.context_frames * HOP]) - 1, 1000)


def test_places_of_a_batch_have_recordings_of_their_own():
    examples = RandomExamples([labeled(50)], SMALL, batch_size=8, seed=0, examples_per_reading=4)
    for batch in range(20):
        recordings = {origin(examples, 8 * batch + place) for place in range(8)}
        assert len(recordings) >= 7  # Two rounds through the corpus can meet in one batch.


def test_counts_of_skipped_examples_are_exact():
    settings = {"batch_size": 4, "seed": 0, "threads": 2}
    with TrainingBatches([[dense_then_sparse()]], SMALL, **settings) as batches:
        for _ in range(10):
            next(batches)
        counts = dict(batches.counts)
    examples = RandomExamples([[dense_then_sparse()]], SMALL, batch_size=4, seed=0)
    skipped = sum(examples[number].skipped for number in range(40))
    assert counts == {"examples": 40, "skipped": skipped, "truncated": 0}
    assert counts["skipped"] > 0


# Mixture


def test_shares_of_a_mixture():
    # 100^0.3 = 3.981, 10^0.3 = 1.995, 1: the sum of all cancels.
    expected = np.array([3.981, 1.995, 1.0]) / 6.976
    np.testing.assert_allclose(mixture_weights([100, 10, 1]), expected, atol=1e-4)
    sources = [labeled(100), labeled(10, 1), labeled(1, 2)]
    examples = RandomExamples(sources, SMALL, batch_size=10, seed=0, examples_per_reading=1)
    drawn = [origin(examples, number) for number in range(1000)]
    shares = np.bincount([which for which, _ in drawn]) / len(drawn)
    np.testing.assert_allclose(shares, expected, atol=0.005)
    # Every batch holds them in about these shares, not only the whole.
    for batch in range(10):
        first = [which for which, _ in drawn[10 * batch : 10 * batch + 10]]
        assert 4 <= first.count(0) <= 7


def test_explicit_shares():
    sources = [labeled(10), labeled(10, 1)]
    settings = {"weights": [3, 1], "examples_per_reading": 1}
    examples = RandomExamples(sources, SMALL, batch_size=8, seed=0, **settings)
    drawn = [origin(examples, number)[0] for number in range(400)]
    assert np.mean(drawn) == pytest.approx(0.25, abs=0.005)


def test_each_recording_comes_once_a_round():
    examples = RandomExamples([labeled(12)], SMALL, batch_size=4, seed=5, examples_per_reading=1)
    rounds = [[origin(examples, 12 * turn + n)[1] for n in range(12)] for turn in range(3)]
    for turn in rounds:
        assert sorted(turn) == list(range(12))
    assert rounds[0] != rounds[1] != rounds[2]


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
    batches = take(TrainingBatches([source], SMALL, batch_size=2, seed=0), 3)
    in_memory = [Recording(str(n), numbered(16_000), source[n].notes) for n in range(3)]
    assert_same(take(TrainingBatches([in_memory], SMALL, batch_size=2, seed=0), 3), batches)
    # The sequence can be sent to a fresh process.
    examples = RandomExamples([source], SMALL, batch_size=2, seed=0)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        there = pool.apply(examples.__getitem__, (3,))
    np.testing.assert_array_equal(there.audio, examples[3].audio)
    np.testing.assert_array_equal(there.audio, batches[1]["audio"][1])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"batch_size": 0}, "batch_size: expected a positive multiple of the 1 processes, got 0"),
        ({"batch_size": 6, "processes": 4}, "a positive multiple of the 4 processes, got 6"),
        ({"weights": [1.0]}, r"weights: expected 2 positive numbers.*got \[1.0\]"),
        ({"weights": [1.0, 0.0]}, "weights: expected 2 positive numbers"),
        ({"seed": -1}, "seed: expected a whole number >= 0, got -1"),
        ({"examples_per_reading": 0}, "examples_per_reading: expected a whole number >= 1, got 0"),
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
        TrainingBatches([corpus(1), []], SMALL, batch_size=1, seed=0)
