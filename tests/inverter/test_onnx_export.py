import sys

import numpy as np
import onnx
import pytest

from spectrodiff.core.errors import CheckpointError, ConfigError
from spectrodiff.inverter import InversionStream, OnnxInverter
from spectrodiff.inverter.onnx_export import check_export, export_onnx
from spectrodiff.inverter.trained import TrainedInverter
from tests.support.inverters import KINDS, random_features, random_inverter


@pytest.fixture(scope="module", params=KINDS)
def exported(request, tmp_path_factory):
    """An inverter and the graph made of it."""
    stored, path = random_inverter(request.param), tmp_path_factory.mktemp("onnx") / "inverter.onnx"
    export_onnx(stored, path)
    return stored, path


def test_both_give_the_same_audio(exported):
    stored, path = exported
    ours, theirs = TrainedInverter(*stored), OnnxInverter(path)
    assert theirs.period_frames == ours.period_frames
    assert theirs.reach_frames == ours.reach_frames
    for count in (1, 45, 300):
        features = random_features(count, seed=count)
        wanted = ours(features)
        audio = theirs(features)
        np.testing.assert_allclose(audio, wanted, atol=1e-4 * np.abs(wanted).max())
    stream = InversionStream(theirs)
    pieces = [stream.push(part) for part in np.split(features, [50, 130])]
    streamed = np.concatenate([*pieces, stream.finish()])
    np.testing.assert_allclose(streamed, wanted, atol=1e-4 * np.abs(wanted).max())


def test_it_has_the_released_interface(exported):
    _, path = exported
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    (entry,), (result,) = model.graph.input, model.graph.output
    assert entry.name == "input_features"
    sizes = [axis.dim_param or axis.dim_value for axis in entry.type.tensor_type.shape.dim]
    assert sizes == [1, "frames", 128]
    assert len(result.type.tensor_type.shape.dim) == 2


def test_a_graph_that_gives_other_audio_is_refused(exported, tmp_path):
    stored, path = exported
    model = onnx.load(path)
    weights = max(model.graph.initializer, key=lambda tensor: len(tensor.raw_data))
    values = onnx.numpy_helper.to_array(weights) * 1.01
    weights.CopyFrom(onnx.numpy_helper.from_array(values, weights.name))
    changed = tmp_path / "changed.onnx"
    onnx.save(model, changed)
    with pytest.raises(CheckpointError, match="audio that differs by less than"):
        check_export(stored, changed, changed)


def test_metadata_of_a_graph_are_checked(exported, tmp_path):
    model = onnx.load(exported[1])
    for key, name, message in (
        ("context", "reach", "from 1 to 512"),
        ("period", "period", "from 1 to 64"),
    ):
        onnx.helper.set_model_props(model, {f"spectrodiff_{key}_frames": "-3"})
        path = tmp_path / f"{name}.onnx"
        onnx.save(model, path)
        with pytest.raises(CheckpointError, match=message):
            getattr(OnnxInverter(path), f"{name}_frames")


def test_without_onnx_and_interrupted(exported, tmp_path, monkeypatch):
    stored, _ = exported
    with monkeypatch.context() as patched:
        patched.setitem(sys.modules, "onnx", None)
        with pytest.raises(ConfigError, match=r"got no onnx \(to install them: pip install 'onnx"):
            export_onnx(stored, tmp_path / "a.onnx")

    def interrupted(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr("spectrodiff.inverter.onnx_export.check_export", interrupted)
    with pytest.raises(KeyboardInterrupt):
        export_onnx(stored, tmp_path / "a.onnx")
    assert not list(tmp_path.iterdir())
