"""Stems of songs: instruments, level, and a mix that is their sum to the bit."""

import io
import re

import numpy as np
import pyloudnorm
import pytest
import soundfile

import spectrodiff as sd
from spectrodiff.audio.encoding import encode_audio
from spectrodiff.audio.loudness import limiter_gain
from spectrodiff.core.errors import MidiError
from spectrodiff.music.notes import Notes
from spectrodiff.music.tokenization import Tokenization
from spectrodiff.synthesis.parts import Song
from spectrodiff.synthesis.stems import RenderedStems, render_stems, split
from tests.support.inverters import LoudnessInverter
from tests.support.tones import RATE, ToneSynthesizer


def song(*rows, seconds=3.0):
    """Notes of (onset, offset, pitch, program); program None is a drum."""
    onset, offset, pitch, program = zip(*rows, strict=True)
    return Notes(
        np.array(onset),
        np.array(offset),
        np.array(pitch),
        np.full(len(rows), 90),
        np.array([number or 0 for number in program]),
        np.array([number is None for number in program]),
        total_seconds=seconds,
    )


BAND = song(
    (0.0, 1.0, 60, 0),
    (0.5, 1.0, 36, None),
    (1.0, 2.0, 64, 1),  # bright piano, a piano in Slakh's classes
    (1.0, 1.5, 52, 25),  # steel guitar
    (1.5, 1.6, 38, None),
    (2.0, 2.5, 76, 73),
)


def pitches(stems):
    return {stem.name: sorted(stem.notes.pitch.tolist()) for stem in stems}


def test_stems_are_the_instruments_that_sound():
    stems = split(BAND, ToneSynthesizer())
    assert pitches(stems) == {
        "1_piano": [60, 64],
        "2_guitar": [52],
        "3_flute": [76],
        "drums": [36, 38],
    }
    assert [stem.program for stem in stems] == [0, 24, 73, None]
    assert {stem.notes.total_seconds for stem in stems} == {3.0}
    unmapped = split(BAND, ToneSynthesizer(Tokenization(program_map="full")))
    assert pitches(unmapped) == {
        "1_piano": [60],
        "2_bright_piano": [64],
        "3_guitar": [52],
        "4_flute": [76],
        "drums": [36, 38],
    }


def test_replaced_instruments_join_the_stem_they_sound_like():
    """A model of a flute alone renders one stem; drums that it does not know are left out."""
    flute = Tokenization(programs=(73,), drums=(38,))
    assert pitches(split(BAND, ToneSynthesizer(flute))) == {
        "1_flute": [52, 60, 64, 76],
        "drums": [38],
    }
    pitched = ToneSynthesizer(Tokenization(programs=(73,), drums=()))
    with pytest.raises(MidiError, match="no drums"):
        split(BAND.select(BAND.is_drum), pitched)


def test_names_are_safe_unique_and_sorted():
    rows = [(0.0, 1.0, 60, program) for program in range(128)]
    stems = split(song(*rows), ToneSynthesizer(Tokenization(program_map="full")))
    names = [stem.name for stem in stems]
    assert [stem.program for stem in stems] == list(range(128))
    assert names == sorted(names)
    assert len(set(names)) == 128
    assert all(re.fullmatch(r"\d{3}_[a-z0-9]+(_[a-z0-9]+)*", name) for name in names)
    assert names[103] == "104_sci_fi_effect"


@pytest.mark.parametrize("at_once", [0.5, 2.0])
def test_the_mix_is_as_loud_as_the_song_at_once(at_once):
    synth = ToneSynthesizer(at_once=at_once)
    rendered = render_stems(synth, BAND, seed=3)
    # Four stems and the whole song.
    assert sorted(len(notes) for notes in synth.rendered) == [1, 1, 2, 2, 6]
    assert rendered.gain == pytest.approx(at_once, rel=1e-3)
    meter = pyloudnorm.Meter(RATE)
    wanted = meter.integrated_loudness(at_once * synth.sound(BAND))
    assert meter.integrated_loudness(rendered.mix.astype(np.float64)) == pytest.approx(
        wanted, abs=0.01
    )
    # All stems have the same gain, begin at the same sample, and are as long as the song.
    for name, part in zip(rendered.names, rendered.stems, strict=True):
        stem = next(stem for stem in split(BAND, synth) if stem.name == name)
        expected = rendered.gain * synth.sound(stem.notes)
        np.testing.assert_allclose(part.audio, expected, atol=1e-6)
        assert len(part.audio) == 3 * RATE


def test_one_instrument_is_rendered_once_and_unchanged():
    synth = ToneSynthesizer()
    piano = BAND.select(BAND.program == 0).select(np.array([0]))
    rendered = render_stems(synth, piano)
    assert rendered.names == ("1_piano",)
    assert (len(synth.rendered), rendered.gain) == (1, 1.0)
    np.testing.assert_allclose(rendered.mix, synth.sound(piano), atol=1e-6)


def test_songs_too_short_for_a_loudness_keep_their_level():
    short = song((0.0, 0.1, 60, 0), (0.0, 0.1, 64, 73), seconds=0.2)
    assert render_stems(ToneSynthesizer(at_once=3.0), short).gain == 1.0


def stored(tracks, rate, bits):
    """Samples of the files of tracks, as integers; of floats as multiples of 2**-24."""
    found = {}
    for name, audio in tracks:
        file = io.BytesIO(encode_audio(audio, rate, ".wav", bits=bits))
        if bits == 32:
            samples = soundfile.read(file, dtype="float32")[0].astype(np.float64) * 2**24
            assert (samples == np.rint(samples)).all()
        else:
            samples = soundfile.read(file, dtype="int32")[0] >> (32 - bits)
        found[name] = samples.astype(np.int64)
    return found


@pytest.mark.parametrize("rate", [16_000, 44_100])
@pytest.mark.parametrize(("bits", "scale"), [(16, 2**15), (24, 2**23), (32, 2**24)])
@pytest.mark.parametrize("amplitude", [0.1, 0.6])
def test_the_files_add_up_to_the_mix_to_the_bit(rate, bits, scale, amplitude):
    """Also where the sum is louder than full scale, where all are limited alike."""
    synth = ToneSynthesizer(amplitude=amplitude)
    chord = song(*[(0.0, 1.0, 60 + 5 * n, program) for n, program in enumerate((0, 24, 32, 73))])
    rendered = render_stems(synth, chord)
    files = stored(rendered.tracks(sample_rate=rate, bits=bits).audio, rate, bits)
    mix = files.pop("mix")
    np.testing.assert_array_equal(mix, sum(files.values()))
    assert len(files) == 4
    assert {len(samples) for samples in files.values()} == {3 * rate}
    peak = np.abs(mix).max() / scale
    if amplitude == 0.6:
        assert 0.999 < peak <= 1 - (bits < 32) / scale
    else:
        assert peak == pytest.approx(np.abs(rendered.mix).max(), rel=0.01)
    if rate == RATE:
        curve = limiter_gain(np.abs(rendered.mix), RATE, 1 - 1e-4)
        gain = 1.0 if curve is None else curve
        for samples, part in zip(files.values(), rendered.stems, strict=True):
            np.testing.assert_allclose(samples / scale, gain * part.audio, atol=2e-4)


def test_stems_that_cancel_do_not_clip_either():
    wave = 1.6 * np.sin(np.arange(16_000) / 7).astype(np.float32)
    log_mel = np.zeros((51, 128), np.float32)
    parts = tuple(Song(audio, RATE, log_mel) for audio in (wave, -wave))
    rendered = RenderedStems(("1_piano", "2_flute"), parts, gain=1.0)
    audio, reduction = rendered.tracks(0.5, peak=0.5, bits=24)
    assert reduction == pytest.approx(20 * np.log10(1.6), abs=0.01)
    tracks = dict(audio)
    assert 0.49 < np.abs(tracks["1_piano"]).max() <= 0.5
    assert not tracks["mix"].any()


def test_a_peak_lowers_only_what_is_near_it():
    """The limiter of the mix acts on both stems, and they still add up."""
    steady = np.full(32_000, 0.3, np.float32)
    click = np.zeros(32_000, np.float32)
    click[16_000] = 1.1
    log_mel = np.zeros((101, 128), np.float32)
    parts = tuple(Song(audio, RATE, log_mel) for audio in (steady, click))
    audio, reduction = RenderedStems(("1_piano", "2_flute"), parts, gain=1.0).tracks(bits=24)
    tracks = dict(audio)
    assert reduction == pytest.approx(20 * np.log10(1.4), abs=0.01)
    assert tracks["1_piano"][16_000] == pytest.approx(0.3 / 1.4, abs=1e-4)
    assert tracks["2_flute"][16_000] == pytest.approx(1.1 / 1.4, abs=1e-4)
    far = np.abs(np.arange(32_000) - 16_000) > 0.05 * RATE
    np.testing.assert_allclose(tracks["1_piano"][far], 0.3, atol=1e-6)
    np.testing.assert_array_equal(tracks["1_piano"] + tracks["2_flute"], tracks["mix"])


def test_silence_can_be_written():
    silent = Song(np.zeros(800, np.float32), RATE, np.zeros((3, 128), np.float32))
    rendered = RenderedStems(("1_piano",), (silent,), gain=1.0)
    assert not dict(rendered.tracks(sample_rate=48_000).audio)["mix"].any()


def test_stems_of_a_network_are_songs_of_their_notes(golden):
    """Each stem is what its notes alone sound like, times the gain."""
    synth = sd.load(golden / "checkpoints" / "diffusers", inverter=LoudnessInverter())
    notes = sd.read_midi(golden / "midi" / "band_drums.mid")
    few = {"steps": 2, "sampler": "dpmpp", "seed": 5}
    rendered = render_stems(synth, notes, batch_size=2, **few)
    stems = split(notes, synth)
    assert rendered.names == tuple(stem.name for stem in stems)
    assert rendered.names[-1] == "drums"
    assert len(stems) > 2
    drums = synth.render(notes.select(notes.is_drum), **few).audio
    assert len(rendered.mix) == len(drums) == int(notes.total_seconds * RATE)
    scale = np.abs(drums).max()
    np.testing.assert_allclose(rendered.stems[-1].audio / rendered.gain, drums, atol=0.05 * scale)
    whole = synth.render(notes, **few).audio
    meter = pyloudnorm.Meter(RATE)
    loudness = [meter.integrated_loudness(x.astype(np.float64)) for x in (rendered.mix, whole)]
    assert np.isfinite(loudness).all()
    assert loudness[0] == pytest.approx(loudness[1], abs=0.05)
