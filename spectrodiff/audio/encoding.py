"""Contents of audio files: WAV, FLAC and OGG from samples."""

import io
import logging

import numpy as np

from spectrodiff.audio.samples import to_codes, to_int16
from spectrodiff.core.errors import AudioError, ConfigError, OutputError

logger = logging.getLogger(__name__)

AUDIO_SUFFIXES = (".wav", ".flac", ".ogg")
# Containers of libsndfile, and their encodings by bits per sample. Vorbis is lossy and has no bits.
_CONTAINERS = {".wav": "WAV", ".flac": "FLAC", ".ogg": "OGG"}
_ENCODINGS: dict[str, dict[int | None, str]] = {
    ".wav": {16: "PCM_16", 24: "PCM_24", 32: "FLOAT"},
    ".flac": {16: "PCM_16", 24: "PCM_24"},
    ".ogg": {None: "VORBIS"},
}


def encode_audio(
    audio: np.ndarray,
    sample_rate: int,
    suffix: str,
    *,
    bits: int | None = None,
    channels: int = 1,
    name: str = "audio",
) -> bytes:
    """Encodes mono audio as the contents of an audio file.

    Samples outside [-1, 1] are clipped, with a warning.

    Args:
        audio: floating point [samples], nominally in [-1, 1]; or int16.
        sample_rate: in Hz.
        suffix: format, one of `AUDIO_SUFFIXES`.
        bits: per sample, 16 by default: 16, 24, or 32 for floating point in WAV; 16 or 24 in FLAC;
            None for OGG, which is lossy.
        channels: number of channels, 1 or 2, all with the same samples.
        name: of the audio in messages.

    Raises:
        AudioError: if the audio is empty, not mono, or contains NaN or infinity.
        ConfigError: if the format does not allow these bits or channels.
        OutputError: if the suffix is unknown.
    """
    import soundfile

    suffix = suffix.lower()
    if suffix not in AUDIO_SUFFIXES:
        known = ", ".join(AUDIO_SUFFIXES)
        raise OutputError(name, f"a name ending in one of {known}", repr(suffix))
    bits = check_bits(suffix, bits)
    if channels not in (1, 2):
        raise ConfigError("channels", "1 or 2", repr(channels))
    if audio.ndim != 1 or not len(audio):
        raise AudioError(name, "mono audio to write", f"an array of shape {audio.shape}")
    if audio.dtype == np.int16:
        audio = audio / np.float32(32768)
    _check_samples(audio, name)
    encoded = io.BytesIO()
    container, encoding = _CONTAINERS[suffix], _ENCODINGS[suffix][bits]
    with soundfile.SoundFile(
        encoded, "w", sample_rate, channels, encoding, format=container
    ) as file:
        # In blocks, since libsndfile's Vorbis encoder copies each block to the stack.
        for start in range(0, len(audio), sample_rate):
            samples = _stored(audio[start : start + sample_rate], bits)
            file.write(np.repeat(samples[:, None], channels, axis=1))
    return encoded.getvalue()


def check_bits(suffix: str, bits: int | None) -> int | None:
    """Returns the bits per sample of a format, the default for None.

    Args:
        suffix: one of `AUDIO_SUFFIXES`.
        bits: asked for; None for the default, which is 16, or none in OGG.

    Raises:
        ConfigError: if the format does not allow them.
    """
    allowed = _ENCODINGS[suffix]
    bits = next(iter(allowed)) if bits is None else bits
    if bits not in allowed:
        *others, last = [str(number) for number in allowed]
        if None in allowed:
            expected = f"none for {suffix[1:]}, which is lossy (16, 24 or 32 are for wav)"
        else:
            expected = f"{', '.join(others)} or {last} for {suffix[1:]}"
        raise ConfigError("bits", expected, repr(bits))
    return bits


def _check_samples(audio: np.ndarray, name: str) -> None:
    if not np.isfinite(audio).all():
        first = np.flatnonzero(~np.isfinite(audio))[0]
        raise AudioError(name, "finite samples to write", f"NaN or infinity at sample {first}")
    num_clipped = np.count_nonzero(np.abs(audio) > 1)
    if num_clipped:
        logger.warning(
            "%s: %d of %d samples clipped, peak %.3g times full scale",
            name,
            num_clipped,
            len(audio),
            np.abs(audio).max(),
        )


def _stored(audio: np.ndarray, bits: int | None) -> np.ndarray:
    """Converts samples to the type that libsndfile stores without changing them.

    There is no dither: what sounds in a rendering is far above a step of 16 bits, and rests are
    digital silence, which dither would turn into noise in every stem.
    """
    match bits:
        case 24:
            return to_codes(audio, 24) << 8  # the upper bits of int32
        case 32:
            return np.clip(audio, -1, 1).astype(np.float32)
    return to_int16(audio)
