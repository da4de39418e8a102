"""The rendered corpus: composed pieces and MIDI files played by FluidSynth."""

import shutil
from functools import partial

import numpy as np
import pytest
import soundfile

from spectrodiff.composer.compose import compose
from spectrodiff.composer.settings import NARROW
from spectrodiff.core.errors import CorpusError
from spectrodiff.data.corpora import synthetic
from spectrodiff.data.prepare.soundfont import SoundfontRenderer
from spectrodiff.data.recordings import read_track
from tests.support.corpora import table, write_notes

NOTES = partial(table, (0.5, 1.5, 69))


@pytest.fixture
def studio(tmp_path) -> synthetic.Studio:
    if shutil.which("fluidsynth") is None:
        pytest.skip("FluidSynth is not installed")
    return synthetic.Studio(SoundfontRenderer(), tmp_path / "rendered")


def ids(plan) -> dict[str, list[str]]:
    return {split: [track.id for track in tracks] for split, tracks in plan.splits.items()}


def test_sound_and_notes_of_a_composed_piece_agree(studio):
    plan = synthetic.plan_composed(studio, NARROW, pieces=3, seed=7)
    names = [id for split in ids(plan).values() for id in split]
    assert sorted(names) == [f"seed7-{n:06d}" for n in range(3)]
    assert len(plan.splits["validation"]) == 1
    track = plan.splits["train"][0]
    (recording,) = read_track(track).recordings
    expected = compose(7, NARROW, int(track.id[-6:]))
    np.testing.assert_array_equal(recording.notes.pitch, expected.pitch)
    assert len(recording.audio) == round(expected.total_seconds * 16_000)
    # Silent until the first note, and loud within a quarter of a second from there.
    first = round(expected.onset_seconds.min() * 16_000)
    assert np.abs(recording.audio[: max(0, first - 32)], dtype=int).max(initial=0) <= 2
    assert np.abs(recording.audio[first : first + 4_000].astype(int)).max() > 300


def test_a_rendered_piece_is_kept_and_used_again(studio):
    audio = studio.play(NOTES)
    (kept,) = studio.rendered.iterdir()
    # The same samples: what is kept is lossless.
    np.testing.assert_array_equal(studio.play(NOTES), audio)
    # It really is what is played: another sound in its place is heard.
    soundfile.write(kept, np.full(1000, 0.5), 16_000)
    assert len(studio.play(NOTES)) == 1000


def test_other_notes_or_instruments_are_rendered_anew(studio):
    studio.play(NOTES)
    studio.play(partial(table, (0.5, 1.5, 70)))
    synthetic.Studio(SoundfontRenderer(gain=0.5), studio.rendered).play(NOTES)
    assert len(list(studio.rendered.iterdir())) == 3


def test_a_damaged_kept_piece_is_rendered_again(studio):
    audio = studio.play(NOTES)
    (kept,) = studio.rendered.iterdir()
    kept.write_bytes(kept.read_bytes()[:1000])
    np.testing.assert_array_equal(studio.play(NOTES), audio)


def test_a_piece_that_cannot_be_kept_is_still_played(studio, tmp_path):
    audio = studio.play(NOTES)
    shutil.rmtree(studio.rendered)
    studio.rendered.write_text("a file where the folder should be")
    np.testing.assert_array_equal(studio.play(NOTES), audio)


def test_midi_files_of_your_own(studio, tmp_path):
    songs = tmp_path / "songs"
    write_notes(songs / "train/a.mid", (0.5, 1.0, 60))
    write_notes(songs / "train/more/b.midi", (0.5, 1.0, 60))
    write_notes(songs / "test/c.mid", (0.5, 1.0, 60))
    (songs / "train/bad.mid").write_bytes(b"no MIDI")
    plan = synthetic.plan_midi(studio, songs)
    assert ids(plan) == {"train": ["train/a", "train/bad", "train/more/b"], "test": ["test/c"]}
    good, bad = (read_track(track) for track in plan.splits["train"][:2])
    assert [recording.id for recording in good.recordings] == ["train/a"]
    assert [skip.reason for skip in bad.skipped] == ["expected a MIDI file"]
    with pytest.raises(CorpusError, match="MIDI files"):
        synthetic.plan_midi(studio, tmp_path / "rendered")
