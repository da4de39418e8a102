"""Drum grooves, fills and percussion on the General MIDI drum map."""

from spectrodiff.composer.harmony import FOUR_FOUR, Dice, Meter, Passage
from spectrodiff.composer.patterns import OFFBEAT, STRONG, WEAK, Event, rhythm

# The General MIDI drum map runs from the acoustic bass drum to the open triangle.
LOWEST_DRUM, HIGHEST_DRUM = 35, 81
HIT_BEATS = 0.25
STEP_BEATS = 0.25

KICKS, SNARES = (36, 35), (38, 40, 37, 39)
TIMES = (42, 42, 51, 44, 54, 70, 69, 59, 53)  # what keeps time: hi-hats, rides, shakers
OPEN_HAT, CRASHES, TOMS = 46, (49, 57, 55, 52), (50, 48, 47, 45, 43, 41)
# Pairs that belong together: bongos, congas, timbales, agogos, claves, blocks, bells, triangles.
PERCUSSION = (
    (60, 61), (62, 64), (63, 64), (65, 66), (67, 68), (75, 69), (76, 77), (56, 54),
    (80, 81), (73, 74), (71, 72), (78, 79), (58, 70),
)  # fmt: skip

# Sixteen steps of kick, snare and time-keeper; x accented, o plain, . nothing.
_GROOVES = (
    ("x.......x.......", "....x.......x...", "x.o.o.o.x.o.o.o."),  # rock
    ("x......ox.o.....", "....x.......x...", "x.o.x.o.x.o.x.o."),
    ("x..o..x...o..x..", "....x..o.o..x..o", "xoxoxoxoxoxoxoxo"),  # funk
    ("x...x...x...x...", "....x.......x...", "..x...x...x...x."),  # disco
    ("x.....o.x.......", "........x.......", "x...o...x...o..."),  # half time
    ("x..x..x...x.x...", "....x.......x...", "x.o.o.o.x.o.o.o."),  # reggaeton and kin
    ("x..o...ox..o...o", "...x..x...x..x..", "xoooxoooxoooxooo"),  # bossa nova
    ("x...........o...", "....o.......o...", "x...x.o.x...x.o."),  # ride of swing
    ("x.o.......oo....", "....x..o.o..x...", "x.o.x.o.x.o.x.o."),  # break beat
    ("........x.......", "....x.......x...", "o...o...o...o..."),  # one drop
    ("x.o.x.o.x.o.x.o.", "oooooxoooooxooxo", "x...x...x...x..."),  # march
    ("x...............", "........o.......", "x.......o......."),  # sparse
)


def groove(dice: Dice, passage: Passage) -> list[Event]:
    """One bar repeated with small changes, perhaps a crash before it and a fill after it."""
    meter, bars, density = passage.meter, passage.bars, passage.density
    pattern = _written_bar(dice) if meter == FOUR_FOUR and dice.chance(0.7) else None
    pattern = pattern or _free_bar(dice, meter, density)
    if dice.chance(0.25 + 0.3 * density):
        pattern = pattern + _percussion_bar(dice, meter, density)
    drops = dice.uniform(0, 0.12)
    events = []
    for bar in range(bars):
        origin = bar * meter.bar_beats
        events += [
            hit._replace(start=origin + hit.start) for hit in pattern if not dice.chance(drops)
        ]
    if dice.chance(0.5):
        events = _with_fill(dice, events, meter, bars, density)
    if dice.chance(0.4):
        events.append(Event(0.0, HIT_BEATS, dice.pick(CRASHES, (6, 3, 1, 1)), STRONG))
    return events


def _written_bar(dice: Dice) -> list[Event]:
    rows = dice.pick(_GROOVES)
    drums = dice.pick(KICKS, (4, 1)), dice.pick(SNARES, (6, 2, 2, 1)), dice.pick(TIMES)
    return [
        Event(step * STEP_BEATS, HIT_BEATS, _opened(dice, drum), STRONG if mark == "x" else 0.75)
        for row, drum in zip(rows, drums, strict=True)
        for step, mark in enumerate(row)
        if mark != "."
    ]


def _opened(dice: Dice, drum: int) -> int:
    """Now and then a closed hi-hat is open."""
    return OPEN_HAT if drum == TIMES[0] and dice.chance(0.06) else drum


def _free_bar(dice: Dice, meter: Meter, density: float) -> list[Event]:
    """Kick and snare on the pulses in turn, with additions, and an even time-keeper."""
    kick, snare, time = dice.pick(KICKS), dice.pick(SNARES), dice.pick(TIMES)
    first_snare = dice.integer(1, 2)
    events = [
        Event(beat, HIT_BEATS, kick if number % len(meter.pulses) < first_snare else snare, WEAK)
        for number, beat in enumerate(meter.pulse_beats())
    ]
    for step in range(meter.steps):
        beat = step * STEP_BEATS
        if dice.chance(0.15 * density):
            events.append(Event(beat, HIT_BEATS, dice.pick((kick, snare)), 0.7))
    every = dice.pick((1, 2, 4), (density, 2, 1))
    return events + [
        Event(step * STEP_BEATS, HIT_BEATS, time, WEAK if step % (2 * every) == 0 else OFFBEAT)
        for step in range(0, meter.steps, every)
    ]


def _percussion_bar(dice: Dice, meter: Meter, density: float) -> list[Event]:
    pair = dice.pick(PERCUSSION)
    return [
        Event(start, HIT_BEATS, dice.pick(pair), dice.uniform(0.7, 1.1))
        for start, _ in rhythm(dice, meter, 0.3 + 0.7 * density)
    ]


def _with_fill(
    dice: Dice, events: list[Event], meter: Meter, bars: int, density: float
) -> list[Event]:
    """The groove with its last beats replaced by a run over snare and toms."""
    length = min(dice.pick((1.0, 2.0, 3.0)), meter.bar_beats)
    start = bars * meter.bar_beats - length
    drums = (dice.pick(SNARES[:2]), *TOMS)
    step = dice.pick((0.25, 0.5, 1 / 3))
    count = round(length / step)
    place, hits = 0, []
    for number in range(count):
        if dice.chance(0.6 + 0.4 * density):
            accent = dice.uniform(0.8, 1.1)
            hits.append(Event(start + number * step, HIT_BEATS, drums[place], accent))
        if dice.chance(0.5):
            place = min(place + 1, len(drums) - 1)
    return [event for event in events if event.start < start - 0.01] + hits


def drum_salad(dice: Dice, beats: float, density: float, beats_per_second: float) -> list[Event]:
    """Hits without rule over the whole drum map."""
    count = 1 + int(beats / beats_per_second * dice.log_uniform(0.7, 2 + 10 * density))
    return [
        Event(
            dice.uniform(0, beats),
            HIT_BEATS,
            dice.integer(LOWEST_DRUM, HIGHEST_DRUM),
            dice.uniform(0.6, 1.3),
        )
        for _ in range(count)
    ]
