"""The sections of a composed song, and the events of each player in them.

In a section each player follows the same chords in a role of its own. Sections are repeated, in
another key or with other players; some consist of random notes instead.
"""

from typing import NamedTuple

from spectrodiff.composer.drums import CRASHES, KICKS, groove
from spectrodiff.composer.harmony import (
    METER_WEIGHTS,
    METERS,
    Chord,
    Key,
    Meter,
    Passage,
    random_key,
    random_passage,
)
from spectrodiff.composer.patterns import Event, fold, write_part
from spectrodiff.composer.players import Player
from spectrodiff.composer.random_notes import random_hits, random_notes
from spectrodiff.composer.seeded_random import SeededRandom
from spectrodiff.composer.settings import ComposeSettings


class Section(NamedTuple):
    """Section of a song.

    Attributes:
        beats: length in quarter notes.
        bar_beats: length of a bar in quarter notes.
        bpm: quarter notes per minute at the start.
        bpm_at_end: quarter notes per minute at the end.
        swing: share of a beat that its first half takes.
        parts: events of each player, in the order of the players.
        loudness: factor applied to all velocities.
    """

    beats: float
    bar_beats: float
    bpm: float
    bpm_at_end: float
    swing: float
    parts: list[list[Event]]
    loudness: float = 1.0

    @property
    def seconds(self) -> float:
        """Approximate length, at the mean tempo."""
        return self.beats * 120 / (self.bpm + self.bpm_at_end)


class _Plan(NamedTuple):
    """Properties common to all sections of a song."""

    meter: Meter
    key: Key
    tempo: float
    density: float
    swing: float

    def beats_per_minute(self, tempo: float) -> float:
        """Converts a tempo in pulses per minute to quarter notes per minute."""
        return tempo * self.meter.bar_beats / len(self.meter.pulses)


def write_sections(
    rng: SeededRandom, settings: ComposeSettings, players: list[Player], seconds: float
) -> list[Section]:
    """Writes sections until `seconds` are filled, and in some songs a final chord."""
    plan = _plan(rng, settings)
    closing_seconds = rng.uniform(1.5, 4) if rng.chance(0.6) and seconds > 8 else 0.0
    remaining = seconds - closing_seconds
    material: list[Section] = []
    sections: list[Section] = []
    while remaining > 0.2:
        tempo = _tempo(rng, settings, plan)
        bpm = plan.beats_per_minute(tempo)
        bar_seconds = plan.meter.bar_beats * 60 / bpm
        bars = min(rng.choice((1, 2, 4, 8), (1, 3, 5, 2)), max(1, int(remaining / bar_seconds)))
        if rng.chance(settings.random_notes_probability):
            section = _random_section(rng, settings, plan, players, bars, bpm)
        elif material and rng.chance(0.4):
            section = _repeat(rng, rng.choice(material), players)
        else:
            section = _new_section(rng, plan, players, bars, bpm)
            material.append(section)
        sections.append(_arrange(rng, section))
        remaining -= sections[-1].seconds
    if closing_seconds:
        sections.append(_final_chord(rng, plan, players, closing_seconds))
    return sections


def _plan(rng: SeededRandom, settings: ComposeSettings) -> _Plan:
    meter = rng.choice(METERS, METER_WEIGHTS)
    # Swing requires beats that are divided in two.
    swing = rng.choice((0.5, 0.58, 2 / 3), (8, 1, 1)) if set(meter.pulses) == {1} else 0.5
    return _Plan(
        meter,
        random_key(rng),
        rng.log_uniform(*settings.tempo_bpm),
        rng.uniform(*settings.density),
        swing,
    )


def _tempo(rng: SeededRandom, settings: ComposeSettings, plan: _Plan) -> float:
    """Returns the tempo of the song, or sometimes another one."""
    if not rng.chance(0.25):
        return plan.tempo
    low, high = settings.tempo_bpm
    return min(max(plan.tempo * rng.log_uniform(0.65, 1.5), low), high)


def _new_section(
    rng: SeededRandom, plan: _Plan, players: list[Player], bars: int, bpm: float
) -> Section:
    """Writes a section with new chords."""
    density = min(1.0, plan.density * rng.uniform(0.6, 1.4))
    passage = random_passage(rng, plan.key, plan.meter, bars, density)
    parts = [_part(rng, player, passage) for player in players]
    bpm_at_end = bpm * rng.uniform(0.75, 1.2) if rng.chance(0.12) else bpm
    return Section(passage.beats, plan.meter.bar_beats, bpm, bpm_at_end, plan.swing, parts)


def _part(rng: SeededRandom, player: Player, passage: Passage) -> list[Event]:
    if player.program is None:
        return groove(rng, passage)
    return [
        event for role, limits in player.layers for event in write_part(rng, role, passage, limits)
    ]


def _repeat(rng: SeededRandom, section: Section, players: list[Player]) -> Section:
    """Repeats an earlier section, sometimes transposed."""
    shift = rng.integer(-5, 6) if rng.chance(0.3) else 0
    parts = [
        part
        if player.program is None
        else [event._replace(pitch=fold(event.pitch + shift, player.limits)) for event in part]
        for player, part in zip(players, section.parts, strict=True)
    ]
    return section._replace(parts=parts)


def _random_section(
    rng: SeededRandom,
    settings: ComposeSettings,
    plan: _Plan,
    players: list[Player],
    bars: int,
    bpm: float,
) -> Section:
    """Writes random notes for each player."""
    beats = bars * plan.meter.bar_beats
    density = rng.uniform(*settings.density)
    parts = [
        random_hits(rng, beats, density, bpm / 60)
        if player.program is None
        else random_notes(rng, beats, density, bpm / 60, player.limits)
        for player in players
    ]
    return Section(beats, plan.meter.bar_beats, bpm, bpm, plan.swing, parts)


def _arrange(rng: SeededRandom, section: Section) -> Section:
    """Lets some players rest and sets the loudness of the section."""
    if rng.chance(0.02):
        # One bar of silence.
        return section._replace(beats=section.bar_beats, parts=[[] for _ in section.parts])
    share = rng.uniform(0.5, 1.5)
    playing = [rng.chance(share) for _ in section.parts]
    playing[rng.integer(0, len(playing) - 1)] = True
    parts = [part if plays else [] for part, plays in zip(section.parts, playing, strict=True)]
    return section._replace(loudness=rng.uniform(0.75, 1.2), parts=parts)


def _final_chord(rng: SeededRandom, plan: _Plan, players: list[Player], seconds: float) -> Section:
    """Writes the tonic chord for all players."""
    bpm = plan.beats_per_minute(plan.tempo)
    beats = seconds * bpm / 60
    tonic = tuple(plan.key.pitch(degree) % 12 for degree in (0, 2, 4))
    passage = Passage(plan.key, plan.meter, 1, (Chord(0.0, beats, tonic),), 0.0)
    parts = [
        [Event(0.0, beats, rng.choice((*CRASHES[:2], KICKS[0])))]
        if player.program is None
        else write_part(rng, "pad", passage, player.limits)
        for player in players
    ]
    return Section(beats, beats, bpm, bpm, plan.swing, parts)
