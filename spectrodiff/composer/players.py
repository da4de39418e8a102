"""The players of a composed song: their instruments, roles and limits."""

from typing import NamedTuple

from spectrodiff.composer.patterns import PartLimits
from spectrodiff.composer.seeded_random import SeededRandom
from spectrodiff.composer.settings import ComposeSettings
from spectrodiff.music.instruments import Role, instrument, playable


class Player(NamedTuple):
    """Player of one instrument.

    Attributes:
        program: General MIDI program; None for the drummer.
        limits: limits of the player's part.
        layers: roles played at once, each with its own limits, such as the two hands of a pianist.
        velocity: MIDI velocity of a note without accent.
        jitter_ms: maximum deviation of onsets from the beat.
    """

    program: int | None
    limits: PartLimits
    layers: tuple[tuple[Role, PartLimits], ...]
    velocity: float
    jitter_ms: float


def choose_players(rng: SeededRandom, settings: ComposeSettings) -> list[Player]:
    """Chooses random instruments, with roles that suit them and differ where possible."""
    least, most = settings.parts
    solo = least == 1 and rng.chance(0.2)
    programs = rng.shuffle(playable(settings.programs, settings.pitch_range))
    programs = programs[: 1 if solo else rng.integer(least, most)]
    with_drums = rng.chance(settings.drums_probability)
    if with_drums and len(programs) == 1 and rng.chance(0.3):
        programs = []
    # Half of the songs are exactly on the beat, like most MIDI files.
    jitter_ms = rng.uniform(2, 18) if rng.chance(0.5) else 0.0
    taken: list[Role] = []
    players = []
    for program in programs:
        limits = limits_of(program, settings)
        roles = instrument(program).roles
        weights = [1 / (1 + place + 3 * taken.count(role)) for place, role in enumerate(roles)]
        taken.append(rng.choice(roles, weights))
        layers = _layers(rng, limits, roles, taken[-1], alone=len(programs) == 1)
        players.append(Player(program, limits, layers, _velocity(rng, settings), jitter_ms))
    if with_drums:
        no_pitches = PartLimits(0, 0, settings.max_voices, rings=False)
        players.append(Player(None, no_pitches, (), _velocity(rng, settings), jitter_ms))
    return players


def limits_of(program: int, settings: ComposeSettings) -> PartLimits:
    """Returns the limits of an instrument, restricted by the settings."""
    least, most = settings.pitch_range
    low, high, voices, _, rings = instrument(program)
    return PartLimits(max(low, least), min(high, most), min(voices, settings.max_voices), rings)


def _velocity(rng: SeededRandom, settings: ComposeSettings) -> float:
    """Returns a player's velocity, leaving headroom for accents on both sides."""
    least, most = settings.velocity_range
    return least + (most - least) * rng.uniform(0.2, 0.85)


def _layers(
    rng: SeededRandom, limits: PartLimits, roles: tuple[Role, ...], role: Role, alone: bool
) -> tuple[tuple[Role, PartLimits], ...]:
    two_hands = limits.voices >= 4 and limits.high - limits.low >= 36 and "melody" in roles
    if not (two_hands and rng.chance(0.8 if alone else 0.1)):
        return ((role, _register(rng, role, limits)),)
    lowest_split = limits.low + 15
    split = rng.integer(lowest_split, max(lowest_split, min(limits.high - 15, 62)))
    accompaniment = rng.choice([other for other in roles if other != "melody"])
    left = limits._replace(high=split)
    right = _register(rng, "melody", limits._replace(low=split))
    return (accompaniment, left), ("melody", right)


def _register(rng: SeededRandom, role: Role, limits: PartLimits) -> PartLimits:
    """Restricts the pitch range of an instrument to the register of a role."""
    if role == "bass":
        return limits._replace(high=min(limits.high, max(limits.low, 28) + 26))
    width = 27
    if role == "melody" and limits.high - limits.low > width:
        third = (limits.high - limits.low - width) // 3
        low = limits.low + rng.integer(third, 3 * third)
        return limits._replace(low=low, high=low + width)
    return limits
