"""Encoding of audio files: containers, bits per sample, channels and sample rates."""

import io
import math

import numpy as np

from spectrodiff.audio.samples import to_int16, to_int24
from spectrodiff.core.errors import ConfigError

AUDIO_SUFFIXES = (".wav", ".flac", ".ogg")
SAMPLE_RATES = (16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 88_200, 96_000)
"""Rates that audio can be written at, in Hz."""

# Containers and, by bits per sample, subtypes of libsndfile; 32 bits are floating point.
_ENCODINGS = {
    ".wav": ("WAV", {16: "PCM_16", 24: "PCM_24", 32: "FLOAT"}),
    ".flac": ("FLAC", {16: "PCM_16", 24: "PCM_24"}),
    ".ogg": ("OGG", {16: "VORBIS"}),
}


def check_encoding(suffix: str, bits: int, channels: int) -> None:
    """Checks that files with a suffix can have such samples.

    Raises:
        ConfigError: if not.
    """
    allowed = _ENCODINGS[suffix.lower()][1]
    if bits not in allowed:
        listed = " or ".join(map(str, allowed))
        raise ConfigError("bits", f"{listed} in {suffix.lower()} files", str(bits))
    if channels not in (1, 2):
        raise ConfigError("channels", "1 or 2", str(channels))


def encode_audio(
    audio: np.ndarray, sample_rate: int, suffix: str, *, bits: int = 16, channels: int = 1
) -> bytes:
    """Returns the contents of an audio file.

    Args:
        audio: int16, or floating point [samples], clipped to [-1, 1] unless `bits` is 32.
        sample_rate: in Hz.
        suffix: ".wav", ".flac" or ".ogg".
        bits: per sample: 16; 24 in WAV and FLAC; 32, floating point, in WAV.
        channels: 1 or 2, which are equal.

    Raises:
        ConfigError: if files with this suffix cannot have such samples.
    """
    import soundfile

    check_encoding(suffix, bits, channels)
    container, subtypes = _ENCODINGS[suffix.lower()]
    # Rounded to the nearest without dither: what the model renders has noise of its own.
    if bits == 32:
        samples = np.asarray(audio if audio.dtype != np.int16 else audio / 32768, np.float32)
    elif bits == 24:
        samples = to_int24(audio)
    else:
        samples = audio if audio.dtype == np.int16 else to_int16(audio)
    encoded = io.BytesIO()
    with soundfile.SoundFile(
        encoded, "w", sample_rate, channels, subtypes[bits], format=container
    ) as file:
        # In blocks, since libsndfile's Vorbis encoder copies each block to the stack.
        for start in range(0, len(samples), sample_rate):
            block = samples[start : start + sample_rate]
            file.write(np.repeat(block[:, None], channels, axis=1) if channels > 1 else block)
    return encoded.getvalue()


def resample(audio: np.ndarray, sample_rate: int, new_rate: int) -> np.ndarray:
    """Returns audio at another sample rate, float32 [ceil(samples * new_rate / sample_rate)].

    There is nothing above half of the lower rate: resampling adds no treble.

    Args:
        audio: floating point [samples].
        sample_rate: of `audio`, in Hz.
        new_rate: in Hz.
    """
    import soxr

    audio = np.asarray(audio, np.float32)
    if new_rate == sample_rate:
        return audio
    wanted = math.ceil(len(audio) * new_rate / sample_rate)
    resampled = soxr.resample(audio, sample_rate, new_rate, quality="VHQ")[:wanted]
    return np.pad(resampled, (0, wanted - len(resampled)))
