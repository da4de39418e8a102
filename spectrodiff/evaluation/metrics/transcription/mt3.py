"""Transcription by MT3, as in the paper."""

import functools
import os
from collections.abc import Iterator
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from spectrodiff.audio.features import TRANSCRIPTION, log_mel
from spectrodiff.checkpoints.layouts.mt3 import import_mt3
from spectrodiff.core.config import require
from spectrodiff.core.constants import SAMPLE_RATE
from spectrodiff.core.errors import CheckpointError
from spectrodiff.evaluation.metrics.inputs import check_audio
from spectrodiff.evaluation.metrics.transcription.transcriber import Report
from spectrodiff.models.config import ModelConfig
from spectrodiff.models.definition import Definition, Params, define
from spectrodiff.models.mt3 import Mt3, decode_greedily
from spectrodiff.music.detokenizer import decode_tokens
from spectrodiff.music.notes import Notes
from spectrodiff.music.vocabulary import RELEASED_VOCABULARY


class Mt3Transcriber:
    """MT3 as used in the paper: segments are decoded independently and greedily.

    Args:
        config: sizes of the network.
        params: parameters of the network.
        batch_size: number of segments that are decoded together, which changes only the time; by
            default 16 on a CPU and 64 on other devices, whose steps hardly take longer then.

    Raises:
        ConfigError: if `batch_size` is below 1.
    """

    name = "MT3"
    tells_programs = True

    def __init__(
        self, config: ModelConfig, params: Params, *, batch_size: int | None = None
    ) -> None:
        if batch_size is None:
            batch_size = 16 if jax.default_backend() == "cpu" else 64
        require(batch_size >= 1, "batch_size", "a whole number >= 1", batch_size)
        self._segment_samples = config.target_frames * TRANSCRIPTION.hop_samples
        self._batch_size = batch_size
        self._params = jax.device_put(params)
        self._decode = jax.jit(functools.partial(_decode, define(Mt3, config), config.note_tokens))

    def __call__(self, audio: np.ndarray, report: Report | None = None) -> Notes:
        """Transcribes mono audio; all notes have velocity 127, since MT3 does not predict it.

        Args:
            audio: float32 [samples] at 16 kHz.
            report: is called after each batch of segments.

        Raises:
            AudioError: if the audio is not mono or empty, or holds NaN.
        """
        rows = self.tokens(audio, report)
        segment_seconds = self._segment_samples / SAMPLE_RATE
        starts = [segment * segment_seconds for segment in range(len(rows))]
        return decode_tokens(list(rows), starts, RELEASED_VOCABULARY).notes

    def tokens(self, audio: np.ndarray, report: Report | None = None) -> np.ndarray:
        """Returns the tokens of all segments, int32 [segments, max tokens]."""
        audio = check_audio(audio, "audio to transcribe")
        rows: list[np.ndarray] = []
        done = 0
        for samples, num_frames, count in self._batches(audio):
            rows.append(np.asarray(self._decode(self._params, samples, num_frames))[:count])
            done = min(done + count * self._segment_samples, len(audio))
            if report:
                report(done / SAMPLE_RATE)
        return np.concatenate(rows)

    def _batches(self, audio: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray, int]]:
        """Yields samples [B, segment], numbers of frames int32 [B] and the number of valid rows."""
        length, batch_size = self._segment_samples, self._batch_size
        segment_frames = length // TRANSCRIPTION.hop_samples
        # MT3 fills up the last frame with zeros; where it is full, a frame of zeros follows.
        all_frames = len(audio) // TRANSCRIPTION.hop_samples + 1
        all_segments = -(-all_frames // segment_frames)
        for first in range(0, all_segments, batch_size):
            count = min(batch_size, all_segments - first)
            samples = audio[first * length : (first + count) * length]
            segments = np.pad(samples, (0, count * length - len(samples))).reshape(-1, length)
            starts = (first + np.arange(count)) * segment_frames
            num_frames = np.minimum(all_frames - starts, segment_frames)
            # A batch is filled up with copies of its last segment, which need no additional steps.
            rows = np.minimum(np.arange(batch_size), count - 1)
            yield segments[rows], num_frames[rows].astype(np.int32), count


def load_mt3(folder: str | os.PathLike[str], *, batch_size: int | None = None) -> Mt3Transcriber:
    """Loads MT3 from the folder of its published T5X checkpoint.

    Args:
        folder: of the checkpoint.
        batch_size: see `Mt3Transcriber`.

    Raises:
        CheckpointError: if it is missing or damaged, or has other sizes.
        ConfigError: if `batch_size` is below 1.
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
    network: Definition[Mt3],
    max_tokens: int,
    params: Params,
    samples: jax.Array,
    num_frames: jax.Array,
) -> jax.Array:
    """Decodes samples [B, segment] to tokens int32 [B, max_tokens]."""
    # MT3 was trained on segments that were cut before the analysis, and on frames of zeros after
    # the end. So, unlike the synthesizer's features, the last frames do not see the next segment.
    features = log_mel(samples, TRANSCRIPTION)
    exists = jnp.arange(features.shape[1])[None] < num_frames[:, None]
    features = jnp.where(exists[..., None], features, 0.0)
    return decode_greedily(network.merge(params), features, max_tokens)
