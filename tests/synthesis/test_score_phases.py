"""Notes on their way to the inverter: whole songs, streams, takes, live songs and stems."""

import dataclasses

import numpy as np
import pytest

import spectrodiff as sd
from spectrodiff.inverter import GriffinLim, ScorePhases, invert
from spectrodiff.inverter.files import save_inverter
from spectrodiff.inverter.trained import trained_inverter
from spectrodiff.music.notes import merge_notes
from spectrodiff.music.steering import Steering
from spectrodiff.music.tokenization import Tokenization
from spectrodiff.synthesis.live import Live
from spectrodiff.synthesis.stems import render_stems, split
from tests.support.inverters import HissInverter, random_inverter
from tests.support.notation import note_table
from tests.support.recorded import recorded_engine

FEW = {"steps": 2, "sampler": "dpmpp"}
# A piano under a melody that ends before it, and a drum.
SONG = note_table(
    [
        (0.0, 2.0, 48, 90, 0, False),
        (0.1, 0.9, 64, 100, 73, False),
        (0.9, 1.4, 67, 60, 73, False),
        (0.5, 0.6, 38, 100, 0, True),
    ],
    total_seconds=2.0,
)


@pytest.fixture(scope="module")
def synth(golden):
    return sd.load(golden / "checkpoints" / "diffusers", inverter=HissInverter(), score_phases=True)


def joined(parts):
    return np.concatenate([part.audio for part in parts])


def assert_close(audio, expected):
    np.testing.assert_allclose(audio, expected, atol=1e-4 * np.abs(expected).max())


def expected(song, notes=SONG):
    audio = invert(ScorePhases(HissInverter()), song.log_mel, notes=notes)[: len(song.audio)]
    assert np.abs(audio - HissInverter()(song.log_mel)[: len(audio)]).max() > 0.01 * audio.max()
    return audio


def test_a_song_beside_others(synth):
    other = note_table([(0.0, 1.0, 60, 90, 0, False)])
    first, second = synth.render_many([SONG, other], **FEW)
    assert_close(first.audio, expected(first))
    assert_close(second.audio, expected(second, other))
    # Tokens keep their notes.
    assert_close(synth.render(synth.tokenize(SONG), **FEW).audio, synth.render(SONG, **FEW).audio)


def test_streams_and_takes(synth):
    whole = synth.render(SONG, **FEW)
    assert_close(joined(synth.stream(SONG, **FEW)), whole.audio)
    take = synth.take(SONG, **FEW)
    parts = list(take)
    assert_close(joined(parts), whole.audio)
    # It goes on from the middle, and from there in another key.
    kept = take.steer(2)
    assert_close(np.concatenate([whole.audio[:kept], joined(take)]), whole.audio)
    kept = take.steer(2, Steering(transpose=3))
    rest = list(take)
    log_mel = np.concatenate([part.log_mel for part in (*parts[:2], *rest)])
    after = invert(ScorePhases(HissInverter()), log_mel, notes=take.score.notes)
    assert np.abs(after - invert(ScorePhases(HissInverter()), log_mel, notes=SONG)).max() > 0.01
    # Beyond the reach of what was before.
    end = slice(kept + 12 * 320, len(whole.audio))
    audio = np.concatenate([whole.audio[:kept], joined(rest)])
    np.testing.assert_allclose(audio[end], after[end], atol=1e-3 * np.abs(after).max())


@pytest.mark.parametrize("overlap", [0, 5])
def test_live(overlap):
    engine, _ = recorded_engine(Tokenization(program_map="full"), overlap, note_tokens=512)
    live = Live(dataclasses.replace(engine, inverter=ScorePhases(HissInverter())))
    live.add(SONG, seconds=0.0)
    segment = (16 - overlap) / 50
    # A release that reaches into the next segment, and a flute on a key of the piano.
    late = note_table(
        [(0.0, 2 * segment - 0.005, 72, 100, 0, False), (0.2, 0.4, 48, 90, 73, False)]
    )
    live.add(late, seconds=0.0)
    parts = [live.pull() for _ in range(9)]
    parts.append(live.finish())
    log_mel = np.concatenate([part.log_mel for part in parts])
    wanted = invert(ScorePhases(HissInverter()), log_mel, notes=merge_notes([SONG, late]))
    np.testing.assert_allclose(joined(parts), wanted, atol=1e-3 * np.abs(wanted).max())


def test_a_live_song_of_hours():
    """Notes are tables that begin anew again and again; their tones go on."""
    engine, _ = recorded_engine(Tokenization(program_map="full"), note_tokens=512)
    live = Live(dataclasses.replace(engine, inverter=ScorePhases(HissInverter())))
    for _ in range(400):  # 128 s
        live.pull()
    live.note_on(57, 127, seconds=128.32)
    parts = [live.pull() for _ in range(4)]
    log_mel = np.concatenate([part.log_mel for part in parts])
    # The parts begin six frames before 128 s; the frames in front are not known here.
    late = note_table([(0.32 + 0.12, 9.0, 57, 127, 0, False)])
    wanted = invert(ScorePhases(HissInverter()), log_mel, notes=late)[: len(joined(parts))]
    inside = slice(12 * 320, -12 * 320)
    np.testing.assert_allclose(
        joined(parts)[inside], wanted[inside], atol=1e-3 * np.abs(wanted).max()
    )


def test_stems(synth):
    stems = render_stems(synth, SONG, **FEW)
    assert len(stems.names) == 3
    for stem, song in zip(split(SONG, synth), stems.stems, strict=True):
        audio = invert(ScorePhases(HissInverter()), song.log_mel, notes=stem.notes)
        assert_close(song.audio, stems.gain * audio[: len(song.audio)])


def test_who_gets_phases(golden, tmp_path):
    """Files of the bundled kind do by default, others if they are asked to."""
    model = golden / "checkpoints" / "diffusers"
    path = tmp_path / "tiny.safetensors"
    save_inverter(random_inverter("tiny"), path)
    recurrent = tmp_path / "recurrent.safetensors"
    save_inverter(random_inverter("recurrent_tiny"), recurrent)

    def phases(inverter, score_phases=None):
        loaded = sd.load(model, inverter=inverter, score_phases=score_phases).inverter
        scored = isinstance(loaded, ScorePhases)
        assert not (scored and isinstance(loaded.inverter, ScorePhases))
        return scored

    own = trained_inverter(random_inverter("tiny"))
    for inverter, default in (
        (path, True),
        (recurrent, False),
        ("griffin-lim", False),
        (GriffinLim(), False),
        (own, False),
        (ScorePhases(own), True),
    ):
        assert phases(inverter) is default
        assert phases(inverter, True)
        assert not phases(inverter, False)
    assert isinstance(sd.load("mini").inverter, ScorePhases)


def test_overlapping_notes_sound_as_the_model_hears_them(golden):
    """A note of a model of trimmed notes ends at the next on its key, and so does its tone."""
    notes = note_table([(0.0, 2.0, 60, 100, 48, False), (0.5, 0.8, 60, 100, 48, False)])
    for trimmed in (True, False):
        synth = sd.load(
            golden / "checkpoints" / "diffusers",
            inverter=ScorePhases(HissInverter()),
            tokenization={"trim_overlaps": trimmed},
        )
        ends = synth.tokenize(notes).notes.offset_seconds
        np.testing.assert_array_equal(ends, [0.5, 0.8] if trimmed else [2.0, 0.8])
        song = synth.render(notes, **FEW)
        heard = synth.tokenize(notes).notes
        assert_close(song.audio, expected(song, heard))


def test_a_saved_model_keeps_its_phases(golden, tmp_path):
    path = tmp_path / "tiny.safetensors"
    save_inverter(random_inverter("tiny"), path)
    synth = sd.load(golden / "checkpoints" / "diffusers", inverter=path)
    sd.save(synth, tmp_path / "saved")
    again = sd.load(tmp_path / "saved")
    assert again.inverter.name == synth.inverter.name
    np.testing.assert_array_equal(again.render(SONG, **FEW).audio, synth.render(SONG, **FEW).audio)
