import pytest

from spectrodiff.core.errors import CheckpointError, ConfigError
from spectrodiff.evaluation.metrics.transcription import transcribe
from spectrodiff.evaluation.scoring import open_metrics as module
from spectrodiff.evaluation.scoring.open_metrics import open_metrics
from spectrodiff.evaluation.settings import Evaluation

PAPER = {
    "vggish_reconstruction",
    "vggish_frechet",
    "trill_reconstruction",
    "trill_frechet",
    "transcription_f1_full",
}


def columns(metrics):
    return [column.name for metric in metrics for column in metric.columns]


def test_without_weights_the_papers_columns_are_empty_and_it_is_said_why(caplog):
    metrics, missing = open_metrics(Evaluation())
    assert [metric.id for metric in metrics] == ["signal", "log_mel_statistics"]
    assert columns(metrics) == [
        "aligned_log_mel_l1",
        "log_mel_l1",
        "spectral_distance",
        "loudness_error_db",
        "joins",
        "log_mel_statistics_reconstruction",
        "log_mel_statistics_frechet",
    ]
    assert {column.name for one in missing for column in one.columns if column.paper} == PAPER
    assert len(caplog.records) == 3  # a line for each file
    assert (
        "the weights of VGGish: Evaluation.vggish names no weights; published at "
        "https://tfhub.dev/google/vggish/1; the columns 'VGGish rec.', 'VGGish FAD' stay empty"
    ) in caplog.text


def test_weights_that_are_not_there(tmp_path, caplog):
    paths = {name: str(tmp_path / name) for name in ("vggish", "trill", "mt3")}
    _, missing = open_metrics(
        Evaluation(vggish=paths["vggish"], trill=paths["trill"], transcriber=paths["mt3"])
    )
    by_name = {column.name: one for one in missing for column in one.columns}
    assert by_name.keys() >= PAPER
    assert by_name["trill_frechet"].file == paths["trill"]
    assert by_name["transcription_f1_full"].published == "gs://mt3/checkpoints/mt3/"
    assert all(one.reason == "no such file or folder" for one in missing)
    assert caplog.text.count("no such file or folder") == 3


def test_weights_that_are_there_and_cannot_be_used_are_an_error(tmp_path):
    (tmp_path / "vggish.npz").write_bytes(b"nonsense")
    (tmp_path / "empty").mkdir()
    for settings, message in (
        ({"vggish": str(tmp_path / "vggish.npz")}, "a complete npz file of arrays"),
        ({"trill": str(tmp_path / "empty")}, "a folder without saved_model.pb"),
        ({"transcriber": str(tmp_path / "empty")}, "the T5X checkpoint of MT3"),
        ({"onnx": (str(tmp_path / "none.onnx"),)}, "no such file"),
    ):
        with pytest.raises(CheckpointError, match=message):
            open_metrics(Evaluation(**settings))


class Named:
    sample_rate = 16_000

    def __init__(self, path):
        self.name = path.removesuffix(".onnx")


def test_onnx_embeddings_have_columns_of_their_own(monkeypatch):
    monkeypatch.setattr(module, "OnnxEmbedding", Named)
    metrics, _ = open_metrics(Evaluation(onnx=("clap.onnx", "encodec.onnx")))
    assert "clap_frechet" in columns(metrics)
    assert not any(column.paper for metric in metrics for column in metric.columns)
    # Two of one name, or one that would fill a column that is not its own.
    for paths in (
        ("clap.onnx", "CLAP.onnx"),
        ("vggish.onnx",),
        ("VGGish.onnx",),
        ("log-mel statistics.onnx",),
    ):
        with pytest.raises(ConfigError, match=r"Evaluation.onnx: expected files with names"):
            open_metrics(Evaluation(onnx=paths))


@pytest.mark.parametrize("size", [None, 5])
def test_the_transcriber_decodes_as_many_segments_as_it_is_told(monkeypatch, tmp_path, size):
    class Stand:
        name, tells_programs = "MT3", True

        def __init__(self, folder, batch_size):
            assert (folder, batch_size) == (str(tmp_path), size)

    monkeypatch.setattr(transcribe, "load_mt3", Stand)
    metrics, _ = open_metrics(Evaluation(transcriber=str(tmp_path), transcriber_batch_size=size))
    assert "transcription_f1_full" in columns(metrics)


def test_basic_pitch_leaves_the_papers_column_empty(monkeypatch, caplog):
    class Stand:
        name, tells_programs = "basic-pitch", False

    monkeypatch.setattr(transcribe, "BasicPitch", Stand)
    metrics, missing = open_metrics(Evaluation(transcriber="basic_pitch"))
    assert columns(metrics)[-2:] == ["onset_f1", "onset_offset_f1"]
    assert metrics[-1].id == "basic_pitch-package"
    (full,) = [one for one in missing if "transcription_f1_full" in columns([one])]
    assert full.reason == "basic-pitch recognizes neither instruments nor drums"
