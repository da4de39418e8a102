"""Audio files: reading any of them as mono at one rate, writing WAV, FLAC and OGG."""

import io
import logging
import os
import re
from pathlib import Path

import numpy as np

from spectrodiff.errors import AudioError, OutputError
from spectrodiff.files import atomic_file

logger = logging.getLogger(__name__)

AUDIO_SUFFIXES = (".wav", ".flac", ".ogg")
_ENCODINGS = {".wav": ("WAV", "PCM_16"), ".flac": ("FLAC", "PCM_16"), ".ogg": ("OGG", "VORBIS")}

# Programs that write WAV into a pipe cannot know its length and declare about the largest there is.
_UNKNOWN_LENGTH_BYTES = 0x7FFFF000


def write_audio(path: str | os.PathLike[str], audio: np.ndarray, sample_rate: int) -> None:
    """Writes mono audio with 16 bits per sample, in the format that the suffix of `path` names.

    Samples beyond [-1, 1] are clipped, and a warning says how many. The file appears complete or
    not at all.

    Args:
        path: a name ending in .wav, .flac or .ogg.
        audio: floating point [samples], nominally in [-1, 1].
        sample_rate: in Hz.

    Raises:
        AudioError: if the audio is empty, not mono, or holds NaN or infinity.
        OutputError: if the suffix is unknown or the file cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() not in _ENCODINGS:
        known = ", ".join(_ENCODINGS)
        raise OutputError(path, f"a name ending in one of {known}", repr(path.suffix))
    if audio.ndim != 1 or not len(audio):
        raise AudioError(path, "mono audio to write", f"an array of shape {audio.shape}")
    if not np.isfinite(audio).all():
        first = np.flatnonzero(~np.isfinite(audio))[0]
        raise AudioError(path, "finite samples to write", f"NaN or infinity at sample {first}")
    num_clipped = np.count_nonzero(np.abs(audio) > 1)
    if num_clipped:
        logger.warning(
            "%s: %d of %d samples are clipped, the loudest is %.3g times full scale",
            path,
            num_clipped,
            len(audio),
            np.abs(audio).max(),
        )
    pcm = np.clip(np.round(audio * 32768.0), -32768, 32767).astype(np.int16)
    # libsndfile does not report a full disk; encoding to memory first leaves writing to Python.
    encoded = _encode(pcm, sample_rate, *_ENCODINGS[path.suffix.lower()])
    with atomic_file(path) as temporary:
        temporary.write_bytes(encoded)


def read_audio(path: str | os.PathLike[str], sample_rate: int = 16_000) -> np.ndarray:
    """Reads a whole audio file as mono at `sample_rate`.

    Args:
        path: any format libsndfile knows: WAV, FLAC, OGG, MP3, AIFF and more.
        sample_rate: the rate wanted, in Hz; channels are averaged, then resampled.

    Returns:
        float32 [samples].

    Raises:
        AudioError: if the file is missing, empty, cut off, not audio, or holds NaN.
    """
    import soundfile

    path = Path(path)
    if not path.is_file():
        raise AudioError(path, "an audio file", "a folder" if path.is_dir() else "no such file")
    try:
        with soundfile.SoundFile(path) as file:
            channels = file.read(dtype="float32", always_2d=True)
            num_declared, source_rate, log = file.frames, file.samplerate, file.extra_info
    except (soundfile.SoundFileError, OSError) as error:
        raise AudioError(path, "a readable audio file", str(error).rstrip(".")) from error
    if len(channels) < num_declared or _is_cut_off(log):
        raise AudioError(path, "a complete audio file", "one that is cut off")
    if not len(channels):
        raise AudioError(path, "at least one sample", "none")
    if not np.isfinite(channels).all():
        raise AudioError(path, "finite samples", "NaN or infinity")
    mono = channels.mean(axis=1)
    if source_rate == sample_rate:
        return mono
    import librosa

    return librosa.resample(mono, orig_sr=source_rate, target_sr=sample_rate)


def _encode(pcm: np.ndarray, sample_rate: int, container: str, subtype: str) -> bytes:
    import soundfile

    encoded = io.BytesIO()
    with soundfile.SoundFile(encoded, "w", sample_rate, 1, subtype, format=container) as file:
        # In blocks: libsndfile's Vorbis encoder puts all it is given at once on the stack.
        for start in range(0, len(pcm), sample_rate):
            file.write(pcm[start : start + sample_rate])
    return encoded.getvalue()


def _is_cut_off(log: str) -> bool:
    """Whether libsndfile, in its log of the file's structure, found less than the file declares."""
    if "Ogg: Junk after the last page" in log:
        return True
    short = re.search(r"^ *(?:data|SSND) : (\d+) \(should be \d+\)", log, re.MULTILINE)
    return short is not None and int(short[1]) < _UNKNOWN_LENGTH_BYTES
