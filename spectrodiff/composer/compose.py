"""Seeded composer of songs for training, with any instruments, tempo and density.

`compose(seed, settings, index)` writes song number `index` of the series `seed`. Songs are
independent, so that several processes can write a corpus in parallel, each with its own indices
(the function, its settings and the notes can all be pickled).
"""

import itertools
from typing import NamedTuple

import numpy as np

from spectrodiff.composer.patterns import Event
from spectrodiff.composer.players import Player, choose_players
from spectrodiff.composer.sections import Section, write_sections
from spectrodiff.composer.seeded_random import SeededRandom
from spectrodiff.composer.settings import FULL, ComposeSettings
from spectrodiff.core.errors import ConfigError
from spectrodiff.music.notes import Notes

MIN_NOTE_MS = 40
DRUM_HIT_MS = 100

# Maximum relative deviation of the loudness of each note and of the tempo of each bar.
_LOUDNESS_SPREAD = 0.08
_TEMPO_SPREAD = 0.02


class _Row(NamedTuple):
    """Note of the finished song; rows sort by time."""

    onset_ms: int
    offset_ms: int
    program: int
    is_drum: bool
    pitch: int
    velocity: int


class TempoMap(NamedTuple):
    """Map from the beats of a section to milliseconds, linear within each bar.

    Attributes:
        beats: float64 [bars + 1], the bar lines in beats.
        ms: float64 [bars + 1], the bar lines in milliseconds.
        swing: share of each beat that its first half takes.
    """

    beats: np.ndarray
    ms: np.ndarray
    swing: float

    def at(self, beats: list[float]) -> np.ndarray:
        """Converts beats to milliseconds, float64 [beats]."""
        whole, part = np.divmod(np.asarray(beats, np.float64), 1.0)
        late = np.where(part < 0.5, 2 * part * self.swing, 1 - 2 * (1 - part) * (1 - self.swing))
        return np.interp(whole + late, self.beats, self.ms)


def compose(seed: int, settings: ComposeSettings = FULL, index: int = 0) -> Notes:
    """Writes a song; the same arguments give the same notes on every machine.

    Times are whole milliseconds. Notes of the same program and pitch do not overlap.

    Args:
        seed: number of the series of songs, 0 or more.
        settings: constraints on the songs.
        index: number of the song in the series, 0 or more.

    Returns:
        At least one note, sorted by onset. All notes end before `total_seconds`, which is in
        `settings.seconds`.

    Raises:
        ConfigError: if `seed` or `index` is negative.
    """
    if min(seed, index) < 0:
        raise ConfigError("seed", "seed and index of 0 or more", f"{seed} and {index}")
    for attempt in itertools.count():
        rng = SeededRandom(seed, index, attempt)
        total_ms = round(1000 * rng.uniform(*settings.seconds))
        rows = _compose_rows(rng, settings, total_ms)
        if rows:
            return _table(rows, total_ms)
    raise AssertionError("unreachable")


def _compose_rows(rng: SeededRandom, settings: ComposeSettings, total_ms: int) -> list[_Row]:
    # Leaves time for the decay of the last notes; some songs start with silence.
    end_ms = total_ms - round(rng.uniform(0.01, 0.1) * min(total_ms, 15_000))
    start_ms = round(rng.uniform(0, 0.05) * min(total_ms, 20_000)) if rng.chance(0.3) else 0
    players = choose_players(rng, settings)
    sections = write_sections(rng, settings, players, (end_ms - start_ms) / 1000)
    tempo_maps = _tempo_maps(rng, sections, start_ms)
    song: list[_Row] = []
    for number, player in enumerate(players):
        part = [
            row
            for section, tempo_map in zip(sections, tempo_maps, strict=True)
            for row in _perform(rng, settings, player, section.parts[number], section, tempo_map)
        ]
        song += _limit_voices(_without_overlaps(part, end_ms), player.limits.voices)
    return _limit_voices(song, settings.max_voices)


def _tempo_maps(rng: SeededRandom, sections: list[Section], start_ms: float) -> list[TempoMap]:
    tempo_maps = []
    for section in sections:
        beats = np.append(np.arange(0, section.beats, section.bar_beats), section.beats)
        middle = (beats[:-1] + beats[1:]) / 2
        bpm = section.bpm + (section.bpm_at_end - section.bpm) * middle / section.beats
        bpm *= [rng.uniform(1 - _TEMPO_SPREAD, 1 + _TEMPO_SPREAD) for _ in middle]
        ms = start_ms + np.append(0.0, np.cumsum(np.diff(beats) * 60_000 / bpm))
        tempo_maps.append(TempoMap(beats, ms, section.swing))
        start_ms = float(ms[-1])
    return tempo_maps


def _perform(
    rng: SeededRandom,
    settings: ComposeSettings,
    player: Player,
    part: list[Event],
    section: Section,
    tempo_map: TempoMap,
) -> list[_Row]:
    """Converts a player's events in a section to notes with times and velocities."""
    events = [event for event in part if event.start < section.beats]
    onsets_ms = tempo_map.at([event.start for event in events])
    offsets_ms = tempo_map.at([min(event.start + event.length, section.beats) for event in events])
    least, most = settings.velocity_range
    rows = []
    for event, onset, offset in zip(events, onsets_ms, offsets_ms, strict=True):
        late_ms = rng.uniform(-player.jitter_ms, player.jitter_ms)
        onset_ms = max(0, round(float(onset) + late_ms))
        offset_ms = max(onset_ms + MIN_NOTE_MS, round(float(offset) + late_ms))
        loudness = section.loudness * rng.uniform(1 - _LOUDNESS_SPREAD, 1 + _LOUDNESS_SPREAD)
        velocity = min(max(round(player.velocity * event.accent * loudness), least), most)
        is_drum = player.program is None
        if is_drum:
            offset_ms = onset_ms + DRUM_HIT_MS
        row = _Row(onset_ms, offset_ms, player.program or 0, is_drum, event.pitch, velocity)
        rows.append(row)
    return rows


def _without_overlaps(part: list[_Row], end_ms: int) -> list[_Row]:
    """Ends notes at the next onset of their pitch and by `end_ms`; drops very short notes."""
    next_onset_ms: dict[int, int] = {}
    kept = []
    for row in sorted(part, reverse=True):
        offset_ms = min(row.offset_ms, next_onset_ms.get(row.pitch, end_ms))
        if offset_ms - row.onset_ms >= MIN_NOTE_MS:
            kept.append(row._replace(offset_ms=offset_ms))
            next_onset_ms[row.pitch] = row.onset_ms
    return kept[::-1]


def _limit_voices(rows: list[_Row], voices: int) -> list[_Row]:
    """Limits the polyphony: a new note ends the oldest, or is dropped if that has just started."""
    kept: list[_Row] = []
    sounding: list[int] = []  # indices into `kept`, the oldest first
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
