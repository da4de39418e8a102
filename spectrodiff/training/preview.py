"""Previews: pictures and audio of examples, rendered by a network during its training."""

from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from spectrodiff.audio.files import write_audio
from spectrodiff.audio.pictures import write_spectrogram
from spectrodiff.core.constants import SAMPLE_RATE
from spectrodiff.core.parallel import make_mesh
from spectrodiff.data.loading.batches import HostBatch
from spectrodiff.training.evaluation import example_seeds
from spectrodiff.training.examples import read_examples
from spectrodiff.training.task import Params, Task


class Preview(NamedTuple):
    """Files of a rendered example; the picture shows it below the recorded one."""

    picture: Path
    sound: Path
    audio: np.ndarray  # float32 [samples]


def write_previews(
    folder: Path, step: int, task: Task, params: Params, examples: HostBatch, count: int
) -> list[Preview]:
    """Renders the first examples, with their true contexts, on one device of this process.

    Args:
        folder: for the pictures and audio files.
        step: number of training steps, part of the file names.
        task: renders.
        params: host arrays.
        examples: to render.
        count: number of examples.
    """
    mesh = make_mesh(jax.local_devices()[:1])
    chosen = {name: values[:count] for name, values in examples.items()}
    batch = jax.jit(lambda batch: read_examples(batch, task.sizes, mesh))(chosen)
    keys = jax.vmap(jax.random.fold_in, (None, 0))(jax.random.key(0), example_seeds(chosen))
    rendered = task.render(params, batch, keys, mesh)
    rows = zip(np.asarray(batch.log_mel), rendered.log_mel, rendered.audio, strict=True)
    return [
        _write(preview_stem(folder, step, number), *example) for number, example in enumerate(rows)
    ]


def preview_stem(folder: Path, step: int, number: int) -> Path:
    """Returns the path of a preview's files, without their suffixes."""
    return folder / f"{step:07d}_{number}"


def _write(stem: Path, recorded: np.ndarray, rendered: np.ndarray, audio: np.ndarray) -> Preview:
    picture, sound = stem.with_suffix(".png"), stem.with_suffix(".wav")
    write_spectrogram(picture, {"recorded": recorded, "rendered": rendered})
    write_audio(sound, audio, SAMPLE_RATE)
    return Preview(picture, sound, audio)
