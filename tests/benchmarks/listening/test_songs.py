"""Songs of the bench."""

import numpy as np
import pytest

from tests.support.sounds import HELD_BACK


@pytest.mark.parametrize("form", ["short", "long"])
def test_songs_of_a_form(form):
    from listening.songs import FORMS, bench_songs

    songs = bench_songs(FORMS[form], HELD_BACK)
    assert len({song.name for song in songs}) == len(songs)
    assert len({song.checksum for song in songs}) == len(songs)
    groups = {name: [p for p in songs if p.group == name] for name in {p.group for p in songs}}
    if form == "short":
        assert len(groups["held back"]) == 6
        assert {song.notes.total_seconds for song in groups["held back"]} == {15.0}
    else:
        assert len(groups["held back"]) == 20
    keys = [p for song in groups["notes"] if song.notes.program[0] == 0 for p in song.notes.pitch]
    assert keys == list(range(21, 109, 4 if form == "short" else 1))
    for song in groups["notes"]:
        rests = song.notes.onset_seconds[1:] - song.notes.offset_seconds[:-1]
        np.testing.assert_allclose(rests, 0.5)
    for song in groups["bands"]:
        assert song.notes.is_drum.any()
        programs = set(song.notes.program[~song.notes.is_drum].tolist())
        assert len(programs) >= 3
        assert programs.isdisjoint({0, 24, 33, 48, 73})


def test_studies_have_their_voices_and_rhythms():
    from listening import songs

    def voices(notes):
        return max(
            ((notes.onset_seconds <= t) & (notes.offset_seconds > t)).sum()
            for t in notes.onset_seconds
        )

    assert voices(songs.ten_voices()) == 10
    upper = songs.fast().onset_seconds[songs.fast().pitch >= 60]
    np.testing.assert_allclose(np.diff(np.sort(upper)), 60 / 240 / 2)
    np.testing.assert_allclose(np.diff(songs.repeats().onset_seconds), 0.1)
    hits = set(songs.groove().onset_seconds.tolist())
    beats = set(songs.piano_with_groove().onset_seconds.tolist())
    assert beats < hits
    assert len(hits) == 2 * len(beats)  # half of the hits have no piano note


def test_longer_notes_end_with_the_first_seconds():
    from listening.songs import first_seconds, make_notes

    notes = first_seconds(make_notes([0, 1, 2], 1.5, [60, 61, 62], total_seconds=9), 2)
    assert notes.pitch.tolist() == [60, 61]
    assert notes.offset_seconds.tolist() == [1.5, 2.0]
    assert notes.total_seconds == 2
