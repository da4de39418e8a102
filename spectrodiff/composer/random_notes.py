"""Random notes and drum hits without musical structure.

With them in the training data a model cannot rely on predicting one note from others.
"""

from spectrodiff.composer.drums import HIGHEST_DRUM, HIT_BEATS, LOWEST_DRUM
from spectrodiff.composer.patterns import Event, PartLimits
from spectrodiff.composer.seeded_random import SeededRandom


def random_notes(
    rng: SeededRandom, beats: float, density: float, beats_per_second: float, limits: PartLimits
) -> list[Event]:
    """Writes random notes of one kind, chosen at random.

    The kinds are scattered single notes, random clusters, runs and glissandi, one repeated note,
    and single notes separated by silence.
    """
    kind = rng.choice((_scattered, _clusters, _runs, _repeated, _isolated), (5, 2, 2, 1, 2))
    notes_per_beat = rng.log_uniform(0.7, 2 + 10 * density) / beats_per_second
    return [event for event in kind(rng, beats, notes_per_beat, limits) if event.start < beats]


def _scattered(rng: SeededRandom, beats: float, rate: float, limits: PartLimits) -> list[Event]:
    return [
        Event(
            rng.uniform(0, beats),
            rng.log_uniform(0.1, 4),
            rng.integer(limits.low, limits.high),
            rng.uniform(0.6, 1.3),
        )
        for _ in range(1 + int(beats * rate))
    ]


def _clusters(rng: SeededRandom, beats: float, rate: float, limits: PartLimits) -> list[Event]:
    events, start = [], 0.0
    while start < beats:
        length, accent = rng.log_uniform(0.15, 3), rng.uniform(0.6, 1.3)
        pitches = {rng.integer(limits.low, limits.high) for _ in range(min(limits.voices, 6))}
        events += [Event(start, length, pitch, accent) for pitch in sorted(pitches)]
        start += length * rng.uniform(0.8, 1.6) + rng.uniform(0, 1 / rate)
    return events


def _runs(rng: SeededRandom, beats: float, rate: float, limits: PartLimits) -> list[Event]:
    events, start = [], 0.0
    step = 1 / max(rate, 1.5)
    while start < beats:
        pitch, direction = rng.integer(limits.low, limits.high), rng.choice((-2, -1, 1, 2))
        gate, accent = rng.uniform(0.4, 1.0), rng.uniform(0.7, 1.2)
        for _ in range(rng.integer(3, 16)):
            if limits.low <= pitch <= limits.high:
                events.append(Event(start, step * gate, pitch, accent))
            pitch += direction
            start += step
        start += rng.uniform(0, 1)
    return events


def _repeated(rng: SeededRandom, beats: float, rate: float, limits: PartLimits) -> list[Event]:
    pitch, step = rng.integer(limits.low, limits.high), 1 / max(rate, 0.5)
    gate = rng.uniform(0.3, 1.0)
    return [
        Event(number * step, step * gate, pitch, rng.uniform(0.6, 1.3))
        for number in range(1 + int(beats / step))
    ]


def _isolated(rng: SeededRandom, beats: float, rate: float, limits: PartLimits) -> list[Event]:
    events, start = [], rng.uniform(0, 1)
    while start < beats:
        length = rng.log_uniform(0.2, 4)
        pitch = rng.integer(limits.low, limits.high)
        events.append(Event(start, length, pitch, rng.uniform(0.6, 1.3)))
        start += length + rng.uniform(0.1, 1.5)
    return events


def random_hits(
    rng: SeededRandom, beats: float, density: float, beats_per_second: float
) -> list[Event]:
    """Writes hits of random drums at random times."""
    count = 1 + int(beats / beats_per_second * rng.log_uniform(0.7, 2 + 10 * density))
    return [
        Event(
            rng.uniform(0, beats),
            HIT_BEATS,
            rng.integer(LOWEST_DRUM, HIGHEST_DRUM),
            rng.uniform(0.6, 1.3),
        )
        for _ in range(count)
    ]
