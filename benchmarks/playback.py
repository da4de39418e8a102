"""A player of audio that arrives in parts."""

from collections.abc import Sequence
from typing import NamedTuple

from spectrodiff.core.constants import SAMPLE_RATE


class Part(NamedTuple):
    """Audio that arrives at once."""

    seconds: float  # when
    samples: int


class Playback(NamedTuple):
    """Result of playing parts as they arrive."""

    first_sound_seconds: float
    smallest_reserve_seconds: float  # audio that waited to be played when the next part arrived
    starvations: int
    silent_seconds: float  # in all starvations


def play(parts: Sequence[Part]) -> Playback:
    """Plays parts at normal speed from the first samples on, and waits when there are no more.

    Args:
        parts: in the order they arrive; the first ones may be empty.

    Raises:
        ValueError: if there are no samples.
    """
    sounding = [part for part in parts if part.samples]
    if not sounding:
        raise ValueError("no samples")
    first, *later = sounding
    ends = (
        first.seconds + first.samples / SAMPLE_RATE
    )  # when the audio that is there has been played
    reserves, silences = [], []
    for part in later:
        reserve = ends - part.seconds
        reserves.append(max(reserve, 0.0))
        if reserve < 0:
            silences.append(-reserve)
            ends = part.seconds
        ends += part.samples / SAMPLE_RATE
    smallest = min(reserves, default=first.samples / SAMPLE_RATE)
    return Playback(first.seconds, smallest, len(silences), sum(silences))
