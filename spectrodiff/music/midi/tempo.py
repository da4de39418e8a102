"""Times of ticks, from the tempo events of all tracks."""

from collections.abc import Sequence

import numpy as np

from spectrodiff.music.midi.container import MidiFile
from spectrodiff.music.midi.track import Track

# Microseconds per beat before the first tempo event: 120 beats per minute.
_DEFAULT_TEMPO = 500_000


class TempoMap:
    """Converts ticks to seconds.

    Args:
        file: gives the resolution.
        tracks: tracks that sound together; each may set the tempo of all.

    Attributes:
        ticks: first tick of each tempo, int64 [tempos].
        seconds: time of these ticks, float64 [tempos].
        microseconds_per_beat: int64 [tempos]; meaningless with SMPTE time codes.
    """

    def __init__(self, file: MidiFile, tracks: Sequence[Track]) -> None:
        events = sorted(
            (event for track in tracks for event in track.tempos), key=lambda event: event[0]
        )
        tempos = [(0, _DEFAULT_TEMPO)]
        for tick, tempo in events if file.ticks_per_beat else []:
            if tick == tempos[-1][0]:
                tempos[-1] = (tick, tempo)
            elif tempo != tempos[-1][1]:
                tempos.append((tick, tempo))
        self.ticks, self.microseconds_per_beat = np.array(tempos, np.int64).T
        if file.ticks_per_beat:
            # These operations in this order give the same digits as note-seq, with which the
            # training data of the released models was read: tokens round to 1/100 s, and times
            # such as 1/8 s are exactly between two.
            beats_per_minute = 6e7 / self.microseconds_per_beat
            self._seconds_per_tick = 60.0 / (beats_per_minute * file.ticks_per_beat)
        else:
            self._seconds_per_tick = np.array([1 / file.ticks_per_second])
        lasting_seconds = self._seconds_per_tick[:-1] * np.diff(self.ticks)
        self.seconds = np.concatenate([[0.0], np.cumsum(lasting_seconds)])

    def to_seconds(self, ticks: np.ndarray) -> np.ndarray:
        """Returns the times of ticks, float64 of the same shape."""
        index = np.searchsorted(self.ticks, ticks, side="right") - 1
        return self.seconds[index] + self._seconds_per_tick[index] * (ticks - self.ticks[index])
