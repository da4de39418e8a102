"""Embeddings of audio: the interface of all of them, and loading of the two that the paper used."""

import os
from pathlib import Path
from typing import Protocol

import numpy as np

from spectrodiff.core.constants import SAMPLE_RATE
from spectrodiff.core.errors import CheckpointError
from spectrodiff.evaluation.metrics.inputs import check_audio


class Embedding(Protocol):
    """Function from audio to a sequence of vectors."""

    @property
    def name(self) -> str:
        """Name in reports; column names are derived from it."""
        ...

    @property
    def sample_rate(self) -> int:
        """Sample rate of its input in Hz."""
        ...

    def __call__(self, audio: np.ndarray) -> np.ndarray:
        """Embeds audio, float32 [samples] of a second or more, to float32 [frames, dims]."""
        ...


def embed(
    embedding: Embedding,
    audio: np.ndarray,
    subject: str,
    *,
    sample_rate: int = SAMPLE_RATE,
    whole_seconds: bool = True,
) -> np.ndarray:
    """Returns the embedding of a recording.

    Args:
        embedding: the embedding.
        audio: floating point [samples]; resampled if the embedding has another rate.
        subject: name of the recording, for error messages.
        sample_rate: sample rate of the audio in Hz.
        whole_seconds: True to pad the audio to whole seconds as in the paper; False to pad only
            what is shorter than a second, at its end.

    Returns:
        float32 [frames, dims], at least one frame.

    Raises:
        AudioError: if the audio is not mono or empty, or holds NaN.
        CheckpointError: if the embedding returns anything but finite vectors.
    """
    audio = check_audio(audio, subject)
    rate = embedding.sample_rate
    if rate != sample_rate:
        import librosa

        audio = librosa.resample(audio, orig_sr=sample_rate, target_sr=rate)
    if whole_seconds:
        audio = pad_to_whole_seconds(audio, rate)
    else:
        audio = np.pad(audio, (0, max(rate - len(audio), 0)))
    frames = np.asarray(embedding(audio))
    if frames.ndim != 2 or not frames.size:
        got = f"shape {frames.shape} for {subject}"
        raise CheckpointError(embedding.name, "an embedding [frames, dims]", got)
    if not np.isfinite(frames).all():
        got = f"NaN or infinity for {subject}"
        raise CheckpointError(embedding.name, "a finite embedding", got)
    return frames.astype(np.float32, copy=False)


def pad_to_whole_seconds(audio: np.ndarray, sample_rate: int = SAMPLE_RATE) -> np.ndarray:
    """Pads audio [samples] with zeros on both sides to the next whole number of seconds.

    If the number of zeros is odd, the additional one is at the end.
    """
    missing = -len(audio) % sample_rate
    return np.pad(audio, (missing // 2, missing - missing // 2))


def load_vggish(source: str | os.PathLike[str]) -> Embedding:
    """Loads VGGish from a TF-Hub SavedModel or from a file of weights.

    Args:
        source: folder or URL of the SavedModel, which the paper used (needs TensorFlow), or a file
            `.npz`, `.safetensors` or `.pth` (see `spectrodiff.checkpoints.layouts.vggish`).

    Raises:
        CheckpointError: if it is missing or damaged.
    """
    if Path(source).suffix in (".npz", ".safetensors", ".pth", ".bin"):
        from spectrodiff.evaluation.metrics.embeddings.vggish import VggishEmbedding

        return VggishEmbedding.load(source)
    from spectrodiff.evaluation.metrics.embeddings.tf_hub import VGGISH, TfHubEmbedding

    return TfHubEmbedding(VGGISH, source)


def load_trill(source: str | os.PathLike[str]) -> Embedding:
    """Loads TRILL from the folder or URL of its TF-Hub SavedModel (needs TensorFlow).

    Raises:
        CheckpointError: if it is missing or damaged.
    """
    from spectrodiff.evaluation.metrics.embeddings.tf_hub import TRILL, TfHubEmbedding

    return TfHubEmbedding(TRILL, source)
