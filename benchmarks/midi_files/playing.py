"""Notes of the events of a MIDI file, by the rules of players."""

import dataclasses
from collections import defaultdict
from collections.abc import Iterable, Sequence

import numpy as np

NOTE_OFF, NOTE_ON, CONTROL, PROGRAM, SYSEX, TEMPO = 0x80, 0x90, 0xB0, 0xC0, 0xF0, 0x51
COLUMNS = ("onset", "offset", "pitch", "program", "is_drum")

_DRUM_CHANNEL = 9
# Of Yamaha XG and General MIDI 2.
_DRUM_BANKS, _MELODIC_BANK = (120, 126, 127), 121
_PEDAL, _SOSTENUTO, _SOUND_OFF, _RESET_CONTROLLERS = 64, 66, 120, 121
_NOTES_OFF = (123, 124, 125, 126, 127)
_DEFAULT_TEMPO = 500_000


@dataclasses.dataclass(frozen=True)
class Event:
    """Event of a MIDI file.

    Attributes:
        tick: time from the beginning.
        status: kind of the event without its channel; the tempo event has that of its meta type.
        channel: 16 times the port, plus the channel.
        first, second: data bytes; `first` of a tempo event is its microseconds per beat.
        data: bytes of a system exclusive message without the first and last, F0 and F7.
        track: number of the track, if known.
    """

    tick: int
    status: int
    channel: int = 0
    first: int = 0
    second: int = 0
    data: bytes = b""
    track: int = 0


class _Channel:
    """State of a channel."""

    def __init__(self, number: int) -> None:
        self.tenth = number % 16 == _DRUM_CHANNEL
        self.rhythm_part: bool | None = None
        self.is_drum_by_bank = self.tenth
        self.program = self.bank = 0
        self.pedal = self.sostenuto = False
        # Numbers of sounding notes by key: keys that are down, and keys that a pedal holds.
        self.down: dict[int, list[int]] = defaultdict(list)
        self.pedaled: dict[int, list[int]] = defaultdict(list)
        # Tick at which each key was last struck again while a pedal held it.
        self.struck_again: dict[int, int] = {}
        # Notes whose keys were down when the sostenuto pedal was pressed.
        self.caught: set[int] = set()

    @property
    def is_drum(self) -> bool:
        return self.is_drum_by_bank if self.rhythm_part is None else self.rhythm_part


def play(events: Sequence[Event], division: int, *, pedals: bool) -> np.ndarray:
    """Returns the notes, in order of note-on events, float64 [notes, 5]: see `COLUMNS`.

    Onsets and offsets are in seconds. Rules, where files leave room for several:

    - Tracks are merged in time; at one tick, messages to the whole synthesizer come first, then
      programs and controllers, then notes. A program or bank in a track that has notes of its
      channel at that tick keeps its place among them.
    - Programs, pedals, banks and all-notes-off belong to a channel; a note has the program that is
      set when it begins.
    - Drums are on channel 10, on channels with bank 126 or 127 (XG) or 120 (General MIDI 2), and
      on those that a Roland GS message makes a rhythm part; bank 121 takes them from channel 10.
    - A note-off ends all notes of its key and channel that began at earlier ticks, or those of its
      own tick if there are no others.
    - Pedals sustain from a value of 64 on. A key that is struck while the pedal is down ends the
      notes of that key, except those whose keys went down at the same tick and are still. A
      note-off behind it at that tick is theirs.
    - Notes never ended, by pedals or at all, last until the last note event of the song.

    Args:
        events: merged in time; those of a tick by track and order in the track.
        division: as in the header of the file.
        pedals: whether pedals sustain notes.
    """
    ordered = _in_order(events)
    seconds = _seconds(ordered, division)
    player = _Player(pedals)
    last = 0.0
    for event, now in zip(ordered, seconds, strict=True):
        if event.status in (NOTE_ON, NOTE_OFF):
            last = now
        player.play(event, now)
    rows = [(on, last if off is None else off, *rest) for on, off, *rest in player.rows]
    return np.array(rows, np.float64).reshape(-1, len(COLUMNS))


def _in_order(events: Sequence[Event]) -> list[Event]:
    places = {
        (event.tick, event.track, event.channel)
        for event in events
        if event.status in (NOTE_ON, NOTE_OFF)
    }

    def rank(event: Event) -> int:
        if event.status == SYSEX:
            return 0
        keeps_place = (event.tick, event.track, event.channel) in places
        chooses = event.status == PROGRAM or (event.status == CONTROL and event.first == 0)
        if event.status in (NOTE_ON, NOTE_OFF) or (chooses and keeps_place):
            return 2
        return 1

    return sorted(events, key=lambda event: (event.tick, rank(event)))


def _seconds(events: Iterable[Event], division: int) -> list[float]:
    """Returns the time of each event."""
    frames, subframes = -(division >> 8), division & 0xFF
    rate = 30_000 / 1001 if frames == 29 else frames
    per_tick = _DEFAULT_TEMPO / division / 1e6 if division > 0 else 1 / (rate * subframes)
    seconds, tick, times = 0.0, 0, []
    for event in events:
        seconds += (event.tick - tick) * per_tick
        tick = event.tick
        times.append(seconds)
        if event.status == TEMPO and event.first and division > 0:
            per_tick = event.first / division / 1e6
    return times


class _Player:
    """Reads events in their order and writes down notes."""

    def __init__(self, pedals: bool) -> None:
        self.rows: list[list] = []
        self._ticks: list[int] = []
        self._pedals = pedals
        self._channels: dict[int, _Channel] = {}

    def play(self, event: Event, now: float) -> None:
        """Carries out an event."""
        channel = self._channel(event.channel)
        if event.status == SYSEX:
            self._command(event, now)
        elif event.status == PROGRAM:
            channel.program = event.first
            on_tenth = channel.tenth and channel.bank != _MELODIC_BANK
            channel.is_drum_by_bank = on_tenth or channel.bank in _DRUM_BANKS
        elif event.status == CONTROL:
            self._control(channel, event, now)
        elif event.status == NOTE_ON and event.second:
            self._end(channel.pedaled.pop(event.first, []), now)
            if channel.pedal:
                down = channel.down[event.first]
                if earlier := self._earlier(down, event.tick):
                    self._end(earlier, now)
                    channel.struck_again[event.first] = event.tick
                down[:] = [note for note in down if self.rows[note][1] is None]
            channel.down[event.first].append(len(self.rows))
            self._ticks.append(event.tick)
            self.rows.append([now, None, event.first, channel.program, channel.is_drum])
        elif event.status in (NOTE_ON, NOTE_OFF):
            notes = channel.down[event.first]
            earlier = self._earlier(notes, event.tick)
            if earlier or channel.struck_again.pop(event.first, None) != event.tick:
                self._let_go(channel, event.first, earlier or notes, now)

    def _earlier(self, notes: Iterable[int], tick: int) -> list[int]:
        return [note for note in notes if self._ticks[note] < tick]

    def _channel(self, number: int) -> _Channel:
        return self._channels.setdefault(number, _Channel(number))

    def _control(self, channel: _Channel, event: Event, now: float) -> None:
        is_down = event.second >= 64 and self._pedals
        if event.first == 0:
            channel.bank = event.second
        elif event.first == _PEDAL:
            channel.pedal = is_down
            self._release(channel, now)
        elif event.first == _SOSTENUTO:
            if is_down and not channel.sostenuto:
                channel.caught = {note for notes in channel.down.values() for note in notes}
            elif not is_down:
                channel.caught = set()
            channel.sostenuto = is_down
            self._release(channel, now)
        elif event.first in _NOTES_OFF:
            for key, notes in channel.down.items():
                self._let_go(channel, key, notes, now)
        elif event.first == _SOUND_OFF:
            self._silence(channel, now)
        elif event.first == _RESET_CONTROLLERS:
            channel.pedal = channel.sostenuto = False
            channel.caught = set()
            self._release(channel, now)

    def _let_go(self, channel: _Channel, key: int, notes: list[int], now: float) -> None:
        channel.pedaled[key].extend(notes)
        channel.down[key] = [note for note in channel.down[key] if note not in notes]
        self._release(channel, now)

    def _release(self, channel: _Channel, now: float) -> None:
        """Ends the notes that no key and no pedal holds."""
        if not channel.pedal:
            for key, notes in channel.pedaled.items():
                self._end([note for note in notes if note not in channel.caught], now)
                channel.pedaled[key] = [note for note in notes if note in channel.caught]

    def _silence(self, channel: _Channel, now: float) -> None:
        for notes in (*channel.down.values(), *channel.pedaled.values()):
            self._end(notes, now)
        channel.down.clear()
        channel.pedaled.clear()

    def _end(self, notes: list[int], now: float) -> None:
        for note in notes:
            self.rows[note][1] = now

    def _command(self, event: Event, now: float) -> None:
        """Carries out a system exclusive message."""
        data = event.data
        general_midi = data[:1] == b"\x7e" and data[2:4] in (b"\x09\x01", b"\x09\x03")
        roland = data[:1] == b"\x41" and data[2:4] == b"\x42\x12"
        yamaha = data[:1] == b"\x43" and data[2:6] == b"\x4c\x00\x00\x7e"
        if general_midi or yamaha or (roland and data[4:7] == b"\x40\x00\x7f"):
            for number, channel in self._channels.items():
                self._silence(channel, now)
                self._channels[number] = _Channel(number)
        elif roland and data[4:5] == b"\x40" and data[6:7] == b"\x15" and len(data) > 7:
            # The last digit of a part's address: 0 is the tenth channel, 1 to 9 those before it.
            part = data[5] & 15
            number = _DRUM_CHANNEL if part == 0 else part - (part < 10)
            if data[5] >> 4 == 1:
                self._channel(event.channel // 16 * 16 + number).rhythm_part = data[7] > 0
