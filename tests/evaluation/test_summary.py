"""Results of an evaluation against the same numbers computed from the stored scores."""

import dataclasses
import json
import types

import numpy as np
import pytest

from spectrodiff.core.errors import CorpusError
from spectrodiff.core.files import write_array
from spectrodiff.evaluation.columns import Column, embedding_columns
from spectrodiff.evaluation.metrics.distances import Statistics, frechet_distance
from spectrodiff.evaluation.metrics.minutes import Score
from spectrodiff.evaluation.protocol import ALIGNED, EvaluationSong
from spectrodiff.evaluation.results import Speed, write_results
from spectrodiff.evaluation.scoring.embedding import EmbeddingMetric
from spectrodiff.evaluation.scoring.open_metrics import MissingMetric
from spectrodiff.evaluation.scoring.signal import SignalMetric
from spectrodiff.evaluation.settings import Evaluation, Row
from spectrodiff.evaluation.store import SongFiles
from spectrodiff.evaluation.summary import Summarizer
from tests.support.notation import note_table

MODEL, RAW = Row("model", title="Our model"), Row("raw", "raw")


class Corpus:
    split = "test"
    protocol = ALIGNED

    def __init__(self, name, *seconds, asked=None):
        self.name, self.asked = name, asked or len(seconds)
        self._seconds = seconds

    def __len__(self):
        return len(self._seconds)

    def __getitem__(self, number):
        audio = np.zeros(round(self._seconds[number] * 16_000), np.float32)
        return EvaluationSong(f"{self.name} {number}", audio, *[note_table([], 0.0)] * 2)


EMBEDDING = EmbeddingMetric(types.SimpleNamespace(name="VGGish", sample_rate=16_000), "0123")


def embeddings(name, frames=30):
    """Embeddings of the model and of the recording, different for every song."""
    seed = sum(name.encode())
    rng = np.random.default_rng(seed)
    return rng.normal(1, 2, (frames, 3)), rng.normal(size=(frames, 3))


def store(root, corpus):
    for number in range(len(corpus)):
        song = corpus[number]
        files = SongFiles(root, corpus.name, song.id)
        prediction, target = embeddings(song.id)
        distance = float(np.linalg.norm(prediction - target, axis=1).mean())
        for row, factor, vectors in ((MODEL, 1.0, prediction), (RAW, 0.0, target)):
            signal = {
                "log_mel_l1": Score(factor * (number + 1), [factor]),
                "spectral_distance": Score(factor * 10, [factor]),
                "aligned_log_mel_l1": Score(factor, [factor]),
                "loudness_error_db": Score(factor, [factor]),
                # Songs of one segment have no join.
                "joins": Score(None if number else 1.5, [None]),
            }
            reconstruction = {"vggish_reconstruction": Score(factor * distance, [0.0])}
            files.write_scores(row, {"signal": signal, "vggish-0123": reconstruction})
            write_array(files.embedding(row, EMBEDDING.id), vectors.astype(np.float32))


@pytest.fixture
def summarizer(tmp_path):
    missing = [
        MissingMetric(
            embedding_columns("TRILL"), "weights/trill", "https://example.org", "no such folder"
        )
    ]
    settings = Evaluation(replicates=20)
    return Summarizer(tmp_path, settings, [MODEL, RAW], [SignalMetric(), EMBEDDING], missing)


def summarize(summarizer, *corpora, speeds=None, model="runs/a"):
    """Contents of `scores.json`."""
    results = summarizer.summarize(corpora, model=model, device="cpu", speeds=speeds or {})
    write_results(summarizer.root, results)
    text = (summarizer.root / "scores.json").read_text()
    assert "NaN" not in text
    return json.loads(text)


@pytest.fixture
def summary(summarizer):
    corpora = [Corpus("a/x", 2.0, 3.0), Corpus("b/y", 61.0, asked=4)]
    for corpus in corpora:
        store(summarizer.root, corpus)
    return summarize(summarizer, *corpora)


def test_secrets_in_the_address_of_a_model_are_not_stored(summarizer):
    store(summarizer.root, corpus := Corpus("a/x", 2.0, 3.0))
    address = "https://me:secret@host/m.zip?signature=secret"
    summary = summarize(summarizer, corpus, model=address)
    assert summary["model"] == "https://***@host/m.zip?signature=***"
    assert "secret" not in json.dumps(summary)


def test_what_it_is_of(summary):
    assert (summary["format"], summary["model"], summary["device"]) == (1, "runs/a", "cpu")
    assert summary["title"] == "Evaluation of runs/a"
    assert summary["rows"] == [
        {"name": "model", "title": "Our model", "source": "model"},
        {"name": "raw", "title": "Raw", "source": "raw"},
    ]
    assert summary["settings"]["replicates"] == 20
    assert summary["settings"]["protocol"] == "aligned"
    assert summary["settings"]["segment_frames"] == 256
    assert summary["settings"]["trims_references"] is False
    first, second = summary["corpora"]
    assert (first["name"], first["songs"], first["asked"], first["seconds"]) == ("a/x", 2, 2, 5.0)
    assert (second["name"], second["songs"], second["asked"]) == ("b/y", 1, 4)
    assert summary["speed"] is None


def test_columns(summary):
    paper = [metric["name"] for metric in summary["metrics"] if metric["paper"]]
    assert sorted(paper) == sorted(
        f"{name}_{kind}" for name in ("vggish", "trill") for kind in ("reconstruction", "frechet")
    )
    by_name = {metric["name"]: metric for metric in summary["metrics"]}
    assert by_name["spectral_distance"] == {
        "name": "spectral_distance",
        "title": "Spectral distance",
        "better": "lower",
        "paper": False,
    }
    assert summary["missing"][0] == {
        "metric": "trill_reconstruction",
        "file": "weights/trill",
        "published": "https://example.org",
        "reason": "no such folder",
    }
    assert "trill_frechet" not in summary["mean"]["model"]


def test_songs(summary):
    song = summary["corpora"][0]["per_song"][1]
    assert (song["song"], song["seconds"]) == ("a/x 1", 3.0)
    assert song["scores"]["model"]["log_mel_l1"] == 2.0
    assert song["minutes"]["model"]["spectral_distance"] == [1.0]
    assert song["scores"]["raw"]["vggish_reconstruction"] == 0.0
    assert song["media"]["model"].startswith("media/a/x/a_x_1-")
    assert song["media"]["model"].endswith("/model.flac")


def test_scores_of_corpora(summary):
    scores = summary["corpora"][0]["scores"]
    l1 = scores["model"]["log_mel_l1"]
    assert l1["value"] == 1.5
    assert 1.0 <= l1["low"] <= 1.5 <= l1["high"] <= 2.0
    frechet = scores["model"]["vggish_frechet"]
    parts = [embeddings(f"a/x {number}") for number in (0, 1)]
    prediction, target = (
        Statistics.of(np.concatenate(vectors).astype(np.float32))
        for vectors in zip(*parts, strict=True)
    )
    assert frechet["value"] == pytest.approx(frechet_distance(prediction, target), rel=1e-9)
    assert frechet["frames"] == 60
    # Sixty frames are too few to extrapolate from.
    assert frechet["extrapolated"] is None
    assert frechet["low"] < frechet["high"]
    distances = [np.linalg.norm(ours - theirs, axis=1).mean() for ours, theirs in parts]
    expected = pytest.approx(np.mean(distances), rel=1e-6)
    assert scores["model"]["vggish_reconstruction"]["value"] == expected
    assert scores["raw"]["vggish_frechet"]["value"] == pytest.approx(0, abs=1e-9)
    alone = summary["corpora"][1]["scores"]["model"]["vggish_frechet"]
    assert alone["low"] is None  # one song


def test_corpora_count_alike(summary):
    first, second = (corpus["scores"]["model"] for corpus in summary["corpora"])
    assert summary["mean"]["model"]["log_mel_l1"] == (1.5 + 1.0) / 2
    assert summary["mean"]["model"]["vggish_frechet"] == pytest.approx(
        (first["vggish_frechet"]["value"] + second["vggish_frechet"]["value"]) / 2
    )
    assert summary["mean"]["raw"]["spectral_distance"] == 0


def test_never_of_fewer_songs_than_there_are(summarizer):
    corpus = Corpus("a/x", 1.0, 1.0, 1.0)
    store(summarizer.root, corpus)
    files = SongFiles(summarizer.root, "a/x", "a/x 1")
    stored = files.read_scores(MODEL)
    files.write_scores(MODEL, {"signal": stored["signal"]})
    with pytest.raises(CorpusError, match=r"a/x: expected scores of 3 songs, got 2 \(not of a/x 1"):
        summarize(summarizer, corpus)


def test_speed_is_that_of_the_model(summarizer):
    rows = [Row("encoded", "encoded"), Row("model"), Row("raw", "raw")]
    summarizer = dataclasses.replace(summarizer, rows=rows, metrics=[], missing=[])
    corpus = Corpus("a/x", 1.0)
    encoded = Speed(inversion=1.0, both=1.0, note="on a CPU")
    speeds = {"encoded": encoded, "model": Speed(2.0, 2.0, 2.0)}
    summary = summarize(summarizer, corpus, speeds=speeds)
    assert summary["speed"] == {"features": 2.0, "inversion": 2.0, "both": 2.0, "note": ""}
    assert summary["speeds"]["encoded"] == {
        "features": None,
        "inversion": 1.0,
        "both": 1.0,
        "note": "on a CPU",
    }
    assert summarize(summarizer, corpus, speeds={"encoded": encoded})["speed"]["both"] == 1.0
    assert summarize(summarizer, corpus)["speed"] is None


def test_titles_of_columns():
    assert embedding_columns("VGGish") == (
        Column("vggish_reconstruction", "VGGish rec.", "lower", paper=True),
        Column("vggish_frechet", "VGGish FAD", "lower", paper=True),
    )
    assert not embedding_columns("log-mel statistics")[0].paper
