"""Patterns for each role: bass lines, chords, arpeggios, pads and melodies.

A pattern takes a random generator, a passage and the limits of a part. It returns events with times
in beats since the start of the passage.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple

from spectrodiff.composer.harmony import Chord, Key, Meter, Passage, voicing
from spectrodiff.composer.seeded_random import SeededRandom
from spectrodiff.music.instruments import OCTAVE, Role


class Event(NamedTuple):
    """Note of one player: start and length in beats, and a factor to the player's velocity."""

    start: float
    length: float
    pitch: int
    accent: float = 1.0


class PartLimits(NamedTuple):
    """Limits of a part.

    Attributes:
        low: lowest MIDI pitch.
        high: highest MIDI pitch.
        voices: maximum number of simultaneous notes.
        rings: whether notes may ring on after they are released.
    """

    low: int
    high: int
    voices: int
    rings: bool


Pattern = Callable[[SeededRandom, Passage, PartLimits], list[Event]]

STRONG, WEAK, OFFBEAT = 1.15, 1.0, 0.88


def rhythm(rng: SeededRandom, meter: Meter, density: float) -> list[tuple[float, float]]:
    """Returns one bar of (start, length) pairs in beats.

    The pulses of the meter are joined at low density and divided at high density.
    """
    cells: list[tuple[float, float]] = []
    for start, length in zip(meter.pulse_beats(), meter.pulses, strict=True):
        if cells and not rng.chance(0.35 + 0.65 * density):
            last_start, last_length = cells[-1]
            cells[-1] = last_start, last_length + length
        else:
            cells.append((start, length))
    for _ in range(2):
        cells = [part for cell in cells for part in _divide(rng, cell, density)]
    return [cell for cell in cells if not rng.chance(0.12)] or cells[:1]


def _divide(
    rng: SeededRandom, cell: tuple[float, float], density: float
) -> list[tuple[float, float]]:
    """Keeps a cell, or splits it into two equal, two unequal or three parts."""
    start, length = cell
    if length < 0.5 or not rng.chance(0.9 * density * min(1.0, length)):
        return [cell]
    thirds = length == 1.5 or rng.chance(0.08)
    if thirds:
        return [(start + part * length / 3, length / 3) for part in range(3)]
    first = length * (0.75 if length >= 1 and rng.chance(0.25) else 0.5)
    return [(start, first), (start + first, length - first)]


def _accent(beat: float, meter: Meter) -> float:
    """Returns the accent of a beat: strong at the start of a bar, weak on pulses, else off-beat."""
    in_bar = beat % meter.bar_beats
    if in_bar < 0.01:
        return STRONG
    return WEAK if any(abs(in_bar - pulse) < 0.01 for pulse in meter.pulse_beats()) else OFFBEAT


def _bars(passage: Passage, *bars: list[tuple[float, float]]) -> Iterable[tuple[float, float]]:
    """Yields the cells of one-bar rhythms, repeated in turn through a passage."""
    for number in range(passage.bars):
        offset = number * passage.meter.bar_beats
        for start, length in bars[number % len(bars)]:
            yield offset + start, length


# Bass figures: semitones above the root, note after note.
_BASS_FIGURES = ((0,), (0, 7), (0, 12), (0, 7, 12, 7), (0, 4, 7, 9), (0, 0, 7, 0), (0, -5), (0, 4))


def bass(rng: SeededRandom, passage: Passage, limits: PartLimits) -> list[Event]:
    """Writes the root at the start of each chord, then a figure or a walk to the next root."""
    bar = rhythm(rng, passage.meter, passage.density * rng.uniform(0.3, 1.0))
    figure = rng.choice(_BASS_FIGURES)
    walks = rng.chance(0.2)
    gate = rng.uniform(0.5, 1.0)
    events: list[Event] = []
    chord, place = None, 0
    for start, length in _bars(passage, bar):
        current = passage.chord_at(start)
        place = 0 if current is not chord else place + 1
        chord = current
        root = _root(chord, limits)
        pitch = root + figure[place % len(figure)]
        if place:
            pitch = chord.nearest(pitch)
        if walks and place:
            target = _root(passage.chord_at(start + length), limits)
            pitch = _step_towards(passage.key, events[-1].pitch, target)
        pitch = fold(pitch, limits)
        events.append(Event(start, length * gate, pitch, _accent(start, passage.meter)))
    return events


def _root(chord: Chord, limits: PartLimits) -> int:
    """Returns the lowest root of a chord within the limits."""
    return limits.low + (chord.classes[0] - limits.low) % OCTAVE


def _step_towards(key: Key, pitch: int, target: int) -> int:
    """Returns one scale step from `pitch` towards `target`, or down if `pitch` equals it."""
    direction = 1 if target > pitch else -1
    return key.pitch(key.degree(pitch) + direction)


def fold(pitch: int, limits: PartLimits) -> int:
    """Moves a pitch by octaves into the limits, which are at least an octave wide."""
    while pitch > limits.high:
        pitch -= OCTAVE
    while pitch < limits.low:
        pitch += OCTAVE
    return pitch


def _voicings(rng: SeededRandom, passage: Passage, limits: PartLimits) -> dict[Chord, list[int]]:
    """Returns a voicing for each chord of a passage, around a common center."""
    voices = min(limits.voices, rng.integer(2, 5))
    center = min(max(rng.uniform(limits.low, limits.high), 50), 72)
    return {
        chord: voicing(chord, limits.low, limits.high, voices, center) for chord in passage.chords
    }


def chords(rng: SeededRandom, passage: Passage, limits: PartLimits) -> list[Event]:
    """Writes chords in a rhythm: on the pulses, off them, or random; sometimes strummed."""
    meter = passage.meter
    pulses = list(zip(meter.pulse_beats(), meter.pulses, strict=True))
    bar = rng.choice(
        (
            pulses,
            [(start + length / 2, length / 2) for start, length in pulses],
            rhythm(rng, meter, passage.density),
            rhythm(rng, meter, passage.density * 0.5),
        ),
        (3, 1, 3, 2),
    )
    gate = rng.uniform(0.25, 1.0)
    roll = rng.uniform(0.01, 0.06) if limits.rings and rng.chance(0.5) else 0.0
    voiced = _voicings(rng, passage, limits)
    events = []
    for stroke, (start, length) in enumerate(_bars(passage, bar)):
        tones = voiced[passage.chord_at(start)]
        # Strums alternate between down and up.
        for place, pitch in enumerate(tones if stroke % 2 == 0 else tones[::-1]):
            delay = min(place * roll, length * gate / 2)
            events.append(Event(start + delay, length * gate - delay, pitch, _accent(start, meter)))
    return events


def arpeggio(rng: SeededRandom, passage: Passage, limits: PartLimits) -> list[Event]:
    """Writes single chord tones at a regular pace, which may ring on if the instrument can."""
    step = rng.choice((1.0, 0.5, 0.25, 1 / 3), (2, 5, 4 * passage.density, 1))
    if passage.meter.pulses[0] == 1.5:
        step = rng.choice((0.5, 0.25), (4, passage.density))
    span = rng.integer(3, 6)
    order = rng.choice((_up, _down, _up_and_down, _alberti))
    rings = limits.rings and rng.chance(0.6)
    gate = rng.uniform(0.4, 1.0)
    center = rng.uniform(limits.low + 6, limits.high - 6)
    events = []
    for chord in passage.chords:
        tones = order(voicing(chord, limits.low, limits.high, span, center))
        for number in range(round(chord.length / step)):
            start = chord.start + number * step
            pitch = tones[number % len(tones)]
            # A ringing note lasts until its pitch is repeated or the next chord starts.
            until_next_chord = chord.start + chord.length - start
            length = min(len(tones) * step, until_next_chord) if rings else step * gate
            events.append(Event(start, length, pitch, _accent(start, passage.meter)))
    return events


def _up(tones: list[int]) -> list[int]:
    return tones


def _down(tones: list[int]) -> list[int]:
    return tones[::-1]


def _up_and_down(tones: list[int]) -> list[int]:
    return tones + tones[-2:0:-1]


def _alberti(tones: list[int]) -> list[int]:
    return [tones[0], tones[-1], tones[len(tones) // 2], tones[-1]]


def pad(rng: SeededRandom, passage: Passage, limits: PartLimits) -> list[Event]:
    """Writes sustained chords; a tone shared by consecutive chords is either tied or repeated."""
    voiced = _voicings(rng, passage, limits)
    ties = rng.chance(0.5)
    gate = rng.uniform(0.85, 1.0)
    sounding: dict[int, Event] = {}
    events: list[Event] = []
    for chord in passage.chords:
        ending = [event for pitch, event in sounding.items() if pitch not in voiced[chord]]
        events += ending if ties else sounding.values()
        kept = sounding if ties else {}
        sounding = {}
        for pitch in voiced[chord]:
            if pitch in kept:
                tied = kept[pitch]
                sounding[pitch] = tied._replace(length=chord.start - tied.start + chord.length)
            else:
                sounding[pitch] = Event(chord.start, chord.length * gate, pitch)
    return events + list(sounding.values())


def melody(rng: SeededRandom, passage: Passage, limits: PartLimits) -> list[Event]:
    """Writes two motifs of one or two bars: repeated, transposed or inverted."""
    meter = passage.meter
    motif_bars = min(passage.bars, rng.choice((1, 2)))
    motifs = [_motif(rng, passage, motif_bars) for _ in range(2)]
    gate = rng.uniform(0.6, 1.0)
    thirds = limits.voices > 1 and rng.chance(0.2)
    home = limits.low + (limits.high - limits.low) * rng.uniform(0.3, 0.8)
    events: list[Event] = []
    for first_bar in range(0, passage.bars, motif_bars):
        if rng.chance(0.1):
            continue  # a rest
        motif = motifs[0] if rng.chance(0.7) else motifs[1]
        inverted = -1 if rng.chance(0.2) else 1
        origin = first_bar * meter.bar_beats
        degree = passage.key.degree(passage.chord_at(origin).nearest(round(home)))
        for start, length, step in motif:
            beat = origin + start
            degree += inverted * step
            pitch = passage.key.pitch(degree)
            if beat >= passage.beats:
                break
            accent = _accent(beat, meter)
            if accent > OFFBEAT or length >= 1:
                pitch = passage.chord_at(beat).nearest(pitch)
            pitch = fold(pitch, limits)
            degree = passage.key.degree(pitch)
            events.append(Event(beat, length * gate, pitch, accent))
            below = passage.key.pitch(degree - 2)
            if thirds and below >= limits.low and below != pitch:
                events.append(Event(beat, length * gate, below, accent * 0.9))
    return events


def _motif(rng: SeededRandom, passage: Passage, bars: int) -> list[tuple[float, float, int]]:
    """Returns (start, length, scale steps from the previous note) for each note of a motif."""
    cells = [
        (bar * passage.meter.bar_beats + start, length)
        for bar in range(bars)
        for start, length in rhythm(rng, passage.meter, passage.density)
    ]
    steps = (-4, -3, -2, -1, 0, 1, 2, 3, 4)
    return [(*cell, rng.choice(steps, (1, 1, 3, 8, 4, 8, 3, 1, 1))) for cell in cells]


_PATTERNS: dict[Role, Pattern] = {
    "bass": bass,
    "chords": chords,
    "arpeggio": arpeggio,
    "pad": pad,
    "melody": melody,
}


def write_part(rng: SeededRandom, role: Role, passage: Passage, limits: PartLimits) -> list[Event]:
    """Writes the events of a role in a passage."""
    return _PATTERNS[role](rng, passage, limits)
