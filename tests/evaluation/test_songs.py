import numpy as np
import pytest

from spectrodiff.commands.prepare import main as prepare
from spectrodiff.core.errors import CorpusError
from spectrodiff.data.recordings import Recording
from spectrodiff.evaluation.songs import cut_recording, longest_song, open_corpora
from tests.support.corpora import write_notes, write_tone
from tests.support.notation import note_rows, note_table


def recording(seconds, *rows):
    audio = np.arange(round(seconds * 16_000)).astype(np.int16)
    return Recording("one", audio, note_table(rows, seconds))


def note(onset, offset):
    return onset, offset, 60, 100, 0, False


def test_the_first_minutes_and_their_notes():
    song = cut_recording(recording(4.0, note(0.5, 1), note(1, 3.5), note(2.5, 4)), 2.5 / 60)
    assert len(song.audio) == 40_000
    np.testing.assert_array_equal(song.audio[:3], [0, 1 / 32768, 2 / 32768])
    # The second note is cut; the third begins just where the audio ends.
    assert note_rows(song.notes) == [note(0.5, 1), note(1, 2.5)]
    assert song.notes.total_seconds == 2.5
    whole = cut_recording(recording(4.0, note(0.5, 1)), 10)
    assert (len(whole.audio), whole.notes.total_seconds) == (64_000, 4.0)


def test_a_beginning_without_notes_is_refused():
    with pytest.raises(CorpusError, match=r"one: expected notes in its first 1\.0 s, got none"):
        cut_recording(recording(4.0, note(2, 3)), 1 / 60)


def test_checksums_change_with_audio_and_notes():
    song = recording(1.0, note(0.1, 0.2), note(0.3, 0.4))
    others = [
        recording(1.0, note(0.1, 0.2), note(0.3, 0.5)),
        recording(1.0, note(0.1, 0.2)),
        Recording("one", song.audio[::-1].copy(), song.notes),
    ]
    checksums = {cut_recording(other, 10).checksum for other in [song, song, *others]}
    assert len(checksums) == 4


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    home = tmp_path_factory.mktemp("corpora")
    for number, seconds in enumerate((0.5, 1.0, 0.7)):
        name = home / "pairs" / ("train" if number == 0 else "test") / str(number)
        write_tone(name.with_suffix(".wav"), seconds)
        write_notes(name.with_suffix(".mid"), (0.1, 0.3, 60 + number))
    prepare(["pairs", "--source", str(home / "pairs"), "--data_dir", str(home / "data")])
    return home / "data"


def test_opening(data_dir, caplog):
    def names(*datasets, songs=None):
        corpora = open_corpora(datasets, data_dir, "test", songs=songs, max_minutes=10)
        return [
            (corpus.name, corpus.split, [corpus[number].id for number in range(len(corpus))])
            for corpus in corpora
        ]

    assert names("pairs") == [("pairs/own", "test", ["test/1", "test/2"])]
    assert names("pairs/own:train") == [("pairs/own", "train", ["train/0"])]
    assert names("pairs", songs=1) == [("pairs/own", "test", ["test/1"])]
    assert not caplog.records
    (corpus,) = open_corpora(["pairs"], data_dir, "test", songs=5, max_minutes=10)
    assert (len(corpus), corpus.asked) == (2, 5)
    assert "5 songs were asked for, there are 2" in caplog.text
    assert longest_song([corpus]).id == "test/1"


def test_what_cannot_be_opened(data_dir):
    for datasets, message in (
        (["pairs:validation"], "one of the splits train, test, got validation"),
        (["maestro"], "the prepared corpus maestro in"),
        (["pairs", "pairs/own"], "corpora that are named once"),
        (["pairs:train[:10%]"], r"recordings in the split train\[:10%\], got none"),
        (["pairs:train[nonsense"], "a split in the notation of TFDS"),
    ):
        with pytest.raises(CorpusError, match=message):
            open_corpora(datasets, data_dir, "test", songs=None, max_minutes=10)
