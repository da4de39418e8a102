"""What a network sounds and looks like while it is being trained."""

from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from spectrodiff.audio.files import write_audio
from spectrodiff.audio.pictures import write_spectrogram
from spectrodiff.core.constants import SAMPLE_RATE
from spectrodiff.core.parallel import make_mesh
from spectrodiff.training.evaluation import Examples, example_seeds
from spectrodiff.training.examples import read_segments
from spectrodiff.training.state import Params
from spectrodiff.training.task import Objective


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
    played = objective.play(params, segment, keys, mesh)
    recorded = np.asarray(segment.log_mel)
    return [
        _write(preview_stem(folder, step, number), *example)
        for number, example in enumerate(zip(recorded, played.log_mel, played.audio, strict=True))
    ]


def preview_stem(folder: Path, step: int, number: int) -> Path:
    """The path of a preview's files, without their suffixes."""
    return folder / f"{step:07d}_{number}"


def _write(stem: Path, recorded: np.ndarray, played: np.ndarray, audio: np.ndarray) -> Preview:
    picture, sound = stem.with_suffix(".png"), stem.with_suffix(".wav")
    write_spectrogram(picture, {"recorded": recorded, "played": played})
    write_audio(sound, audio, SAMPLE_RATE)
    return Preview(picture, sound, audio)
