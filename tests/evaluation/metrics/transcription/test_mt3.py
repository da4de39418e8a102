import dataclasses
import tracemalloc

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spectrodiff.audio.features import TRANSCRIPTION, log_mel
from spectrodiff.checkpoints.layouts.mt3 import import_mt3
from spectrodiff.core.errors import AudioError, CheckpointError, ConfigError
from spectrodiff.evaluation.metrics.transcription import mt3 as module
from spectrodiff.evaluation.metrics.transcription.mt3 import Mt3Transcriber, load_mt3
from spectrodiff.models.definition import define
from spectrodiff.models.mt3 import Mt3, decode_greedily
from spectrodiff.music.detokenizer import decode_tokens
from spectrodiff.music.notes import Notes
from spectrodiff.music.vocabulary import Vocabulary
from tests.support.checkpoint_writers import golden_params, published_mt3, write_t5x
from tests.support.notation import END, ON, TIE, note_rows, pitch, program, shift

SEGMENT = 256 * 128


def noise(num_samples, seed=0):
    return (0.1 * np.random.default_rng(seed).standard_normal(num_samples)).astype(np.float32)


@pytest.fixture(scope="module")
def network(golden, tmp_path_factory):
    folder = write_t5x(tmp_path_factory.mktemp("mt3"), golden_params(golden, "mt3"))
    config, params = import_mt3(folder, head_width=8)
    return dataclasses.replace(config, note_tokens=12), params


@pytest.fixture(scope="module")
def transcriber(network):
    return Mt3Transcriber(*network, batch_size=2)


def expected_tokens(network, audio):
    """Segment by segment, each cut out of the audio before it is analyzed.

    As in MT3, 1 to 128 zeros complete the last frame, also where there is nothing to complete.
    """
    audio = np.pad(audio, (0, 128 - len(audio) % 128))
    config, params = network
    definition = define(Mt3, config)
    decode = jax.jit(
        lambda params, features: decode_greedily(definition.merge(params), features, 12)
    )
    rows = []
    for start in range(0, len(audio), SEGMENT):
        features = np.asarray(log_mel(audio[start : start + SEGMENT], TRANSCRIPTION))
        features = np.pad(features, [(0, 256 - len(features)), (0, 0)])
        rows.append(np.asarray(decode(params, features[np.newaxis]))[0])
    return np.stack(rows)


@pytest.mark.parametrize("num_samples", [SEGMENT, 2 * SEGMENT + 5_000, 3 * SEGMENT - 1, 1_280, 100])
def test_tokens_of_segments(network, transcriber, num_samples):
    audio = noise(num_samples)
    tokens = transcriber.tokens(audio)
    assert tokens.shape == (num_samples // SEGMENT + 1, 12)
    np.testing.assert_array_equal(tokens, expected_tokens(network, audio))


@pytest.mark.parametrize(("size", "rows"), [(3, 3), (None, 16)])
def test_a_batch_has_as_many_segments_as_asked_for(network, monkeypatch, size, rows):
    seen = []
    monkeypatch.setattr(
        module,
        "decode_greedily",
        lambda model, features, length: (
            seen.append(features.shape) or jnp.ones((len(features), length), jnp.int32)
        ),
    )
    assert Mt3Transcriber(*network, batch_size=size).tokens(noise(4 * SEGMENT - 1)).shape == (4, 12)
    assert seen == [(rows, 256, 512)]


def test_memory_does_not_grow_with_the_audio(network, monkeypatch):
    monkeypatch.setattr(
        module, "decode_greedily", lambda model, x, length: jnp.ones((len(x), length), jnp.int32)
    )
    transcriber = Mt3Transcriber(*network, batch_size=2)
    audio = noise(200 * SEGMENT)
    transcriber.tokens(audio[:SEGMENT])
    tracemalloc.start()
    transcriber.tokens(audio)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # A byte per sample says whether it is finite; of the audio itself there is no second copy.
    assert peak < 0.3 * audio.nbytes


@pytest.mark.parametrize(
    ("num_samples", "expected"),
    [
        (SEGMENT, [2.048]),
        (4 * SEGMENT - 128, [4.096, 8.184]),
        (4 * SEGMENT, [4.096, 8.192, 8.192]),
        (4 * SEGMENT + 100, [4.096, 8.192, 8.19825]),
        (100, [0.00625]),
    ],
)
def test_progress_is_reported_in_seconds(transcriber, num_samples, expected):
    reported = []
    transcriber(noise(num_samples), reported.append)
    np.testing.assert_allclose(reported, expected)


@pytest.mark.parametrize("size", [0, -1])
def test_a_batch_has_at_least_one_segment(network, size):
    with pytest.raises(ConfigError, match=f"batch_size: expected a whole number >= 1, got {size}"):
        Mt3Transcriber(*network, batch_size=size)


def test_notes_are_those_of_the_tokens(network, transcriber):
    audio = noise(2 * SEGMENT - 1)
    rows = expected_tokens(network, audio)
    expected = decode_tokens(list(rows), [0.0, 2.048], Vocabulary(1)).notes
    notes = transcriber(audio)
    assert isinstance(notes, Notes)
    assert note_rows(notes) == note_rows(expected)


def test_segments_start_every_2048_ms(network, monkeypatch):
    """Each of three segments has a note after half a second."""
    transcriber = Mt3Transcriber(*network)
    row = [TIE, shift(50), program(5), ON, pitch(60), shift(51), 1132, pitch(60), END]
    monkeypatch.setattr(transcriber, "tokens", lambda audio, report: np.array([row] * 3))
    notes = transcriber(noise(3 * SEGMENT))
    # 2.048 s and 4.096 s are rounded down to hundredths.
    np.testing.assert_allclose(notes.onset_seconds, [0.5, 2.54, 4.59])
    np.testing.assert_allclose(notes.offset_seconds, [0.51, 2.55, 4.6])
    np.testing.assert_array_equal(notes.program, 5)
    assert transcriber.name == "MT3"


def test_silence_is_transcribed(transcriber):
    assert isinstance(transcriber(np.zeros(1_000, np.float32)), Notes)


def test_unusable_audio_is_refused(transcriber):
    for audio, message in [
        (np.full(10, np.nan, np.float32), "NaN or infinity at sample 0"),
        (np.zeros(0, np.float32), "at least one sample"),
        (np.zeros((2, 10), np.float32), "mono"),
    ]:
        with pytest.raises(AudioError, match=message):
            transcriber(audio)


def test_loading_from_a_folder(tmp_path, golden):
    weights = published_mt3(golden)
    with pytest.raises(CheckpointError, match="published at gs://mt3/checkpoints/mt3/"):
        load_mt3(tmp_path / "missing")
    assert load_mt3(write_t5x(tmp_path / "wide", weights)).name == "MT3"
    embedding, logits = "decoder/token_embedder/embedding", "decoder/logits_dense/kernel"
    weights |= {embedding: weights[embedding][:100], logits: weights[logits][:, :100]}
    with pytest.raises(CheckpointError, match="1536 embedding rows, got 100"):
        load_mt3(write_t5x(tmp_path / "rows", weights))
