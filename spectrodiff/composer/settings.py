"""Settings of the composer, and two presets."""

import dataclasses

from spectrodiff.core.errors import ConfigError
from spectrodiff.music.instruments import playable
from spectrodiff.music.programs import SLAKH_CLASSES


@dataclasses.dataclass(frozen=True)
class ComposeSettings:
    """Constraints on composed songs. Pairs are inclusive ranges (least, most).

    Attributes:
        seconds: length of a song.
        parts: number of pitched players, each with a different program (so limited by the number
            of programs); 1 is a solo.
        programs: available General MIDI programs, with the pitch ranges of their Slakh classes.
        drums_probability: probability that there is a drummer.
        tempo_bpm: pulses per minute.
        density: density of notes, from 0 (lowest) to 1 (highest).
        pitch_range: MIDI pitches of all pitched players.
        velocity_range: MIDI velocities.
        max_voices: maximum number of simultaneous notes; a new note ends the oldest.
        random_notes_probability: probability that a section consists of random notes.

    Raises:
        ConfigError: if a value is invalid.
    """

    seconds: tuple[float, float] = (20.0, 60.0)
    parts: tuple[int, int] = (1, 8)
    programs: tuple[int, ...] = tuple(SLAKH_CLASSES)
    drums_probability: float = 0.5
    tempo_bpm: tuple[float, float] = (50.0, 190.0)
    density: tuple[float, float] = (0.1, 1.0)
    pitch_range: tuple[int, int] = (21, 108)
    velocity_range: tuple[int, int] = (25, 125)
    max_voices: int = 24
    random_notes_probability: float = 0.2

    def __post_init__(self) -> None:
        for name, (least, most) in _PAIR_LIMITS.items():
            low, high = getattr(self, name)
            if not least <= low <= high <= most:
                expected = f"{least:g} <= least <= most <= {most:g}"
                raise ConfigError(name, expected, f"{low:g}, {high:g}")
        for name in ("drums_probability", "random_notes_probability"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(name, "a number from 0 to 1", f"{getattr(self, name):g}")
        if self.max_voices < 1:
            raise ConfigError("max_voices", "at least 1", str(self.max_voices))
        if not all(0 <= program <= 127 for program in self.programs):
            raise ConfigError("programs", "numbers in 0..127", str(self.programs))
        if not playable(self.programs, self.pitch_range):
            expected = "an instrument with at least an octave of its range in pitch_range"
            raise ConfigError("programs", expected, f"{self.programs} in {self.pitch_range}")


_PAIR_LIMITS = {
    "seconds": (1, 3600),
    "parts": (1, 15),
    "tempo_bpm": (20, 400),
    "density": (0, 1),
    "pitch_range": (0, 127),
    "velocity_range": (1, 127),
}

FULL = ComposeSettings()
"""Preset with all instrument classes of Slakh, drums, and up to eight pitched players."""

NARROW = ComposeSettings(
    parts=(1, 4),
    programs=(0, 24, 33, 48, 73),
    drums_probability=0.0,
    tempo_bpm=(60.0, 140.0),
    density=(0.1, 0.7),
    velocity_range=(50, 110),
    max_voices=6,
)
"""Preset for models trained on a CPU: five instruments, no drums, at most six notes at once."""
