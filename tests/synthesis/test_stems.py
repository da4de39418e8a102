"""Stems add up to the mix, and the mix is as loud as the song."""

import dataclasses

import numpy as np
import pyloudnorm
import pytest

import spectrodiff as sd
from spectrodiff.audio.encoding import encode_audio
from spectrodiff.core.errors import MidiError
from spectrodiff.synthesis.stems import Stem, Stems, mix_down, render_stems, split
from tests.support.inverters import LoudnessInverter
from tests.support.notation import note_rows, note_table

SONG = note_table(
    [
        (0.0, 1.0, 60, 90, 40, False),
        (0.5, 1.0, 36, 90, 3, True),
        (0.5, 2.0, 48, 90, 42, False),
        (1.0, 2.0, 62, 90, 40, False),
        (1.5, 1.6, 38, 90, 0, True),
    ],
    total_seconds=3.0,
)


@pytest.fixture(scope="module")
def synth(golden):
    return sd.load(golden / "checkpoints" / "diffusers", inverter=LoudnessInverter())


def test_a_stem_per_instrument_of_the_song():
    """Drums are one, whatever programs they have."""
    rows = note_rows(SONG)
    stems = split(SONG)
    assert [(name, note_rows(notes)) for name, notes in stems] == [
        ("1_violin", [rows[0], rows[3]]),
        ("2_cello", [rows[2]]),
        ("3_drums", [rows[1], rows[4]]),
    ]
    assert {notes.total_seconds for _, notes in stems} == {3.0}


def test_the_sum_is_as_loud_as_the_song():
    """`mini` knows strings, by which it replaces both, and no drums."""
    synth = sd.load("mini")
    stems = render_stems(synth, SONG, seed=2)
    assert [stem.name for stem in stems.stems] == ["1_violin", "2_cello"]
    song = synth.render(SONG, seed=2)
    alone = synth.render(SONG.select(SONG.program == 40), seed=2)
    np.testing.assert_allclose(stems.stems[0].audio, stems.gain * alone.audio, atol=1e-5)
    meter = pyloudnorm.Meter(16_000)
    wanted = meter.integrated_loudness(song.audio.astype(np.float64))
    both = stems.stems[0].audio.astype(np.float64) + stems.stems[1].audio
    assert meter.integrated_loudness(both) == pytest.approx(wanted, abs=0.01)
    assert stems.gain != pytest.approx(1.0, abs=0.01)


def test_one_instrument_is_the_song(synth):
    notes = SONG.select(SONG.program == 42)
    stems = render_stems(synth, notes, seed=1, steps=2)
    (stem,) = stems.stems
    assert stem.name == "1_cello"
    np.testing.assert_array_equal(stem.audio, synth.render(notes, seed=1, steps=2).audio)
    assert stems.gain == 1.0


def test_nothing_to_render():
    with pytest.raises(MidiError, match=r"jam.mid: expected notes other than drums"):
        render_stems(sd.load("mini"), SONG.select(SONG.is_drum), name="jam.mid")


def tones(*amplitudes):
    phase = 2 * np.pi * np.arange(32_000) / 16_000
    audio = [a * np.sin(phase * (440 + 1000 * n)) for n, a in enumerate(amplitudes)]
    return Stems(tuple(Stem(f"{n}", each.astype(np.float32)) for n, each in enumerate(audio)),
                 16_000, 1.0)  # fmt: skip


@pytest.mark.parametrize(("bits", "rate"), [(16, 16_000), (24, 48_000), (16, 44_100)])
def test_written_stems_add_up_to_the_bit(bits, rate):
    written, lowered = mix_down(tones(0.3, 0.2, 0.1), sample_rate=rate, bits=bits)
    assert lowered == 0
    import io

    import soundfile

    files = [
        soundfile.read(io.BytesIO(encode_audio(s.audio, rate, ".wav", bits=bits)), dtype="int32")[0]
        for s in written
    ]
    assert [len(file) for file in files] == [2 * rate] * 4
    np.testing.assert_array_equal(np.sum(files[:-1], axis=0), files[-1])
    assert written[-1].name == "mix"


def test_everything_is_lowered_by_the_same_if_the_mix_is_too_loud():
    """The tones add up to 1.5 of full scale, 3.5 dB too much."""
    stems = tones(0.8, 0.7)
    written, lowered = mix_down(stems, sample_rate=16_000)
    loudest = np.abs(stems.stems[0].audio + stems.stems[1].audio).max()
    assert lowered == pytest.approx(20 * np.log10(loudest), abs=0.01)
    assert np.abs(written[-1].audio).max() == pytest.approx(1.0, abs=2e-4)
    assert np.abs(written[-1].audio).max() <= 1 - 2**-15
    ratio = np.abs(written[0].audio).max() / np.abs(written[1].audio).max()
    assert ratio == pytest.approx(0.8 / 0.7, rel=1e-3)
    # Floating point has room above full scale.
    written, lowered = mix_down(stems, sample_rate=16_000, bits=32)
    assert lowered == 0
    np.testing.assert_array_equal(written[0].audio, stems.stems[0].audio)
    written, lowered = mix_down(stems, sample_rate=16_000, bits=32, peak=0.5)
    assert np.abs(written[-1].audio).max() == pytest.approx(0.5, rel=1e-5)


def test_loudness_of_the_mix():
    written, _ = mix_down(tones(0.3, 0.2), sample_rate=48_000, bits=24, lufs=-23.0)
    meter = pyloudnorm.Meter(48_000)
    assert meter.integrated_loudness(written[-1].audio.astype(np.float64)) == pytest.approx(
        -23, abs=0.01
    )
    silent = dataclasses.replace(tones(0.0, 0.0), gain=1.0)
    written, lowered = mix_down(silent, sample_rate=16_000, lufs=-23.0)
    assert not written[-1].audio.any()
    assert lowered == 0
