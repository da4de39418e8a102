"""Dice, metres, keys, chords and progressions: what all players of a composed piece agree on."""

import math
from collections.abc import Sequence
from typing import NamedTuple, TypeVar

import numpy as np

from spectrodiff.music.instruments import OCTAVE

T = TypeVar("T")


class Dice:
    """Random choices that are the same on every machine.

    Only uniform doubles are drawn from the generator: they are the bits of PCG64, while the
    algorithms behind NumPy's other distributions may change between its versions.
    """

    def __init__(self, *entropy: int) -> None:
        bits = np.random.PCG64(np.random.SeedSequence(entropy))
        self._random = np.random.Generator(bits).random

    def uniform(self, low: float, high: float) -> float:
        """A number in [low, high)."""
        return low + (high - low) * float(self._random())

    def log_uniform(self, low: float, high: float) -> float:
        """A number in [low, high) whose logarithm is uniform; both limits are positive."""
        return low * (high / low) ** float(self._random())

    def integer(self, low: int, high: int) -> int:
        """An integer in low..high, both included."""
        return low + int((high - low + 1) * float(self._random()))

    def chance(self, probability: float) -> bool:
        """True with the given probability."""
        return float(self._random()) < probability

    def pick(self, options: Sequence[T], weights: Sequence[float] | None = None) -> T:
        """One of the options, by weight if there are weights."""
        if weights is None:
            return options[self.integer(0, len(options) - 1)]
        mark = self.uniform(0, math.fsum(weights))
        for option, weight in zip(options, weights, strict=True):
            mark -= weight
            if mark < 0:
                return option
        return options[-1]

    def shuffle(self, options: Sequence[T]) -> list[T]:
        """All options in a random order."""
        shuffled = list(options)
        for last in range(len(shuffled) - 1, 0, -1):
            other = self.integer(0, last)
            shuffled[last], shuffled[other] = shuffled[other], shuffled[last]
        return shuffled


class Meter(NamedTuple):
    """How a bar is counted: the lengths of its pulses in beats (quarter notes)."""

    pulses: tuple[float, ...]

    @property
    def bar_beats(self) -> float:
        """Length of a bar in beats."""
        return sum(self.pulses)

    @property
    def steps(self) -> int:
        """Sixteenths in a bar, the grid that drums are written on."""
        return round(4 * self.bar_beats)

    def pulse_beats(self) -> list[float]:
        """Where in the bar each pulse begins."""
        return [sum(self.pulses[:number]) for number in range(len(self.pulses))]


FOUR_FOUR = Meter((1, 1, 1, 1))
METERS = (FOUR_FOUR, Meter((1, 1, 1)), Meter((1.5, 1.5)), Meter((1,) * 5), Meter((1, 1, 1.5)))
METER_WEIGHTS = (66, 14, 12, 4, 4)

MAJOR = (0, 2, 4, 5, 7, 9, 11)
MINOR = (0, 2, 3, 5, 7, 8, 10)
DORIAN = (0, 2, 3, 5, 7, 9, 10)
MIXOLYDIAN = (0, 2, 4, 5, 7, 9, 10)
SCALES = (MAJOR, MINOR, DORIAN, MIXOLYDIAN)
SCALE_WEIGHTS = (45, 35, 10, 10)


class Key(NamedTuple):
    """A tonic (pitch class) and the steps of its seven-note scale in semitones above it."""

    tonic: int
    scale: tuple[int, ...]

    def pitch(self, degree: int) -> int:
        """The pitch of a scale degree; degree 0 is the tonic in the octave of MIDI pitch 0."""
        octave, step = divmod(degree, len(self.scale))
        return self.tonic + OCTAVE * octave + self.scale[step]

    def degree(self, pitch: int) -> int:
        """The highest scale degree that is not above `pitch`."""
        octave, rest = divmod(pitch - self.tonic, OCTAVE)
        return len(self.scale) * octave + sum(step <= rest for step in self.scale) - 1


class Chord(NamedTuple):
    """Pitch classes, root first, that sound from `start` on for `length` beats."""

    start: float
    length: float
    classes: tuple[int, ...]

    def nearest(self, pitch: int) -> int:
        """The chord tone nearest to `pitch`, the lower one of two."""
        return min(
            range(pitch - OCTAVE // 2, pitch + OCTAVE // 2 + 1),
            key=lambda tone: (tone % OCTAVE not in self.classes, abs(tone - pitch), tone),
        )

    def tones(self, low: int, high: int) -> list[int]:
        """All chord tones in low..high, from the lowest up."""
        return [pitch for pitch in range(low, high + 1) if pitch % OCTAVE in self.classes]


class Passage(NamedTuple):
    """Some bars of music as all players see them; chord times count from its beginning."""

    key: Key
    meter: Meter
    bars: int
    chords: tuple[Chord, ...]
    density: float

    @property
    def beats(self) -> float:
        """Length of the passage in beats."""
        return self.bars * self.meter.bar_beats

    def chord_at(self, beat: float) -> Chord:
        """The chord that sounds at a beat of the passage."""
        sounding = [chord for chord in self.chords if chord.start <= beat + 1e-6]
        return sounding[-1] if sounding else self.chords[0]


# Progressions as scale degrees counted from 1, each a commonplace of tonal or popular music.
_PROGRESSIONS = (
    "1564", "1645", "1625", "6415", "1415", "2511", "1345", "14", "1454", "4151", "1715", "16",
    "36251", "15634145", "1736", "1765", "6543", "1463", "1111444411554411",
)  # fmt: skip
# How likely degree `column` follows degree `row`, by common practice: dominants go home.
_FOLLOWS = (
    (1, 3, 2, 5, 5, 4, 1),
    (1, 0, 1, 1, 6, 0, 2),
    (1, 1, 0, 4, 1, 5, 0),
    (4, 2, 1, 1, 6, 1, 1),
    (7, 0, 1, 2, 1, 3, 0),
    (1, 4, 1, 4, 2, 0, 0),
    (5, 0, 2, 0, 1, 1, 0),
)
_MAJOR_THIRD = 4


def random_key(dice: Dice) -> Key:
    """A key: any tonic, most often major or minor."""
    return Key(dice.integer(0, OCTAVE - 1), dice.pick(SCALES, SCALE_WEIGHTS))


def random_passage(dice: Dice, key: Key, meter: Meter, bars: int, density: float) -> Passage:
    """A passage with a chord progression of its own, one of the commonplaces or a random walk."""
    chords_per_bar = dice.pick((0.5, 1.0, 2.0), (2, 6, 2))
    count = max(1, round(bars * chords_per_bar))
    degrees = _progression(dice, count)
    # 3 is a triad, 4 adds the seventh, 5 the ninth.
    richness = dice.pick((3, 4, 5), (6, 3, 1))
    length = bars * meter.bar_beats / count
    chords = tuple(
        Chord(number * length, length, _chord_classes(dice, key, degree, richness))
        for number, degree in enumerate(degrees)
    )
    return Passage(key, meter, bars, chords, density)


def _progression(dice: Dice, count: int) -> list[int]:
    """`count` scale degrees counted from 0."""
    if dice.chance(0.6):
        degrees = [int(digit) - 1 for digit in dice.pick(_PROGRESSIONS)]
        return [degrees[number % len(degrees)] for number in range(count)]
    degrees = [dice.pick((0, 5, 3))]
    while len(degrees) < count:
        degrees.append(dice.pick(range(7), _FOLLOWS[degrees[-1]]))
    return degrees


def _chord_classes(dice: Dice, key: Key, degree: int, richness: int) -> tuple[int, ...]:
    """Thirds stacked on a scale degree; a dominant may borrow its leading note."""
    root = key.pitch(degree)
    above = [key.pitch(degree + 2 * third) - root for third in range(richness)]
    if degree == 4 and dice.chance(0.7):
        above[1] = _MAJOR_THIRD
    if dice.chance(0.06):
        above[1] += dice.pick((-1, 1)) if above[1] == _MAJOR_THIRD else 1
    return tuple(dict.fromkeys((root + interval) % OCTAVE for interval in above))


def voicing(chord: Chord, low: int, high: int, voices: int, center: float) -> list[int]:
    """The `voices` neighbouring chord tones in low..high whose mean lies nearest to `center`."""
    tones = chord.tones(low, high)
    windows = [tones[first : first + voices] for first in range(max(1, len(tones) - voices + 1))]
    return min(windows, key=lambda window: abs(sum(window) / max(1, len(window)) - center))
