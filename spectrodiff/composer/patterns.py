"""What each player makes of a passage: bass lines, chords, arpeggios, pads, melodies, note salad.

A pattern takes the dice, the passage and the compass it may use, and returns events whose times
count in beats from the beginning of the passage.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple

from spectrodiff.composer.harmony import OCTAVE, Chord, Dice, Key, Meter, Passage, voicing
from spectrodiff.music.instruments import Role


class Event(NamedTuple):
    """A note of one player: times in beats, and loudness relative to the player's own."""

    start: float
    length: float
    pitch: int
    accent: float = 1.0


class Compass(NamedTuple):
    """Pitches a pattern may use, how many at once, and whether they may ring on."""

    low: int
    high: int
    voices: int
    rings: bool

    @property
    def middle(self) -> float:
        """The middle of the compass."""
        return (self.low + self.high) / 2


Pattern = Callable[[Dice, Passage, Compass], list[Event]]

STRONG, WEAK, OFFBEAT = 1.15, 1.0, 0.88


def rhythm(dice: Dice, meter: Meter, density: float) -> list[tuple[float, float]]:
    """One bar of (start, length) pairs in beats: pulses, joined where it is calm, else divided."""
    cells: list[tuple[float, float]] = []
    for start, length in zip(meter.pulse_beats(), meter.pulses, strict=True):
        if cells and not dice.chance(0.35 + 0.65 * density):
            last_start, last_length = cells[-1]
            cells[-1] = last_start, last_length + length
        else:
            cells.append((start, length))
    for _ in range(2):
        cells = [part for cell in cells for part in _divide(dice, cell, density)]
    return [cell for cell in cells if not dice.chance(0.12)] or cells[:1]


def _divide(dice: Dice, cell: tuple[float, float], density: float) -> list[tuple[float, float]]:
    """Leaves a cell whole, or splits it in two equal, two unequal or three parts."""
    start, length = cell
    if length < 0.5 or not dice.chance(0.9 * density * min(1.0, length)):
        return [cell]
    thirds = length == 1.5 or dice.chance(0.08)
    if thirds:
        return [(start + part * length / 3, length / 3) for part in range(3)]
    first = length * (0.75 if length >= 1 and dice.chance(0.25) else 0.5)
    return [(start, first), (start + first, length - first)]


def _accent(beat: float, meter: Meter) -> float:
    """Bars begin strongly, pulses are plain, what lies between them is weaker."""
    in_bar = beat % meter.bar_beats
    if in_bar < 0.01:
        return STRONG
    return WEAK if any(abs(in_bar - pulse) < 0.01 for pulse in meter.pulse_beats()) else OFFBEAT


def _bars(passage: Passage, *bars: list[tuple[float, float]]) -> Iterable[tuple[float, float]]:
    """Repeats one-bar rhythms in turn through a passage."""
    for number in range(passage.bars):
        offset = number * passage.meter.bar_beats
        for start, length in bars[number % len(bars)]:
            yield offset + start, length


# Intervals above the root that a bass line goes through, note after note.
_BASS_FIGURES = ((0,), (0, 7), (0, 12), (0, 7, 12, 7), (0, 4, 7, 9), (0, 0, 7, 0), (0, -5), (0, 4))


def bass(dice: Dice, passage: Passage, compass: Compass) -> list[Event]:
    """The root where a chord begins, then a figure on chord tones, or a walk to the next root."""
    bar = rhythm(dice, passage.meter, passage.density * dice.uniform(0.3, 1.0))
    figure = dice.pick(_BASS_FIGURES)
    walks = dice.chance(0.2)
    gate = dice.uniform(0.5, 1.0)
    events: list[Event] = []
    chord, place = None, 0
    for start, length in _bars(passage, bar):
        current = passage.chord_at(start)
        place = 0 if current is not chord else place + 1
        chord = current
        root = _root(chord, compass)
        pitch = root + figure[place % len(figure)]
        if place:
            pitch = chord.nearest(pitch)
        if walks and place:
            target = _root(passage.chord_at(start + length), compass)
            pitch = _step_towards(passage.key, events[-1].pitch, target)
        pitch = fold(pitch, compass)
        events.append(Event(start, length * gate, pitch, _accent(start, passage.meter)))
    return events


def _root(chord: Chord, compass: Compass) -> int:
    """The chord's lowest root in the compass."""
    return compass.low + (chord.classes[0] - compass.low) % OCTAVE


def _step_towards(key: Key, pitch: int, target: int) -> int:
    """One scale step from `pitch` in the direction of `target`, or below it when already there."""
    direction = 1 if target > pitch else -1
    return key.pitch(key.degree(pitch) + direction)


def fold(pitch: int, compass: Compass) -> int:
    """Moves a pitch by octaves into the compass, which is at least an octave wide."""
    while pitch > compass.high:
        pitch -= OCTAVE
    while pitch < compass.low:
        pitch += OCTAVE
    return pitch


def _voicings(dice: Dice, passage: Passage, compass: Compass) -> dict[Chord, list[int]]:
    """A voicing for each chord of the passage, all around one centre."""
    voices = min(compass.voices, dice.integer(2, 5))
    center = min(max(dice.uniform(compass.low, compass.high), 50), 72)
    return {
        chord: voicing(chord, compass.low, compass.high, voices, center) for chord in passage.chords
    }


def chords(dice: Dice, passage: Passage, compass: Compass) -> list[Event]:
    """Chords struck in a rhythm: on the pulses, off them, or freely; sometimes strummed."""
    meter = passage.meter
    pulses = list(zip(meter.pulse_beats(), meter.pulses, strict=True))
    bar = dice.pick(
        (
            pulses,
            [(start + length / 2, length / 2) for start, length in pulses],
            rhythm(dice, meter, passage.density),
            rhythm(dice, meter, passage.density * 0.5),
        ),
        (3, 1, 3, 2),
    )
    gate = dice.uniform(0.25, 1.0)
    roll = dice.uniform(0.01, 0.06) if compass.rings and dice.chance(0.5) else 0.0
    voiced = _voicings(dice, passage, compass)
    events = []
    for stroke, (start, length) in enumerate(_bars(passage, bar)):
        tones = voiced[passage.chord_at(start)]
        # A strumming hand goes down and up.
        for place, pitch in enumerate(tones if stroke % 2 == 0 else tones[::-1]):
            delay = min(place * roll, length * gate / 2)
            events.append(Event(start + delay, length * gate - delay, pitch, _accent(start, meter)))
    return events


def arpeggio(dice: Dice, passage: Passage, compass: Compass) -> list[Event]:
    """Chord tones one after the other at an even pace, ringing on if the instrument can."""
    step = dice.pick((1.0, 0.5, 0.25, 1 / 3), (2, 5, 4 * passage.density, 1))
    if passage.meter.pulses[0] == 1.5:
        step = dice.pick((0.5, 0.25), (4, passage.density))
    span = dice.integer(3, 6)
    order = dice.pick((_up, _down, _up_and_down, _alberti))
    rings = compass.rings and dice.chance(0.6)
    gate = dice.uniform(0.4, 1.0)
    center = dice.uniform(compass.low + 6, compass.high - 6)
    events = []
    for chord in passage.chords:
        tones = order(voicing(chord, compass.low, compass.high, span, center))
        for number in range(round(chord.length / step)):
            start = chord.start + number * step
            pitch = tones[number % len(tones)]
            # A key that rings is left until it, or the next chord, is struck.
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


def pad(dice: Dice, passage: Passage, compass: Compass) -> list[Event]:
    """Held chords; a tone that two neighbouring chords share is either tied or struck again."""
    voiced = _voicings(dice, passage, compass)
    ties = dice.chance(0.5)
    gate = dice.uniform(0.85, 1.0)
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


def melody(dice: Dice, passage: Passage, compass: Compass) -> list[Event]:
    """A motif of one or two bars, repeated, moved, turned over or answered by another."""
    meter = passage.meter
    motif_bars = min(passage.bars, dice.pick((1, 2)))
    motifs = [_motif(dice, passage, motif_bars) for _ in range(2)]
    gate = dice.uniform(0.6, 1.0)
    thirds = compass.voices > 1 and dice.chance(0.2)
    home = compass.low + (compass.high - compass.low) * dice.uniform(0.3, 0.8)
    events: list[Event] = []
    for first_bar in range(0, passage.bars, motif_bars):
        if dice.chance(0.1):
            continue  # the player breathes
        motif = motifs[0] if dice.chance(0.7) else motifs[1]
        inverted = -1 if dice.chance(0.2) else 1
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
            pitch = fold(pitch, compass)
            degree = passage.key.degree(pitch)
            events.append(Event(beat, length * gate, pitch, accent))
            below = passage.key.pitch(degree - 2)
            if thirds and below >= compass.low and below != pitch:
                events.append(Event(beat, length * gate, below, accent * 0.9))
    return events


def _motif(dice: Dice, passage: Passage, bars: int) -> list[tuple[float, float, int]]:
    """(start, length, scale steps from the note before) for each note of a motif."""
    cells = [
        (bar * passage.meter.bar_beats + start, length)
        for bar in range(bars)
        for start, length in rhythm(dice, passage.meter, passage.density)
    ]
    steps = (-4, -3, -2, -1, 0, 1, 2, 3, 4)
    return [(*cell, dice.pick(steps, (1, 1, 3, 8, 4, 8, 3, 1, 1))) for cell in cells]


def salad(
    dice: Dice, beats: float, density: float, beats_per_second: float, compass: Compass
) -> list[Event]:
    """Notes without rule, so that a model cannot guess one from another.

    One of: scattered single notes, random clusters, runs and slides, one repeated note, or single
    notes with silence around them.
    """
    kind = dice.pick((_scattered, _clusters, _runs, _repeated, _isolated), (5, 2, 2, 1, 2))
    notes_per_beat = dice.log_uniform(0.7, 2 + 10 * density) / beats_per_second
    return [event for event in kind(dice, beats, notes_per_beat, compass) if event.start < beats]


def _scattered(dice: Dice, beats: float, rate: float, compass: Compass) -> list[Event]:
    return [
        Event(
            dice.uniform(0, beats),
            dice.log_uniform(0.1, 4),
            dice.integer(compass.low, compass.high),
            dice.uniform(0.6, 1.3),
        )
        for _ in range(1 + int(beats * rate))
    ]


def _clusters(dice: Dice, beats: float, rate: float, compass: Compass) -> list[Event]:
    events, start = [], 0.0
    while start < beats:
        length, accent = dice.log_uniform(0.15, 3), dice.uniform(0.6, 1.3)
        chosen = {dice.integer(compass.low, compass.high) for _ in range(min(compass.voices, 6))}
        events += [Event(start, length, pitch, accent) for pitch in sorted(chosen)]
        start += length * dice.uniform(0.8, 1.6) + dice.uniform(0, 1 / rate)
    return events


def _runs(dice: Dice, beats: float, rate: float, compass: Compass) -> list[Event]:
    events, start = [], 0.0
    step = 1 / max(rate, 1.5)
    while start < beats:
        pitch, direction = dice.integer(compass.low, compass.high), dice.pick((-2, -1, 1, 2))
        gate, accent = dice.uniform(0.4, 1.0), dice.uniform(0.7, 1.2)
        for _ in range(dice.integer(3, 16)):
            if compass.low <= pitch <= compass.high:
                events.append(Event(start, step * gate, pitch, accent))
            pitch += direction
            start += step
        start += dice.uniform(0, 1)
    return events


def _repeated(dice: Dice, beats: float, rate: float, compass: Compass) -> list[Event]:
    pitch, step = dice.integer(compass.low, compass.high), 1 / max(rate, 0.5)
    gate = dice.uniform(0.3, 1.0)
    return [
        Event(number * step, step * gate, pitch, dice.uniform(0.6, 1.3))
        for number in range(1 + int(beats / step))
    ]


def _isolated(dice: Dice, beats: float, rate: float, compass: Compass) -> list[Event]:
    events, start = [], dice.uniform(0, 1)
    while start < beats:
        length = dice.log_uniform(0.2, 4)
        pitch = dice.integer(compass.low, compass.high)
        events.append(Event(start, length, pitch, dice.uniform(0.6, 1.3)))
        start += length + dice.uniform(0.1, 1.5)
    return events


_PATTERNS: dict[Role, Pattern] = {
    "bass": bass,
    "chords": chords,
    "arpeggio": arpeggio,
    "pad": pad,
    "melody": melody,
}


def play(dice: Dice, role: Role, passage: Passage, compass: Compass) -> list[Event]:
    """What a player in the given role plays in a passage."""
    return _PATTERNS[role](dice, passage, compass)
