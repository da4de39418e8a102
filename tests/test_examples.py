"""The example pieces: what is committed is what the scores say, and the scores are the music."""

import importlib
import sys
from pathlib import Path
from types import ModuleType

import mido
import numpy as np
import pretty_midi
import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"
DRUMS = -1

# Programs of each piece, counted from 0; DRUMS for the kit.
PROGRAMS = {
    "bach_prelude_in_c.mid": [0],
    "joplin_entertainer.mid": [0],
    "greensleeves.mid": [73, 24, 48, 32],
    "when_the_saints.mid": [56, 71, 57, 24, 32, DRUMS],
    "pachelbel_canon.mid": [40, 68, 71, 42, 46],
}


@pytest.fixture
def make_examples(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    yield importlib.import_module("make_examples")
    for name in ("make_examples", "scores"):
        sys.modules.pop(name, None)


def read(file: str) -> pretty_midi.PrettyMIDI:
    return pretty_midi.PrettyMIDI(str(EXAMPLES / file))


def pitches(file: str, program: int) -> list[int]:
    """The pitches of one player in the order they are struck; chords from the lowest note up."""
    (player,) = (
        part
        for part in read(file).instruments
        if (DRUMS if part.is_drum else part.program) == program
    )
    return [note.pitch for note in sorted(player.notes, key=lambda note: (note.start, note.pitch))]


def test_files_are_what_the_script_writes(make_examples: ModuleType, tmp_path: Path):
    written = {make_examples.write(piece, tmp_path).name for piece in make_examples.PIECES}
    assert written == {path.name for path in EXAMPLES.glob("*.mid")} == set(PROGRAMS)
    for name in written:
        assert (tmp_path / name).read_bytes() == (EXAMPLES / name).read_bytes(), name


@pytest.mark.parametrize("file", PROGRAMS)
def test_players_and_length(file: str):
    midi = read(file)
    players = [DRUMS if part.is_drum else part.program for part in midi.instruments]
    assert players == PROGRAMS[file]
    assert 20 < midi.get_end_time() < 60
    velocities = [note.velocity for part in midi.instruments for note in part.notes]
    assert min(velocities) > 30
    assert max(velocities) < 120
    assert len(set(velocities)) > 10


# Counted in the printed music: sixteen notes in each of the first ten bars of the prelude, eight in
# its last; canon variations of 8, 8, 16, 16 and 32 notes, fewer of them for each later voice, and a
# last note; four, four, eight, ten and seven notes to the lines of the spiritual.
@pytest.mark.parametrize(
    ("file", "program", "count"),
    [
        ("bach_prelude_in_c.mid", 0, 10 * 16 + 8),
        ("pachelbel_canon.mid", 40, 8 + 8 + 16 + 16 + 32 + 1),
        ("pachelbel_canon.mid", 68, 8 + 8 + 16 + 16 + 1),
        ("pachelbel_canon.mid", 71, 8 + 8 + 16 + 1),
        ("pachelbel_canon.mid", 42, 6 * 8 + 1),
        ("when_the_saints.mid", 56, 2 * (4 + 4 + 8 + 10 + 7) + 1),
    ],
)
def test_number_of_notes(file: str, program: int, count: int):
    assert len(pitches(file, program)) == count


@pytest.mark.parametrize(
    ("file", "program", "skip", "expected"),
    [
        # The prelude's first two bars: C E G c e G c e twice, then C D A d f A d f twice.
        ("bach_prelude_in_c.mid", 0, 0, [60, 64, 67, 72, 76, 67, 72, 76] * 2),
        ("bach_prelude_in_c.mid", 0, 16, [60, 62, 69, 74, 77, 69, 74, 77] * 2),
        # Bar 5 reaches up to a''; bar 10 down to d.
        ("bach_prelude_in_c.mid", 0, 64, [60, 64, 69, 76, 81]),
        ("bach_prelude_in_c.mid", 0, 144, [50, 57, 62, 66, 72]),
        # A, C D E F# E, D B G A B, C A: the dorian sixth is sharp.
        ("greensleeves.mid", 73, 0, [69, 72, 74, 76, 78, 76, 74, 71, 67, 69, 71, 72, 69]),
        # F A Bb C, twice, then once more going on to A F A G.
        ("when_the_saints.mid", 56, 0, [65, 69, 70, 72] * 3 + [69, 65, 69, 67]),
        # Two beats to the bar: the bass plays F C F C under it.
        ("when_the_saints.mid", 32, 0, [41, 36, 41, 36]),
        # The ground, and the first entry a third and a sixth above it: F# E D C# B A B C#.
        ("pachelbel_canon.mid", 42, 0, [50, 45, 47, 42, 43, 38, 43, 45] * 2),
        ("pachelbel_canon.mid", 40, 0, [78, 76, 74, 73, 71, 69, 71, 73]),
    ],
)
def test_known_bars(file: str, program: int, skip: int, expected: list[int]):
    assert pitches(file, program)[skip : skip + len(expected)] == expected


def test_entertainer_strain():
    # Two sixteenths lead in: D D#, E c E c E c; they are the only single notes above the left hand.
    (piano,) = read("joplin_entertainer.mid").instruments
    strain = [note for note in piano.notes if note.start > 4.0 and note.pitch >= 62]
    melody = [note.pitch for note in sorted(strain, key=lambda note: note.start)]
    first = next(i for i in range(len(melody)) if melody[i : i + 2] == [62, 63])
    assert melody[first : first + 8] == [62, 63, 64, 72, 64, 72, 64, 72]


def test_canon_is_a_canon():
    violin = pitches("pachelbel_canon.mid", 40)
    for follower in (68, 71):
        voice = pitches("pachelbel_canon.mid", follower)
        assert voice[:-1] == violin[: len(voice) - 1]


def test_pedal_changes_with_every_bar_of_the_prelude():
    midi = mido.MidiFile(EXAMPLES / "bach_prelude_in_c.mid")
    pedal: list[tuple[float, int]] = []
    for track in midi.tracks:
        ticks = np.cumsum([message.time for message in track])
        pedal += [
            (tick / midi.ticks_per_beat, message.value)
            for tick, message in zip(ticks, track, strict=True)
            if message.is_cc(64)
        ]
    down = [beat for beat, value in sorted(pedal) if value]
    up = [beat for beat, value in sorted(pedal) if not value]
    assert np.allclose(np.floor(np.divide(down, 4)), range(11))
    assert np.allclose(np.ceil(np.divide(up, 4)), range(1, 12))


@pytest.mark.parametrize("file", PROGRAMS)
def test_no_key_is_struck_while_it_sounds(file: str):
    sounding: set[tuple[int, int]] = set()
    for message in mido.merge_tracks(mido.MidiFile(EXAMPLES / file).tracks):
        if message.type == "note_on":
            assert (message.channel, message.note) not in sounding
            sounding.add((message.channel, message.note))
        elif message.type == "note_off":
            sounding.remove((message.channel, message.note))
    assert not sounding


@pytest.mark.parametrize(
    ("music", "problem"), [("C4:4 | D4:3", "bar 1 has 3.0 of 4 beats"), ("H4:4", "not a note name")]
)
def test_misprints_are_found(make_examples: ModuleType, music: str, problem: str):
    with pytest.raises(ValueError, match=problem):
        make_examples.read_line(make_examples.Line(music, 1, 4))
