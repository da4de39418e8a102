"""Changes to a file that change nothing of the song, and songs whose notes are known."""

from collections.abc import Iterable

import mido
import numpy as np
import pytest

from spectrodiff.music.midi.reader import read_midi
from spectrodiff.music.notes import Notes
from tests.support.midi import control, header, meta, midi_bytes, off, on, program
from tests.support.notation import note_rows

SEEDS = range(30)
TICKS_PER_BEAT = 96
SONG_TICKS = 2_000
CHANNELS = (0, 3, 9, 15)
KEYS = range(60, 65)
UNUSED_METAS = (*range(0x00, 0x10), 0x20, 0x54, 0x58, 0x59, 0x60, 0x7F)

Timed = tuple[int, mido.Message | mido.MetaMessage]  # with ticks from the beginning


class Song:
    """Random notes, tempos, programs and pedals.

    Attributes:
        notes: note events.
        others: all other events; no two of a kind and channel stand at one tick.
    """

    def __init__(self, seed: int):
        self.rng = np.random.default_rng(seed)
        self.notes: list[Timed] = []
        self._spans: list[tuple[int, int, int, int]] = []  # channel, key, first and last tick
        for channel in CHANNELS:
            for key in KEYS:
                ends = self._ticks(self.rng.integers(2, 12))
                for first, last in zip(ends[:-1:2], ends[1::2], strict=False):
                    self._spans.append((channel, key, first, last))
                    self.notes += [(first, on(0, key, channel=channel))]
                    self.notes += [(last, off(0, key, channel=channel))]
        self._tempos = [(tick, int(self.rng.integers(2e5, 2e6))) for tick in self._ticks(5)]
        self._programs = {
            channel: [(tick, int(self.rng.integers(128))) for tick in self._ticks(4)]
            for channel in CHANNELS
        }
        self._pedals = {
            channel: [(tick, int(self.rng.integers(128))) for tick in self._ticks(6)]
            for channel in CHANNELS
        }
        self.others: list[Timed] = [
            (tick, meta("set_tempo", tempo=tempo)) for tick, tempo in self._tempos
        ]
        for channel in CHANNELS:
            for tick, number in self._programs[channel]:
                self.others.append((tick, program(0, number, channel)))
            for tick, value in self._pedals[channel]:
                self.others.append((tick, control(0, 64, value, channel)))

    def _ticks(self, count: int) -> list[int]:
        return sorted(self.rng.choice(SONG_TICKS, count, replace=False).tolist())

    def expected(self) -> list[tuple]:
        """Returns onset, offset, pitch, program and drum of each note."""
        end = max(last for *_, last in self._spans)
        seconds, rows = self._seconds(), []
        for channel, key, first, last in self._spans:
            pedals = self._pedals[channel]
            if self._latest(pedals, last) >= 64:
                ups = [tick for tick, value in pedals if tick > last and value < 64]
                strikes = [
                    span[2] for span in self._spans if span[:2] == (channel, key) and span[2] > last
                ]
                last = min([*ups, *strikes], default=end)
            sound = self._latest(self._programs[channel], first)
            # The end of a drum does not count.
            offset = 0.0 if channel == 9 else seconds[last]
            rows.append((seconds[first], offset, key, sound, channel == 9))
        return rows

    @staticmethod
    def _latest(changes: list[tuple[int, int]], tick: int) -> int:
        return max([(-1, 0), *(change for change in changes if change[0] <= tick)])[1]

    def _seconds(self) -> np.ndarray:
        """Returns the time of each tick: the sum of the durations of all ticks before it."""
        tempo = np.full(SONG_TICKS, 500_000)
        for first, value in self._tempos:
            tempo[first:] = value
        return np.concatenate([[0], np.cumsum(tempo)])[:-1] / TICKS_PER_BEAT / 1e6


@pytest.fixture(scope="module", params=SEEDS)
def song(request) -> Song:
    return Song(request.param)


def track(events: Iterable[Timed]) -> list[mido.Message | mido.MetaMessage]:
    """Returns messages in order of time; those of a tick remain in the order given."""
    messages, before = [], 0
    for tick, message in sorted(events, key=lambda event: event[0]):
        messages.append(message.copy(time=tick - before))
        before = tick
    return messages


def written(tracks: Iterable[Iterable[Timed]], kind: int = 1) -> bytes:
    return midi_bytes(*map(track, tracks), ticks_per_beat=TICKS_PER_BEAT, kind=kind)


def in_order(rows: list[tuple]) -> np.ndarray:
    """Returns rows of onset, offset and others in an order that rounding does not change."""
    keys = [(*row[2:], round(row[0], 6), round(row[1], 6)) for row in rows]
    return np.array([rows[index] for index in sorted(range(len(rows)), key=keys.__getitem__)])


def sounds(notes: Notes) -> list[tuple]:
    """Returns all columns of the notes, sorted."""
    assert (notes.remarks, notes.damage) == ((), "")
    return sorted(note_rows(notes))


def test_notes_are_those_of_the_song(song):
    notes = read_midi(written([song.others, song.notes]))
    rows = [
        (onset, 0.0 if is_drum else offset, pitch, number, is_drum)
        for onset, offset, pitch, _, number, is_drum in sounds(notes)
    ]
    np.testing.assert_allclose(in_order(rows), in_order(song.expected()), atol=1e-9)


def test_events_may_stand_in_any_track(song):
    reference = sounds(read_midi(written([song.others, song.notes])))
    tracks = [[] for _ in range(5)]
    for event in song.others:
        tracks[song.rng.integers(5)].append(event)
    tracks[song.rng.integers(5)] += song.notes
    assert sounds(read_midi(written(tracks))) == reference


def test_tracks_can_be_split_and_merged(song):
    merged = [*song.others, *song.notes]
    reference = sounds(read_midi(written([merged], kind=0)))
    by_channel: dict[int | None, list[Timed]] = {}
    for tick, message in merged:
        by_channel.setdefault(getattr(message, "channel", None), []).append((tick, message))
    tracks = list(by_channel.values())
    song.rng.shuffle(tracks)
    assert sounds(read_midi(written(tracks))) == reference
    several_in_type_0 = header(0, len(tracks), TICKS_PER_BEAT) + written(tracks)[len(header()) :]
    assert sounds(read_midi(several_in_type_0)) == reference


def test_bytes_of_metas_that_are_not_used_do_not_matter(song):
    merged = [*song.others, *song.notes]
    reference = sounds(read_midi(written([merged], kind=0)))
    for _ in range(3):
        unused = [
            (int(tick), unused_meta(song.rng)) for tick in song.rng.integers(0, SONG_TICKS, 60)
        ]
        data = written([[*merged, *unused]], kind=0)
        assert sounds(read_midi(data)) == reference


def unused_meta(rng: np.random.Generator) -> mido.UnknownMetaMessage:
    """Returns a meta event whose contents are of any length and need not make sense."""
    contents = rng.integers(0, 256, rng.choice([0, 1, 2, 4, 5, 200])).tolist()
    return mido.UnknownMetaMessage(int(rng.choice(UNUSED_METAS)), contents)
