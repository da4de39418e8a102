"""Inversion of a spectrogram part by part, for long songs and for songs still being generated.

Neighboring parts overlap by the inverter's reach, and only frames whose whole reach is known are
kept; a recurrent inverter also continues from its state. The result equals that of one pass over
the song.
"""

import copy
from collections.abc import Callable
from typing import Any

import numpy as np

from spectrodiff.audio.features import check_log_mel
from spectrodiff.core.constants import HOP_SAMPLES, NUM_MELS
from spectrodiff.inverter.base import Audio, Inverter
from spectrodiff.inverter.score_phases import PHASE_REACH_FRAMES, ScorePhases, plain, with_phases_of
from spectrodiff.music.notes import Notes
from spectrodiff.music.tones import play_tones

MAX_FRAMES = 1024  # 20 s


def invert(
    inverter: Inverter,
    log_mel: np.ndarray,
    max_frames: int = MAX_FRAMES,
    *,
    notes: Notes | None = None,
) -> Audio:
    """Inverts a spectrogram of any length in bounded memory.

    Args:
        inverter: turns features into audio.
        log_mel: unscaled [frames, 128].
        max_frames: maximum number of frames per call of the inverter, its reach on both sides
            included; at least one more than that reach is always used.
        notes: the song, for `ScorePhases`; None if it is not known.

    Returns:
        float32 [frames * 320] at 16 kHz, nominally in [-1, 1].

    Raises:
        AudioError: if there are no frames, the number of bins is wrong, or values are NaN.
    """
    log_mel = check_log_mel(log_mel)
    inversion = SongInversion(inverter, len(log_mel), notes, max_frames)
    inversion.push(log_mel)
    return inversion.finish()


class SongInversion:
    """Inverts a song while its frames arrive, in the windows of `invert`, whose audio it returns.

    Args:
        inverter: turns features into audio.
        num_frames: length of the song.
        notes: the song, for `ScorePhases`; None if it is not known.
        max_frames: as for `invert`.
    """

    def __init__(
        self,
        inverter: Inverter,
        num_frames: int,
        notes: Notes | None = None,
        max_frames: int = MAX_FRAMES,
    ) -> None:
        spare = 2 * inverter.reach_frames + inverter.period_frames - 1
        self._step = max(max_frames - spare, 1)
        self._inverter, self._notes, self._stream = inverter, notes, InversionStream(inverter)
        self._at_once = num_frames <= max_frames and not isinstance(inverter, ScorePhases)
        self._waiting = np.zeros((0, NUM_MELS), np.float32)
        self._parts: list[Audio] = []

    def push(self, log_mel: np.ndarray) -> None:
        """Takes the next frames, and inverts the windows that are complete.

        Args:
            log_mel: unscaled [frames, 128].

        Raises:
            AudioError: if there are no frames, the number of bins is wrong, or values are NaN.
        """
        log_mel = check_log_mel(log_mel)
        self._waiting = np.concatenate([self._waiting, log_mel]) if len(self._waiting) else log_mel
        while len(self._waiting) >= self._step and not self._at_once:
            self._push_window()

    def finish(self) -> Audio:
        """Returns the audio of the whole song, float32 [frames * 320]."""
        if self._at_once:
            return self._inverter(self._waiting)
        if len(self._waiting):
            self._push_window()
        return np.concatenate([*self._parts, self._stream.finish()])

    def _push_window(self) -> None:
        window, self._waiting = self._waiting[: self._step], self._waiting[self._step :]
        self._parts.append(self._stream.push(window, self._notes))


class InversionStream:
    """Inverts a spectrogram whose frames arrive in parts, each frame as early as possible.

    Audio lags behind the frames by the inverter's reach, so that every sample is computed once,
    from all frames it depends on.

    Args:
        inverter: turns features into audio.
    """

    def __init__(self, inverter: Inverter) -> None:
        inner, scored = plain(inverter), isinstance(inverter, ScorePhases)
        self._inversion = _Lookahead(inner.continued, inner.reach_frames, inner.period_frames)
        self._phases = _Lookahead(_with_phases, PHASE_REACH_FRAMES) if scored else None
        self._num_pushed = 0  # frames
        # Features and tones of the frames whose audio is not known yet.
        self._waiting = np.zeros((0, NUM_MELS + HOP_SAMPLES), np.float32)

    def push(
        self, log_mel: np.ndarray, notes: Notes | None = None, *, origin_frame: int = 0
    ) -> Audio:
        """Takes the next frames and returns the audio that is ready.

        Args:
            log_mel: unscaled [frames, 128].
            notes: for `ScorePhases`, the notes that sound in these frames; there may be others.
                None if they are not known.
            origin_frame: frame of the song that is the time 0 of the notes.

        Returns:
            320 samples per ready frame; none while the frames within its reach are missing.

        Raises:
            AudioError: if there are no frames, the number of bins is wrong, or values are NaN.
        """
        log_mel = check_log_mel(log_mel)
        audio = self._inversion.push(log_mel)
        start = self._num_pushed - origin_frame
        self._num_pushed += len(log_mel)
        if self._phases is None:
            return audio
        until = start + len(log_mel)
        tones = play_tones(notes or Notes.empty(), start * HOP_SAMPLES, until * HOP_SAMPLES)
        rows = np.concatenate([log_mel, _rows(tones)], axis=1)
        self._waiting = np.concatenate([self._waiting, rows])
        return self._phases.push(self._complete(audio))

    def finish(self) -> Audio:
        """Returns the audio of the remaining frames at the end of the song."""
        audio = self._inversion.finish()
        if self._phases is None:
            return audio
        ready = self._phases.push(self._complete(audio))
        return np.concatenate([ready, self._phases.finish()])

    def copy(self) -> "InversionStream":
        """Returns a stream in the same state that continues on its own."""
        other = copy.copy(self)
        other._inversion, other._phases = copy.copy(self._inversion), copy.copy(self._phases)
        return other

    def _complete(self, audio: Audio) -> np.ndarray:
        """Returns the features, tones and audio of the frames whose audio is known now."""
        count = len(audio) // HOP_SAMPLES
        rows, self._waiting = self._waiting[:count], self._waiting[count:]
        return np.concatenate([rows, _rows(audio)], axis=1)


class _Lookahead:
    """Calls a function of rows that arrive in parts; it sees those within its reach on both sides.

    Args:
        function: returns the audio of some rows, and its state for those that follow; see
            `Inverter.continued`.
        reach: largest distance of rows that the audio of a row depends on.
        period: calls begin at multiples of this number of rows.
    """

    def __init__(
        self, function: Callable[..., tuple[Audio, Any]], reach: int, period: int = 1
    ) -> None:
        self._function, self._reach, self._period = function, reach, period
        # Rows without audio, and the rows within their reach. Arrays are replaced, not changed:
        # copies share them.
        self._rows: np.ndarray | None = None
        self._num_done = 0
        self._state: Any = None

    def push(self, rows: np.ndarray) -> Audio:
        """Takes the next rows and returns the audio that is ready."""
        self._rows = rows if self._rows is None else np.concatenate([self._rows, rows])
        return self._advance(len(self._rows) - self._reach)

    def finish(self) -> Audio:
        """Returns the audio of the remaining rows."""
        return self._advance(0 if self._rows is None else len(self._rows))

    def _advance(self, stop: int) -> Audio:
        start = self._num_done
        if self._rows is None or stop <= start:
            return np.zeros(0, np.float32)
        audio, self._state = self._function(self._rows, self._state, start, stop)
        first_needed = max(stop - self._reach, 0)
        first_needed -= first_needed % self._period
        self._rows = self._rows[first_needed:]
        self._num_done = stop - first_needed
        return audio


def _with_phases(rows: np.ndarray, state: None, first: int, until: int) -> tuple[Audio, None]:
    """Returns audio with the phases of tones; see `InversionStream` for the rows."""
    log_mel, tones, audio = np.split(rows, [NUM_MELS, NUM_MELS + HOP_SAMPLES], axis=1)
    turned = with_phases_of(tones.reshape(-1), audio.reshape(-1), log_mel)
    return turned[first * HOP_SAMPLES : until * HOP_SAMPLES], state


def _rows(samples: np.ndarray) -> np.ndarray:
    """Returns samples [frames * 320] as rows [frames, 320]."""
    return samples.reshape(-1, HOP_SAMPLES)
