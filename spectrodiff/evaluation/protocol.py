"""Protocols of an evaluation: which audio and which notes of a recording are compared.

"aligned" compares like with like. Audio and notes are cut at the same time, all rows are as long as
the recording, and notes are scored that the model can render: if it was trained on notes that end
at the next onset of their pitch, so are the references.

"released" does what the paper's published evaluation code does, for scores beside the paper's.
Rendered audio is whole segments long, the recording whole frames; embeddings pad each of them by
itself, half in front, so that their frames are shifted against each other by up to half a second.
Audio is cut after the segment in which the minute of the limit begins; the notes that F1 is scored
against are not cut. Scores of a minute are those of the one segment that it begins in.
"""

import dataclasses
from collections.abc import Iterator
from typing import Literal, NamedTuple

import numpy as np

from spectrodiff.core.constants import (
    FRAMES_PER_SECOND,
    HOP_SAMPLES,
    SAMPLE_RATE,
    SEGMENT_FRAMES,
)
from spectrodiff.core.errors import CorpusError
from spectrodiff.data.recordings import Recording
from spectrodiff.evaluation.checksums import recording_checksum
from spectrodiff.evaluation.metrics.minutes import MINUTE_SAMPLES
from spectrodiff.music.events import count_frames
from spectrodiff.music.notes import Notes, trim_overlaps
from spectrodiff.music.tokenizer import SongTokens

ProtocolName = Literal["aligned", "released"]


@dataclasses.dataclass(frozen=True, eq=False)
class EvaluationSong:
    """Notes to render, and the recording that the rendering is compared with.

    Attributes:
        id: id of the recording, unique in its corpus.
        audio: float32 [samples] at 16 kHz.
        notes: notes to render.
        reference: notes that transcriptions are scored against.
    """

    id: str
    audio: np.ndarray
    notes: Notes
    reference: Notes

    @property
    def checksum(self) -> str:
        """Checksum of the audio and the notes."""
        return recording_checksum(self.audio, self.notes)


class Excerpt(NamedTuple):
    """Part of a song: rendered audio and recording, float32 [samples], and the notes in it."""

    audio: np.ndarray
    target: np.ndarray
    reference: Notes


@dataclasses.dataclass(frozen=True)
class Protocol:
    """Choice of what is compared.

    Attributes:
        name: "aligned" or "released", see above.
        max_minutes: length to which songs are cut.
        segment_frames: number of frames that a segment of the model adds to a song.
        trims_references: whether the model renders notes that end at the next onset of their
            pitch; "aligned" then ends the references there as well.
    """

    name: ProtocolName = "aligned"
    max_minutes: float = 10.0
    segment_frames: int = SEGMENT_FRAMES
    trims_references: bool = False

    @property
    def is_released(self) -> bool:
        """True for "released"."""
        return self.name == "released"

    @property
    def description(self) -> dict[str, object]:
        """All settings, as JSON."""
        settings = dataclasses.asdict(self)
        return {"protocol": settings.pop("name"), **settings}

    def song(self, recording: Recording) -> EvaluationSong:
        """Returns the audio and the notes of a recording that are compared.

        Raises:
            CorpusError: if there are no notes to render.
        """
        song = self._released(recording) if self.is_released else self._aligned(recording)
        if not len(song.notes):
            seconds = len(song.audio) / SAMPLE_RATE
            raise CorpusError(recording.id, f"notes in its first {seconds:.1f} s", "none")
        return song

    def count_segments(self, song: EvaluationSong) -> int:
        """Returns the number of segments of a song that are rendered; needs no audio."""
        frames = count_frames(int(song.notes.total_seconds * SAMPLE_RATE))
        segments = -(-frames // self.segment_frames)
        return min(segments, self._max_segments) if self.is_released else segments

    def tokens(self, tokens: SongTokens) -> SongTokens:
        """Returns the part of a song's tokens that is rendered."""
        if not self.is_released:
            return tokens
        kept = tokens.tokens[: self._max_segments]
        frames = len(kept) * self.segment_frames
        return dataclasses.replace(
            tokens, tokens=kept, num_frames=frames, num_samples=frames * HOP_SAMPLES
        )

    def rendered_samples(self, num_samples: int) -> int:
        """Returns the length of the audio that is rendered for a song of a length."""
        return num_samples + (-num_samples % self._segment_samples if self.is_released else 0)

    def encoded(self, log_mel: np.ndarray) -> np.ndarray:
        """Returns the features of a song's audio, [frames, M], as they are inverted.

        The published code fills the last segment with zeros, which are not silence: features are
        logarithms.
        """
        if not self.is_released:
            return log_mel
        return np.pad(log_mel, ((0, -len(log_mel) % self.segment_frames), (0, 0)))

    def paired(self, audio: np.ndarray, song: EvaluationSong) -> np.ndarray:
        """Returns rendered audio [samples] as it is compared with the recording."""
        if self.is_released:
            return audio
        # Audio of a model can be a sample shorter or longer, by rounding.
        audio = audio[: len(song.audio)]
        return np.pad(audio, (0, len(song.audio) - len(audio)))

    def excerpts(self, audio: np.ndarray, song: EvaluationSong) -> Iterator[Excerpt]:
        """Yields the segments that minutes begin in, whose scores are those of the minutes.

        Only for "released"; "aligned" scores whole minutes.

        Args:
            audio: rendered audio, float32 [samples].
            song: the song.
        """
        size = self._segment_samples
        for minute in range(int(self.max_minutes) + 1):
            start = self._segment_of(minute) * size
            if start >= len(song.audio):
                return
            part = slice(start, start + size)
            notes = _notes_between(
                song.reference, start / SAMPLE_RATE, (start + size) / SAMPLE_RATE
            )
            yield Excerpt(audio[part], song.audio[part], notes)

    def _aligned(self, recording: Recording) -> EvaluationSong:
        audio = recording.audio[: round(self.max_minutes * MINUTE_SAMPLES)]
        seconds = len(audio) / SAMPLE_RATE
        notes = recording.notes.select(recording.notes.onset_seconds < seconds)
        notes = dataclasses.replace(
            notes, offset_seconds=np.minimum(notes.offset_seconds, seconds), total_seconds=seconds
        )
        reference = trim_overlaps(notes) if self.trims_references else notes
        return EvaluationSong(recording.id, _to_float(audio), notes, reference)

    def _released(self, recording: Recording) -> EvaluationSong:
        audio = _to_float(recording.audio)
        padding = count_frames(len(audio)) * HOP_SAMPLES - len(audio)
        # Half a sample more, so that counting samples never rounds down.
        notes = dataclasses.replace(recording.notes, total_seconds=(len(audio) + 0.5) / SAMPLE_RATE)
        audio = np.pad(audio, (0, padding))[: self._max_segments * self._segment_samples]
        return EvaluationSong(recording.id, audio, notes, notes)

    @property
    def _segment_samples(self) -> int:
        return self.segment_frames * HOP_SAMPLES

    @property
    def _max_segments(self) -> int:
        """Number of segments that a released song is cut to."""
        return self._segment_of(self.max_minutes) + 1

    def _segment_of(self, minute: float) -> int:
        """Returns the number of the segment that a minute begins in."""
        return int(minute * 60 * FRAMES_PER_SECOND / self.segment_frames)


ALIGNED = Protocol()
"""Protocol with the default settings."""


def _to_float(samples: np.ndarray) -> np.ndarray:
    return samples.astype(np.float32) / 32768


def _notes_between(notes: Notes, start: float, end: float) -> Notes:
    """Returns the notes that begin in a time, cut at its end, with times from its start."""
    inside = notes.select((notes.onset_seconds >= start) & (notes.onset_seconds < end))
    return dataclasses.replace(
        inside,
        onset_seconds=inside.onset_seconds - start,
        offset_seconds=np.minimum(inside.offset_seconds, end) - start,
        total_seconds=end - start,
    )
