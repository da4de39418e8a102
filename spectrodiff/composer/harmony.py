"""Meters, keys, chords and chord progressions, which all players of a song share."""

from typing import NamedTuple

from spectrodiff.composer.seeded_random import SeededRandom
from spectrodiff.music.instruments import OCTAVE


class Meter(NamedTuple):
    """Lengths of the pulses of a bar in beats (quarter notes)."""

    pulses: tuple[float, ...]

    @property
    def bar_beats(self) -> float:
        """Length of a bar in beats."""
        return sum(self.pulses)

    @property
    def steps(self) -> int:
        """Number of sixteenths in a bar, the grid of drum patterns."""
        return round(4 * self.bar_beats)

    def pulse_beats(self) -> list[float]:
        """Returns the start of each pulse in beats since the start of the bar."""
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
    """Tonic (a pitch class), and its seven-note scale in semitones above the tonic."""

    tonic: int
    scale: tuple[int, ...]

    def pitch(self, degree: int) -> int:
        """Returns the pitch of a scale degree; degree 0 is the tonic in MIDI pitches 0..11."""
        octave, step = divmod(degree, len(self.scale))
        return self.tonic + OCTAVE * octave + self.scale[step]

    def degree(self, pitch: int) -> int:
        """Returns the highest scale degree that is not above `pitch`."""
        octave, rest = divmod(pitch - self.tonic, OCTAVE)
        return len(self.scale) * octave + sum(step <= rest for step in self.scale) - 1


class Chord(NamedTuple):
    """Pitch classes, root first, with start and length in beats."""

    start: float
    length: float
    classes: tuple[int, ...]

    def nearest(self, pitch: int) -> int:
        """Returns the chord tone nearest to `pitch`; the lower of two equally near ones."""
        return min(
            range(pitch - OCTAVE // 2, pitch + OCTAVE // 2 + 1),
            key=lambda tone: (tone % OCTAVE not in self.classes, abs(tone - pitch), tone),
        )

    def tones(self, low: int, high: int) -> list[int]:
        """Returns all chord tones in low..high, in ascending order."""
        return [pitch for pitch in range(low, high + 1) if pitch % OCTAVE in self.classes]


class Passage(NamedTuple):
    """Bars of music with a key and chords; chord times are relative to its start."""

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
        """Returns the chord at a beat of the passage."""
        sounding = [chord for chord in self.chords if chord.start <= beat + 1e-6]
        return sounding[-1] if sounding else self.chords[0]


# Common progressions of tonal and popular music, as scale degrees counted from 1.
_PROGRESSIONS = (
    "1564", "1645", "1625", "6415", "1415", "2511", "1345", "14", "1454", "4151", "1715", "16",
    "36251", "15634145", "1736", "1765", "6543", "1463", "1111444411554411",
)  # fmt: skip
# Relative probability that degree `column` follows degree `row`, from common practice harmony.
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


def random_key(rng: SeededRandom) -> Key:
    """Returns a random key: any tonic, in most cases major or minor."""
    return Key(rng.integer(0, OCTAVE - 1), rng.choice(SCALES, SCALE_WEIGHTS))


def random_passage(rng: SeededRandom, key: Key, meter: Meter, bars: int, density: float) -> Passage:
    """Returns a passage with a chord progression: a common one or a random walk."""
    chords_per_bar = rng.choice((0.5, 1.0, 2.0), (2, 6, 2))
    count = max(1, round(bars * chords_per_bar))
    degrees = _progression(rng, count)
    # Notes per chord: 3 is a triad, 4 adds the seventh, 5 the ninth.
    richness = rng.choice((3, 4, 5), (6, 3, 1))
    length = bars * meter.bar_beats / count
    chords = tuple(
        Chord(number * length, length, _chord_classes(rng, key, degree, richness))
        for number, degree in enumerate(degrees)
    )
    return Passage(key, meter, bars, chords, density)


def _progression(rng: SeededRandom, count: int) -> list[int]:
    """Returns `count` scale degrees counted from 0."""
    if rng.chance(0.6):
        degrees = [int(digit) - 1 for digit in rng.choice(_PROGRESSIONS)]
        return [degrees[number % len(degrees)] for number in range(count)]
    degrees = [rng.choice((0, 5, 3))]
    while len(degrees) < count:
        degrees.append(rng.choice(range(7), _FOLLOWS[degrees[-1]]))
    return degrees


def _chord_classes(rng: SeededRandom, key: Key, degree: int, richness: int) -> tuple[int, ...]:
    """Stacks thirds on a scale degree; the third of a dominant is often raised to a major third."""
    root = key.pitch(degree)
    above = [key.pitch(degree + 2 * third) - root for third in range(richness)]
    if degree == 4 and rng.chance(0.7):
        above[1] = _MAJOR_THIRD
    if rng.chance(0.06):
        above[1] += rng.choice((-1, 1)) if above[1] == _MAJOR_THIRD else 1
    return tuple(dict.fromkeys((root + interval) % OCTAVE for interval in above))


def voicing(chord: Chord, low: int, high: int, voices: int, center: float) -> list[int]:
    """Returns the `voices` adjacent chord tones in low..high with the mean nearest to `center`."""
    tones = chord.tones(low, high)
    windows = [tones[first : first + voices] for first in range(max(1, len(tones) - voices + 1))]
    return min(windows, key=lambda window: abs(sum(window) / max(1, len(window)) - center))
