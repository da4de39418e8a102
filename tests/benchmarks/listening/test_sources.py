"""Rendering, and what is kept of it."""

import dataclasses

import numpy as np
import pytest

from spectrodiff.core.errors import ConfigError, MidiError
from spectrodiff.diffusion.sampling import Sampling
from spectrodiff.music.tokenization import Tokenization
from tests.support.sounds import FRAME, RATE


class Doubled:
    """An inverter that says frame by frame how loud it was told to be."""

    name, context_frames = "doubled", 0

    def __init__(self, factor):
        self.factor = factor

    def __call__(self, log_mel):
        return np.repeat(self.factor * log_mel[:, 0], FRAME).astype(np.float32)


class Synth:
    """A model that counts what it is asked to draw; the first bin is the frame's number."""

    config = dataclasses.make_dataclass("Config", ["target_frames"])(64)

    def __init__(self, inverter):
        self.inverter, self.drawn = inverter, []

    tokenization = Tokenization(programs=(0,), drums=())

    def tokenize(self, notes, *, name):
        if notes.is_drum.all():
            raise MidiError(name, "notes other than drums", "only drums")
        return notes

    def render_each(self, songs, **settings):
        from spectrodiff.synthesis import Song

        assert settings["sampler"] == "dpmpp"
        self.drawn += songs
        for number, song in reversed(list(enumerate(songs))):
            yield number, Song(np.zeros(1), RATE, self.features(song))

    def features(self, song):
        frames = -(-round(song.total_seconds * RATE) // FRAME)
        return np.arange(frames, dtype=np.float32)[:, np.newaxis] * np.ones(128, np.float32)


def pieces_of(*seconds):
    from listening.programme import Piece, table

    return [
        Piece(f"piece_{number}", "dense", table([0], 0.5, [60], total_seconds=length))
        for number, length in enumerate(seconds)
    ]


def test_what_was_drawn_is_not_drawn_again(tmp_path):
    from listening.sources import ModelSource

    pieces = pieces_of(2.0, 0.71, 1.0)

    def render(factor, steps, pieces):
        synth = Synth(Doubled(factor))
        source = ModelSource("untrained", tmp_path, synth, Sampling("dpmpp", steps), 0, 2)
        return source.render(pieces), len(synth.drawn)

    first, drawn = render(1.0, 10, pieces)
    assert drawn == 3
    # Features went to the right pieces, and audio ends with the piece.
    assert [len(first[piece.name].audio) for piece in pieces] == [32_000, 11_360, 16_000]
    assert [len(first[piece.name].log_mel) for piece in pieces] == [100, 36, 50]
    second, drawn = render(2.0, 10, pieces)
    assert drawn == 0
    for piece in pieces:
        np.testing.assert_array_equal(second[piece.name].log_mel, first[piece.name].log_mel)
        np.testing.assert_array_equal(second[piece.name].audio, 2 * first[piece.name].audio)
    assert render(1.0, 11, pieces)[1] == 3
    assert render(1.0, 10, pieces_of(2.0, 0.71, 1.0, 3.0))[1] == 1


def test_a_piece_that_is_refused_is_silent(tmp_path):
    from listening.sources import ModelSource

    (piece,) = pieces_of(0.71)
    drums = dataclasses.replace(piece.notes, is_drum=np.ones(1, bool))
    piece = dataclasses.replace(piece, notes=drums)
    synth = Synth(Doubled(1.0))
    source = ModelSource("untrained", tmp_path, synth, Sampling("dpmpp", 10), 0, 2)
    log_mel = source.render([piece])[piece.name].log_mel
    # 11,360 samples are 35.5 frames.
    np.testing.assert_allclose(log_mel, np.full((36, 128), np.log(1e-5)), rtol=1e-6)
    assert not synth.drawn


def test_the_inverter_alone_hears_the_reference():
    from listening.sources import Sound, through_inverter

    (piece,) = pieces_of(0.71)
    log_mel = Synth(None).features(piece.notes)
    heard = through_inverter(Doubled(0.5), {piece.name: Sound(np.zeros(1), log_mel)}, [piece])
    expected = np.repeat(np.arange(36) / 2, FRAME)[:11_360]
    np.testing.assert_array_equal(heard[piece.name].audio, expected)


def test_loudness_that_was_scaled_down_is_refused(tmp_path, monkeypatch):
    from listening import sources
    from listening.programme import Piece, table

    class Renderer:
        soundfont = "made_up.sf2"

        def __init__(self, soundfont, gain):
            self.peak = round(gain * 32767)

        def render(self, notes):
            return np.array([0, self.peak, -self.peak] * 400, np.int16)

    monkeypatch.setattr(sources, "SoundfontRenderer", Renderer)
    piece = Piece("loud", "velocity", table([0], 0.01, [60]))
    quiet = sources.SoundfontSource(None, tmp_path, 0.5).render([piece])["loud"]
    assert quiet.audio.max() == pytest.approx(0.5, abs=1e-4)
    full = 10 ** (-1 / 20)
    with pytest.raises(ConfigError, match="gain"):
        sources.SoundfontSource(None, tmp_path, full).render([piece])
    # How loud dense music is does not matter.
    sources.SoundfontSource(None, tmp_path, full).render(
        [dataclasses.replace(piece, group="dense")]
    )
