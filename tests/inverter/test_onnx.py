import logging
import resource

import numpy as np
import pytest
from onnx import helper

from spectrodiff.core.errors import AudioError, CheckpointError
from spectrodiff.core.onnx_graph import Graph
from spectrodiff.inverter import OnnxInverter
from spectrodiff.inverter.onnx import open_session
from tests.support.limits import Limited
from tests.support.onnx_graphs import save_convolution, save_graph


@pytest.fixture
def released(golden):
    return golden / "checkpoints/diffusers/melgan/model.onnx"


@pytest.mark.parametrize("device", ["auto", "cpu", "gpu"])
def test_audio_is_that_of_the_released_pipeline(golden, released, device):
    arrays = np.load(golden / "checkpoints/melgan_io.npz")
    audio = OnnxInverter(released, device)(arrays["input_features"][0])
    assert audio.shape == (40 * 320,)
    assert audio.dtype == np.float32
    np.testing.assert_allclose(audio, arrays["audio"][0], atol=1e-4)


def test_wanted_but_missing_gpu_is_said(released, caplog, monkeypatch):
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: ["CPUExecutionProvider"])
    with caplog.at_level(logging.WARNING):
        OnnxInverter(released, "auto")
        assert not caplog.records
        OnnxInverter(released, "gpu")
    assert "runs on the CPU: this onnxruntime has no CUDA support" in caplog.text


def test_reach_is_measured(released, tmp_path):
    # A transposed convolution of kernel 640, stride 320, padding 160: half a frame to either side.
    assert OnnxInverter(released).reach_frames == 1
    for reach in (0, 5, 32, 50):
        graph = save_convolution(tmp_path / f"{reach}.onnx", reach)
        assert OnnxInverter(graph).reach_frames == reach


def test_an_inverter_with_unlimited_reach_cannot_stream(tmp_path):
    nodes = [
        helper.make_node("ReduceMean", ["input_features"], ["mean"], axes=[1], keepdims=1),
        helper.make_node("Sub", ["input_features", "mean"], ["centered"]),
        helper.make_node("ReduceMean", ["centered"], ["frames"], axes=[2], keepdims=1),
        helper.make_node("Tile", ["frames", "repeats"], ["repeated"]),
        helper.make_node("Reshape", ["repeated", "shape"], ["audio"]),
    ]
    constants = [
        ("repeats", np.array([1, 1, 320], np.int64)),
        ("shape", np.array([1, -1], np.int64)),
    ]
    inverter = OnnxInverter(save_graph(tmp_path / "global.onnx", nodes, constants))
    assert inverter(np.zeros((3, 128))).shape == (960,)
    with pytest.raises(CheckpointError, match="a reach below 512 frames"):
        _ = inverter.reach_frames


def test_damaged_files_are_refused(released, tmp_path):
    data = released.read_bytes()
    for name, content in [("empty", b""), ("text", b"hello"), ("cut", data[: len(data) // 2])]:
        (tmp_path / name).write_bytes(content)
        with pytest.raises(CheckpointError, match=f"{name}: expected"):
            OnnxInverter(tmp_path / name)
    with pytest.raises(CheckpointError, match="expected an ONNX file, got no such file"):
        OnnxInverter(tmp_path / "missing.onnx")


def test_a_file_larger_than_the_format_allows(tmp_path):
    path = tmp_path / "large.onnx"
    with path.open("wb") as file:
        file.truncate((1 << 31) + 1)  # no byte of it is on the disk
    with pytest.raises(CheckpointError, match="at most 2 GiB"):
        OnnxInverter(path, "cpu")


def test_large_constants_are_not_computed_beforehand(tmp_path):
    graph = Graph()
    many = graph.add("ConstantOfShape", graph.integers(100 << 20))
    small = graph.part(graph.add("Reshape", many, graph.integers(1, 1, -1)), 0, 1)
    audio = graph.add("Add", "input_features", small, output="audio")
    path = tmp_path / "large.onnx"
    ports = [{name: (np.float32, [1, "frames", 128])} for name in ("input_features", audio)]
    path.write_bytes(graph.model("large", *ports).SerializeToString())
    # onnxruntime goes on without the constant where memory is limited: the peak counts.
    with Limited("onnxruntime", OnnxInverter.__module__, memory_bytes=4 << 30) as child:
        assert child.run(opening_kilobytes, path) < 100_000


def opening_kilobytes(path):
    """Growth of the largest memory of this process when an inverter is opened."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    OnnxInverter(path, "cpu")
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before


@pytest.mark.parametrize("settings", [{"name": "mel"}, {"mels": 80}, {"inputs": 2}])
def test_other_inputs_are_refused(tmp_path, settings):
    node = helper.make_node("Identity", [settings.get("name", "input_features")], ["audio"])
    path = save_graph(tmp_path / "a.onnx", [node], **settings)
    with pytest.raises(CheckpointError, match=r"from input_features \(1, frames, 128\)"):
        OnnxInverter(path)


def test_other_output_lengths_are_refused(tmp_path):
    inverter = OnnxInverter(save_convolution(tmp_path / "a.onnx", 1, samples_per_frame=256))
    with pytest.raises(CheckpointError, match=r"output of shape \(1, 2560\) from 10 frames"):
        inverter(np.zeros((10, 128)))


def test_graph_that_fails_is_reported(tmp_path):
    nodes = [helper.make_node("Reshape", ["input_features", "shape"], ["audio"])]
    constants = [("shape", np.array([7, 11], np.int64))]
    inverter = OnnxInverter(save_graph(tmp_path / "a.onnx", nodes, constants))
    with pytest.raises(CheckpointError, match=r"a\.onnx: expected an ONNX graph") as failure:
        inverter(np.zeros((10, 128)))
    assert "\n" not in str(failure.value)


def test_unusable_features_are_refused(released):
    inverter = OnnxInverter(released)
    with pytest.raises(AudioError, match="NaN or infinity in frame 0"):
        inverter(np.full((5, 128), np.nan))
    with pytest.raises(AudioError, match=r"shape \(0, 128\)"):
        inverter(np.zeros((0, 128)))
    with pytest.raises(AudioError, match=r"shape \(5, 64\)"):
        inverter(np.zeros((5, 64)))


class RefusedSession:
    """A session of an onnxruntime whose GPU provider cannot start: it falls back silently."""

    def __init__(self, path, options, providers):
        self.asked = providers

    def get_providers(self):
        return ["CPUExecutionProvider"]


class AcceptedSession(RefusedSession):
    def get_providers(self):
        return self.asked


@pytest.mark.parametrize(
    ("session", "device", "warned"),
    [
        (RefusedSession, "gpu", True),
        (RefusedSession, "auto", True),
        (RefusedSession, "cpu", False),
        (AcceptedSession, "gpu", False),
    ],
)
def test_a_refused_gpu_is_said(released, caplog, monkeypatch, session, device, warned):
    cuda = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: cuda)
    monkeypatch.setattr("onnxruntime.preload_dlls", lambda: None, raising=False)
    monkeypatch.setattr("onnxruntime.InferenceSession", session)
    monkeypatch.setattr("onnxruntime.__version__", "1.31.1")
    with caplog.at_level(logging.WARNING):
        opened = open_session(released, device)
    assert opened.asked == (cuda if device != "cpu" else cuda[1:])
    said = f"{released} runs on the CPU: onnxruntime-gpu 1.31.1 could not use a GPU. It needs"
    assert (said in caplog.text) == warned
