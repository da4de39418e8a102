"""SavedModels, with a stand-in for TensorFlow and, if installed, TensorFlow itself."""

import sys
import types

import numpy as np
import pytest

from spectrodiff.core.errors import CheckpointError
from spectrodiff.evaluation.metrics.embeddings.embedding import embed, load_trill, load_vggish


class FakeTrill:
    def __call__(self, samples, sample_rate):
        assert sample_rate == 16_000
        return {"embedding": samples.reshape(-1, 4000), "layer19": None}


class FakeVggish:
    def __call__(self, waveform):
        return waveform.reshape(-1, 8000)


@pytest.fixture
def tensorflow(monkeypatch):
    """Stand-in module whose SavedModels are in a dict and whose tensors are arrays."""
    module = types.ModuleType("tensorflow")
    module.float32 = np.float32
    module.constant = np.asarray
    module.loaded = {}
    module.saved_model = types.SimpleNamespace(load=lambda source: module.loaded[source])
    hub = types.ModuleType("tensorflow_hub")
    hub.load = lambda url: module.loaded[url]
    monkeypatch.setitem(sys.modules, "tensorflow", module)
    monkeypatch.setitem(sys.modules, "tensorflow_hub", hub)
    return module


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "saved_model.pb").write_bytes(b"")
    return tmp_path


def noise(num_samples):
    return np.random.default_rng(0).normal(size=num_samples).astype(np.float32)


def test_vggish_is_called_with_samples_alone(tensorflow, folder):
    tensorflow.loaded[str(folder)] = FakeVggish()
    vggish = load_vggish(folder)
    assert (vggish.name, vggish.sample_rate) == ("VGGish", 16_000)
    audio = noise(32_000)
    np.testing.assert_array_equal(embed(vggish, audio, "song"), audio.reshape(4, 8000))


def test_trill_is_called_by_name(tensorflow):
    url = "https://tfhub.dev/google/nonsemantic-speech-benchmark/trill/3"
    tensorflow.loaded[url] = FakeTrill()
    trill = load_trill(url)
    assert (trill.name, trill.sample_rate) == ("TRILL", 16_000)
    audio = noise(16_000)
    np.testing.assert_array_equal(embed(trill, audio, "song"), audio.reshape(4, 4000))


def test_another_model_is_refused(tensorflow, folder):
    tensorflow.loaded[str(folder)] = FakeVggish()
    with pytest.raises(CheckpointError, match="the SavedModel of TRILL"):
        embed(load_trill(folder), noise(16_000), "song")


def test_damaged_models_are_refused(tensorflow, folder):
    with pytest.raises(CheckpointError, match="the SavedModel of VGGish, published at"):
        load_vggish(folder)


def test_tensorflow_is_asked_for(monkeypatch, folder):
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    with pytest.raises(CheckpointError, match=r"pip install 'spectrodiff\[tensorflow\]'"):
        load_vggish(folder)


def test_saved_models(tmp_path):
    tf = pytest.importorskip("tensorflow")

    class Vggish(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None], tf.float32)])
        def __call__(self, waveform):
            return tf.reshape(waveform, [-1, 8000])

    class Trill(tf.Module):
        @tf.function(
            input_signature=[
                tf.TensorSpec([None], tf.float32, "samples"),
                tf.TensorSpec([], tf.int32, "sample_rate"),
            ]
        )
        def __call__(self, samples, sample_rate):
            frames = tf.reshape(samples, [-1, 4000])
            return {"embedding": frames * tf.cast(sample_rate, tf.float32), "layer19": frames}

    tf.saved_model.save(Vggish(), str(tmp_path / "vggish"))
    tf.saved_model.save(Trill(), str(tmp_path / "trill"))
    audio = noise(32_000)
    vggish, trill = load_vggish(tmp_path / "vggish"), load_trill(tmp_path / "trill")
    np.testing.assert_array_equal(embed(vggish, audio, "song"), audio.reshape(4, 8000))
    np.testing.assert_array_equal(embed(trill, audio, "song"), 16_000 * audio.reshape(8, 4000))
    with pytest.raises(CheckpointError, match="the SavedModel of TRILL"):
        embed(load_trill(tmp_path / "vggish"), audio, "song")
    (tmp_path / "vggish/saved_model.pb").write_bytes(b"nonsense")
    with pytest.raises(CheckpointError, match="the SavedModel of VGGish"):
        load_vggish(tmp_path / "vggish")
