"""Corpora of a run: pieces of the wanted length, and when several processes agree to stop."""

import dataclasses
from functools import partial

import jax
import numpy as np
import pytest
import soundfile

from spectrodiff.core.distributed import StopRequest
from spectrodiff.core.errors import ConfigError, CorpusError
from spectrodiff.core.parallel import make_mesh
from spectrodiff.data.corpora.audio_folder import open_audio_folder
from spectrodiff.data.pieces import PieceLength
from spectrodiff.data.prepare.prepare import prepare
from spectrodiff.data.recordings import Plan
from spectrodiff.music.tokenization import Tokenization
from spectrodiff.training.data import AGREEMENT_STEPS, next_batch, open_batches, open_examples
from spectrodiff.training.settings import Data, Network, Optimization, Training
from spectrodiff.training.task import RunSettings
from spectrodiff.training.tasks.denoise import Diffusion
from spectrodiff.training.tasks.invert import Inversion
from tests.support import tiny
from tests.support.corpora import table
from tests.support.stored_recordings import noise, single


def test_pieces_have_the_length_of_the_settings(tmp_path):
    groups = [single("a", partial(noise, 0), partial(table, (0.0, 0.2, 60)))]
    prepare("mine", "v1", Plan({"train": groups}), tmp_path, piece_length=PieceLength(40))
    data = Data(corpora=("mine",), workers=0)
    settings = RunSettings(
        tiny.NETWORK, tiny.DIFFUSION, Optimization(), Training(batch_size=2), data
    )
    task = settings.make_task()
    with pytest.raises(CorpusError) as refused:
        open_batches(settings, task, tmp_path)
    assert "expected pieces of 2000 frames (Data.piece_frames)" in str(refused.value)
    assert "got 40; prepare it anew with --piece_frames 2000" in str(refused.value)
    data = Data(corpora=("mine",), workers=0, piece_frames=40)
    with open_batches(settings._replace(data=data), task, tmp_path) as batches:
        assert next(batches)["audio"].shape[0] == 2


def prepared(folder, *notes):
    """Settings of a run on a corpus with the notes."""
    groups = [
        single(f"{number}", partial(noise, number), partial(table, (0.0, 0.2, 60), **played))
        for number, played in enumerate(notes)
    ]
    prepare("mine", "v1", Plan({"train": groups}), folder)
    data = Data(corpora=("mine",), workers=0)
    return RunSettings(tiny.NETWORK, tiny.DIFFUSION, Optimization(), Training(batch_size=2), data)


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        # Harpsichord is an electric piano to the map, 60 the high bongo.
        (
            {"programs": (0, 73)},
            "Tokenization.programs: expected the instruments of mine, harpsichord among them "
            "(programs 6 in its MIDI files): give the files known programs, or set (0, 4, 73), "
            "got (0, 73)",
        ),
        (
            {"programs": (0, 4), "drums": ()},
            "Tokenization.drums: expected the instruments of mine, high bongo among them "
            "(drums 60 in its MIDI files): give the files known drums, or set (60,), got ()",
        ),
        ({"programs": (0, 4), "drums": (60,)}, None),
        ({"program_map": "flat", "programs": (0,)}, None),
        ({}, None),
    ],
)
def test_the_model_has_to_know_the_instruments_of_its_corpora(tmp_path, known, expected):
    settings = prepared(tmp_path, {"program": 0}, {"program": 6}, {"is_drum": True})
    settings = settings._replace(tokenization=Tokenization(**known))
    if expected:
        with pytest.raises(ConfigError) as refused:
            open_batches(settings, settings.make_task(), tmp_path)
        assert str(refused.value) == expected
    else:
        open_batches(settings, settings.make_task(), tmp_path).close()


def test_a_corpus_without_recordings_to_evaluate_on(tmp_path):
    settings = prepared(tmp_path, {})
    task = settings.make_task()
    with pytest.raises(CorpusError) as refused:
        open_examples(settings, task, tmp_path)
    expected = "mine: expected one of the splits train, got validation (a corpus needs two "
    assert str(refused.value) == f"{expected}recordings, or Data.evaluation_split = 'train')"
    evaluated = dataclasses.replace(settings.data, evaluation_split="train")
    assert len(open_examples(settings._replace(data=evaluated), task, tmp_path)["tokens"])


class Stop(StopRequest):
    """Asked to stop; counts how often processes agree on it."""

    agreements = 0

    def agreed(self) -> bool:
        Stop.agreements += 1
        return True


def test_several_processes_agree_every_few_steps(monkeypatch):
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    mesh = make_mesh(jax.devices()[:1])
    batches = iter([{"tokens": np.full((2, 3), n)} for n in range(9)])
    stop, stopped_at = Stop(), None
    for step in range(AGREEMENT_STEPS - 4, 2 * AGREEMENT_STEPS):
        batch = next_batch(batches, mesh, stop, step)
        if batch is None:
            stopped_at = step
            break
    assert stopped_at == AGREEMENT_STEPS
    assert Stop.agreements == 1
    assert next(batches)["tokens"][0, 0] == 4


def test_folders_of_audio(tmp_path):
    """One file, much shorter than a training window, then two files."""
    corpora = Data(corpora=(str(tmp_path),), workers=0)
    inversion = Inversion("tiny", window_frames=8)
    training = Training(batch_size=4)
    chosen = RunSettings(Network(), inversion, Optimization(), training, corpora)
    with pytest.raises(CorpusError, match="audio files"):
        open_batches(chosen, chosen.make_task(), tmp_path)
    short = np.random.default_rng(0).uniform(-0.5, 0.5, 1000)
    soundfile.write(tmp_path / "one.wav", short, 16_000)
    with open_batches(chosen, chosen.make_task(), tmp_path) as batches:
        audio = next(batches)["audio"]
    assert audio.shape == (4, (8 + 16) * 320)
    assert audio.any()
    examples = open_examples(chosen, chosen.make_task(), tmp_path)
    wanted = np.rint(soundfile.read(tmp_path / "one.wav")[0] * 32768)
    np.testing.assert_array_equal(examples["audio"][0][:1000], wanted)
    assert not examples["audio"][0][1000:].any()
    (tmp_path / "more").mkdir()
    soundfile.write(tmp_path / "more" / "two.flac", short, 16_000)
    splits = [open_audio_folder(tmp_path, validation=validation) for validation in (False, True)]
    assert sorted(source[0].id for source in splits) == ["more/two", "one"]
    # A synthesizer needs notes.
    with pytest.raises(CorpusError, match="the prepared corpus"):
        open_batches(chosen._replace(task=Diffusion()), Diffusion().make(chosen), tmp_path)
