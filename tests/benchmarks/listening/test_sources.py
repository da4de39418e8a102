"""Rendering of songs, and the cache of features."""

import dataclasses

import numpy as np
import pytest

from spectrodiff.core.errors import ConfigError, MidiError
from spectrodiff.diffusion.sampling import Sampling
from spectrodiff.inverter import Inverter
from spectrodiff.music.tokenization import Tokenization
from tests.support.sounds import FRAME, RATE


class FirstBinInverter(Inverter):
    """Repeats the first bin of each frame, times a factor."""

    name, reach_frames = "first bin", 0

    def __init__(self, factor):
        self.factor = factor

    def __call__(self, log_mel):
        return np.repeat(self.factor * log_mel[:, 0], FRAME).astype(np.float32)


class FakeSynthesizer:
    """A model that records the songs it renders; the features are the number of the frame."""

    config = dataclasses.make_dataclass("Config", ["target_frames"])(64)

    def __init__(self, inverter):
        self.inverter, self.rendered = inverter, []

    tokenization = Tokenization(programs=(0,), drums=())

    def tokenize(self, notes, *, name, overlap=0):
        if notes.is_drum.all():
            raise MidiError(name, "notes other than drums", "only drums")
        return notes

    def render_each(self, songs, **settings):
        from spectrodiff.synthesis.parts import Song

        assert settings["sampler"] == "dpmpp"
        self.rendered += songs
        for number, song in reversed(list(enumerate(songs))):
            yield number, Song(np.zeros(1), RATE, self.features(song))

    def features(self, song):
        frames = -(-round(song.total_seconds * RATE) // FRAME)
        return np.arange(frames, dtype=np.float32)[:, np.newaxis] * np.ones(128, np.float32)


def songs_of(*seconds):
    from listening.songs import BenchSong, make_notes

    return [
        BenchSong(f"song_{number}", "dense", make_notes([0], 0.5, [60], total_seconds=length))
        for number, length in enumerate(seconds)
    ]


def test_cached_features_are_not_generated_again(tmp_path):
    from listening.sources import ModelSource

    songs = songs_of(2.0, 0.71, 1.0)

    def render(factor, steps, songs):
        synth = FakeSynthesizer(FirstBinInverter(factor))
        source = ModelSource("untrained", tmp_path, synth, Sampling("dpmpp", steps), 0, 2)
        return source.render(songs), len(synth.rendered)

    first, count = render(1.0, 10, songs)
    assert count == 3
    # Each song has its own features, and audio of its length.
    assert [len(first[song.name].audio) for song in songs] == [32_000, 11_360, 16_000]
    assert [len(first[song.name].log_mel) for song in songs] == [100, 36, 50]
    second, count = render(2.0, 10, songs)
    assert count == 0
    for song in songs:
        np.testing.assert_array_equal(second[song.name].log_mel, first[song.name].log_mel)
        np.testing.assert_array_equal(second[song.name].audio, 2 * first[song.name].audio)
    assert render(1.0, 11, songs)[1] == 3
    assert render(1.0, 10, songs_of(2.0, 0.71, 1.0, 3.0))[1] == 1


def test_a_song_that_cannot_be_rendered_is_silent(tmp_path):
    from listening.sources import ModelSource

    (song,) = songs_of(0.71)
    drums = dataclasses.replace(song.notes, is_drum=np.ones(1, bool))
    song = dataclasses.replace(song, notes=drums)
    synth = FakeSynthesizer(FirstBinInverter(1.0))
    source = ModelSource("untrained", tmp_path, synth, Sampling("dpmpp", 10), 0, 2)
    log_mel = source.render([song])[song.name].log_mel
    # 11,360 samples are 35.5 frames.
    np.testing.assert_allclose(log_mel, np.full((36, 128), np.log(1e-5)), rtol=1e-6)
    assert not synth.rendered


def test_the_features_of_the_reference_are_inverted():
    from listening.sources import Rendered, invert_reference

    (song,) = songs_of(0.71)
    log_mel = FakeSynthesizer(None).features(song.notes)
    inverted = invert_reference(
        FirstBinInverter(0.5), {song.name: Rendered(np.zeros(1), log_mel)}, [song]
    )
    expected = np.repeat(np.arange(36) / 2, FRAME)[:11_360]
    np.testing.assert_array_equal(inverted[song.name].audio, expected)


def test_scaled_levels_are_refused(tmp_path, monkeypatch):
    from listening import sources
    from listening.songs import BenchSong, make_notes

    class Renderer:
        soundfont = "made_up.sf2"

        def __init__(self, soundfont, gain):
            self.peak = round(gain * 32767)

        def render(self, notes):
            return np.array([0, self.peak, -self.peak] * 400, np.int16)

    monkeypatch.setattr(sources, "SoundfontRenderer", Renderer)
    song = BenchSong("loud", "velocity", make_notes([0], 0.01, [60]))
    quiet = sources.SoundfontSource(None, tmp_path, 0.5).render([song])["loud"]
    assert quiet.audio.max() == pytest.approx(0.5, abs=1e-4)
    full = 10 ** (-1 / 20)
    with pytest.raises(ConfigError, match="gain"):
        sources.SoundfontSource(None, tmp_path, full).render([song])
    # Levels of dense music are not compared.
    sources.SoundfontSource(None, tmp_path, full).render([dataclasses.replace(song, group="dense")])
