import pytest

from spectrodiff.commands.prepare import main as prepare
from spectrodiff.core.errors import CorpusError
from spectrodiff.evaluation.songs import longest_song, open_corpora
from tests.support.corpora import write_notes, write_tone


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
        corpora = open_corpora(datasets, data_dir, "test", songs=songs)
        return [
            (corpus.name, corpus.split, [corpus[number].id for number in range(len(corpus))])
            for corpus in corpora
        ]

    assert names("pairs") == [("pairs/own", "test", ["test/1", "test/2"])]
    assert names("pairs/own:train") == [("pairs/own", "train", ["train/0"])]
    assert names("pairs", songs=1) == [("pairs/own", "test", ["test/1"])]
    assert not caplog.records
    (corpus,) = open_corpora(["pairs"], data_dir, "test", songs=5)
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
            open_corpora(datasets, data_dir, "test", songs=None)
