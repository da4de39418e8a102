"""SavedModels, with a stand-in for TensorFlow and, if installed, TensorFlow itself."""

import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap

import numpy as np
import pytest

from spectrodiff.core.errors import CheckpointError
from spectrodiff.evaluation.metrics.embeddings.embedding import embed, load_trill, load_vggish
from tests.support.patience import PATIENCE_SECONDS

# The process of an embedding imports this in place of TensorFlow. Tensors are arrays, and what a
# SavedModel does is written in its saved_model.pb.
STAND_IN = """
import os
import pathlib

import numpy as np

# As TensorFlow, it looks for accelerators when it is imported.
VISIBLE = os.environ.get("CUDA_VISIBLE_DEVICES")
float32 = np.float32
constant = np.asarray


def vggish(waveform):
    return waveform.reshape(-1, 8000)


def trill(samples, sample_rate):
    assert sample_rate == 16_000
    return {"embedding": samples.reshape(-1, 4000), "layer19": None}


def surroundings(waveform):
    return np.array([[os.getpid(), VISIBLE == ""]])


def dying(waveform):
    os.kill(os.getpid(), 9)


MODELS = {"vggish": vggish, "trill": trill, "surroundings": surroundings, "dying": dying}


class saved_model:
    @staticmethod
    def load(folder):
        return MODELS[(pathlib.Path(folder) / "saved_model.pb").read_text()]
"""
STAND_IN_HUB = """
import tensorflow

def load(url):
    return tensorflow.MODELS["trill" if "trill" in url else "vggish"]
"""


@pytest.fixture
def tensorflow(tmp_path, monkeypatch):
    """Makes stand-ins for TensorFlow and TensorFlow Hub importable."""
    (tmp_path / "tensorflow.py").write_text(STAND_IN)
    (tmp_path / "tensorflow_hub.py").write_text(STAND_IN_HUB)
    monkeypatch.syspath_prepend(tmp_path)


@pytest.fixture
def saved(tmp_path):
    """Writes a SavedModel of the stand-in."""

    def save(model):
        folder = tmp_path / model
        folder.mkdir()
        (folder / "saved_model.pb").write_text(model)
        return folder

    return save


def noise(num_samples):
    return np.random.default_rng(0).normal(size=num_samples).astype(np.float32)


def test_vggish_is_called_with_samples_alone(tensorflow, saved):
    vggish = load_vggish(saved("vggish"))
    assert (vggish.name, vggish.sample_rate) == ("VGGish", 16_000)
    audio = noise(32_000)
    np.testing.assert_array_equal(embed(vggish, audio, "song"), audio.reshape(4, 8000))


def test_trill_is_called_by_name(tensorflow):
    trill = load_trill("https://tfhub.dev/google/nonsemantic-speech-benchmark/trill/3")
    assert (trill.name, trill.sample_rate) == ("TRILL", 16_000)
    audio = noise(16_000)
    np.testing.assert_array_equal(embed(trill, audio, "song"), audio.reshape(4, 4000))


def test_it_runs_elsewhere_without_accelerators_and_ends_with_its_object(tensorflow, saved):
    embedding = load_vggish(saved("surroundings"))
    (pid, hidden), (again, _) = (embed(embedding, noise(16_000), "song")[0] for _ in range(2))
    assert pid == again != os.getpid()
    assert hidden == 1
    assert "VGGish" in [child.name for child in multiprocessing.active_children()]
    del embedding
    assert "VGGish" not in [child.name for child in multiprocessing.active_children()]


def test_it_ends_with_its_parent(tensorflow, saved, tmp_path):
    """Also if the parent is killed, and has no time to end it."""
    script = textwrap.dedent(
        f"""
        import os, signal
        import numpy as np
        from spectrodiff.evaluation.metrics.embeddings.embedding import load_vggish
        if __name__ == "__main__":
            embedding = load_vggish({str(saved("surroundings"))!r})
            print(int(embedding(np.zeros(16_000, np.float32))[0, 0]), flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
        """
    )
    (tmp_path / "script.py").write_text(script)
    path = os.pathsep.join([str(tmp_path), *sys.path])
    # Standard output is at its end when the last process that holds it has ended.
    done = subprocess.run(
        [sys.executable, tmp_path / "script.py"],
        stdout=subprocess.PIPE,
        text=True,
        timeout=PATIENCE_SECONDS,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert done.returncode == -signal.SIGKILL
    assert int(done.stdout) > 0


def test_a_process_that_dies_is_an_error(tensorflow, saved):
    embedding = load_vggish(saved("dying"))
    for _ in range(2):
        with pytest.raises(CheckpointError, match=r"VGGish to answer, got .* ended by SIGKILL"):
            embed(embedding, noise(16_000), "song")


def test_another_model_is_refused(tensorflow, saved):
    trill = load_trill(saved("vggish"))
    with pytest.raises(CheckpointError, match="the SavedModel of TRILL"):
        embed(trill, noise(16_000), "song")


def test_damaged_models_are_refused(tensorflow, saved):
    with pytest.raises(CheckpointError, match="the SavedModel of VGGish, published at"):
        load_vggish(saved("nonsense"))


def test_tensorflow_is_asked_for(tensorflow, saved, tmp_path):
    (tmp_path / "tensorflow.py").write_text("raise ModuleNotFoundError('no tensorflow')")
    with pytest.raises(CheckpointError, match="pip install 'tensorflow>="):
        load_vggish(saved("vggish"))


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
