"""Reading of damaged audio files.

No errors but AudioError, no crash of a decoder, no hang, no more memory than small files need.
"""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soxr  # noqa: F401  imported before attempts, which are processes of their own

from spectrodiff.audio.files import count_samples, read_audio, read_excerpt, source_rate
from spectrodiff.core.errors import AudioError
from tests.campaigns.harness import Campaign, Limits, smaller_bytes
from tests.campaigns.mutants.audio import AudioFile, mutant
from tests.campaigns.mutants.checks import check_message, quiet

READ, NOT_IN_PARTS, REFUSED = "read", "read, but not in parts", "refused"
MEMORY_BYTES = 1 << 28


def attempt(made: AudioFile) -> str:
    """Reads a file as a whole and in parts.

    Raises:
        Exception: if anything is not as promised.
    """
    with tempfile.TemporaryDirectory() as folder, quiet(), np.errstate(all="ignore"):
        os.chdir(folder)  # where libsndfile also looks for parts of a file
        path = Path(folder) / f"recording{made.suffix}"
        path.write_bytes(made.data)
        try:
            audio = read_audio(path)
        except AudioError as error:
            check_message(error, str(path))
            check_refusal(path)
            return REFUSED
        check(audio, path)
        return READ if parts_agree(audio, path) else NOT_IN_PARTS


def check(audio: np.ndarray, path: Path) -> None:
    """Checks that what was read keeps what is promised.

    Raises:
        AssertionError: if it does not.
    """
    assert audio.dtype == np.float32, audio.dtype
    assert audio.ndim == 1, audio.shape
    assert np.isfinite(audio).all(), "NaN or infinity"
    rate = source_rate(path)
    assert rate > 0, rate
    counted = count_samples(path)
    assert abs(counted - len(audio)) <= 1, f"counts {counted} samples, reads {len(audio)}"


def parts_agree(audio: np.ndarray, path: Path) -> bool:
    """Compares an excerpt with the whole; returns False if it is refused.

    Decoders cannot find every place in a damaged file, and one in Ogg may have wrong times.

    Raises:
        AssertionError: if it differs.
    """
    first = len(audio) // 3
    try:
        part = read_excerpt(path, first, 1000)
    except AudioError as error:
        check_message(error, str(path))
        return False
    wanted = audio[first : first + 1000]
    assert part.shape == wanted.shape, f"an excerpt of {part.shape}, not {wanted.shape}"
    scale = max(1.0, float(np.abs(audio).max(initial=0)))
    worst = float(np.abs(part - wanted).max(initial=0) / scale)
    is_same = worst < 1e-3
    assert is_same or path.read_bytes()[:4] == b"OggS", f"an excerpt that differs by {worst:.0e}"
    return is_same


def check_refusal(path: Path) -> None:
    """Checks that the other readers also refuse a file, or read something.

    Raises:
        AssertionError: if they raise another error.
    """
    for read in (source_rate, count_samples, lambda path: read_excerpt(path, 0, 100)):
        try:
            read(path)
        except AudioError as error:
            check_message(error, str(path))


def smaller(made: AudioFile) -> Iterator[AudioFile]:
    """Yields files without parts."""
    for data in smaller_bytes(made.data):
        yield AudioFile(data, made.suffix)


def store(made: AudioFile, path: Path) -> None:
    """Writes a file."""
    path.with_suffix(made.suffix).write_bytes(made.data)


CAMPAIGN = Campaign(
    mutant,
    attempt,
    Limits(cpu_seconds=5, memory_bytes=MEMORY_BYTES),
    apart=True,
    smaller=smaller,
    store=store,
)
