"""Estimated time of rendering songs."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from spectrodiff.core.constants import MIN_LOG_MEL, NUM_MELS
from spectrodiff.inverter import Inverter, invert
from spectrodiff.music.tokenizer import SongTokens
from spectrodiff.synthesis.segments.model import SegmentModel
from spectrodiff.synthesis.songs import padded_shape, plan, trial_batch

# Calls and frames that are timed to estimate the time of a song; the fastest call counts.
TRIALS = 2
TRIAL_FRAMES = 512  # 10 s


class ExpectedSeconds(NamedTuple):
    """Estimated time of rendering."""

    sampling: float  # of the spectrograms
    inverting: float


def expected_seconds(
    model: SegmentModel,
    inverter: Inverter,
    songs: Sequence[SongTokens],
    batch_size: int,
    clock: Callable[[], float],
) -> ExpectedSeconds:
    """Estimates the time of rendering songs.

    Times some steps of a batch of about the mean size and the inversion of ten seconds of silence.

    Args:
        model: generates segments.
        inverter: turns features into audio.
        songs: tokens.
        batch_size: number of songs that are rendered side by side.
        clock: returns seconds since any moment.
    """
    if not songs:
        return ExpectedSeconds(0.0, 0.0)
    batches = plan(model, [song.tokens for song in songs], batch_size)
    sizes = np.array([np.prod(padded_shape(model, rows)) for rows in batches])
    trial = model.try_steps(trial_batch(model, batches[np.abs(sizes - sizes.mean()).argmin()]))
    count = next(trial)
    moments = [clock()]
    for _ in range(TRIALS):
        next(trial)
        moments.append(clock())
    sampling_seconds = float(len(batches) * model.steps / count * np.diff(moments).min())

    longest = max(song.num_frames for song in songs)
    silence = np.full((min(longest, TRIAL_FRAMES), NUM_MELS), MIN_LOG_MEL, np.float32)
    invert(inverter, silence)
    start = clock()
    invert(inverter, silence)
    frames = sum(song.num_frames for song in songs)
    return ExpectedSeconds(sampling_seconds, (clock() - start) * frames / len(silence))
