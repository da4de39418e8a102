"""Adapter of basic-pitch, with a stand-in for the package and, if installed, the package itself."""

import importlib.util
import logging
import sys

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from spectrodiff.core.errors import AudioError, CheckpointError
from spectrodiff.evaluation.metrics.transcription.basic_pitch import BasicPitch
from tests.support.notation import note_rows

# How the package's authors cut audio at 22,050 Hz: windows of 43,844 samples, neighbors
# overlapping by 30 frames of 256.
WINDOW, HOP = 43_844, 43_844 - 30 * 256
FRAMES, ONSETS = "StatefulPartitionedCall:1", "StatefulPartitionedCall:2"

# Stands for the package: a note for every pitch whose loudest frame is over the threshold.
NOTE_CREATION = """
import numpy as np

def output_to_notes_polyphonic(frames, onsets, *, onset_thresh, frame_thresh, min_note_len,
                               infer_onsets, min_freq, max_freq, melodia_trick, energy_tol):
    assert (melodia_trick, energy_tol) == (False, 11)
    assert (onset_thresh, frame_thresh, min_note_len, infer_onsets) == (0.5, 0.3, 11, True)
    return [(3, 20, 21 + pitch, frames[3:20, pitch].mean()) for pitch in np.flatnonzero(
        onsets.max(axis=0) > onset_thresh)]

def model_frames_to_time(n_frames):
    return np.arange(n_frames) / 100
"""


def noise(num_samples, seed=0):
    return (0.1 * np.random.default_rng(seed).standard_normal(num_samples)).astype(np.float32)


def save_model(path):
    """Saves a graph that returns the first sample of each of 172 frames, and that sample plus 1."""
    picked = np.arange(172) * 256
    nodes = [
        helper.make_node("Gather", ["serving_default_input_2:0", "frames"], ["first"], axis=1),
        helper.make_node("Mul", ["first", "ones"], ["StatefulPartitionedCall:1"]),
        helper.make_node(
            "Add", ["StatefulPartitionedCall:1", "one"], ["StatefulPartitionedCall:2"]
        ),
    ]
    constants = {
        "frames": picked,
        "ones": np.ones((1, 1, 88), np.float32),
        "one": np.ones((1, 1, 1), np.float32),
    }
    shape = ["batch", WINDOW, 1]
    graph = helper.make_graph(
        nodes,
        "pitches",
        [helper.make_tensor_value_info("serving_default_input_2:0", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(x, TensorProto.FLOAT, None) for x in (FRAMES, ONSETS)],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=9), path)


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Stand-in for the package, which warns at import like the real one."""
    folder = tmp_path / "basic_pitch"
    (folder / "saved_models/icassp_2022").mkdir(parents=True)
    (folder / "__init__.py").write_text("import logging; logging.warning('no TensorFlow')")
    (folder / "note_creation.py").write_text(NOTE_CREATION)
    save_model(folder / "saved_models/icassp_2022/nmp.onnx")
    for name in ("basic_pitch", "basic_pitch.note_creation"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    yield folder
    for name in ("basic_pitch", "basic_pitch.note_creation"):
        sys.modules.pop(name, None)


def test_windows_are_cut_and_joined_as_by_the_package(package):
    # Ten windows, so that there is more than one batch; the last is not whole.
    audio = noise(9 * HOP + 20_000)
    frames, onsets = BasicPitch().activations(audio)
    # Of a window's 172 frames the middle 142 are kept. The first is where the window's hop begins,
    # since the audio has 15 frames of silence before it.
    expected = [
        audio[window * HOP + frame * 256] if window * HOP + frame * 256 < len(audio) else 0
        for window in range(10)
        for frame in range(142)
    ]
    num_frames = int(len(audio) * 86 / 22_050)
    assert frames.shape == onsets.shape == (num_frames, 88)
    np.testing.assert_array_equal(frames, np.tile(expected[:num_frames], (88, 1)).T)
    np.testing.assert_allclose(onsets, frames + 1)


def test_notes(package):
    # Too soft for notes without onsets.
    notes = BasicPitch()(np.full(32_000, 0.25, np.float32))
    assert len(notes) == 88
    onset, offset, pitch, velocity, program, is_drum = note_rows(notes)[-1]
    assert (onset, offset, pitch, program, is_drum) == (0.03, 0.2, 108, 0, False)
    assert velocity == pytest.approx(127 * 0.25, abs=1)


def test_notes_without_onsets(package):
    # All pitches sound all the time; until 0.2 s the notes of the package explain that.
    notes = BasicPitch()(np.full(32_000, 0.5, np.float32))
    later = notes.onset_seconds > 0.1
    assert np.count_nonzero(~later) == 88
    assert notes.onset_seconds[later].min() >= 0.2


def test_progress_is_reported_in_seconds(package):
    # Ten windows in batches of eight, each of which brings 142 frames.
    audio, reported = noise(9 * HOP + 20_000), []
    BasicPitch().activations(audio, reported.append)
    np.testing.assert_allclose(reported, [8 * HOP / 22_050, len(audio) / 22_050])


def test_audio_too_short_for_a_note(package):
    assert len(BasicPitch()(noise(2_000))) == 0


def test_importing_the_package_leaves_logging_alone(package, caplog):
    handlers, disabled = list(logging.root.handlers), logging.root.manager.disable
    BasicPitch()
    assert not caplog.records
    assert (logging.root.handlers, logging.root.manager.disable) == (handlers, disabled)


def test_unusable_audio_is_refused(package):
    with pytest.raises(AudioError, match="NaN or infinity at sample 3"):
        BasicPitch()(np.array([0, 0, 0, np.nan], np.float32))


def test_missing_package_and_model(package, monkeypatch):
    model = package / "saved_models/icassp_2022/nmp.onnx"
    model.rename(package / "model.onnx")
    with pytest.raises(CheckpointError, match="no such file"):
        BasicPitch()
    (package / "model.onnx").rename(model)
    (package / "note_creation.py").write_text("import no_such_resampler")
    sys.modules.pop("basic_pitch.note_creation", None)
    with pytest.raises(CheckpointError, match="pip install --no-deps basic-pitch"):
        BasicPitch()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(CheckpointError, match="got no such package"):
        BasicPitch()


@pytest.mark.skipif(not importlib.util.find_spec("basic_pitch"), reason="needs basic-pitch")
def test_the_package_itself_hears_a_scale():
    pitches, second = [60, 64, 67, 72], np.arange(8_000) / 16_000
    turns = [440 * 2 ** ((pitch - 69) / 12) * second for pitch in pitches]
    tones = [sum(np.sin(2 * np.pi * k * turn) / k for k in range(1, 6)) for turn in turns]
    audio = np.concatenate([0.2 * tone * np.exp(-3 * second) for tone in tones])
    notes = BasicPitch()(audio.astype(np.float32))
    # Overtones can be transcribed as well.
    heard = sorted(row for row in note_rows(notes) if row[2] in pitches)
    assert [row[2] for row in heard] == pitches
    np.testing.assert_allclose([row[0] for row in heard], [0, 0.5, 1.0, 1.5], atol=0.05)
