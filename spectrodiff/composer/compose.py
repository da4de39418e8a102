"""A seeded composer: music without end to train on, for any band, tempo and density.

`compose(seed, settings, index)` writes piece number `index` of the series `seed`. Pieces do not
depend on each other, so that many processes can write a corpus together: each calls `compose` for
its own indices (the function, its settings and the notes can all be pickled).
"""

import itertools
from typing import NamedTuple

import numpy as np

from spectrodiff.composer.form import Player, Section, gather, write_sections
from spectrodiff.composer.harmony import Dice
from spectrodiff.composer.settings import FULL, NARROW, ComposeSettings
from spectrodiff.core.errors import ConfigError
from spectrodiff.music.notes import Notes

__all__ = ["FULL", "NARROW", "ComposeSettings", "compose"]

MIN_NOTE_MS = 40
DRUM_HIT_MS = 100

# Each note's loudness and each bar's tempo stray from what is written by up to this share.
_LOUDNESS_SPREAD = 0.08
_TEMPO_SPREAD = 0.02


class _Row(NamedTuple):
    """A note of the finished piece; rows sort by time."""

    onset_ms: int
    offset_ms: int
    program: int
    is_drum: bool
    pitch: int
    velocity: int


class _Clock(NamedTuple):
    """When the beats of a section fall: times at its bar lines, linear in between."""

    beats: np.ndarray
    ms: np.ndarray
    swing: float

    def at(self, beats: list[float]) -> np.ndarray:
        """Milliseconds of some beats; the first half of each beat takes the share `swing` of it."""
        whole, part = np.divmod(np.asarray(beats, np.float64), 1.0)
        late = np.where(part < 0.5, 2 * part * self.swing, 1 - 2 * (1 - part) * (1 - self.swing))
        return np.interp(whole + late, self.beats, self.ms)


def compose(seed: int, settings: ComposeSettings = FULL, index: int = 0) -> Notes:
    """Writes a piece; the same arguments give the same notes on every machine.

    Times are whole milliseconds, and no two notes of one program and pitch overlap.

    Args:
        seed: names a series of pieces, 0 or more.
        settings: what may be written.
        index: which piece of the series, 0 or more.

    Returns:
        At least one note, sorted by onset, all ended before `total_seconds`, which lies in
        `settings.seconds`.

    Raises:
        ConfigError: if `seed` or `index` is negative.
    """
    if min(seed, index) < 0:
        raise ConfigError("seed", "seed and index of 0 or more", f"{seed} and {index}")
    for attempt in itertools.count():
        dice = Dice(seed, index, attempt)
        total_ms = round(1000 * dice.uniform(*settings.seconds))
        rows = _compose_rows(dice, settings, total_ms)
        if rows:
            return _table(rows, total_ms)
    raise AssertionError("unreachable")


def _compose_rows(dice: Dice, settings: ComposeSettings, total_ms: int) -> list[_Row]:
    # The last notes die away before the end, and some pieces begin with silence.
    end_ms = total_ms - round(dice.uniform(0.01, 0.1) * min(total_ms, 15_000))
    start_ms = round(dice.uniform(0, 0.05) * min(total_ms, 20_000)) if dice.chance(0.3) else 0
    band = gather(dice, settings)
    sections = write_sections(dice, settings, band, (end_ms - start_ms) / 1000)
    clocks = _clocks(dice, sections, start_ms)
    piece: list[_Row] = []
    for number, player in enumerate(band):
        part = [
            row
            for section, clock in zip(sections, clocks, strict=True)
            for row in _perform(dice, settings, player, number, section, clock)
        ]
        piece += _limit_voices(_without_overlaps(part, end_ms), player.compass.voices)
    return _limit_voices(piece, settings.max_voices)


def _clocks(dice: Dice, sections: list[Section], start_ms: float) -> list[_Clock]:
    clocks = []
    for section in sections:
        beats = np.append(np.arange(0, section.beats, section.bar_beats), section.beats)
        middle = (beats[:-1] + beats[1:]) / 2
        bpm = section.bpm + (section.bpm_at_end - section.bpm) * middle / section.beats
        bpm *= [dice.uniform(1 - _TEMPO_SPREAD, 1 + _TEMPO_SPREAD) for _ in middle]
        ms = start_ms + np.append(0.0, np.cumsum(np.diff(beats) * 60_000 / bpm))
        clocks.append(_Clock(beats, ms, section.swing))
        start_ms = float(ms[-1])
    return clocks


def _perform(
    dice: Dice,
    settings: ComposeSettings,
    player: Player,
    number: int,
    section: Section,
    clock: _Clock,
) -> list[_Row]:
    """The notes of player `number` in a section: written events put into time and loudness."""
    events = [event for event in section.parts[number] if event.start < section.beats]
    onsets_ms = clock.at([event.start for event in events])
    offsets_ms = clock.at([min(event.start + event.length, section.beats) for event in events])
    least, most = settings.velocity_range
    rows = []
    for event, onset, offset in zip(events, onsets_ms, offsets_ms, strict=True):
        late_ms = dice.uniform(-player.unsteady_ms, player.unsteady_ms)
        onset_ms = max(0, round(float(onset) + late_ms))
        offset_ms = max(onset_ms + MIN_NOTE_MS, round(float(offset) + late_ms))
        loudness = section.loudness * dice.uniform(1 - _LOUDNESS_SPREAD, 1 + _LOUDNESS_SPREAD)
        velocity = min(max(round(player.velocity * event.accent * loudness), least), most)
        is_drum = player.program is None
        if is_drum:
            offset_ms = onset_ms + DRUM_HIT_MS
        row = _Row(onset_ms, offset_ms, player.program or 0, is_drum, event.pitch, velocity)
        rows.append(row)
    return rows


def _without_overlaps(part: list[_Row], end_ms: int) -> list[_Row]:
    """Ends each note where its key is struck again, and all by `end_ms`; very short ones go."""
    next_onset_ms: dict[int, int] = {}
    kept = []
    for row in sorted(part, reverse=True):
        offset_ms = min(row.offset_ms, next_onset_ms.get(row.pitch, end_ms))
        if offset_ms - row.onset_ms >= MIN_NOTE_MS:
            kept.append(row._replace(offset_ms=offset_ms))
            next_onset_ms[row.pitch] = row.onset_ms
    return kept[::-1]


def _limit_voices(rows: list[_Row], voices: int) -> list[_Row]:
    """At most `voices` notes at once: a new note ends the oldest, unless that has just begun."""
    kept: list[_Row] = []
    sounding: list[int] = []  # rows of `kept`, the oldest first
    for row in sorted(rows):
        sounding = [place for place in sounding if kept[place].offset_ms > row.onset_ms]
        if len(sounding) == voices:
            oldest = kept[sounding[0]]
            if row.onset_ms - oldest.onset_ms < MIN_NOTE_MS:
                continue
            kept[sounding.pop(0)] = oldest._replace(offset_ms=row.onset_ms)
        sounding.append(len(kept))
        kept.append(row)
    return kept


def _table(rows: list[_Row], total_ms: int) -> Notes:
    onset_ms, offset_ms, program, is_drum, pitch, velocity = zip(*rows, strict=True)
    return Notes(
        onset_seconds=np.array(onset_ms) / 1000,
        offset_seconds=np.array(offset_ms) / 1000,
        pitch=np.array(pitch),
        velocity=np.array(velocity),
        program=np.array(program),
        is_drum=np.array(is_drum),
        total_seconds=total_ms / 1000,
    )
