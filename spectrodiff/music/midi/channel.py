"""State of one MIDI channel: its instrument, pedals, controllers and sounding notes."""

import bisect
import dataclasses
import math
from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable

from spectrodiff.music.midi.track import ROLAND_GS, YAMAHA_XG

DRUM_CHANNEL = 9
# Controllers that choose the bank of the programs that follow.
BANK_CONTROLLERS = 0, 32

# Controllers.
_BANK, _BANK_FINE = BANK_CONTROLLERS
_DATA, _VOLUME, _EXPRESSION = 6, 7, 11
_PEDAL, _SOSTENUTO = 64, 66
_UNREGISTERED, _PARAMETER_FINE, _PARAMETER = (98, 99), 100, 101
_SOUND_OFF, _RESET_CONTROLLERS = 120, 121
_NOTES_OFF = range(123, 128)  # the changes of mode that follow "all notes off" imply it
BENDS, PRESSURE, TUNING = "pitch bends", "aftertouch", "tuning"
FILTERS, BANKS = "filter and envelope controllers", "variations of instruments"
# Controllers that change the sound and have no counterpart in notes: effect, and smallest value
# that has one.
_EFFECTS = {
    1: ("modulation", 1),
    2: ("breath control", 1),
    65: ("portamento", 64),
    67: ("soft pedal", 64),
}
_FILTERS = range(70, 80)  # 64 is neutral
# Registered parameters.
_BEND_RANGE, _FINE_TUNING, _COARSE_TUNING = 0, 1, 2

_DOWN = 64  # smallest value with which a pedal is down
_NEUTRAL_FILTER, _NEUTRAL_BEND, _NEUTRAL_TUNING = 64, 8192, 64
_DEFAULT_VOLUME, _FULL_EXPRESSION, _DEFAULT_BEND_RANGE = 100, 127, 2
# Banks of drum kits in Yamaha XG and General MIDI 2, and of its other sounds.
_DRUM_BANKS, _MELODIC_BANK = (120, 126, 127), 121


def _integers() -> "array[int]":
    # A quarter of the memory of a list.
    return array("q")


@dataclasses.dataclass
class NoteLists:
    """Notes of a song while it is read; times are indices of events.

    Attributes:
        channel: number of the channel, counted over all ports.
        pitch, velocity, program, is_drum: as in the file.
        first: event that begins the note.
        last: event that ends the note, or the first of its tick; -1 if none does.
        touched: number of notes that each effect without a counterpart in notes touches.
        bend: largest pitch bend of a note, in semitones.
    """

    channel: "array[int]" = dataclasses.field(default_factory=_integers)
    pitch: "array[int]" = dataclasses.field(default_factory=_integers)
    velocity: "array[int]" = dataclasses.field(default_factory=_integers)
    program: "array[int]" = dataclasses.field(default_factory=_integers)
    is_drum: "array[int]" = dataclasses.field(default_factory=_integers)
    first: "array[int]" = dataclasses.field(default_factory=_integers)
    last: "array[int]" = dataclasses.field(default_factory=_integers)
    touched: Counter[str] = dataclasses.field(default_factory=Counter)
    bend: float = 0.0


class Channel:
    """State of one channel of one port.

    Args:
        number: number of the channel, counted over all ports.
        notes: the notes of the song, to which those of the channel are added.

    Attributes:
        mode: GENERAL_MIDI, ROLAND_GS or YAMAHA_XG, whose rules for banks hold; 0 if not chosen.
        is_drum: whether notes of the channel are drums.
        levels: index of an event, and the volume and expression from it on; 1 is the default.
    """

    def __init__(self, number: int, notes: NoteLists) -> None:
        self._number, self._notes, self.mode = number, notes, 0
        self.levels: list[tuple[int, float]] = [(-1, 1.0)]
        # Numbers of notes by key: with the key down, held by the pedal, held by the sostenuto.
        self._held: dict[int, list[int]] = defaultdict(list)
        self._sustained: dict[int, list[int]] = defaultdict(list)
        self._caught: dict[int, list[int]] = defaultdict(list)
        # First event of the tick at which each key was last struck again while a pedal held it.
        self._struck_again: dict[int, int] = {}
        # Event since which each effect is on, or -1, and the last until which it was.
        self._effect_since: dict[str, int] = {}
        self._effect_until: dict[str, int] = {}
        self._set_defaults()

    def _set_defaults(self) -> None:
        self.is_drum = self._number % 16 == DRUM_CHANNEL
        self._program, self._bank, self._bank_fine = 0, -1, 0  # -1: not chosen
        self._drums_by_bank, self._variation = False, False
        self._volume, self._expression = _DEFAULT_VOLUME, _FULL_EXPRESSION
        self._pedal, self._sostenuto_since = False, -1
        self._parameter, self._bend_range = [127, 127], float(_DEFAULT_BEND_RANGE)
        self._semitones = 0.0  # of the pitch bend

    def reset(self, index: int) -> None:
        """Ends all notes and restores the state of a channel that is switched on."""
        self._silence(index)
        for effect in self._effect_since:
            self._set_effect(effect, False, index)
        self._set_defaults()
        self._set_level(index)

    def note_on(self, pitch: int, velocity: int, index: int, tick_start: int) -> None:
        """Begins a note; it ends earlier notes of the same key that a pedal holds.

        Args:
            pitch: the key.
            velocity: 1..127.
            index: the event.
            tick_start: index of the first event at the same tick.
        """
        notes = self._notes
        if self._pedal and (earlier := self._earlier(pitch, tick_start)):
            self._end(earlier, tick_start)
            self._struck_again[pitch] = tick_start
        self._end(self._sustained.pop(pitch, []), tick_start)
        self._end(self._caught.pop(pitch, []), tick_start)
        self._held[pitch].append(len(notes.first))
        notes.channel.append(self._number)
        notes.pitch.append(pitch)
        notes.velocity.append(velocity)
        notes.program.append(self._program)
        notes.is_drum.append(self.is_drum)
        notes.first.append(index)
        notes.last.append(-1)
        notes.bend = max(notes.bend, self._semitones)
        if self._variation and not self.is_drum:
            notes.touched[BANKS] += 1

    def note_off(self, pitch: int, tick_start: int) -> None:
        """Lets a key go; its notes end, or continue while a pedal holds them.

        Args:
            pitch: the key.
            tick_start: index of the first event at the same tick. Notes that began at this tick
                continue if there are earlier ones.
        """
        notes = self._earlier(pitch, tick_start)
        if not notes and self._struck_again.pop(pitch, -1) == tick_start:
            return  # the end of the earlier notes, which ended when the key was struck again
        for note in notes or self._held.pop(pitch, []):
            if self._notes.first[note] < self._sostenuto_since:
                self._caught[pitch].append(note)
            elif self._pedal:
                self._sustained[pitch].append(note)
            else:
                self._end([note], tick_start)

    def change_program(self, program: int) -> None:
        """Sets the program of the notes that follow, and whether they are drums."""
        self._program = program
        # In Roland GS, these banks have melodic sounds of older synthesizers.
        if self._bank in _DRUM_BANKS and self.mode != ROLAND_GS:
            self.is_drum = self._drums_by_bank = True
        elif self._bank == _MELODIC_BANK or (self.mode == YAMAHA_XG and self._bank >= 0):
            self.is_drum = self._drums_by_bank = False
        elif self._drums_by_bank:
            self.is_drum, self._drums_by_bank = self._number % 16 == DRUM_CHANNEL, False
        self._variation = self._bank_fine > 0 or self._bank not in (-1, 0, _MELODIC_BANK)

    def bend(self, value: int, index: int) -> None:
        """Notes a pitch bend: 0..16383, of which 8192 is none."""
        self._set_effect(BENDS, value != _NEUTRAL_BEND, index)
        self._semitones = abs(value - _NEUTRAL_BEND) / _NEUTRAL_BEND * self._bend_range
        if self._held or self._sustained or self._caught:
            self._notes.bend = max(self._notes.bend, self._semitones)

    def press(self, value: int, index: int) -> None:
        """Notes aftertouch, 0..127."""
        self._set_effect(PRESSURE, value > 0, index)

    def control(self, number: int, value: int, index: int) -> None:
        """Changes a controller."""
        if number == _BANK:
            self._bank = value
        elif number == _BANK_FINE:
            self._bank_fine = value
        elif number in (_VOLUME, _EXPRESSION):
            if number == _VOLUME:
                self._volume = value
            else:
                self._expression = value
            self._set_level(index)
        elif number == _PEDAL:
            self._pedal = value >= _DOWN
            if not self._pedal:
                self._release(self._sustained, index)
        elif number == _SOSTENUTO:
            self._set_sostenuto(value >= _DOWN, index)
        elif number in _EFFECTS:
            effect, smallest = _EFFECTS[number]
            self._set_effect(effect, value >= smallest, index)
        elif number in _FILTERS:
            self._set_effect(FILTERS, value != _NEUTRAL_FILTER, index)
        elif number in _NOTES_OFF:
            for pitch in list(self._held):
                self.note_off(pitch, index)
        elif number == _SOUND_OFF:
            self._silence(index)
        elif number == _RESET_CONTROLLERS:
            self._reset_controllers(index)
        else:
            self._set_parameter(number, value, index)

    def finish(self) -> int:
        """Ends the song; returns the number of pitched notes whose key was never let go."""
        for sounding in (self._held, self._sustained, self._caught):
            for numbers in sounding.values():
                self._count_effects(numbers, math.inf)
        return sum(not self._notes.is_drum[note] for held in self._held.values() for note in held)

    def _earlier(self, pitch: int, tick_start: int) -> list[int]:
        """Takes the notes of a key that began before this tick out of those held."""
        held, first = self._held.get(pitch), self._notes.first
        if not held or first[held[0]] >= tick_start:
            return []  # without a copy, which would cost quadratic time in notes of one tick
        # They are in the order in which they began.
        count = bisect.bisect_left(held, tick_start, key=first.__getitem__)
        if count == len(held):
            return self._held.pop(pitch)
        self._held[pitch] = held[count:]
        return held[:count]

    def _set_parameter(self, number: int, value: int, index: int) -> None:
        if number in _UNREGISTERED:
            self._parameter = [127, 127]
        elif number == _PARAMETER:
            self._parameter[0] = value
        elif number == _PARAMETER_FINE:
            self._parameter[1] = value
        elif number == _DATA and self._parameter[0] == 0:
            if self._parameter[1] == _BEND_RANGE:
                self._bend_range = float(value)
            elif self._parameter[1] in (_FINE_TUNING, _COARSE_TUNING):
                self._set_effect(TUNING, value != _NEUTRAL_TUNING, index)

    def _set_sostenuto(self, down: bool, index: int) -> None:
        if down and self._sostenuto_since < 0:
            self._sostenuto_since = index
        elif not down:
            self._sostenuto_since = -1
            if self._pedal:
                for pitch, numbers in self._caught.items():
                    self._sustained[pitch].extend(numbers)
                self._caught.clear()
            else:
                self._release(self._caught, index)

    def _reset_controllers(self, index: int) -> None:
        self._set_sostenuto(False, index)
        self._release(self._sustained, index)
        self._pedal = False
        self._expression = _FULL_EXPRESSION
        self._set_level(index)
        for effect in self._effect_since.keys() - {TUNING, FILTERS}:
            self._set_effect(effect, False, index)
        self._parameter, self._semitones = [127, 127], 0.0

    def _set_level(self, index: int) -> None:
        volume = self._volume / _DEFAULT_VOLUME
        self.levels.append((index, volume * self._expression / _FULL_EXPRESSION))

    def _set_effect(self, effect: str, active: bool, index: int) -> None:
        since = self._effect_since.get(effect, -1)
        if since >= 0:
            self._effect_until[effect] = index
        if active and since < 0:
            self._effect_since[effect] = index
        elif not active and since >= 0:
            self._effect_since[effect] = -1

    def _silence(self, index: int) -> None:
        for sounding in (self._held, self._sustained, self._caught):
            self._release(sounding, index)

    def _release(self, sounding: dict[int, list[int]], index: int) -> None:
        for numbers in sounding.values():
            self._end(numbers, index)
        sounding.clear()

    def _end(self, numbers: Iterable[int], index: int) -> None:
        for note in numbers:
            self._notes.last[note] = index
        if self._effect_since:
            self._count_effects(numbers, index)

    def _count_effects(self, numbers: Iterable[int], end: float) -> None:
        for note in numbers:
            begin = self._notes.first[note]
            for effect, since in self._effect_since.items():
                if 0 <= since < end or self._effect_until.get(effect, -1) > begin:
                    self._notes.touched[effect] += 1
