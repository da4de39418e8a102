import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from spectrodiff.audio.features import FrontEnd, mel_weights
from spectrodiff.core.errors import AudioError, CheckpointError
from spectrodiff.evaluation.metrics.embeddings.embedding import (
    embed,
    load_trill,
    load_vggish,
    pad_to_whole_seconds,
)
from spectrodiff.evaluation.metrics.embeddings.log_mel_statistics import LogMelStatistics
from spectrodiff.evaluation.metrics.embeddings.onnx_embedding import OnnxEmbedding
from spectrodiff.evaluation.metrics.inputs import check_pair


class Blocks:
    """Vectors that are blocks of 1000 samples: shows the input of an embedding."""

    name = "blocks"

    def __init__(self, sample_rate=16_000):
        self.sample_rate = sample_rate

    def __call__(self, audio):
        return audio.reshape(-1, 1000)


def noise(num_samples, seed=0):
    return (0.1 * np.random.default_rng(seed).standard_normal(num_samples)).astype(np.float32)


@pytest.mark.parametrize(
    ("num_samples", "before", "after"),
    [
        (16_000, 0, 0),
        (48_000, 0, 0),
        (15_998, 1, 1),
        (15_999, 0, 1),  # the odd one comes last
        (16_001, 7_999, 8_000),
        (1, 7_999, 8_000),
    ],
)
def test_padding_is_centered_to_whole_seconds(num_samples, before, after):
    audio = np.ones(num_samples, np.float32)
    expected = np.concatenate([np.zeros(before), audio, np.zeros(after)])
    np.testing.assert_array_equal(pad_to_whole_seconds(audio), expected)


def test_embeddings_are_given_padded_audio_of_their_rate():
    audio = noise(20_000)
    frames = embed(Blocks(), audio, "song")
    assert frames.dtype == np.float32
    np.testing.assert_array_equal(frames.ravel(), np.pad(audio, 6_000))
    # Half a second at 16 kHz is half a second at 32 kHz, padded to a whole one.
    tone = np.sin(2 * np.pi * 440 * np.arange(8_000) / 16_000)
    resampled = embed(Blocks(32_000), tone, "song").ravel()
    assert resampled.shape == (32_000,)
    assert not resampled[:8_000].any()
    assert not resampled[24_000:].any()
    expected = np.sin(2 * np.pi * 440 * np.arange(16_000) / 32_000)
    np.testing.assert_allclose(resampled[10_000:22_000], expected[2_000:14_000], atol=1e-3)


@pytest.mark.parametrize(
    ("audio", "message"),
    [
        (np.zeros(0, np.float32), "at least one sample, got none"),
        (np.zeros((2, 5), np.float32), r"got float32 of shape \(2, 5\)"),
        (np.zeros(5, np.int16), r"got int16 of shape \(5,\)"),
        (np.array([0, 0, np.nan, 0]), "NaN or infinity at sample 2"),
        (np.array([0, np.inf]), "NaN or infinity at sample 1"),
    ],
)
def test_unusable_audio_is_refused(audio, message):
    with pytest.raises(AudioError, match=f"my song: expected .*{message}"):
        embed(LogMelStatistics(), audio, "my song")


def test_songs_of_different_lengths_are_refused():
    song, longer, too_long = noise(16_000), noise(16_000 + 81_920), noise(16_000 + 81_921)
    check_pair(song, longer, "my song")
    check_pair(longer, song, "my song")
    with pytest.raises(AudioError, match=r"my song: .* 5\.12 s, got 1\.00 s .* and 6\.12 s"):
        check_pair(song, too_long, "my song")
    with pytest.raises(AudioError, match="my song: target: expected finite samples"):
        check_pair(song, np.full(16_000, np.nan), "my song")


@pytest.mark.parametrize(
    "frames", [np.zeros((0, 4)), np.zeros(4), np.array([[1.0, np.nan]]), np.zeros((2, 0))]
)
def test_embeddings_that_fail_are_errors(frames):
    class Broken:
        name, sample_rate = "broken", 16_000

        def __call__(self, audio):
            return frames

    with pytest.raises(CheckpointError, match=r"broken: .* for my song"):
        embed(Broken(), noise(100), "my song")


class TestLogMelStatistics:
    def expected(self, audio):
        """Window by window, frame by frame, in float64."""
        window = 0.5 * (1 - np.cos(2 * np.pi * np.arange(640) / 640))
        padded = np.pad(audio.astype(np.float64), (0, 640))
        weights = mel_weights(FrontEnd(num_mels=64))
        rows = []
        for start in range(0, len(audio) - 16_000 + 1, 8_000):
            frames = [
                np.abs(np.fft.rfft(padded[at : at + 640] * window, 1024)) @ weights
                for at in range(start, start + 16_000, 320)
            ]
            log_mel = np.log(np.maximum(frames, 1e-3))
            rows.append(np.concatenate([log_mel.mean(axis=0), log_mel.std(axis=0)]))
        return np.stack(rows)

    @pytest.mark.parametrize("seconds", [1, 2, 3])
    def test_against_frames_one_by_one(self, seconds):
        audio = noise(16_000 * seconds) * np.linspace(0, 1, 16_000 * seconds, dtype=np.float32)
        frames = LogMelStatistics()(audio)
        assert frames.shape == (2 * seconds - 1, 128)
        np.testing.assert_allclose(frames, self.expected(audio), atol=2e-4)

    def test_no_trace_of_the_blocks(self):
        audio = noise(16_000 * 63)
        frames = LogMelStatistics()(audio)
        assert frames.shape == (125, 128)
        # Windows 118 to 122 are around where the second block of 120 begins.
        around = self.expected(audio[118 * 8_000 : 124 * 8_000 + 320])[:5]
        np.testing.assert_allclose(frames[118:123], around, atol=2e-4)

    def test_silence(self):
        frames = LogMelStatistics()(np.zeros(32_000, np.float32))
        np.testing.assert_allclose(frames[:, :64], np.log(1e-3), rtol=1e-6)
        np.testing.assert_allclose(frames[:, 64:], 0, atol=1e-5)


def save_graph(path, shape, nodes, constants, outputs=("vectors",), kind=TensorProto.FLOAT):
    graph = helper.make_graph(
        nodes,
        "embedding",
        [helper.make_tensor_value_info("samples", kind, shape)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(np.array(array), key) for key, array in constants.items()],
    )
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=9), path)
    return path


class TestOnnx:
    @pytest.mark.parametrize("input_shape", [["n"], [1, "n"]])
    @pytest.mark.parametrize("output_shape", [[-1, 1000], [1, -1, 1000]])
    def test_vectors_of_a_graph(self, tmp_path, input_shape, output_shape):
        nodes = [helper.make_node("Reshape", ["samples", "shape"], ["vectors"])]
        path = save_graph(tmp_path / "clap.onnx", input_shape, nodes, {"shape": output_shape})
        embedding = OnnxEmbedding(path)
        assert (embedding.name, embedding.sample_rate) == ("clap", 16_000)
        audio = noise(16_000)
        np.testing.assert_array_equal(embed(embedding, audio, "song"), audio.reshape(16, 1000))

    def test_one_vector_for_all(self, tmp_path):
        nodes = [
            helper.make_node("Reshape", ["samples", "shape"], ["rows"]),
            helper.make_node("ReduceMean", ["rows"], ["vectors"], axes=[0], keepdims=0),
        ]
        path = save_graph(tmp_path / "a.onnx", ["n"], nodes, {"shape": [-1, 1000]})
        audio = noise(16_000)
        frames = embed(OnnxEmbedding(path), audio, "song")
        np.testing.assert_allclose(frames, audio.reshape(16, 1000).mean(axis=0)[None], atol=1e-6)

    def test_audio_is_resampled_to_the_graphs_rate(self, tmp_path):
        nodes = [helper.make_node("Reshape", ["samples", "shape"], ["vectors"])]
        path = save_graph(tmp_path / "a.onnx", ["n"], nodes, {"shape": [-1, 48_000]})
        frames = embed(OnnxEmbedding(path, sample_rate=48_000), noise(32_000), "song")
        assert frames.shape == (2, 48_000)

    def test_unusable_graphs_are_refused(self, tmp_path):
        nodes = [helper.make_node("Reshape", ["samples", "shape"], ["vectors"])]
        with pytest.raises(CheckpointError, match="no such file"):
            OnnxEmbedding(tmp_path / "missing.onnx")
        path = save_graph(tmp_path / "a.onnx", [1, 1, "n"], nodes, {"shape": [-1, 10]})
        with pytest.raises(CheckpointError, match="expected an ONNX graph from float samples"):
            OnnxEmbedding(path)
        cast = [helper.make_node("Cast", ["samples"], ["vectors"], to=TensorProto.FLOAT)]
        path = save_graph(tmp_path / "b.onnx", ["n"], cast, {}, kind=TensorProto.INT64)
        with pytest.raises(CheckpointError, match=r"got one from samples \['n'\] tensor\(int64\)"):
            OnnxEmbedding(path)
        path = save_graph(tmp_path / "c.onnx", ["n"], nodes, {"shape": [-1, 2, 5, 10]})
        with pytest.raises(CheckpointError, match=r"output of shape \(160, 2, 5, 10\)"):
            OnnxEmbedding(path)(noise(16_000))
        path = save_graph(tmp_path / "d.onnx", ["n"], nodes, {"shape": [7, 11]})
        with pytest.raises(CheckpointError, match=r"d\.onnx: expected an ONNX graph"):
            OnnxEmbedding(path)(noise(16_000))


def test_missing_weights_say_where_they_are_and_what_stays_empty(tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    for load, source, words in [
        (load_vggish, tmp_path / "vggish.npz", "audioset/vggish_model.ckpt"),
        (load_vggish, tmp_path / "hub", "tfhub.dev/google/vggish/1"),
        (load_vggish, empty, "got a folder without saved_model.pb"),
        (load_trill, tmp_path / "hub", "nonsemantic-speech-benchmark/trill/3"),
    ]:
        with pytest.raises(CheckpointError, match=words) as failure:
            load(source)
        assert failure.value.subject == str(source)
        name = "TRILL" if load is load_trill else "VGGish"
        assert f"'{name} reconstruction' and '{name} FAD' stay empty" in str(failure.value)
