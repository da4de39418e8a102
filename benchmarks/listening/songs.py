"""Songs of the bench: held-back songs, bands, and short studies of one aspect each."""

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
from spectrodiff.music.midi.reader import read_midi
from spectrodiff.music.notes import Notes, merge_notes

VELOCITIES = (30, 80, 120)
# Without the programs of NARROW, which models trained on it know.
BAND_PROGRAMS = tuple(program for program in FULL.programs if program not in (0, 24, 33, 48, 73))
BAND_SEED = 2024
CHORD_SECONDS = (0.25, 6.25)

PIANO, STRINGS = 0, 48
_KICK, _SNARE, _HAT = 36, 38, 42
_FIRST_ONSET, _NOTE, _REST = 0.25, 1.0, 0.5  # seconds
_NOTES_PER_SONG = 11  # of songs of single notes, so that all songs have similar lengths

Group = Literal["held back", "bands", "velocity", "notes", "chord", "dense", "drums"]


@dataclasses.dataclass(frozen=True, eq=False)
class BenchSong:
    """A song to render.

    Attributes:
        name: unique.
        group: of songs with the same measures.
        notes: of the song.
    """

    name: str
    group: Group
    notes: Notes

    @property
    def checksum(self) -> str:
        """Checksum of the notes."""
        notes, crc = self.notes, zlib.crc32(str(self.notes.total_seconds).encode())
        times = (notes.onset_seconds, notes.offset_seconds)
        for column in (*times, notes.pitch, notes.velocity, notes.program, notes.is_drum):
            crc = zlib.crc32(column.tobytes(), crc)
        return f"{crc:08x}"


@dataclasses.dataclass(frozen=True)
class Form:
    """Amount of music in a form of the bench.

    Attributes:
        name: "quick", "short" or "long".
        held_back: number of held-back songs, evenly spread; None for all.
        held_back_seconds: length of each; None for the whole song.
        band_seconds: length of the two songs of bands.
        keyboards: programs whose notes are rendered one by one.
        key_step: interval between these notes, in semitones.
        num_tones: number of steady tones for the inverter.
    """

    name: str
    held_back: int | None
    held_back_seconds: float | None
    band_seconds: float
    keyboards: tuple[int, ...]
    key_step: int
    num_tones: int


FORMS = {
    "quick": Form("quick", 2, 4.0, 4.0, (PIANO,), 12, 4),
    "short": Form("short", 6, 15.0, 15.0, (PIANO,), 4, 60),
    "long": Form("long", None, None, 30.0, (PIANO, 40, STRINGS, 33, 24, 56), 1, 240),
}


def bench_songs(form: Form, held_back: Path) -> list[BenchSong]:
    """Returns the songs of a form.

    Args:
        form: amount of music.
        held_back: folder of MIDI files.

    Raises:
        CorpusError: if there are no MIDI files in the folder.
    """
    return [
        *_held_back(form, held_back),
        *_bands(form.band_seconds),
        *(
            BenchSong(f"velocity_{velocity}", "velocity", phrase(velocity))
            for velocity in VELOCITIES
        ),
        *(song for program in form.keyboards for song in single_notes(program, form.key_step)),
        BenchSong("chord", "chord", chord()),
        BenchSong("ten_voices", "dense", ten_voices()),
        BenchSong("fast", "dense", fast()),
        BenchSong("repeats", "dense", repeats()),
        BenchSong("drums", "drums", groove()),
        BenchSong("drums_and_piano", "drums", merge_notes([groove(), piano_with_groove()])),
        BenchSong("piano", "drums", piano_with_groove()),
    ]


def first_seconds(notes: Notes, seconds: float) -> Notes:
    """Returns the first seconds of a song; longer notes end there."""
    chosen = notes.select(notes.onset_seconds < seconds)
    offsets = np.minimum(chosen.offset_seconds, seconds)
    total = min(notes.total_seconds, seconds)
    return dataclasses.replace(chosen, offset_seconds=offsets, total_seconds=total)


def make_notes(
    onsets: Sequence[float],
    seconds: float | Sequence[float],
    pitches: Sequence[int],
    *,
    velocity: int = 80,
    program: int = PIANO,
    is_drum: bool = False,
    total_seconds: float = 0.0,
) -> Notes:
    """Returns notes of one instrument that last `seconds` each."""
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


def _held_back(form: Form, folder: Path) -> list[BenchSong]:
    paths = sorted(folder.glob("*.mid"))
    if not paths:
        raise CorpusError(folder, "a folder of MIDI files", "none")
    count = min(form.held_back or len(paths), len(paths))
    chosen = [paths[number] for number in np.linspace(0, len(paths) - 1, count).round().astype(int)]
    songs = []
    for path in chosen:
        notes = read_midi(path)
        if form.held_back_seconds is not None:
            notes = first_seconds(notes, form.held_back_seconds)
        songs.append(BenchSong(path.stem, "held back", notes))
    return songs


def _bands(seconds: float) -> list[BenchSong]:
    settings = ComposeSettings(
        seconds=(seconds, seconds),
        parts=(3, 5),
        programs=BAND_PROGRAMS,
        drums_probability=1.0,
    )
    return [
        BenchSong(f"band_{index}", "bands", compose(BAND_SEED, settings, index))
        for index in range(2)
    ]


def phrase(velocity: int) -> Notes:
    """Returns a melody of eight notes over a held chord, all with one velocity."""
    onsets = [_FIRST_ONSET + 0.4 * number for number in range(8)]
    melody = make_notes(onsets, 0.38, (72, 74, 76, 79, 77, 76, 74, 72), velocity=velocity)
    held = make_notes([_FIRST_ONSET] * 3, 3.2, (48, 55, 64), velocity=velocity, total_seconds=4.0)
    return merge_notes([melody, held])


def single_notes(program: int, step: int) -> list[BenchSong]:
    """Returns every `step`-th note of an instrument's compass, one second each, with rests."""
    compass = instrument(program)
    pitches = range(compass.low, compass.high + 1, step)
    songs = []
    for first in range(0, len(pitches), _NOTES_PER_SONG):
        chosen = pitches[first : first + _NOTES_PER_SONG]
        onsets = [_FIRST_ONSET + number * (_NOTE + _REST) for number in range(len(chosen))]
        total = _FIRST_ONSET + len(chosen) * (_NOTE + _REST)
        notes = make_notes(onsets, _NOTE, chosen, program=program, total_seconds=total)
        songs.append(BenchSong(f"notes_{program}_from_{chosen[0]}", "notes", notes))
    return songs


def chord() -> Notes:
    """Returns a string chord of four notes and six seconds."""
    begin, end = CHORD_SECONDS
    pitches = (48, 55, 64, 72)
    return make_notes([begin] * 4, end - begin, pitches, program=STRINGS, total_seconds=end + 0.75)


def ten_voices() -> Notes:
    """Returns chords of ten notes, two per second for six seconds."""
    chords = (
        (36, 43, 48, 52, 55, 60, 64, 67, 72, 76),
        (41, 48, 53, 57, 60, 65, 69, 72, 77, 81),
        (43, 50, 55, 59, 62, 67, 71, 74, 79, 83),
        (45, 52, 57, 60, 64, 69, 72, 76, 81, 84),
    )
    onsets = [_FIRST_ONSET + 0.5 * number for number in range(12) for _ in range(10)]
    pitches = [pitch for number in range(12) for pitch in chords[number % len(chords)]]
    return make_notes(onsets, 0.45, pitches, total_seconds=7.0)


def fast() -> Notes:
    """Returns quavers at 240 beats per minute, eight per second, over crotchets in the bass."""
    scale = (60, 62, 64, 65, 67, 69, 71, 72, 74, 76, 77, 79, 77, 76, 74, 72, 71, 69, 67, 65, 64, 62)
    upper = make_notes(
        [_FIRST_ONSET + number / 8 for number in range(48)],
        0.115,
        [scale[number % len(scale)] for number in range(48)],
    )
    bass = (36, 43, 40, 43)
    lower = make_notes(
        [_FIRST_ONSET + number / 4 for number in range(24)],
        0.23,
        [bass[number % len(bass)] for number in range(24)],
        total_seconds=6.75,
    )
    return merge_notes([upper, lower])


def repeats() -> Notes:
    """Returns three notes, each repeated ten times per second for two seconds."""
    pitches = [pitch for pitch in (48, 60, 72) for _ in range(20)]
    onsets = [_FIRST_ONSET + number / 10 for number in range(len(pitches))]
    return make_notes(onsets, 0.08, pitches, total_seconds=6.75)


_BEAT = 60 / 110
_BARS = 4


def groove() -> Notes:
    """Returns kick, snare and hi-hat at 110 beats per minute: four bars of eight hits."""
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
    return make_notes(onsets, 0.1, drums, velocity=100, is_drum=True, total_seconds=total)


def piano_with_groove() -> Notes:
    """Returns two voices of a piano on the beats of the groove, together with its drums."""
    melody = (72, 76, 79, 76, 77, 74, 71, 74, 72, 69, 65, 69, 67, 71, 74, 79)
    bass = (48, 48, 55, 55, 53, 53, 55, 55, 45, 45, 53, 53, 55, 55, 43, 43)
    onsets = [_FIRST_ONSET + beat * _BEAT for beat in range(4 * _BARS)]
    total = _FIRST_ONSET + 4 * _BARS * _BEAT + 0.75
    return make_notes(onsets + onsets, 0.9 * _BEAT, melody + bass, velocity=90, total_seconds=total)
