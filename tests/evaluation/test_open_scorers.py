import pytest

from spectrodiff.core.errors import CheckpointError, ConfigError
from spectrodiff.evaluation import open_scorers as module
from spectrodiff.evaluation.open_scorers import open_scorers
from spectrodiff.evaluation.settings import Evaluation

PAPER = {
    "vggish_reconstruction",
    "vggish_frechet",
    "trill_reconstruction",
    "trill_frechet",
    "transcription_f1_full",
}


def columns(scorers):
    return [metric.name for scorer in scorers for metric in scorer.metrics]


def test_without_weights_the_papers_columns_are_empty_and_it_is_said_why(caplog):
    scorers, missing = open_scorers(Evaluation())
    assert [scorer.id for scorer in scorers] == ["signal", "log_mel_statistics"]
    assert columns(scorers) == [
        "log_mel_l1",
        "spectral_distance",
        "log_mel_statistics_reconstruction",
        "log_mel_statistics_frechet",
    ]
    assert {one.metric.name for one in missing if one.metric.paper} == PAPER
    assert len(caplog.records) == 3  # a line for each file
    assert (
        "the weights of VGGish: Evaluation.vggish names no weights; published at "
        "https://tfhub.dev/google/vggish/1; the columns 'VGGish rec.', 'VGGish FAD' stay empty"
    ) in caplog.text


def test_weights_that_are_not_there(tmp_path, caplog):
    paths = {name: str(tmp_path / name) for name in ("vggish", "trill", "mt3")}
    _, missing = open_scorers(
        Evaluation(vggish=paths["vggish"], trill=paths["trill"], transcriber=paths["mt3"])
    )
    by_name = {one.metric.name: one for one in missing}
    assert by_name.keys() >= PAPER
    assert by_name["trill_frechet"].file == paths["trill"]
    assert by_name["transcription_f1_full"].published == "gs://mt3/checkpoints/mt3/"
    assert all(one.reason == "no such file or folder" for one in missing)
    assert caplog.text.count("no such file or folder") == 3


def test_weights_that_are_there_and_cannot_be_used_are_an_error(tmp_path):
    (tmp_path / "vggish.npz").write_bytes(b"nonsense")
    (tmp_path / "empty").mkdir()
    for settings, message in (
        ({"vggish": str(tmp_path / "vggish.npz")}, "a whole npz file of arrays"),
        ({"trill": str(tmp_path / "empty")}, "a folder without saved_model.pb"),
        ({"transcriber": str(tmp_path / "empty")}, "the T5X checkpoint of MT3"),
        ({"onnx": (str(tmp_path / "none.onnx"),)}, "no such file"),
    ):
        with pytest.raises(CheckpointError, match=message):
            open_scorers(Evaluation(**settings))


class Named:
    sample_rate = 16_000

    def __init__(self, path):
        self.name = path.removesuffix(".onnx")


def test_onnx_embeddings_have_columns_of_their_own(monkeypatch):
    monkeypatch.setattr(module, "OnnxEmbedding", Named)
    scorers, _ = open_scorers(Evaluation(onnx=("clap.onnx", "encodec.onnx")))
    assert "clap_frechet" in columns(scorers)
    assert not any(metric.paper for scorer in scorers for metric in scorer.metrics)
    # Two of one name, or one that would fill a column that is not its own.
    for paths in (("clap.onnx", "CLAP.onnx"), ("vggish.onnx",), ("log-mel statistics.onnx",)):
        with pytest.raises(ConfigError, match=r"Evaluation.onnx: expected files with names"):
            open_scorers(Evaluation(onnx=paths))


def test_basic_pitch_leaves_the_papers_column_empty(monkeypatch, caplog):
    class Stand:
        name = "basic-pitch"

    monkeypatch.setattr("spectrodiff.evaluation.metrics.basic_pitch.BasicPitch", Stand)
    scorers, missing = open_scorers(Evaluation(transcriber="basic_pitch"))
    assert columns(scorers)[-2:] == ["onset_f1", "onset_offset_f1"]
    assert scorers[-1].id == "basic_pitch-package"
    (full,) = [one for one in missing if one.metric.name == "transcription_f1_full"]
    assert full.reason == "basic-pitch tells neither instruments nor drums"
