"""The form of a composed piece: who plays, and passage after passage what they play.

Each player follows the same chords in a role of its own. Passages come back, in another key or with
other players; some are `salad` instead, notes without any rule.
"""

from typing import NamedTuple

from spectrodiff.composer.drums import CRASHES, KICKS, drum_salad, groove
from spectrodiff.composer.harmony import (
    METER_WEIGHTS,
    METERS,
    Chord,
    Dice,
    Key,
    Meter,
    Passage,
    random_key,
    random_passage,
)
from spectrodiff.composer.patterns import Compass, Event, fold, play, salad
from spectrodiff.composer.settings import ComposeSettings
from spectrodiff.music.instruments import Role, instrument, playable


class Player(NamedTuple):
    """One player of the band.

    Attributes:
        program: General MIDI program; None for the drummer.
        compass: what the player may play.
        layers: roles taken at once, each with its share of the compass: a pianist has two hands.
        velocity: MIDI velocity of a plain note.
        unsteady_ms: how far from the beat a note may fall.
    """

    program: int | None
    compass: Compass
    layers: tuple[tuple[Role, Compass], ...]
    velocity: float
    unsteady_ms: float


class Section(NamedTuple):
    """A stretch of the piece.

    Attributes:
        beats: its length in quarter notes.
        bar_beats: the length of a bar.
        bpm: quarter notes per minute at the beginning.
        bpm_at_end: and at the end.
        swing: the share of a beat that its first half takes.
        parts: the events of each player, in the order of the band.
        loudness: a factor to all velocities.
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
        """Its length, near enough for planning: as if all of it had the mean tempo."""
        return self.beats * 120 / (self.bpm + self.bpm_at_end)


class _Plan(NamedTuple):
    """What stays the same throughout a piece."""

    meter: Meter
    key: Key
    tempo: float
    density: float
    swing: float

    def beats_per_minute(self, tempo: float) -> float:
        """Quarter notes per minute when the metre's pulses go at `tempo`."""
        return tempo * self.meter.bar_beats / len(self.meter.pulses)


def gather(dice: Dice, settings: ComposeSettings) -> list[Player]:
    """The band: any instruments, in roles that suit them and differ where they can."""
    least, most = settings.parts
    solo = least == 1 and dice.chance(0.2)
    programs = dice.shuffle(playable(settings.programs, settings.pitch_range))
    programs = programs[: 1 if solo else dice.integer(least, most)]
    with_drums = dice.chance(settings.drums_probability)
    if with_drums and len(programs) == 1 and dice.chance(0.3):
        programs = []
    # Half of all bands play exactly on the beat, as most MIDI files do.
    unsteady_ms = dice.uniform(2, 18) if dice.chance(0.5) else 0.0
    taken: list[Role] = []
    players = []
    for program in programs:
        compass = compass_of(program, settings)
        roles = instrument(program).roles
        weights = [1 / (1 + place + 3 * taken.count(role)) for place, role in enumerate(roles)]
        taken.append(dice.pick(roles, weights))
        layers = _layers(dice, compass, roles, taken[-1], alone=len(programs) == 1)
        players.append(Player(program, compass, layers, _level(dice, settings), unsteady_ms))
    if with_drums:
        no_pitches = Compass(0, 0, settings.max_voices, rings=False)
        players.append(Player(None, no_pitches, (), _level(dice, settings), unsteady_ms))
    return players


def compass_of(program: int, settings: ComposeSettings) -> Compass:
    """The compass of an instrument within the settings."""
    least, most = settings.pitch_range
    low, high, voices, _, rings = instrument(program)
    return Compass(max(low, least), min(high, most), min(voices, settings.max_voices), rings)


def _level(dice: Dice, settings: ComposeSettings) -> float:
    """A player's ordinary velocity, with room for accents on both sides."""
    least, most = settings.velocity_range
    return least + (most - least) * dice.uniform(0.2, 0.85)


def _layers(
    dice: Dice, compass: Compass, roles: tuple[Role, ...], role: Role, alone: bool
) -> tuple[tuple[Role, Compass], ...]:
    two_hands = compass.voices >= 4 and compass.high - compass.low >= 36 and "melody" in roles
    if not (two_hands and dice.chance(0.8 if alone else 0.1)):
        return ((role, _register(dice, role, compass)),)
    lowest_split = compass.low + 15
    split = dice.integer(lowest_split, max(lowest_split, min(compass.high - 15, 62)))
    accompaniment = dice.pick([other for other in roles if other != "melody"])
    left = compass._replace(high=split)
    right = _register(dice, "melody", compass._replace(low=split))
    return (accompaniment, left), ("melody", right)


def _register(dice: Dice, role: Role, compass: Compass) -> Compass:
    """The part of a wide compass in which an instrument plays a role."""
    if role == "bass":
        return compass._replace(high=min(compass.high, max(compass.low, 28) + 26))
    width = 27
    if role == "melody" and compass.high - compass.low > width:
        third = (compass.high - compass.low - width) // 3
        low = compass.low + dice.integer(third, 3 * third)
        return compass._replace(low=low, high=low + width)
    return compass


def write_sections(
    dice: Dice, settings: ComposeSettings, band: list[Player], seconds: float
) -> list[Section]:
    """Passages until `seconds` are filled, and perhaps a closing chord."""
    plan = _plan(dice, settings)
    closing_seconds = dice.uniform(1.5, 4) if dice.chance(0.6) and seconds > 8 else 0.0
    remaining = seconds - closing_seconds
    material: list[Section] = []
    sections: list[Section] = []
    while remaining > 0.2:
        tempo = _tempo(dice, settings, plan)
        bpm = plan.beats_per_minute(tempo)
        bar_seconds = plan.meter.bar_beats * 60 / bpm
        bars = min(dice.pick((1, 2, 4, 8), (1, 3, 5, 2)), max(1, int(remaining / bar_seconds)))
        if dice.chance(settings.salad_probability):
            section = _salad(dice, settings, plan, band, bars, bpm)
        elif material and dice.chance(0.4):
            section = _again(dice, dice.pick(material), band)
        else:
            section = _new(dice, plan, band, bars, bpm)
            material.append(section)
        sections.append(_arranged(dice, section))
        remaining -= sections[-1].seconds
    if closing_seconds:
        sections.append(_closing(dice, plan, band, closing_seconds))
    return sections


def _plan(dice: Dice, settings: ComposeSettings) -> _Plan:
    meter = dice.pick(METERS, METER_WEIGHTS)
    # Only beats that are divided in two can swing.
    swing = dice.pick((0.5, 0.58, 2 / 3), (8, 1, 1)) if set(meter.pulses) == {1} else 0.5
    return _Plan(
        meter,
        random_key(dice),
        dice.log_uniform(*settings.tempo_bpm),
        dice.uniform(*settings.density),
        swing,
    )


def _tempo(dice: Dice, settings: ComposeSettings, plan: _Plan) -> float:
    """The piece's tempo, or now and then another one."""
    if not dice.chance(0.25):
        return plan.tempo
    low, high = settings.tempo_bpm
    return min(max(plan.tempo * dice.log_uniform(0.65, 1.5), low), high)


def _new(dice: Dice, plan: _Plan, band: list[Player], bars: int, bpm: float) -> Section:
    """New material on chords of its own."""
    density = min(1.0, plan.density * dice.uniform(0.6, 1.4))
    passage = random_passage(dice, plan.key, plan.meter, bars, density)
    parts = [_part(dice, player, passage) for player in band]
    bpm_at_end = bpm * dice.uniform(0.75, 1.2) if dice.chance(0.12) else bpm
    return Section(passage.beats, plan.meter.bar_beats, bpm, bpm_at_end, plan.swing, parts)


def _part(dice: Dice, player: Player, passage: Passage) -> list[Event]:
    if player.program is None:
        return groove(dice, passage)
    return [
        event for role, compass in player.layers for event in play(dice, role, passage, compass)
    ]


def _again(dice: Dice, section: Section, band: list[Player]) -> Section:
    """Earlier material, perhaps in another key."""
    shift = dice.integer(-5, 6) if dice.chance(0.3) else 0
    parts = [
        part
        if player.program is None
        else [event._replace(pitch=fold(event.pitch + shift, player.compass)) for event in part]
        for player, part in zip(band, section.parts, strict=True)
    ]
    return section._replace(parts=parts)


def _salad(
    dice: Dice, settings: ComposeSettings, plan: _Plan, band: list[Player], bars: int, bpm: float
) -> Section:
    """Notes without rule from each player."""
    beats = bars * plan.meter.bar_beats
    density = dice.uniform(*settings.density)
    parts = [
        drum_salad(dice, beats, density, bpm / 60)
        if player.program is None
        else salad(dice, beats, density, bpm / 60, player.compass)
        for player in band
    ]
    return Section(beats, plan.meter.bar_beats, bpm, bpm, plan.swing, parts)


def _arranged(dice: Dice, section: Section) -> Section:
    """The section with some players resting and a loudness of its own."""
    if dice.chance(0.02):
        # A bar of silence for all.
        return section._replace(beats=section.bar_beats, parts=[[] for _ in section.parts])
    share = dice.uniform(0.5, 1.5)
    playing = [dice.chance(share) for _ in section.parts]
    playing[dice.integer(0, len(playing) - 1)] = True
    parts = [part if plays else [] for part, plays in zip(section.parts, playing, strict=True)]
    return section._replace(loudness=dice.uniform(0.75, 1.2), parts=parts)


def _closing(dice: Dice, plan: _Plan, band: list[Player], seconds: float) -> Section:
    """Everybody on the tonic."""
    bpm = plan.beats_per_minute(plan.tempo)
    beats = seconds * bpm / 60
    tonic = tuple(plan.key.pitch(degree) % 12 for degree in (0, 2, 4))
    passage = Passage(plan.key, plan.meter, 1, (Chord(0.0, beats, tonic),), 0.0)
    parts = [
        [Event(0.0, beats, dice.pick((*CRASHES[:2], KICKS[0])))]
        if player.program is None
        else play(dice, "pad", passage, player.compass)
        for player in band
    ]
    return Section(beats, beats, bpm, bpm, plan.swing, parts)
