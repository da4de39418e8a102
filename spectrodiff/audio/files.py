"""Audio files: reads any format as mono at one sample rate; writes WAV, FLAC and OGG."""

import contextlib
import functools
import io
import math
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from spectrodiff.audio.containers import Container, read_container
from spectrodiff.audio.encoding import encode_audio
from spectrodiff.core.errors import AudioError
from spectrodiff.core.files import atomic_file

if TYPE_CHECKING:
    import soundfile

_BLOCK_FRAMES = 1 << 20
# Beyond these, a header is damaged; at 1 Hz, a megabyte would be resampled to 16 GB.
_MIN_RATE, _MAX_RATE = 1000, 1_000_000
# Audio before and after an excerpt that is read with it. The resampler's filter is far shorter, but
# libsndfile decodes the last page of an Ogg file wrong if it is asked to begin there.
_MARGIN_SECONDS = 1
# Frames beyond any file: what libsndfile declares for a FLAC file of unknown length.
_ENDLESS_FRAMES = 1 << 60


def write_audio(
    path: str | os.PathLike[str],
    audio: np.ndarray,
    sample_rate: int,
    *,
    bits: int | None = None,
    channels: int = 1,
) -> None:
    """Writes mono audio in the format given by the suffix of `path`.

    Samples outside [-1, 1] are clipped, with a warning. The write is atomic.

    Args:
        path: file name ending in .wav, .flac or .ogg.
        audio: floating point [samples], nominally in [-1, 1]; or int16.
        sample_rate: sample rate in Hz.
        bits: 16 (the default), 24 in WAV and FLAC, or 32, floating point, in WAV; None for OGG.
        channels: 1, or 2 with the same samples on both.

    Raises:
        AudioError: if the audio is empty, not mono, or contains NaN or infinity.
        ConfigError: if the format does not allow these bits or channels.
        OutputError: if the suffix is unknown or the file cannot be written.
    """
    path = Path(path)
    # Encodes to memory and writes with Python, since libsndfile does not report a full disk.
    encoded = encode_audio(
        audio, sample_rate, path.suffix, bits=bits, channels=channels, name=str(path)
    )
    with atomic_file(path) as temporary:
        temporary.write_bytes(encoded)


def read_audio(path: str | os.PathLike[str], sample_rate: int = 16_000) -> np.ndarray:
    """Reads a whole audio file as mono at `sample_rate`.

    Args:
        path: file in any format of libsndfile: WAV, FLAC, OGG, MP3, AIFF and more.
        sample_rate: output rate in Hz; channels are averaged, then resampled.

    Returns:
        float32 [samples].

    Raises:
        AudioError: if the file is missing, empty, truncated, not audio, or contains NaN or
            infinity.
    """
    return np.concatenate([np.zeros(0, np.float32), *audio_blocks(path, sample_rate)])


def audio_blocks(path: str | os.PathLike[str], sample_rate: int = 16_000) -> Iterator[np.ndarray]:
    """Reads an audio file block by block; joined, the blocks are what `read_audio` returns.

    An hour of stereo in floating point takes more than a gigabyte, a block some megabytes.
    Arguments and errors are those of `read_audio`; some truncated files are noticed at their end.
    """
    path = Path(path)
    num_read = 0
    with _opened(path) as (file, container):
        for block, frames in _resampled_mono(file, sample_rate, skipped=container.lead):
            if not np.isfinite(block).all():
                raise AudioError(path, "finite samples", "NaN or infinity")
            num_read += frames
            yield block
        _check_end(path, file, container, num_read)


def count_samples(path: str | os.PathLike[str], sample_rate: int = 16_000) -> int:
    """Returns the length of an audio file in samples at `sample_rate`.

    The file is decoded if its header does not tell.

    Raises:
        AudioError: if the file is missing, empty, not audio, or shorter than its header says, as
            far as that can be seen without decoding.
    """
    path = Path(path)
    with _opened(path) as (file, container):
        frames = _count_frames(path) if _is_open(file, container) else file.frames
        if not frames:
            raise AudioError(path, "at least one sample", "none")
        return int(frames * sample_rate // file.samplerate)


def read_excerpt(
    path: str | os.PathLike[str], first_sample: int, num_samples: int, sample_rate: int = 16_000
) -> np.ndarray:
    """Reads an excerpt of an audio file without the rest.

    (The first excerpt of a file of unknown length takes as long as the whole file.)

    Args:
        path: see `read_audio`.
        first_sample: first sample at the output rate.
        num_samples: length at the output rate; the excerpt is shorter at the end of the file.
        sample_rate: output rate in Hz.

    Returns:
        float32 [samples], what `read_audio` returns there up to the resampler's rounding.

    Raises:
        AudioError: as for `read_audio`, as far as it is read.
    """
    path = Path(path)
    with contextlib.ExitStack() as stack:
        file, container = stack.enter_context(_opened(path))
        total = file.frames
        if _is_open(file, container):
            total = _count_frames(path)
            file, container = stack.enter_context(_opened(path, total))
        # Begins where a sample of the file coincides with one of the output.
        common = math.gcd(file.samplerate, sample_rate)
        inputs, outputs = file.samplerate // common, sample_rate // common
        margin = _MARGIN_SECONDS * common
        first = max(first_sample // outputs - margin, 0)
        last = (first_sample + num_samples) // outputs + margin
        begin = min(first * inputs, total)
        frames = min(last * inputs, total) - begin
        _skip(file, container.lead + begin)
        blocks = list(_resampled_mono(file, sample_rate, frames))
    if sum(read for _, read in blocks) < frames:
        raise _truncated(path)
    start = first_sample - first * outputs
    excerpt = np.concatenate([np.zeros(0, np.float32), *(block for block, _ in blocks)])[
        start : start + num_samples
    ]
    if not np.isfinite(excerpt).all():
        raise AudioError(path, "finite samples", "NaN or infinity")
    return excerpt


def source_rate(path: str | os.PathLike[str]) -> int:
    """Returns the sample rate of an audio file in Hz.

    Raises:
        AudioError: if the file is missing or not audio.
    """
    with _opened(Path(path)) as (file, _):
        return int(file.samplerate)


@contextlib.contextmanager
def _opened(
    path: Path, total: int | None = None
) -> Iterator[tuple["soundfile.SoundFile", Container]]:
    """Opens an audio file; errors of the decoder become AudioError.

    Args:
        path: the file.
        total: number of frames, if they have been counted.
    """
    import soundfile

    if not path.is_file():
        raise AudioError(path, "an audio file", "a folder" if path.is_dir() else "no such file")
    try:
        container = read_container(path)
        if container.is_truncated:
            raise _truncated(path)
        if container.is_joined:
            raise AudioError(path, "one audio file", "several that were joined")
        if total is not None:
            container = container.of_length(path, total)
        with contextlib.ExitStack() as stack:
            shown = container.open(path)
            if isinstance(shown, io.RawIOBase):
                stack.enter_context(shown)
            file = stack.enter_context(_reader()(shown))
            if not _MIN_RATE <= file.samplerate <= _MAX_RATE:
                expected = f"a sample rate of {_MIN_RATE} to {_MAX_RATE} Hz"
                raise AudioError(path, expected, f"{file.samplerate} Hz")
            yield file, container
    except (soundfile.SoundFileError, OSError) as error:
        raise AudioError(path, "a readable audio file", str(error).rstrip(".")) from error


@functools.cache
def _reader() -> type["soundfile.SoundFile"]:
    import soundfile

    class Reader(soundfile.SoundFile):
        """Reader that seeks only when it is told to.

        Otherwise soundfile seeks after each block, which fails in FLAC files of unknown length.
        """

        def seekable(self) -> bool:
            return False

        def is_seekable(self) -> bool:
            """Returns True if the format allows to seek."""
            return bool(self._info.seekable)

    return Reader


def _skip(file: "soundfile.SoundFile", frames: int) -> None:
    """Goes to a frame, which must be decoded up to there in a few formats, such as G.721."""
    if file.is_seekable():
        file.seek(frames)
        return
    for _ in _frames(file, frames=frames):
        pass


def _is_open(file: "soundfile.SoundFile", container: Container) -> bool:
    return container.is_open or file.frames > _ENDLESS_FRAMES


def _count_frames(path: Path) -> int:
    """Counts the frames of a file whose header does not tell, by decoding all of them."""
    status = path.stat()
    return _counted(path, status.st_mtime_ns, status.st_size)


@functools.lru_cache(maxsize=4096)
def _counted(path: Path, modified: int, size: int) -> int:
    del modified, size  # keys of the cache
    num_read = 0
    with _opened(path) as (file, container):
        for block in _frames(file, container.lead):
            num_read += len(block)
        _check_end(path, file, container, num_read)
    return num_read


def _check_end(
    path: Path, file: "soundfile.SoundFile", container: Container, num_read: int
) -> None:
    """Checks that a file ended where it should."""
    least = container.least_frames if _is_open(file, container) else file.frames
    # libsndfile has two ways to write this.
    is_cut = re.search("Ogg ?: Junk after the last page", file.extra_info) is not None
    if num_read < least or is_cut:
        raise _truncated(path)
    if not num_read:
        raise AudioError(path, "at least one sample", "none")


def _truncated(path: Path) -> AudioError:
    return AudioError(path, "a complete audio file", "a truncated one")


def _frames(
    file: "soundfile.SoundFile", skipped: int = 0, frames: int | None = None
) -> Iterator[np.ndarray]:
    """Yields blocks of mono audio at the rate of the file, without the first `skipped` frames."""
    num_read = 0
    # A header of a few bytes can declare a thousand channels.
    most = 2 * _BLOCK_FRAMES // max(file.channels, 2)
    # Not `file.blocks`, which pads a truncated file to its declared length.
    while frames is None or num_read < frames:
        wanted = most if frames is None else min(most, frames - num_read)
        mono = file.read(wanted, dtype="float32", always_2d=True).mean(axis=1)
        if not len(mono):
            break
        num_read += len(mono)
        yield mono[skipped:]
        skipped = max(skipped - len(mono), 0)


def _resampled_mono(
    file: "soundfile.SoundFile", sample_rate: int, frames: int | None = None, skipped: int = 0
) -> Iterator[tuple[np.ndarray, int]]:
    """Yields blocks of resampled mono audio, and the number of frames that were read for each."""
    import soxr

    same_rate = file.samplerate == sample_rate
    stream = soxr.ResampleStream(file.samplerate, sample_rate, 1, dtype="float32", quality="HQ")
    num_read = 0
    for mono in _frames(file, skipped, frames):
        num_read += len(mono)
        yield mono if same_rate else stream.resample_chunk(mono), len(mono)
    if num_read and not same_rate:
        yield stream.resample_chunk(np.zeros(0, np.float32), last=True), 0
