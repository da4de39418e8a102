"""Embeddings: what turns audio into the vectors whose distances are measured."""

import os
from pathlib import Path
from typing import Protocol

import numpy as np

from spectrodiff.core.constants import SAMPLE_RATE
from spectrodiff.core.errors import CheckpointError
from spectrodiff.evaluation.metrics.inputs import check_audio


class Embedding(Protocol):
    """Turns audio into a sequence of vectors."""

    @property
    def name(self) -> str:
        """How reports call it."""
        ...

    @property
    def sample_rate(self) -> int:
        """Of the audio it takes, in Hz."""
        ...

    def __call__(self, audio: np.ndarray) -> np.ndarray:
        """Audio float32 [samples], whole seconds of it -> float32 [frames, dims]."""
        ...


def embed(
    embedding: Embedding, audio: np.ndarray, subject: str, sample_rate: int = SAMPLE_RATE
) -> np.ndarray:
    """Returns the embedding of a recording, padded as the paper did.

    Args:
        embedding: the embedding.
        audio: floating point [samples].
        subject: the recording, for error messages.
        sample_rate: of the audio in Hz; it is resampled if the embedding wants another.

    Returns:
        float32 [frames, dims], at least one frame.

    Raises:
        AudioError: if the audio is not mono or empty, or holds NaN.
        CheckpointError: if the embedding returns anything but finite vectors.
    """
    audio = check_audio(audio, subject)
    if sample_rate != embedding.sample_rate:
        import librosa

        audio = librosa.resample(audio, orig_sr=sample_rate, target_sr=embedding.sample_rate)
    frames = np.asarray(embedding(pad_to_whole_seconds(audio, embedding.sample_rate)))
    if frames.ndim != 2 or not frames.size:
        got = f"shape {frames.shape} for {subject}"
        raise CheckpointError(embedding.name, "an embedding [frames, dims]", got)
    if not np.isfinite(frames).all():
        got = f"NaN or infinity for {subject}"
        raise CheckpointError(embedding.name, "a finite embedding", got)
    return frames.astype(np.float32, copy=False)


def pad_to_whole_seconds(audio: np.ndarray, sample_rate: int = SAMPLE_RATE) -> np.ndarray:
    """Puts zeros on both sides of audio [samples], as few as make it a whole number of seconds.

    Where their number is odd, the additional one comes last.
    """
    missing = -len(audio) % sample_rate
    return np.pad(audio, (missing // 2, missing - missing // 2))


def load_vggish(source: str | os.PathLike[str]) -> Embedding:
    """Loads VGGish, in either of the forms in which it is published.

    Args:
        source: a TF-Hub SavedModel, as a folder or URL (needs TensorFlow, and is what the paper
            used), or weights in a file `.npz`, `.safetensors` or `.pth` (see
            `spectrodiff.checkpoints.layouts.vggish`).

    Raises:
        CheckpointError: if it is not there, or something is wrong with it.
    """
    if Path(source).suffix in (".npz", ".safetensors", ".pth", ".bin"):
        from spectrodiff.evaluation.metrics.vggish import VggishEmbedding

        return VggishEmbedding.load(source)
    from spectrodiff.evaluation.metrics.tf_hub import VGGISH, TfHubEmbedding

    return TfHubEmbedding(VGGISH, source)


def load_trill(source: str | os.PathLike[str]) -> Embedding:
    """Loads TRILL, which needs TensorFlow, from the folder or URL of its TF-Hub SavedModel.

    Raises:
        CheckpointError: if it is not there, or something is wrong with it.
    """
    from spectrodiff.evaluation.metrics.tf_hub import TRILL, TfHubEmbedding

    return TfHubEmbedding(TRILL, source)
