import dataclasses

import jax
import numpy as np
import pytest

from spectrodiff.audio.features import log_mel, scale
from spectrodiff.core.parallel import make_mesh
from spectrodiff.data.loading.examples import Cutter, ExampleFormat
from spectrodiff.data.pieces import whole
from spectrodiff.data.recordings import Recording
from spectrodiff.training.examples import align_context, read_examples
from tests.support import tiny
from tests.support.corpora import table


def test_valid_frames_move_to_the_front():
    # One bin with the number of the frame; the last two, all, and none of four frames are valid.
    context = np.tile(np.arange(1.0, 5.0, dtype=np.float32)[None, :, None], (3, 1, 1))
    moved, mask = align_context(context, np.array([2, 4, 0]))
    np.testing.assert_array_equal(moved[..., 0], [[3, 4, 0, 0], [1, 2, 3, 4], [0, 0, 0, 0]])
    np.testing.assert_array_equal(mask, [[True, True, False, False], [True] * 4, [False] * 4])


@pytest.mark.parametrize("C", [5, 8, 20])
def test_segments_of_a_recording_are_slices_of_its_spectrogram(C):
    """Targets of 8 frames at 0, 3 and 25 of 30.5 frames, each after up to C frames of context."""
    rng = np.random.default_rng(0)
    audio = rng.integers(-9000, 9000, 30 * 320 + 160, np.int16)
    recording = Recording("a", audio, table((0.1, 0.2, 60)))
    cutter = Cutter(
        whole(recording), ExampleFormat(context_frames=C, target_frames=8, max_tokens=64)
    )
    examples = [cutter.cut(frame) for frame in (0, 3, 25)]
    batch = {
        "tokens": np.ones((3, 4), np.int32),
        "audio": np.stack([example.audio for example in examples]),
        "context_frames": np.array([example.context_frames for example in examples], np.int32),
    }
    mesh = make_mesh(jax.devices()[:1])
    config = dataclasses.replace(tiny.NETWORK, context_frames=C).config()
    examples = jax.jit(lambda batch: read_examples(batch, config, mesh))(batch)
    # Silence after the recording, because targets reach past its end.
    entire = np.asarray(log_mel(np.pad(audio, (0, 30 * 320))))
    for row, (first, context) in enumerate([(0, 0), (3, 3), (25, C)]):
        # Transforms of different lengths round differently, most in quiet frames.
        np.testing.assert_allclose(examples.log_mel[row], entire[first : first + 8], atol=2e-4)
        wanted = np.zeros((C, 128), np.float32)
        wanted[:context] = scale(entire[first - context : first])
        np.testing.assert_allclose(examples.context[row], wanted, atol=2e-5)
        np.testing.assert_array_equal(examples.context_mask[row], np.arange(C) < context)
