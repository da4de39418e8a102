"""Programme of the bench: held-back pieces, bands, and small studies of one thing each."""

import dataclasses
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from spectrodiff.composer.compose import compose
from spectrodiff.composer.settings import FULL, ComposeSettings
from spectrodiff.core.errors import CorpusError
from spectrodiff.music.instruments import instrument
from spectrodiff.music.notes import Notes, read_midi

VELOCITIES = (30, 80, 120)
# What NARROW has is left out: bands play what a model trained on that has not heard.
BAND_PROGRAMS = tuple(program for program in FULL.programs if program not in (0, 24, 33, 48, 73))
BAND_SEED = 2024
CHORD_SECONDS = (0.25, 6.25)

PIANO, STRINGS = 0, 48
_KICK, _SNARE, _HAT = 36, 38, 42
_FIRST_ONSET, _NOTE, _REST = 0.25, 1.0, 0.5  # seconds
_NOTES_AT_ONCE = 11  # single notes to a piece, so that pieces are about equally long

Group = Literal["held back", "bands", "velocity", "notes", "chord", "dense", "drums"]


@dataclasses.dataclass(frozen=True, eq=False)
class Piece:
    """Music to be rendered.

    Attributes:
        name: its own in a programme.
        group: what it is for.
        notes: what is played.
    """

    name: str
    group: Group
    notes: Notes

    @property
    def checksum(self) -> str:
        """Another one for all other notes."""
        notes, crc = self.notes, zlib.crc32(str(self.notes.total_seconds).encode())
        times = (notes.onset_seconds, notes.offset_seconds)
        for column in (*times, notes.pitch, notes.velocity, notes.program, notes.is_drum):
            crc = zlib.crc32(column.tobytes(), crc)
        return f"{crc:08x}"


@dataclasses.dataclass(frozen=True)
class Form:
    """Amounts of music in a form of the bench.

    Attributes:
        name: "short" or "long".
        held_back: how many of the held-back pieces, evenly spread; None for all.
        held_back_seconds: how much of each; None for all of it.
        band_seconds: length of the two band pieces.
        keyboards: programs whose notes are played one by one.
        key_step: every which of their keys.
        num_tones: steady tones for the inverter.
    """

    name: str
    held_back: int | None
    held_back_seconds: float | None
    band_seconds: float
    keyboards: tuple[int, ...]
    key_step: int
    num_tones: int


FORMS = {
    "short": Form("short", 6, 15.0, 15.0, (PIANO,), 4, 60),
    "long": Form("long", None, None, 30.0, (PIANO, 40, STRINGS, 33, 24, 56), 1, 240),
}


def programme(form: Form, held_back: Path) -> list[Piece]:
    """All pieces of a form.

    Args:
        form: how much.
        held_back: a folder of MIDI files.

    Raises:
        CorpusError: if there are no MIDI files in the folder.
    """
    return [
        *_held_back(form, held_back),
        *_bands(form.band_seconds),
        *(Piece(f"velocity_{velocity}", "velocity", phrase(velocity)) for velocity in VELOCITIES),
        *(piece for program in form.keyboards for piece in single_notes(program, form.key_step)),
        Piece("chord", "chord", chord()),
        Piece("ten_voices", "dense", ten_voices()),
        Piece("fast", "dense", fast()),
        Piece("repeats", "dense", repeats()),
        Piece("drums", "drums", groove()),
        Piece("drums_and_piano", "drums", join(groove(), beside_groove())),
        Piece("piano", "drums", beside_groove()),
    ]


def beginning(notes: Notes, seconds: float) -> Notes:
    """The first seconds of a piece; notes that go on longer end there."""
    begun = notes.select(notes.onset_seconds < seconds)
    offsets = np.minimum(begun.offset_seconds, seconds)
    total = min(notes.total_seconds, seconds)
    return dataclasses.replace(begun, offset_seconds=offsets, total_seconds=total)


def table(
    onsets: Sequence[float],
    seconds: float | Sequence[float],
    pitches: Sequence[int],
    *,
    velocity: int = 80,
    program: int = PIANO,
    is_drum: bool = False,
    total_seconds: float = 0.0,
) -> Notes:
    """Notes of one instrument, each lasting `seconds`."""
    count = len(onsets)
    return Notes(
        onset_seconds=np.asarray(onsets, np.float64),
        offset_seconds=np.asarray(onsets, np.float64) + np.asarray(seconds, np.float64),
        pitch=np.asarray(pitches, np.int32),
        velocity=np.full(count, velocity),
        program=np.full(count, program),
        is_drum=np.full(count, is_drum),
        total_seconds=total_seconds,
    )


def join(*parts: Notes) -> Notes:
    """Parts played at the same time."""
    columns = {
        field.name: np.concatenate([getattr(part, field.name) for part in parts])
        for field in dataclasses.fields(Notes)
        if field.name != "total_seconds"
    }
    return Notes(**columns, total_seconds=max(part.total_seconds for part in parts))


def _held_back(form: Form, folder: Path) -> list[Piece]:
    paths = sorted(folder.glob("*.mid"))
    if not paths:
        raise CorpusError(folder, "a folder of MIDI files", "none")
    count = min(form.held_back or len(paths), len(paths))
    chosen = [paths[number] for number in np.linspace(0, len(paths) - 1, count).round().astype(int)]
    pieces = []
    for path in chosen:
        notes = read_midi(path)
        if form.held_back_seconds is not None:
            notes = beginning(notes, form.held_back_seconds)
        pieces.append(Piece(path.stem, "held back", notes))
    return pieces


def _bands(seconds: float) -> list[Piece]:
    settings = ComposeSettings(
        seconds=(seconds, seconds),
        parts=(3, 5),
        programs=BAND_PROGRAMS,
        drums_probability=1.0,
    )
    return [
        Piece(f"band_{index}", "bands", compose(BAND_SEED, settings, index)) for index in range(2)
    ]


def phrase(velocity: int) -> Notes:
    """Eight notes of a melody over a held chord, all equally loud."""
    onsets = [_FIRST_ONSET + 0.4 * number for number in range(8)]
    melody = table(onsets, 0.38, (72, 74, 76, 79, 77, 76, 74, 72), velocity=velocity)
    held = table([_FIRST_ONSET] * 3, 3.2, (48, 55, 64), velocity=velocity, total_seconds=4.0)
    return join(melody, held)


def single_notes(program: int, step: int) -> list[Piece]:
    """Every `step`-th note of an instrument's compass from below, a second each, with rests."""
    compass = instrument(program)
    pitches = range(compass.low, compass.high + 1, step)
    pieces = []
    for first in range(0, len(pitches), _NOTES_AT_ONCE):
        some = pitches[first : first + _NOTES_AT_ONCE]
        onsets = [_FIRST_ONSET + number * (_NOTE + _REST) for number in range(len(some))]
        total = _FIRST_ONSET + len(some) * (_NOTE + _REST)
        notes = table(onsets, _NOTE, some, program=program, total_seconds=total)
        pieces.append(Piece(f"notes_{program}_from_{some[0]}", "notes", notes))
    return pieces


def chord() -> Notes:
    """Four strings, six seconds."""
    begin, end = CHORD_SECONDS
    pitches = (48, 55, 64, 72)
    return table([begin] * 4, end - begin, pitches, program=STRINGS, total_seconds=end + 0.75)


def ten_voices() -> Notes:
    """Chords of ten notes, two a second for six seconds."""
    chords = (
        (36, 43, 48, 52, 55, 60, 64, 67, 72, 76),
        (41, 48, 53, 57, 60, 65, 69, 72, 77, 81),
        (43, 50, 55, 59, 62, 67, 71, 74, 79, 83),
        (45, 52, 57, 60, 64, 69, 72, 76, 81, 84),
    )
    onsets = [_FIRST_ONSET + 0.5 * number for number in range(12) for _ in range(10)]
    pitches = [pitch for number in range(12) for pitch in chords[number % len(chords)]]
    return table(onsets, 0.45, pitches, total_seconds=7.0)


def fast() -> Notes:
    """Quavers at 240 beats a minute, eight notes a second, over crotchets in the bass."""
    scale = (60, 62, 64, 65, 67, 69, 71, 72, 74, 76, 77, 79, 77, 76, 74, 72, 71, 69, 67, 65, 64, 62)
    upper = table(
        [_FIRST_ONSET + number / 8 for number in range(48)],
        0.115,
        [scale[number % len(scale)] for number in range(48)],
    )
    bass = (36, 43, 40, 43)
    lower = table(
        [_FIRST_ONSET + number / 4 for number in range(24)],
        0.23,
        [bass[number % len(bass)] for number in range(24)],
        total_seconds=6.75,
    )
    return join(upper, lower)


def repeats() -> Notes:
    """One key ten times a second for two seconds, then another, then a third."""
    pitches = [pitch for pitch in (48, 60, 72) for _ in range(20)]
    onsets = [_FIRST_ONSET + number / 10 for number in range(len(pitches))]
    return table(onsets, 0.08, pitches, total_seconds=6.75)


_BEAT = 60 / 110
_BARS = 4


def groove() -> Notes:
    """Kick, snare and hi-hat at 110 beats a minute: four bars of eight hits."""
    onsets, drums = [], []
    for bar in range(_BARS):
        for quaver in range(8):
            onset = _FIRST_ONSET + (4 * bar + quaver / 2) * _BEAT
            hit = [_HAT]
            if quaver in (0, 4, 5):
                hit.append(_KICK)
            if quaver in (2, 6):
                hit.append(_SNARE)
            onsets += [onset] * len(hit)
            drums += hit
    total = _FIRST_ONSET + 4 * _BARS * _BEAT + 0.75
    return table(onsets, 0.1, drums, velocity=100, is_drum=True, total_seconds=total)


def beside_groove() -> Notes:
    """A piano in two voices on the beats of the groove: where it plays, a drum is struck too."""
    melody = (72, 76, 79, 76, 77, 74, 71, 74, 72, 69, 65, 69, 67, 71, 74, 79)
    bass = (48, 48, 55, 55, 53, 53, 55, 55, 45, 45, 53, 53, 55, 55, 43, 43)
    onsets = [_FIRST_ONSET + beat * _BEAT for beat in range(4 * _BARS)]
    total = _FIRST_ONSET + 4 * _BARS * _BEAT + 0.75
    return table(onsets + onsets, 0.9 * _BEAT, melody + bass, velocity=90, total_seconds=total)
