"""Corpora rendered by FluidSynth: composed songs and MIDI files."""

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
from spectrodiff.data.recordings import Unusable, read_group
from tests.support.corpora import table, write_notes

NOTES = partial(table, (0.5, 1.5, 69))


@pytest.fixture
def renderer(tmp_path) -> synthetic.CachedRenderer:
    if shutil.which("fluidsynth") is None:
        pytest.skip("FluidSynth is not installed")
    return synthetic.CachedRenderer(SoundfontRenderer(), tmp_path / "rendered")


def ids(plan) -> dict[str, list[str]]:
    return {split: [group.id for group in groups] for split, groups in plan.splits.items()}


def test_audio_and_notes_of_a_composed_song_agree(renderer):
    plan = synthetic.plan_composed(renderer, NARROW, songs=3, seed=7)
    names = [id for split in ids(plan).values() for id in split]
    assert sorted(names) == [f"seed7-{n:06d}" for n in range(3)]
    assert len(plan.splits["validation"]) == 1
    group = plan.splits["train"][0]
    (recording,) = read_group(group).recordings
    expected = compose(7, NARROW, int(group.id[-6:]))
    np.testing.assert_array_equal(recording.notes.pitch, expected.pitch)
    assert len(recording.audio) == round(expected.total_seconds * 16_000)
    # Silence before the first note, and audio in the first quarter of a second of it.
    first = round(expected.onset_seconds.min() * 16_000)
    assert np.abs(recording.audio[: max(0, first - 32)], dtype=int).max(initial=0) <= 2
    assert np.abs(recording.audio[first : first + 4_000].astype(int)).max() > 300


def test_a_rendered_song_is_cached(renderer):
    audio = renderer.render(NOTES)
    (cached,) = renderer.cache.iterdir()
    # The cache is lossless.
    np.testing.assert_array_equal(renderer.render(NOTES), audio)
    # The cache is used: other audio in the file is returned.
    soundfile.write(cached, np.full(1000, 0.5), 16_000)
    assert len(renderer.render(NOTES)) == 1000


def test_songs_longer_than_an_hour_are_left_out(renderer):
    with pytest.raises(Unusable, match=r"longer than an hour.*3600\.5 s"):
        renderer.render(partial(table, (0.5, 3600.5, 69)))
    assert not renderer.cache.exists()


def test_other_notes_or_settings_are_rendered_anew(renderer):
    renderer.render(NOTES)
    renderer.render(partial(table, (0.5, 1.5, 70)))
    synthetic.CachedRenderer(SoundfontRenderer(gain=0.5), renderer.cache).render(NOTES)
    assert len(list(renderer.cache.iterdir())) == 3


def test_a_damaged_cache_file_is_rendered_again(renderer):
    audio = renderer.render(NOTES)
    (cached,) = renderer.cache.iterdir()
    cached.write_bytes(cached.read_bytes()[:1000])
    np.testing.assert_array_equal(renderer.render(NOTES), audio)


def test_a_song_that_cannot_be_cached_is_rendered(renderer):
    audio = renderer.render(NOTES)
    shutil.rmtree(renderer.cache)
    renderer.cache.write_text("a file in place of the folder")
    np.testing.assert_array_equal(renderer.render(NOTES), audio)


def test_a_folder_of_midi_files(renderer, tmp_path):
    songs = tmp_path / "songs"
    write_notes(songs / "train/a.mid", (0.5, 1.0, 60))
    write_notes(songs / "train/more/b.midi", (0.5, 1.0, 60))
    write_notes(songs / "test/c.mid", (0.5, 1.0, 60))
    (songs / "test/c.mid").rename(songs / "test/c.KAR")
    write_notes(songs / "test/twice.mid", (0.5, 1.0, 60))
    (songs / "test/twice.rmi").touch()
    (songs / "test/loop").symlink_to(songs)
    (songs / "train/bad.mid").write_bytes(b"no MIDI")
    plan = synthetic.plan_midi(renderer, songs)
    assert ids(plan) == {"train": ["train/a", "train/bad", "train/more/b"], "test": ["test/c"]}
    assert {(skip.id, skip.reason) for skip in plan.skipped} == {
        ("test/twice", "several MIDI files with the same name"),
        ("test/loop", "link to a folder that is read anyway"),
    }
    good, bad = (read_group(group) for group in plan.splits["train"][:2])
    assert [recording.id for recording in good.recordings] == ["train/a"]
    assert [skip.reason for skip in bad.skipped] == ["expected a MIDI file"]
    with pytest.raises(CorpusError, match="MIDI files"):
        synthetic.plan_midi(renderer, tmp_path / "rendered")
