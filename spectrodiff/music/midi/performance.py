"""Notes of the tracks of a MIDI file, as a player that reads them sounds them."""

import dataclasses
from collections import Counter
from collections.abc import Sequence

import numpy as np

from spectrodiff.music.midi.channel import BANK_CONTROLLERS, Channel, NoteLists
from spectrodiff.music.midi.tempo import TempoMap
from spectrodiff.music.midi.track import MASTER_VOLUME, RESET, RHYTHM_PART, SYSTEM, Track

# Length of notes that end at the tick at which they begin, and of drums that never end.
SHORTEST_SECONDS = 0.01

_FULL_MASTER_VOLUME = 127


@dataclasses.dataclass(frozen=True)
class Performance:
    """Notes of tracks that sound together.

    Attributes:
        columns: columns of the note table (see `Notes`), in order of onset.
        end_seconds: time of the last event of any track.
        unended: number of pitched notes without an end, which last to the end of the song.
        without_length: number of pitched notes that end at the tick at which they begin.
        silent: number of notes with volume 0 from beginning to end, whose velocity is 1.
        touched: number of notes that each ignored effect touches.
        bend: largest pitch bend in semitones.
        master_volume: whether the volume of all channels is changed, which is ignored.
    """

    columns: dict[str, np.ndarray]
    end_seconds: float
    unended: int
    without_length: int
    silent: int
    touched: Counter[str]
    bend: float
    master_volume: bool


def perform(tracks: Sequence[Track], tempo: TempoMap) -> Performance:
    """Merges tracks in time and plays their events.

    At one tick, messages to the whole synthesizer come first, then programs and controllers, then
    notes, so that it does not matter in which track each stands. Only a program in a track that has
    notes of its channel at that tick keeps its place among them, with its bank: several tracks may
    share a channel, each with a program of its own.

    Args:
        tracks: tracks that sound together.
        tempo: times of their ticks.
    """
    ticks, events = _merge(tracks)
    player = _Player()
    player.play(ticks.data, _channel_of(events).data, events.data)
    notes = player.notes
    unended = sum(channel.finish() for channel in player.channels.values())

    seconds = tempo.to_seconds(ticks)
    is_drum = np.array(notes.is_drum, bool)
    first, last = np.array(notes.first, np.int64), np.array(notes.last, np.int64)
    ends = np.where(last < 0, player.last_note, last)
    onset_seconds, offset_seconds = seconds[first], seconds[ends]
    without_length = ~is_drum & (last >= 0) & (ticks[first] == ticks[ends])
    short = (offset_seconds <= onset_seconds) | is_drum & (last < 0)
    offset_seconds = np.where(short, onset_seconds + SHORTEST_SECONDS, offset_seconds)
    level = _loudest_levels(player, np.array(notes.channel, np.int64), first, ends)
    velocity = np.rint(np.array(notes.velocity, np.int64) * level).astype(np.int64)
    columns = {
        "onset_seconds": onset_seconds,
        "offset_seconds": offset_seconds,
        "pitch": np.array(notes.pitch, np.int64),
        "velocity": np.clip(velocity, 1, 127),
        "program": np.array(notes.program, np.int64),
        "is_drum": is_drum,
    }
    in_time = np.argsort(onset_seconds, kind="stable")
    end_tick = max(track.end_tick for track in tracks)
    return Performance(
        {name: column[in_time] for name, column in columns.items()},
        end_seconds=float(tempo.to_seconds(np.array(end_tick))),
        unended=unended,
        without_length=int(np.count_nonzero(without_length)),
        silent=int(np.count_nonzero(level == 0)),
        touched=notes.touched,
        bend=notes.bend,
        master_volume=player.master_volume,
    )


def _merge(tracks: Sequence[Track]) -> tuple[np.ndarray, np.ndarray]:
    """Returns the ticks and events of all tracks in the order in which they take effect."""
    ticks = np.concatenate([np.array(track.ticks, np.int64) for track in tracks])
    events = np.concatenate([np.array(track.events, np.int64) for track in tracks])
    status = events >> 16 & 0xF0
    is_bank = (status == 0xB0) & np.isin(events >> 8 & 0x7F, BANK_CONTROLLERS)
    is_note, is_choice = status < 0xA0, (status == 0xC0) | is_bank
    rank = np.where(status == SYSTEM, 0, np.where(is_note, 2, 1))
    if is_choice.any():
        # A bank holds for the programs behind it, so that it keeps its place, too.
        track = np.repeat(np.arange(len(tracks)), [len(track.ticks) for track in tracks])
        moment = np.unique(ticks, return_inverse=True)[1] * len(tracks) + track
        place = moment << 12 | _channel_of(events)
        rank[is_choice & np.isin(place, place[is_note])] = 2
    order = np.lexsort((rank, ticks))
    return ticks[order], events[order]


def _channel_of(event: np.ndarray) -> np.ndarray:
    """Returns port * 16 + channel of events."""
    return event >> 20 & 0xFF0 | event >> 16 & 0x0F


class _Player:
    """Plays events.

    Attributes:
        notes: the notes.
        channels: state of each channel, by port * 16 + channel.
        last_note: index of the first event of the last tick at which a key is pressed or let go.
        master_volume: whether the volume of all channels was changed.
    """

    def __init__(self) -> None:
        self.notes = NoteLists()
        self.channels: dict[int, Channel] = {}
        # Those with an event since the last reset; only these have a state that it changes.
        self._used: dict[int, Channel] = {}
        self.last_note = 0
        self.master_volume = False
        self._mode = 0

    def play(self, ticks: Sequence[int], channels: Sequence[int], events: Sequence[int]) -> None:
        """Plays the events of a song in their order.

        Args:
            ticks: time of each event.
            channels: port * 16 + channel of each.
            events: see `Track.events`.
        """
        tick, tick_start = -1, 0
        for index, event in enumerate(events):
            if ticks[index] != tick:
                tick, tick_start = ticks[index], index
            status, first, second = event >> 16 & 0xFF, event >> 8 & 0x7F, event & 0x7F
            if status == SYSTEM:
                self._command(event >> 24, first, second, index)
                continue
            channel = self._channel(channels[index])
            status &= 0xF0
            if status == 0x90 and second:
                channel.note_on(first, second, index, tick_start)
                self.last_note = tick_start
            elif status < 0xA0:
                channel.note_off(first, tick_start)
                self.last_note = tick_start
            elif status == 0xB0:
                channel.control(first, second, index)
            elif status == 0xC0:
                channel.change_program(first)
            elif status == 0xE0:
                channel.bend(second << 7 | first, index)
            else:
                channel.press(second if status == 0xA0 else first, index)

    def _channel(self, number: int) -> Channel:
        if number not in self._used:
            if number not in self.channels:
                self.channels[number] = Channel(number, self.notes)
            self._used[number] = self.channels[number]
            self._used[number].mode = self._mode
        return self._used[number]

    def _command(self, port: int, command: int, value: int, index: int) -> None:
        """Carries out a message to the whole synthesizer."""
        if command == RESET:
            self._mode = value
            for channel in self._used.values():
                channel.reset(index)
            self._used.clear()
        elif command == MASTER_VOLUME:
            self.master_volume |= value < _FULL_MASTER_VOLUME
        else:
            self._channel(port << 4 | command & ~RHYTHM_PART).is_drum = bool(value)


def _loudest_levels(
    player: _Player, channel: np.ndarray, first: np.ndarray, last: np.ndarray
) -> np.ndarray:
    """Returns the largest volume and expression of each note while it sounds, float64 [notes].

    Args:
        player: has the levels of its channels.
        channel: channel of each note.
        first: event that begins each note.
        last: event that ends it.
    """
    loudest = np.ones(len(channel))
    for number, state in player.channels.items():
        if len(state.levels) == 1:
            continue
        mine = np.flatnonzero(channel == number)
        index, level = map(np.array, zip(*state.levels, strict=True))
        begin = np.searchsorted(index, first[mine], side="right") - 1
        end = np.maximum(np.searchsorted(index, last[mine], side="left"), begin + 1)
        loudest[mine] = _range_maxima(level, begin, end)
    return loudest


def _range_maxima(values: np.ndarray, begin: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Returns the maximum of values[begin:end] for each pair, in O(log n) operations on arrays."""
    # maxima[k][i] is the maximum of the 2^k values from i on.
    maxima = [values]
    while 2 << len(maxima) - 1 <= len(values):
        half = 1 << len(maxima) - 1
        maxima.append(np.maximum(maxima[-1][:-half], maxima[-1][half:]))
    result = np.empty(len(begin))
    power = np.frexp(end - begin)[1] - 1
    for k in np.unique(power):
        rows = power == k
        result[rows] = np.maximum(maxima[k][begin[rows]], maxima[k][end[rows] - (1 << k)])
    return result
