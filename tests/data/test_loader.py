"""Training and evaluation batches, against recordings whose samples tell where they come from."""

import dataclasses
import itertools
import multiprocessing

import numpy as np
import pytest

from spectrodiff.data.batches import collate, pad_tokens
from spectrodiff.data.chunks import Chunking, Cutter
from spectrodiff.data.loader import TrainingBatches
from spectrodiff.data.mixture import RandomChunks, mixture_weights
from spectrodiff.data.recordings import Part, Plan, Recording, Track
from spectrodiff.errors import ConfigError, CorpusError
from spectrodiff.notes import Notes, read_midi
from spectrodiff.tokenization import Tokenization
from spectrodiff.tokenizer import tokenize_song
from spectrodiff.vocabulary import RELEASED_VOCABULARY, Event, Vocabulary
from tests.data.corpora import table

HOP = 320
SMALL = Chunking(context_frames=8, target_frames=4, max_tokens=64)


def numbered(samples: int, first: int = 1) -> np.ndarray:
    """Samples that count on from `first`, starting again after 30,000; never 0."""
    return ((first - 1 + np.arange(samples)) % 30_000 + 1).astype(np.int16)


def recording(frames: int, *, id: str = "r", notes: Notes | None = None, first: int = 1):
    """A recording of a number of frames as the tokeniser counts them."""
    audio = numbered((frames - 1) * HOP + 7, first)
    notes = table((0.0, 0.001, 60)) if notes is None else notes
    return Recording(id, audio, dataclasses.replace(notes, total_seconds=len(audio) / 16_000))


def corpus(size: int, *, first: int = 1, frames: int = 40) -> list[Recording]:
    """Recordings told apart by their first sample."""
    return [recording(frames, id=str(i), first=first + 13 * i) for i in range(size)]


def events(tokens: np.ndarray, vocabulary: Vocabulary = RELEASED_VOCABULARY) -> list[Event]:
    assert tokens[-1] == 1
    return [vocabulary.decode(int(token)) for token in tokens[:-1]]


# Cutting


@pytest.mark.parametrize(
    ("target_frame", "context_frames"), [(0, 0), (1, 1), (8, 8), (20, 8), (39, 8)]
)
def test_audio_is_exact_to_the_sample(target_frame, context_frames):
    song = recording(40)
    chunk = Cutter(song, SMALL).cut(target_frame)
    assert chunk.context_frames == context_frames
    assert chunk.audio.dtype == np.int16
    first = (target_frame - 8) * HOP
    expected = [
        song.audio[sample] if 0 <= sample < len(song.audio) else 0
        for sample in range(first, first + (8 + 4 + 16) * HOP)
    ]
    np.testing.assert_array_equal(chunk.audio, expected)


def test_tokens_by_hand():
    notes = Notes(
        # A piano note held over the chunk's start, a violin in it, a drum in it, one after it.
        onset_seconds=np.array([1.0, 2.05, 2.06, 2.081]),
        offset_seconds=np.array([3.0, 2.07, 2.07, 2.9]),
        pitch=np.array([60, 72, 38, 50]),
        velocity=np.array([100, 1, 127, 90]),
        program=np.array([0, 41, 0, 0]),
        is_drum=np.array([False, False, True, False]),
    )
    chunk = Cutter(recording(200, notes=notes), SMALL).cut(100)  # frames 100 to 104: 2.00 to 2.08 s
    assert events(chunk.tokens) == [
        Event("program", 0),
        Event("pitch", 60),
        Event("tie", 0),
        Event("shift", 5),
        Event("program", 41),
        Event("velocity", 1),
        Event("pitch", 72),
        Event("shift", 6),
        Event("drum", 38),
        Event("shift", 7),
        Event("velocity", 0),
        Event("pitch", 72),
    ]


@pytest.mark.parametrize("options", [(1, True, True), (127, True, False), (127, False, False)])
@pytest.mark.parametrize("name", ["band_drums", "held_chords", "overlaps", "piano_pedal"])
def test_whole_segments_are_the_reference_tokens(golden, name, options):
    bins, ties, trim = options
    notes = read_midi(golden / "midi" / f"{name}.mid")
    song = Recording(name, np.zeros(0, np.int16), notes)
    with np.load(golden / "tokens_dataset.npz") as rows:
        expected = rows[f"{name}|bins={bins}|ties={int(ties)}|trim={int(trim)}"]
    tokenization = Tokenization(
        velocity_bins=bins, ties=ties, program_map="full", trim_overlaps=trim
    )
    cutter = Cutter(song, Chunking(tokenization=tokenization))
    for number, row in enumerate(expected):
        np.testing.assert_array_equal(cutter.cut(256 * number).tokens, row[row > 0])


@pytest.mark.parametrize("program_map", ["full", "slakh", "flat"])
def test_tokens_at_any_frame_are_those_of_a_song_that_begins_later(program_map):
    """Silence before a song moves any of its frames to where a segment begins."""
    rng = np.random.default_rng(0)
    # Far from where a step is rounded up, and no onset at the time of an offset, so that adding
    # seconds cannot change the order of events.
    onset, duration = rng.integers(0, 2000, 300), rng.integers(1, 300, 300)
    notes = Notes(
        onset_seconds=onset / 100 + 0.003,
        offset_seconds=(onset + duration) / 100 + 0.002,
        pitch=rng.integers(50, 70, 300),
        velocity=rng.integers(1, 128, 300),
        program=rng.choice([0, 30, 45], 300),
        is_drum=rng.random(300) < 0.2,
        total_seconds=24.005,
    )
    tokenization = Tokenization(program_map=program_map)
    chunking = Chunking(tokenization=tokenization)
    song = Recording("song", np.zeros(24 * 16_000 + 80, np.int16), notes)
    cutter = Cutter(song, chunking)
    for frame in rng.integers(0, cutter.num_frames, 12):
        silent_frames = -frame % 256
        seconds = silent_frames * 0.02
        later = dataclasses.replace(
            notes,
            onset_seconds=notes.onset_seconds + seconds,
            offset_seconds=notes.offset_seconds + seconds,
            total_seconds=notes.total_seconds + seconds,
        )
        rows = tokenize_song(later, tokenization).tokens
        row = rows[(frame + silent_frames) // 256]
        np.testing.assert_array_equal(cutter.cut(int(frame)).tokens, row[row > 0])


def test_overlaps_are_trimmed_for_training():
    # The first note ends where the second of the same pitch begins, at 0.02 s.
    song = recording(100, notes=table((0.0, 0.06, 60), (0.02, 0.07, 60)))
    kinds = [
        [event.value for event in events(Cutter(song, chunking).cut(0).tokens)]
        for trim in (True, False)
        for chunking in (dataclasses.replace(SMALL, tokenization=Tokenization(trim_overlaps=trim)),)
    ]
    # tie; program, on, pitch; at 2 off, pitch, on, pitch; at 7 off, pitch
    assert kinds[0] == [0, 0, 1, 60, 2, 0, 60, 1, 60, 7, 0, 60]
    # tie; program, on, pitch; at 2 pitch again; at 6 off, pitch; at 7 pitch
    assert kinds[1] == [0, 0, 1, 60, 2, 60, 6, 0, 60, 7, 60]


# Drawing


def test_number_of_context_frames_is_uniform():
    # With C + 2 frames, a target can start at frames 0 to C: every number of context frames once.
    cutter, rng = Cutter(recording(10), SMALL), np.random.default_rng(0)
    draws = 9000
    counts = np.bincount([cutter.draw(rng).context_frames for _ in range(draws)])
    assert len(counts) == 9
    # Each is binomial with mean 1000 and deviation 30.
    assert np.all(np.abs(counts - draws / 9) < 4 * 30), counts


def test_targets_start_anywhere_but_at_the_last_frame():
    song, rng = recording(40), np.random.default_rng(0)
    cutter = Cutter(song, SMALL)
    starts = np.array([cutter.draw(rng).audio[8 * HOP] // HOP for _ in range(7800)])
    counts = np.bincount(starts)
    # [-C, frames - C - 1) for the context is frames 0 to 38 for the target.
    assert len(counts) == 39
    assert np.all(np.abs(counts - 200) < 4.5 * np.sqrt(200)), counts


def test_recordings_shorter_than_a_frame():
    chunk = Cutter(recording(1), SMALL).draw(np.random.default_rng(0))
    assert chunk.context_frames == 0
    assert np.count_nonzero(chunk.audio) == 7


def dense_then_sparse() -> Recording:
    """Forty notes in each of the first ten frames, none in the other thirty."""
    rows = [(frame * 0.02, frame * 0.02 + 0.01, 40 + n) for frame in range(10) for n in range(40)]
    return recording(40, notes=table(*rows))


def test_chunks_of_too_many_notes_are_skipped_and_counted():
    cutter, rng = Cutter(dense_then_sparse(), SMALL), np.random.default_rng(0)
    chunks = [cutter.draw(rng) for _ in range(2000)]
    assert not any(chunk.truncated for chunk in chunks)
    # Of 39 frames the first ten are too dense.
    frames = {int(chunk.audio[8 * HOP]) // HOP for chunk in chunks}
    assert frames == set(range(10, 39))
    skipped = sum(chunk.skipped for chunk in chunks)
    assert skipped / (skipped + 2000) == pytest.approx(10 / 39, abs=0.03)


def test_chunks_of_too_many_notes_are_truncated_if_wanted_or_if_there_are_no_others():
    truncating = dataclasses.replace(SMALL, overflow="truncate")
    chunks = RandomChunks([[dense_then_sparse()]], truncating, batch_size=4, seed=0)
    share = np.mean([chunks[number].truncated for number in range(2000)])
    assert share == pytest.approx(10 / 39, abs=0.04)
    rows = [(0.01 * n, 0.01 * n + 0.5, 20 + n % 100) for n in range(100)]
    everywhere = Cutter(recording(30, notes=table(*rows)), dataclasses.replace(SMALL, max_tokens=9))
    chunk = everywhere.draw(np.random.default_rng(0))
    assert (chunk.truncated, chunk.skipped, len(chunk.tokens)) == (True, 20, 9)


# Batches


def test_tokens_are_padded_to_the_bucket_of_the_longest():
    chunk = Cutter(recording(40), SMALL).cut(0)
    for longest, limit, length in [(64, 2048, 64), (65, 2048, 128), (1537, 2048, 2048), (9, 9, 9)]:
        long = dataclasses.replace(chunk, tokens=np.full(longest, 5, np.int32))
        batch = collate([chunk, long], limit) if longest > 9 else collate([long], limit)
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
    settings = {"batch_size": 6, "seed": 3, "chunks_per_reading": 4, "threads": 2, **settings}
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


def test_position_is_an_orbax_checkpointable(tmp_path):
    from orbax.checkpoint import v1 as ocp

    whole = take(training(), 6)
    with training() as batches:
        for _ in range(4):
            next(batches)
        ocp.save_checkpointables(tmp_path / "step", {"data": batches})
    # Half of the work in a run of two processes.
    resumed = training(process=1, processes=2)
    ocp.load_checkpointables(tmp_path / "step", {"data": resumed})
    rows = [{name: array[1::2] for name, array in b.items()} for b in whole[4:]]
    assert_same(take(resumed, 2), rows)


def test_recordings_are_read_once_for_several_chunks():
    class Counting(list):
        readings = 0

        def __getitem__(self, index):
            Counting.readings += 1
            return super().__getitem__(index)

    chunks = RandomChunks(
        [Counting(corpus(5))], SMALL, batch_size=6, seed=0, chunks_per_reading=4, keep_readings=6
    )
    for number in range(6 * 40):
        _ = chunks[number]
    # Six places change their recording every four batches: 60 readings, and those of the first
    # batches, in which four of the places are already in the middle of a turn.
    assert 60 <= Counting.readings <= 66


def test_places_of_a_batch_have_recordings_of_their_own():
    chunks = RandomChunks([corpus(50)], SMALL, batch_size=8, seed=0, chunks_per_reading=4)
    for batch in range(20):
        recordings = {chunks.source_of(8 * batch + place) for place in range(8)}
        assert len(recordings) >= 7  # Two rounds through the corpus can meet in one batch.


def test_counts_of_skipped_chunks_are_exact():
    settings = {"batch_size": 4, "seed": 0, "threads": 2}
    with TrainingBatches([[dense_then_sparse()]], SMALL, **settings) as batches:
        for _ in range(10):
            next(batches)
        counts = dict(batches.counts)
        chunks = [batches.chunks[number] for number in range(40)]
    assert counts == {"examples": 40, "skipped": sum(c.skipped for c in chunks), "truncated": 0}
    assert counts["skipped"] > 0


# Mixture


def test_shares_of_a_mixture():
    # 100^0.3 = 3.981, 10^0.3 = 1.995, 1: the sum of all cancels.
    expected = np.array([3.981, 1.995, 1.0]) / 6.976
    np.testing.assert_allclose(mixture_weights([100, 10, 1]), expected, atol=1e-4)
    sources = [corpus(100), corpus(10), corpus(1)]
    chunks = RandomChunks(sources, SMALL, batch_size=10, seed=0, chunks_per_reading=1)
    drawn = [chunks.source_of(number) for number in range(1000)]
    shares = np.bincount([which for which, _ in drawn]) / len(drawn)
    np.testing.assert_allclose(shares, expected, atol=0.005)
    # Every batch holds them in about these shares, not only the whole.
    for batch in range(10):
        first = [which for which, _ in drawn[10 * batch : 10 * batch + 10]]
        assert 4 <= first.count(0) <= 7


def test_explicit_shares():
    sources = [corpus(10), corpus(10)]
    settings = {"weights": [3, 1], "chunks_per_reading": 1}
    chunks = RandomChunks(sources, SMALL, batch_size=8, seed=0, **settings)
    drawn = [chunks.source_of(number)[0] for number in range(400)]
    assert np.mean(drawn) == pytest.approx(0.25, abs=0.005)


def test_each_recording_comes_once_a_round():
    chunks = RandomChunks([corpus(12)], SMALL, batch_size=4, seed=5, chunks_per_reading=1)
    rounds = [[chunks.source_of(12 * turn + n)[1] for n in range(12)] for turn in range(3)]
    for turn in rounds:
        assert sorted(turn) == list(range(12))
    assert rounds[0] != rounds[1] != rounds[2]


# Around


def make_audio() -> np.ndarray:
    return numbered(16_000).astype(np.float32) / 32768


def make_notes() -> Notes:
    return table((0.1, 0.5, 60))


def test_prepared_corpora_are_loaded(tmp_path):
    from spectrodiff.data.prepare import prepare
    from spectrodiff.data.source import load_source

    tracks = [Track.of_one(str(n), Part(make_audio, make_notes)) for n in range(3)]
    prepare("mine", "v1", Plan({"train": tracks}), tmp_path)
    source = load_source(tmp_path, "mine", "train")
    batches = take(TrainingBatches([source], SMALL, batch_size=2, seed=0), 3)
    in_memory = [Recording(str(n), numbered(16_000), source[n].notes) for n in range(3)]
    assert_same(take(TrainingBatches([in_memory], SMALL, batch_size=2, seed=0), 3), batches)
    # The sequence can be sent to a fresh process.
    chunks = RandomChunks([source], SMALL, batch_size=2, seed=0)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        there = pool.apply(chunks.__getitem__, (3,))
    np.testing.assert_array_equal(there.audio, chunks[3].audio)
    np.testing.assert_array_equal(there.audio, batches[1]["audio"][1])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"batch_size": 0}, "batch_size: expected a positive multiple of the 1 processes, got 0"),
        ({"batch_size": 6, "processes": 4}, "a positive multiple of the 4 processes, got 6"),
        ({"weights": [1.0]}, r"weights: expected 2 positive numbers.*got \[1.0\]"),
        ({"weights": [1.0, 0.0]}, "weights: expected 2 positive numbers"),
        ({"seed": -1}, "seed: expected a whole number >= 0, got -1"),
        ({"chunks_per_reading": 0}, "chunks_per_reading: expected a whole number >= 1, got 0"),
    ],
)
def test_impossible_settings(settings, message):
    with pytest.raises(ConfigError, match=message):
        training(**settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"context_frames": -1}, "Chunking.context_frames: expected a whole number >= 0, got -1"),
        ({"max_tokens": 1.5}, "Chunking.max_tokens: expected a whole number >= 2, got 1.5"),
        ({"overflow": "drop"}, "Chunking.overflow: expected one of skip, truncate, got 'drop'"),
    ],
)
def test_impossible_chunking(settings, message):
    with pytest.raises(ConfigError, match=message):
        Chunking(**settings)


def test_corpora_without_recordings():
    with pytest.raises(CorpusError, match="recordings in every corpus, got none"):
        TrainingBatches([corpus(1), []], SMALL, batch_size=1, seed=0)
