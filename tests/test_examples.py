"""Example songs: the MIDI files match the scores, and the scores match the printed music."""

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import mido
import numpy as np
import pretty_midi
import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"
HELD_BACK = EXAMPLES / "held_back" / "test"
DRUMS = -1

# Programs of each song, counted from 0; DRUMS for the drum kit.
PROGRAMS = {
    "bach_prelude_in_c.mid": [0],
    "joplin_entertainer.mid": [0],
    "greensleeves.mid": [73, 24, 48, 33],
    "when_the_saints.mid": [56, 71, 57, 24, 32, DRUMS],
    "pachelbel_canon.mid": [40, 68, 71, 42, 46],
    "grieg_mountain_king.mid": [42, 43, 70, 40, 71, 48, 73, 56, 60, 47, DRUMS],
}
HELD_BACK_PROGRAMS = {
    "beethoven_ode_to_joy.mid": [48, 73, 0, 33],
    "beethoven_for_elise.mid": [0],
    "petzold_minuet.mid": [0],
    "satie_gymnopedie.mid": [0],
    "brahms_lullaby.mid": [73, 0],
    "ah_vous_dirai_je_maman.mid": [73, 24, 33],
    "auld_lang_syne.mid": [48, 24, 33],
    "amazing_grace.mid": [73, 48, 33],
    "silent_night.mid": [73, 24, 48],
    "frere_jacques.mid": [73, 48, 24, 0, 33],
}
ALL_PROGRAMS = PROGRAMS | HELD_BACK_PROGRAMS
# Modules of the folder, removed from sys.modules after each test.
MODULES = (
    "make_held_back",
    "make_examples",
    "held_back_classics",
    "held_back_songs",
    "scores",
    "notation",
)


@pytest.fixture
def examples_folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    yield
    for name in MODULES:
        sys.modules.pop(name, None)


@pytest.fixture
def make_examples(examples_folder: None) -> ModuleType:
    return importlib.import_module("make_examples")


def path_of(file: str) -> Path:
    return (EXAMPLES if file in PROGRAMS else HELD_BACK) / file


def read(file: str) -> pretty_midi.PrettyMIDI:
    return pretty_midi.PrettyMIDI(str(path_of(file)))


def pitches(file: str, program: int) -> list[int]:
    """Returns the pitches of one player sorted by onset and pitch."""
    (player,) = (
        part
        for part in read(file).instruments
        if (DRUMS if part.is_drum else part.program) == program
    )
    return [note.pitch for note in sorted(player.notes, key=lambda note: (note.start, note.pitch))]


def test_files_are_what_the_script_writes(make_examples: ModuleType, tmp_path: Path):
    written = {make_examples.write(song, tmp_path).name for song in make_examples.SONGS}
    assert written == {path.name for path in EXAMPLES.glob("*.mid")} == set(PROGRAMS)
    for name in written:
        assert (tmp_path / name).read_bytes() == (EXAMPLES / name).read_bytes(), name


def test_held_back_files_are_what_the_script_writes(examples_folder: None, tmp_path: Path):
    make_held_back = importlib.import_module("make_held_back")
    written = {path.name for path in make_held_back.write_all(tmp_path)}
    assert written == {path.name for path in HELD_BACK.glob("*.mid")}
    assert written == {f"composed_{index}.mid" for index in range(10)} | set(HELD_BACK_PROGRAMS)
    for name in written:
        assert (tmp_path / name).read_bytes() == (HELD_BACK / name).read_bytes(), name


@pytest.mark.parametrize("path", sorted(HELD_BACK.glob("*.mid")), ids=lambda path: path.stem)
def test_held_back_songs_suit_small_models(path: Path):
    midi = pretty_midi.PrettyMIDI(str(path))
    assert 20 < midi.get_end_time() < 40
    assert {part.program for part in midi.instruments} <= {0, 24, 33, 48, 73}
    assert not any(part.is_drum for part in midi.instruments)
    notes = [note for part in midi.instruments for note in part.notes]
    sounding = [sum(note.start <= at.start < note.end for note in notes) for at in notes]
    assert max(sounding) <= 6


def test_held_back_songs_are_listed_with_their_lengths():
    lines = (EXAMPLES / "held_back" / "README.md").read_text().splitlines()
    rows = [[cell.strip() for cell in line.split("|")] for line in lines if ".mid`" in line]
    listed = {row[1].strip("`"): int(row[-2]) for row in rows}
    files = {path.name: path for path in HELD_BACK.glob("*.mid")}
    assert listed == {name: round(mido.MidiFile(path).length) for name, path in files.items()}


@pytest.mark.parametrize("file", ALL_PROGRAMS)
def test_players_and_length(file: str):
    midi = read(file)
    players = [DRUMS if part.is_drum else part.program for part in midi.instruments]
    assert players == ALL_PROGRAMS[file]
    assert 20 < midi.get_end_time() < 60
    velocities = [note.velocity for part in midi.instruments for note in part.notes]
    assert min(velocities) > 30
    assert max(velocities) < 120
    assert len(set(velocities)) > 10


# Counted in the printed music. Prelude: sixteen notes in each of the first ten bars, eight in the
# last. Canon: variations of 8, 8, 16, 16 and 32 notes, one fewer for each later voice, and a final
# note. Spiritual: four, four, eight, ten and seven notes per line. Ode: fifteen notes per line,
# more in the third line, and a tie into the fourth. Lullaby: sixteen bars. Theme: seven notes per
# line. Scottish song: fourteen notes per line. Hall: 26 notes per four bars, the answer 24.
@pytest.mark.parametrize(
    ("file", "program", "count"),
    [
        ("bach_prelude_in_c.mid", 0, 10 * 16 + 8),
        ("pachelbel_canon.mid", 40, 8 + 8 + 16 + 16 + 32 + 1),
        ("pachelbel_canon.mid", 68, 8 + 8 + 16 + 16 + 1),
        ("pachelbel_canon.mid", 71, 8 + 8 + 16 + 1),
        ("pachelbel_canon.mid", 42, 6 * 8 + 1),
        ("when_the_saints.mid", 56, 2 * (4 + 4 + 8 + 10 + 7) + 1),
        ("beethoven_ode_to_joy.mid", 48, 15 + 15 + 18 + 14),
        (
            "brahms_lullaby.mid",
            73,
            2 + 3 + 3 + 3 + 4 + 4 + 3 + 4 + 3 + 3 + 3 + 3 + 3 + 3 + 3 + 3 + 1,
        ),
        ("ah_vous_dirai_je_maman.mid", 73, 6 * 7),
        ("frere_jacques.mid", 73, 2 * (4 + 3 + 6 + 3)),
        ("auld_lang_syne.mid", 48, 4 * 14),
        ("grieg_mountain_king.mid", 40, 26 + 24),
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
        # Bar 5 has the highest note, a''; bar 10 the lowest, d.
        ("bach_prelude_in_c.mid", 0, 64, [60, 64, 69, 76, 81]),
        ("bach_prelude_in_c.mid", 0, 144, [50, 57, 62, 66, 72]),
        # A, C D E F# E, D B G A B, C A: with the Dorian sixth, F#.
        ("greensleeves.mid", 73, 0, [69, 72, 74, 76, 78, 76, 74, 71, 67, 69, 71, 72, 69]),
        # F A Bb C, three times, then A F A G.
        ("when_the_saints.mid", 56, 0, [65, 69, 70, 72] * 3 + [69, 65, 69, 67]),
        # The bass alternates between F and C, two notes per bar.
        ("when_the_saints.mid", 32, 0, [41, 36, 41, 36]),
        # The ground, and the first entry of the canon: F# E D C# B A B C#.
        ("pachelbel_canon.mid", 42, 0, [50, 45, 47, 42, 43, 38, 43, 45] * 2),
        ("pachelbel_canon.mid", 40, 0, [78, 76, 74, 73, 71, 69, 71, 73]),
        # B C# D E F# D F#, F C# F, E C E, B C# D E F# D F# B.
        (
            "grieg_mountain_king.mid",
            42,
            0,
            [47, 49, 50, 52, 54, 50, 54, 53, 49, 53, 52, 48, 52, 47, 49, 50, 52, 54, 50, 54, 59],
        ),
        # The answer begins a fifth higher: F# G# A# B C# A# C#, D A# D.
        ("grieg_mountain_king.mid", 70, 0, [54, 56, 58, 59, 61, 58, 61, 62, 58, 62]),
        # F# F# G A A G F# E D D E F# F# E E; the answer's E E F# D E F#GF# D, up to the low A.
        (
            "beethoven_ode_to_joy.mid",
            48,
            0,
            [66, 66, 67, 69, 69, 67, 66, 64, 62, 62, 64, 66, 66, 64, 64],
        ),
        (
            "beethoven_ode_to_joy.mid",
            48,
            30,
            [64, 64, 66, 62, 64, 66, 67, 66, 62, 64, 66, 67, 66, 64, 62, 64, 57, 66, 66, 67, 69],
        ),
        # E D# E D# E B D C, then A over A E A in the left hand.
        ("beethoven_for_elise.mid", 0, 0, [76, 75, 76, 75, 76, 71, 74, 72, 45, 69, 52, 57]),
        # G G Bb, G G Bb, G Bb Eb D, C C Bb.
        (
            "brahms_lullaby.mid",
            73,
            0,
            [67, 67, 70, 67, 67, 70, 67, 70, 75, 74, 72, 72, 70, 65, 67, 68],
        ),
        ("ah_vous_dirai_je_maman.mid", 73, 0, [72, 72, 79, 79, 81, 81, 79, 77, 77, 76, 76, 74]),
        # C F F F A, G F G A, F F A C D: only five tones of the scale.
        ("auld_lang_syne.mid", 48, 0, [60, 65, 65, 65, 69, 67, 65, 67, 69, 65, 65, 69, 72, 74]),
        ("amazing_grace.mid", 73, 0, [62, 67, 71, 67, 71, 69, 67, 64, 62]),
        # G A G E, twice; D D B, C C G; the high F of the ninth bar.
        ("silent_night.mid", 73, 0, [67, 69, 67, 64, 67, 69, 67, 64, 74, 74, 71, 72, 72, 67]),
        ("silent_night.mid", 73, 32, [74, 74, 77, 74, 71, 72, 76]),
        ("frere_jacques.mid", 48, 0, [65, 67, 69, 65, 65, 67, 69, 65, 69, 70, 72]),
    ],
)
def test_known_bars(file: str, program: int, skip: int, expected: list[int]):
    assert pitches(file, program)[skip : skip + len(expected)] == expected


# All notes of the right hand are above those of the left hand. Minuet: D G A B C D G G, E C D E F#
# G G G. Gymnopedie: F# A G F# C# B C# D A.
@pytest.mark.parametrize(
    ("file", "lowest", "expected"),
    [
        (
            "petzold_minuet.mid",
            66,
            [74, 67, 69, 71, 72, 74, 67, 67, 76, 72, 74, 76, 78, 79, 67, 67],
        ),
        ("satie_gymnopedie.mid", 67, [78, 81, 79, 78, 73, 71, 73, 74, 69]),
    ],
)
def test_known_right_hands(file: str, lowest: int, expected: list[int]):
    upper = [pitch for pitch in pitches(file, 0) if pitch >= lowest]
    assert upper[: len(expected)] == expected


def test_chords_of_the_gymnopedie():
    # G, then B D F# on it; D, then A C# F#.
    struck = pitches("satie_gymnopedie.mid", 0)
    assert [struck[0], *sorted(struck[1:4])] == [43, 59, 62, 66]
    assert [struck[4], *sorted(struck[5:8])] == [38, 57, 61, 66]


def test_entertainer_strain():
    # A pickup of two sixteenths: D D#, E c E c E c. No other single notes are above the left hand.
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


def test_the_round_is_a_round():
    """Compares the tunes of the four parts, which start two bars of four beats apart."""
    voices = {program: pitches("frere_jacques.mid", program) for program in (73, 48, 24, 0)}
    octaves = {73: 12, 48: 0, 24: -12, 0: 0}
    tunes = [[pitch - octaves[program] for pitch in voices[program]] for program in voices]
    assert all(tune == tunes[0] for tune in tunes)
    players = {part.program: part for part in read("frere_jacques.mid").instruments}
    begin = [players[program].notes[0].start for program in voices]
    assert np.allclose(np.diff(begin), 8 * 60 / 112, atol=0.02)


def test_the_hall_grows_louder():
    notes = [note for part in read("grieg_mountain_king.mid").instruments for note in part.notes]
    notes.sort(key=lambda note: note.start)
    quarters = np.array_split([note.velocity for note in notes if note.start < 48], 4)
    means = [np.mean(quarter) for quarter in quarters]
    assert means == sorted(means)
    assert np.mean([note.velocity for note in notes[:26]]) < 50
    assert means[-1] > 90


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


@pytest.mark.parametrize("file", ALL_PROGRAMS)
def test_notes_of_a_key_do_not_overlap(file: str):
    sounding: set[tuple[int, int]] = set()
    for message in mido.merge_tracks(mido.MidiFile(path_of(file)).tracks):
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
