import types

import numpy as np
import pytest

from spectrodiff.core.errors import AudioError, ConfigError
from spectrodiff.core.files import write_array
from spectrodiff.evaluation.metrics.minutes import Score
from spectrodiff.evaluation.protocol import EvaluationSong, Protocol
from spectrodiff.evaluation.settings import Row
from spectrodiff.evaluation.store import (
    SongFiles,
    feature_key,
    open_store,
    read_array,
)
from tests.support.notation import note_table

MODEL, RAW = Row("model"), Row("raw", "raw")


def corpus(name="pairs/own", split="test", max_minutes=10.0):
    protocol = Protocol(max_minutes=max_minutes)
    return types.SimpleNamespace(name=name, split=split, protocol=protocol)


def described(**changes):
    return {"model": {"source": "model", "steps": 10, "inverter": "griffin-lim", **changes}}


def test_going_on_with_the_same_and_with_more(tmp_path):
    for rows, corpora in (
        (described(), [corpus()]),
        (described(), [corpus()]),
        (described() | {"raw": {"source": "raw"}}, [corpus(), corpus("maestro/v3")]),
        (described(), [corpus()]),
    ):
        open_store(tmp_path / "out", rows, corpora, write=True)
    # What was known once is not forgotten by an evaluation of less.
    with pytest.raises(ConfigError, match=r"evaluation.json: split of maestro/v3: expected test"):
        open_store(tmp_path / "out", described(), [corpus("maestro/v3", "validation")], write=True)


def test_what_came_about_in_another_way_is_refused(tmp_path):
    open_store(tmp_path, described(), [corpus()], write=True)
    for rows, corpora, message in (
        (
            described(steps=20),
            [corpus()],
            r"steps of model: expected 10, .*another --out\), got 20",
        ),
        (described(model="ab"), [corpus()], "model of model: expected None"),
        ({"model": {"source": "raw"}}, [corpus()], "inverter of model: expected griffin-lim"),
        (described(), [corpus(max_minutes=1.0)], "max_minutes of pairs/own: expected 10.0"),
    ):
        with pytest.raises(ConfigError, match=message):
            open_store(tmp_path, rows, corpora, write=True)
    open_store(tmp_path, described(), [corpus()], write=True)


def test_folders_of_other_things_are_refused(tmp_path):
    (tmp_path / "thesis.tex").write_text("")
    with pytest.raises(ConfigError, match="a new or empty folder, or that of an evaluation"):
        open_store(tmp_path, described(), [corpus()], write=True)


def test_only_one_process_writes(tmp_path):
    open_store(tmp_path / "out", described(), [corpus()], write=False)
    assert not (tmp_path / "out").exists()


def test_rows_that_differ_in_the_inverter_share_features():
    key = feature_key(described()["model"])
    assert key == feature_key(described(inverter="other.onnx 0123")["model"])
    assert key != feature_key(described(steps=20)["model"])


def song(level=0.1):
    rows = [(0.1, 0.2, 60, 100, 0, False)]
    notes = note_table(rows, 0.1)
    return EvaluationSong("2018/one", np.full(1600, level, np.float32), notes, notes)


def test_a_folder_is_of_one_recording(tmp_path):
    files = SongFiles(tmp_path, "pairs/own", "2018/one")
    files.claim(song())
    files.claim(song())
    assert files.folder.parent == tmp_path / "media/pairs/own"
    with pytest.raises(ConfigError, match=r"pairs/own: 2018/one: expected the recording and notes"):
        files.claim(song(level=0.2))


def test_audio_is_scored_as_it_is_stored(tmp_path):
    files = SongFiles(tmp_path, "pairs/own", "one")
    audio = np.array([0.1, -0.5, 1 / 32768, 0.4 / 32768, 2.0], np.float32)
    files.write_audio(MODEL, audio)
    stored = files.read_audio(MODEL)
    # To the nearest of 16 bits, and clipped.
    expected = np.array([3277, -16384, 1, 0, 32767]) / 32768
    np.testing.assert_array_equal(stored, expected.astype(np.float32))


def test_scores(tmp_path):
    files = SongFiles(tmp_path, "pairs/own", "one")
    assert files.read_scores(MODEL) == {}
    scores = {"signal": {"log_mel_l1": Score(0.1 + 0.2, [0.1, None])}, "mt3-1": {}}
    files.write_scores(MODEL, scores)
    assert files.read_scores(MODEL) == scores
    assert files.read_scores(RAW) == {}


def test_the_true_audio_is_embedded_once(tmp_path):
    files = SongFiles(tmp_path, "pairs/own", "one")
    assert files.embedding(None, "vggish-1") == files.embedding(RAW, "vggish-1")
    assert files.embedding(MODEL, "vggish-1") != files.embedding(RAW, "vggish-1")
    assert files.embedding(MODEL, "vggish-1") != files.embedding(MODEL, "vggish-2")


def test_arrays(tmp_path):
    array = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
    write_array(tmp_path / "a.npy", array)
    np.testing.assert_array_equal(read_array(tmp_path / "a.npy"), array)
    data = (tmp_path / "a.npy").read_bytes()
    for end in (0, 20, len(data) - 1):
        (tmp_path / "a.npy").write_bytes(data[:end])
        with pytest.raises(AudioError, match="a stored array"):
            read_array(tmp_path / "a.npy")
