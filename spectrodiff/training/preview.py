"""What a network sounds and looks like while it is being trained."""

from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from spectrodiff.audio import write_audio
from spectrodiff.features import SAMPLE_RATE, unscale
from spectrodiff.pictures import write_spectrogram
from spectrodiff.synthesis.segments import SegmentBatch, make_mesh
from spectrodiff.training.evaluation import Examples, example_seeds
from spectrodiff.training.objective import Objective
from spectrodiff.training.segments import read_segments
from spectrodiff.training.state import Params
from spectrodiff.vocoder import GriffinLim


class Preview(NamedTuple):
    """One segment as it was recorded and as the network plays it."""

    picture: Path  # both spectrograms
    sound: Path
    audio: np.ndarray  # float32 [samples]


def write_previews(
    folder: Path, step: int, objective: Objective, params: Params, examples: Examples, count: int
) -> list[Preview]:
    """Plays the first examples, with their true contexts, on one device of this process.

    Args:
        folder: for the pictures and sounds.
        step: how long the network was trained.
        objective: what the network was trained to do.
        params: host arrays.
        examples: what to play.
        count: how many of them.
    """
    mesh = make_mesh(jax.local_devices()[:1])
    chosen = {name: values[:count] for name, values in examples.items()}
    segment = jax.jit(lambda batch: read_segments(batch, objective.config, mesh))(chosen)
    keys = jax.vmap(jax.random.fold_in, (None, 0))(jax.random.key(0), example_seeds(chosen))
    C, M = objective.config.context_frames, objective.config.mel_bins
    context, mask = segment.context, segment.context_mask
    if context is None or mask is None:
        context, mask = jnp.zeros((len(keys), C, M)), jnp.zeros((len(keys), C), bool)
    batch = SegmentBatch(chosen["tokens"], context, np.asarray(mask), keys)
    log_mels = np.asarray(unscale(objective.generator(params, mesh)(batch)))
    return [
        _write(folder / f"{step:07d}_{number}", recorded, played)
        for number, (recorded, played) in enumerate(
            zip(np.asarray(segment.log_mel), log_mels, strict=True)
        )
    ]


def _write(stem: Path, recorded: np.ndarray, played: np.ndarray) -> Preview:
    picture, sound = stem.with_suffix(".png"), stem.with_suffix(".wav")
    audio = GriffinLim()(played)
    write_spectrogram(picture, {"recorded": recorded, "played": played})
    write_audio(sound, audio, SAMPLE_RATE)
    return Preview(picture, sound, audio)
