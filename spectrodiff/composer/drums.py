"""Drum grooves, fills and percussion on the General MIDI drum map."""

from spectrodiff.composer.harmony import FOUR_FOUR, Meter, Passage
from spectrodiff.composer.patterns import OFFBEAT, STRONG, WEAK, Event, rhythm
from spectrodiff.composer.seeded_random import SeededRandom

# The General MIDI drum map: acoustic bass drum to open triangle.
LOWEST_DRUM, HIGHEST_DRUM = 35, 81
HIT_BEATS = 0.25
STEP_BEATS = 0.25

KICKS, SNARES = (36, 35), (38, 40, 37, 39)
TIMES = (42, 42, 51, 44, 54, 70, 69, 59, 53)  # regular pulse: hi-hats, rides, shakers
OPEN_HAT, CRASHES, TOMS = 46, (49, 57, 55, 52), (50, 48, 47, 45, 43, 41)
# Pairs of related drums: bongos, congas, timbales, agogos, claves, blocks, bells, triangles.
PERCUSSION = (
    (60, 61), (62, 64), (63, 64), (65, 66), (67, 68), (75, 69), (76, 77), (56, 54),
    (80, 81), (73, 74), (71, 72), (78, 79), (58, 70),
)  # fmt: skip

# Sixteen steps of kick, snare and regular pulse: x accented hit, o plain hit, . none.
_GROOVES = (
    ("x.......x.......", "....x.......x...", "x.o.o.o.x.o.o.o."),  # rock
    ("x......ox.o.....", "....x.......x...", "x.o.x.o.x.o.x.o."),
    ("x..o..x...o..x..", "....x..o.o..x..o", "xoxoxoxoxoxoxoxo"),  # funk
    ("x...x...x...x...", "....x.......x...", "..x...x...x...x."),  # disco
    ("x.....o.x.......", "........x.......", "x...o...x...o..."),  # half time
    ("x..x..x...x.x...", "....x.......x...", "x.o.o.o.x.o.o.o."),  # reggaeton
    ("x..o...ox..o...o", "...x..x...x..x..", "xoooxoooxoooxooo"),  # bossa nova
    ("x...........o...", "....o.......o...", "x...x.o.x...x.o."),  # swing ride
    ("x.o.......oo....", "....x..o.o..x...", "x.o.x.o.x.o.x.o."),  # break beat
    ("........x.......", "....x.......x...", "o...o...o...o..."),  # one drop
    ("x.o.x.o.x.o.x.o.", "oooooxoooooxooxo", "x...x...x...x..."),  # march
    ("x...............", "........o.......", "x.......o......."),  # sparse
)


def groove(rng: SeededRandom, passage: Passage) -> list[Event]:
    """Writes one bar repeated with small changes, sometimes with a crash and a fill."""
    meter, bars, density = passage.meter, passage.bars, passage.density
    pattern = _written_bar(rng) if meter == FOUR_FOUR and rng.chance(0.7) else None
    pattern = pattern or _free_bar(rng, meter, density)
    if rng.chance(0.25 + 0.3 * density):
        pattern = pattern + _percussion_bar(rng, meter, density)
    drops = rng.uniform(0, 0.12)
    events = []
    for bar in range(bars):
        origin = bar * meter.bar_beats
        events += [
            hit._replace(start=origin + hit.start) for hit in pattern if not rng.chance(drops)
        ]
    if rng.chance(0.5):
        events = _with_fill(rng, events, meter, bars, density)
    if rng.chance(0.4):
        events.append(Event(0.0, HIT_BEATS, rng.choice(CRASHES, (6, 3, 1, 1)), STRONG))
    return events


def _written_bar(rng: SeededRandom) -> list[Event]:
    rows = rng.choice(_GROOVES)
    drums = rng.choice(KICKS, (4, 1)), rng.choice(SNARES, (6, 2, 2, 1)), rng.choice(TIMES)
    return [
        Event(step * STEP_BEATS, HIT_BEATS, _opened(rng, drum), STRONG if mark == "x" else 0.75)
        for row, drum in zip(rows, drums, strict=True)
        for step, mark in enumerate(row)
        if mark != "."
    ]


def _opened(rng: SeededRandom, drum: int) -> int:
    """Sometimes replaces the closed hi-hat by the open one."""
    return OPEN_HAT if drum == TIMES[0] and rng.chance(0.06) else drum


def _free_bar(rng: SeededRandom, meter: Meter, density: float) -> list[Event]:
    """Writes kick and snare on alternating pulses, random additions, and a regular pulse."""
    kick, snare, time = rng.choice(KICKS), rng.choice(SNARES), rng.choice(TIMES)
    first_snare = rng.integer(1, 2)
    events = [
        Event(beat, HIT_BEATS, kick if number % len(meter.pulses) < first_snare else snare, WEAK)
        for number, beat in enumerate(meter.pulse_beats())
    ]
    for step in range(meter.steps):
        beat = step * STEP_BEATS
        if rng.chance(0.15 * density):
            events.append(Event(beat, HIT_BEATS, rng.choice((kick, snare)), 0.7))
    every = rng.choice((1, 2, 4), (density, 2, 1))
    return events + [
        Event(step * STEP_BEATS, HIT_BEATS, time, WEAK if step % (2 * every) == 0 else OFFBEAT)
        for step in range(0, meter.steps, every)
    ]


def _percussion_bar(rng: SeededRandom, meter: Meter, density: float) -> list[Event]:
    pair = rng.choice(PERCUSSION)
    return [
        Event(start, HIT_BEATS, rng.choice(pair), rng.uniform(0.7, 1.1))
        for start, _ in rhythm(rng, meter, 0.3 + 0.7 * density)
    ]


def _with_fill(
    rng: SeededRandom, events: list[Event], meter: Meter, bars: int, density: float
) -> list[Event]:
    """Replaces the last beats of a groove by a run over snare and toms."""
    length = min(rng.choice((1.0, 2.0, 3.0)), meter.bar_beats)
    start = bars * meter.bar_beats - length
    drums = (rng.choice(SNARES[:2]), *TOMS)
    step = rng.choice((0.25, 0.5, 1 / 3))
    count = round(length / step)
    place, hits = 0, []
    for number in range(count):
        if rng.chance(0.6 + 0.4 * density):
            accent = rng.uniform(0.8, 1.1)
            hits.append(Event(start + number * step, HIT_BEATS, drums[place], accent))
        if rng.chance(0.5):
            place = min(place + 1, len(drums) - 1)
    return [event for event in events if event.start < start - 0.01] + hits
