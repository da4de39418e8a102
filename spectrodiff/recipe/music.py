"""Music that recipes train on: bands, soloists, drummers, and studies over whole keyboards.

Composed bands are like real music. Studies cover what those leave out: every key of every
instrument, the softest and the loudest notes, notes held for seconds, fast repetitions, clusters
and rests.
"""

import dataclasses
from collections.abc import Callable

import numpy as np

from spectrodiff.composer.compose import compose
from spectrodiff.composer.seeded_random import SeededRandom
from spectrodiff.composer.settings import FULL, ComposeSettings
from spectrodiff.core.errors import ConfigError
from spectrodiff.music.notes import Notes
from spectrodiff.music.programs import SLAKH_CLASSES

Writer = Callable[[SeededRandom, int, int, float], Notes]

# Programs used more often than others: piano, guitars, basses, strings, flute.
COMMON_PROGRAMS = (0, 0, 4, 24, 26, 32, 33, 40, 48, 73)
LOWEST_KEY, HIGHEST_KEY = 21, 108
STUDY_SECONDS = (4.0, 12.0)  # length of a study, minimum and maximum
_MIN_NOTE_SECONDS = 0.04

_WIDE = dataclasses.replace(FULL, tempo_bpm=(40.0, 240.0), velocity_range=(8, 127))
_BAND = dataclasses.replace(_WIDE, parts=(2, 8), density=(0.3, 1.0), random_notes_probability=0.15)
_SMALL_BAND = dataclasses.replace(
    _WIDE, parts=(1, 3), programs=tuple(dict.fromkeys(COMMON_PROGRAMS)), drums_probability=0.3
)
_SOLO = dataclasses.replace(
    _WIDE, parts=(1, 1), drums_probability=0.0, random_notes_probability=0.3
)
_DRUMMER = dataclasses.replace(_WIDE, parts=(1, 1), drums_probability=1.0)


def write_song(seed: int, index: int, seconds: float) -> Notes:
    """Writes one song of a series; the same arguments give the same notes on every machine.

    Args:
        seed: of the series, 0 or more.
        index: number of the song in the series, 0 or more.
        seconds: length of the song.

    Returns:
        Notes sorted by onset that end within `seconds`; programs are those of Slakh classes.

    Raises:
        ConfigError: if `seed` or `index` is negative.
    """
    if min(seed, index) < 0:
        raise ConfigError("seed", "seed and index of 0 or more", f"{seed} and {index}")
    rng = SeededRandom(seed, index, 1)
    writer = rng.choice(list(_WRITERS), list(_WRITERS.values()))
    return vary_velocity(rng, writer(rng, seed, index, seconds))


def vary_velocity(rng: SeededRandom, notes: Notes) -> Notes:
    """Multiplies velocities by one random factor for the song and one for each instrument."""
    overall = rng.log_uniform(0.8, 2.0)
    factors = np.array([overall * rng.log_uniform(0.75, 1.4) for _ in range(129)])
    instrument = np.where(notes.is_drum, 128, notes.program)
    velocity = np.rint(notes.velocity * factors[instrument])
    return dataclasses.replace(notes, velocity=np.clip(velocity, 1, 127))


def _composed(settings: ComposeSettings) -> Writer:
    def write(rng: SeededRandom, seed: int, index: int, seconds: float) -> Notes:
        return compose(seed, dataclasses.replace(settings, seconds=(seconds, seconds)), index)

    return write


def _write_drums(rng: SeededRandom, seed: int, index: int, seconds: float) -> Notes:
    notes = compose(seed, dataclasses.replace(_DRUMMER, seconds=(seconds, seconds)), index)
    return notes.select(notes.is_drum)


def write_studies(rng: SeededRandom, seed: int, index: int, seconds: float) -> Notes:
    """Writes a sequence of studies, each for one instrument and with one pattern."""
    rows: list[_Row] = []
    start = 0.0
    while start < seconds - 1:
        stop = min(start + rng.uniform(*STUDY_SECONDS), seconds - 0.1)
        program = rng.choice(COMMON_PROGRAMS if rng.chance(0.4) else tuple(SLAKH_CLASSES))
        pattern = rng.choice((_single_notes, _chords, _repetitions), (5, 3, 2))
        rows += pattern(rng, program, start, stop)
        start = stop + rng.uniform(0.0, 0.5)
    return _table(rows, seconds)


_Row = tuple[float, float, int, int, int]  # onset, offset, program, pitch, velocity


def _single_notes(rng: SeededRandom, program: int, start: float, stop: float) -> list[_Row]:
    """Writes single notes of random pitch, length and velocity."""
    rows = []
    longest = rng.log_uniform(0.2, 5.0)
    while start < stop - 0.1:
        length = rng.log_uniform(0.06, longest)
        end = min(start + length, stop)
        rows.append((start, end, program, _key(rng), rng.integer(4, 127)))
        start = end + (rng.uniform(0.0, 0.6) if rng.chance(0.4) else 0.0)
    return rows


def _chords(rng: SeededRandom, program: int, start: float, stop: float) -> list[_Row]:
    """Writes chords of up to twelve notes, struck together or arpeggiated, held for seconds."""
    rows: list[_Row] = []
    while start < stop - 0.2:
        end = min(start + rng.log_uniform(0.3, 8.0), stop)
        center, velocity = _key(rng), rng.integer(10, 120)
        spread = rng.choice((0.0, 0.03, 0.2))
        keys = {_near(rng, center) for _ in range(rng.integer(2, 12))}
        for key in sorted(keys):
            onset = start + rng.uniform(0.0, spread)
            if end - onset > 2 * _MIN_NOTE_SECONDS:
                loudness = min(max(velocity + rng.integer(-12, 12), 1), 127)
                rows.append((onset, end, program, key, loudness))
        start = end + (rng.uniform(0.0, 0.8) if rng.chance(0.4) else 0.0)
    return rows


def _repetitions(rng: SeededRandom, program: int, start: float, stop: float) -> list[_Row]:
    """Repeats a few notes up to fourteen times a second."""
    rows: list[_Row] = []
    period = 1 / rng.log_uniform(1.5, 14.0)
    held = rng.uniform(0.3, 1.0) * period
    keys = sorted({_near(rng, _key(rng)) for _ in range(rng.choice((1, 1, 2, 4)))})
    velocity, growth = rng.uniform(20.0, 110.0), rng.uniform(-6.0, 6.0)
    while start < stop - period:
        loudness = min(max(round(velocity), 5), 127)
        end = start + max(held, _MIN_NOTE_SECONDS)
        rows += [(start, end, program, key, loudness) for key in keys]
        velocity += growth * period
        start += period
    return rows


def _key(rng: SeededRandom) -> int:
    return rng.integer(LOWEST_KEY, HIGHEST_KEY)


def _near(rng: SeededRandom, center: int) -> int:
    return min(max(center + rng.integer(-14, 14), LOWEST_KEY), HIGHEST_KEY)


def _table(rows: list[_Row], seconds: float) -> Notes:
    onset, offset, program, pitch, velocity = (
        np.array(column) for column in zip(*sorted(rows), strict=True)
    )
    return Notes(
        onset_seconds=np.round(onset, 3),
        offset_seconds=np.round(np.minimum(offset, seconds), 3),
        pitch=pitch,
        velocity=velocity,
        program=program,
        is_drum=np.zeros(len(onset), bool),
        total_seconds=seconds,
    )


_WRITERS: dict[Writer, float] = {
    _composed(_BAND): 0.44,
    _composed(_SMALL_BAND): 0.2,
    _composed(_SOLO): 0.12,
    _write_drums: 0.06,
    write_studies: 0.18,
}
