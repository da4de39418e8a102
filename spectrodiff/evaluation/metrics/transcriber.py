"""What hears notes in audio: any function that does, and MT3, with which the paper was scored."""

import functools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from spectrodiff.audio.features import TRANSCRIPTION, log_mel
from spectrodiff.checkpoints.layouts.mt3 import import_mt3
from spectrodiff.checkpoints.model import Params
from spectrodiff.core.constants import SAMPLE_RATE
from spectrodiff.core.errors import CheckpointError
from spectrodiff.evaluation.metrics.inputs import check_audio
from spectrodiff.models.config import ModelConfig
from spectrodiff.models.mt3 import Mt3, decode_greedily
from spectrodiff.music.detokenizer import decode_tokens
from spectrodiff.music.notes import Notes
from spectrodiff.music.vocabulary import RELEASED_VOCABULARY


class Transcriber(Protocol):
    """Hears the notes in audio."""

    @property
    def name(self) -> str:
        """How reports call it."""
        ...

    def __call__(self, audio: np.ndarray) -> Notes:
        """The notes in mono audio, float32 [samples] at 16 kHz.

        Raises:
            AudioError: if the audio is not mono or empty, or holds NaN.
        """
        ...


class Mt3Transcriber:
    """MT3 as the paper used it: segment by segment, the likeliest token at every step.

    Args:
        config: sizes of the network.
        params: its parameters.
        batch_size: how many segments are decoded side by side.
    """

    name = "MT3"

    def __init__(self, config: ModelConfig, params: Params, *, batch_size: int = 16) -> None:
        self._segment_samples = config.target_frames * TRANSCRIPTION.hop_samples
        self._batch_size = batch_size
        model = nnx.eval_shape(lambda: Mt3(config, rngs=nnx.Rngs(0)))
        definition, _ = nnx.split(model)
        self._params = jax.device_put(params)
        self._decode = jax.jit(functools.partial(_decode, definition, config.note_tokens))

    def __call__(self, audio: np.ndarray) -> Notes:
        """The notes in mono audio, float32 [samples] at 16 kHz.

        Raises:
            AudioError: if the audio is not mono or empty, or holds NaN.
        """
        rows = self.tokens(audio)
        segment_seconds = self._segment_samples / SAMPLE_RATE
        starts = [segment * segment_seconds for segment in range(len(rows))]
        return decode_tokens(list(rows), starts, RELEASED_VOCABULARY).notes

    def tokens(self, audio: np.ndarray) -> np.ndarray:
        """The tokens of all segments, int32 [segments, max tokens]."""
        audio = check_audio(audio, "audio to transcribe")
        rows = [
            np.asarray(self._decode(self._params, samples, num_frames))[:count]
            for samples, num_frames, count in self._batches(audio)
        ]
        return np.concatenate(rows)

    def _batches(self, audio: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray, int]]:
        """Samples [B, segment], numbers of frames int32 [B], and how many rows are of use."""
        length, batch_size = self._segment_samples, self._batch_size
        num_segments = -(-len(audio) // length)
        segments = np.pad(audio, (0, num_segments * length - len(audio))).reshape(-1, length)
        hop = TRANSCRIPTION.hop_samples
        starts = np.arange(num_segments) * length
        num_frames = np.minimum(-(-(len(audio) - starts) // hop), length // hop)
        for first in range(0, num_segments, batch_size):
            # A batch is filled up with its last segment, which takes no more steps than that does.
            rows = np.minimum(np.arange(first, first + batch_size), num_segments - 1)
            count = min(batch_size, num_segments - first)
            yield segments[rows], num_frames[rows].astype(np.int32), count


def load_mt3(folder: str | os.PathLike[str], *, batch_size: int = 16) -> Mt3Transcriber:
    """Loads MT3 from the folder of its published T5X checkpoint.

    Raises:
        CheckpointError: if there is none, or something is wrong with it.
    """
    config, params = import_mt3(Path(folder))
    for name, got, wanted in (
        ("mel bands", config.mel_bins, TRANSCRIPTION.num_mels),
        ("embedding rows", config.vocabulary_size, RELEASED_VOCABULARY.embedding_rows),
    ):
        if got != wanted:
            raise CheckpointError(folder, f"{wanted} {name}", str(got))
    return Mt3Transcriber(config, params, batch_size=batch_size)


def _decode(
    definition: nnx.GraphDef,
    max_tokens: int,
    params: Params,
    samples: jax.Array,
    num_frames: jax.Array,
) -> jax.Array:
    """Samples [B, segment] -> tokens int32 [B, max_tokens]."""
    # Unlike the synthesiser's, the frames at the end of a segment do not see what comes after it:
    # MT3 was trained on segments cut before analysis, and on frames of zeros after the end.
    features = log_mel(samples, TRANSCRIPTION)
    exists = jnp.arange(features.shape[1])[None] < num_frames[:, None]
    features = jnp.where(exists[..., None], features, 0.0)
    return decode_greedily(nnx.merge(definition, params), features, max_tokens)
