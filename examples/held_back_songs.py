"""Held-back traditional songs, in the notation of `notation.py`.

The tunes are traditional; the accompaniments were written for this project.
"""

from held_back_classics import BASS, FLUTE, GUITAR, PIANO, STRINGS, bars
from notation import Line, Part, Song

# Four guitar strings, in ascending order.
GUITAR_CHORDS = {
    "C": "C3 G3 C4 E4",
    "C7": "C3 G3 Bb3 E4",
    "F": "F2 C3 F3 A3",
    "G": "G2 D3 G3 B3",
    "G7": "G2 D3 F3 B3",
    "Bb": "Bb2 F3 Bb3 D4",
}
# Order in which the strings are plucked, by the length of the chord in eighths.
PLUCKING = {
    3: (0, 2, 3),
    4: (0, 1, 2, 3),
    6: (0, 1, 2, 3, 2, 1),
    8: (0, 1, 2, 3, 2, 3, 2, 1),
}


def broken(chords: str, eighths: int) -> str:
    """Writes bars of `eighths` plucked eighths; two chords in a bar get half a bar each."""
    music = []
    for bar in chords.split():
        names = bar.split("-")
        plucked = [
            GUITAR_CHORDS[name].split()[string]
            for name in names
            for string in PLUCKING[eighths // len(names)]
        ]
        music.append(" ".join(f"{note}:1" for note in plucked))
    return " | ".join(music)


# ---------------------------------------------------------------- Ah! vous dirai-je, maman

MAMAN = "C5:1 C5 G5 G5 | A5:1 A5 G5:2 | F5:1 F5 E5 E5 | D5:1 D5 C5:2"
MAMAN_MIDDLE = "G5:1 G5 F5 F5 | E5:1 E5 D5:2"
MAMAN_CHORDS = "C-C F-C F-C G7-C C-G7 C-G C-G7 C-G C-C F-C F-C"
MAMAN_BASS = {"C": "C2:2", "F": "F1:2", "G": "G1:2", "G7": "G1:2"}


def _maman() -> Song:
    guitar = broken(MAMAN_CHORDS, 8) + " | G2:1 D3 F3 B3 C3+G3+C4+E4:4"
    bass = bars(MAMAN_CHORDS + " G7-C", MAMAN_BASS)
    tune = " | ".join((MAMAN, MAMAN_MIDDLE, MAMAN_MIDDLE, MAMAN))
    return Song(
        "ah_vous_dirai_je_maman.mid",
        "Ah! vous dirai-je, maman (French, 18th century)",
        ((0, 104), (16, 100), (32, 106), (45, 92), (46, 76)),
        (
            Part("flute", FLUTE, (Line(tune, 1, 4, 82, 0.9),)),
            Part("guitar", GUITAR, (Line(guitar, 0.5, 4, 62, 1.0),)),
            Part("bass", BASS, (Line(bass, 1, 4, 72, 0.9),)),
        ),
    )


# ---------------------------------------------------------------- Auld Lang Syne

# Eighths, eight to the bar.
AULD = """
C4:2 | F4:3 F4:1 F4:2 A4 | G4:3 F4:1 G4:2 A4 | F4:3 F4:1 A4:2 C5 | D5:6 D5:2 |
C5:3 A4:1 A4:2 F4 | G4:3 F4:1 G4:2 A4 | F4:3 D4:1 D4:2 C4 | F4:6 D5:2 |
C5:3 A4:1 A4:2 F4 | G4:3 F4:1 G4:2 D5 | C5:3 A4:1 A4:2 C5 | D5:6 D5:2 |
C5:3 A4:1 A4:2 F4 | G4:3 F4:1 G4:2 A4 | F4:3 D4:1 D4:2 C4 | F4:6 r:2
"""
AULD_CHORDS = "F C7 F Bb F C7 Bb-C7 F F C7 F Bb F C7 Bb-C7"
AULD_BASS = {"F": "F1:2 C2", "C7": "C2:2 G1", "Bb": "Bb1:2 F1", "Bb-C7": "Bb1:2 C2"}


def _auld_lang_syne() -> Song:
    guitar = broken(AULD_CHORDS, 8) + " | F2+C3+F3+A3:6 r:2"
    bass = bars(AULD_CHORDS, AULD_BASS) + " | F1:3 r:1"
    return Song(
        "auld_lang_syne.mid",
        "Auld Lang Syne (Scottish, 18th century)",
        ((0, 108), (32, 104), (36, 112), (60, 100), (64, 84)),
        (
            Part("strings", STRINGS, (Line(AULD, 0.5, 4, 84, 0.96, 3),)),
            Part("guitar", GUITAR, (Line(guitar, 0.5, 4, 64, 1.0, 4, roll_beats=0.05),)),
            Part("bass", BASS, (Line(bass, 1, 4, 76, 0.9, 4),)),
        ),
    )


# ---------------------------------------------------------------- Amazing Grace

# Eighths, six to the bar.
GRACE = """
D4:2 | G4:4 B4:1 G4 | B4:4 A4:2 | G4:4 E4:2 | D4:4 D4:2 | G4:4 B4:1 G4 | B4:4 A4:2 | D5:6 |
-:4 B4:2 | D5:4 B4:1 G4 | B4:4 A4:2 | G4:4 E4:2 | D4:4 D4:2 | G4:4 B4:1 G4 | B4:4 A4:2 |
G4:6 | -:4 r:2
"""
GRACE_CHORDS = "G G C G G G D D7 G G C G G G-D7 G"
GRACE_STRINGS = {
    "G": "G3+B3+D4:6",
    "C": "G3+C4+E4:6",
    "D": "F#3+A3+D4:6",
    "D7": "F#3+A3+C4:6",
    "G-D7": "G3+B3+D4:4 F#3+C4+D4:2",
}
GRACE_BASS = {"G": "G1:6", "C": "C2:6", "D": "D2:6", "D7": "D2:6", "G-D7": "D2:6"}


def _amazing_grace() -> Song:
    return Song(
        "amazing_grace.mid",
        "Amazing Grace (American, tune New Britain, 1829)",
        ((0, 88), (24, 84), (27, 90), (45, 76)),
        (
            Part("flute", FLUTE, (Line(GRACE, 0.5, 3, 82, 0.97, 2),)),
            Part(
                "strings",
                STRINGS,
                (
                    Line(
                        bars(GRACE_CHORDS, GRACE_STRINGS) + " | G3+B3+D4:4 r:2", 0.5, 3, 60, 1.0, 3
                    ),
                ),
            ),
            Part(
                "bass",
                BASS,
                (Line(bars(GRACE_CHORDS, GRACE_BASS) + " | G1:4 r:2", 0.5, 3, 70, 0.95, 3),),
            ),
        ),
    )


# ---------------------------------------------------------------- Silent Night

# Eighths, six to the bar.
SILENT_CALL = "G4:1.5 A4:0.5 G4:1 E4:3"
SILENT_RISE = "A4:2 A4:1 C5:1.5 B4:0.5 A4:1"
SILENT = f"""
{SILENT_CALL} | {SILENT_CALL} | D5:2 D5:1 B4:3 | C5:2 C5:1 G4:3 |
{SILENT_RISE} | {SILENT_CALL} | {SILENT_RISE} | {SILENT_CALL} |
D5:2 D5:1 F5:1.5 D5:0.5 B4:1 | C5:3 E5:3 | C5:1.5 G4:0.5 E4:1 G4:1.5 F4:0.5 D4:1 | C4:6
"""
SILENT_CHORDS = "C C G7 C F C F C G7 C C-G7"
SILENT_STRINGS = {
    "C": "E3+G3+C4:6",
    "F": "F3+A3+C4:6",
    "G7": "F3+G3+B3:6",
    "C-G7": "E3+G3+C4:3 F3+G3+B3",
}


def _silent_night() -> Song:
    guitar = broken(SILENT_CHORDS, 6) + " | C3+C4:6"
    strings = "r:6 | " * 4 + bars("F C F C G7 C C-G7 C", SILENT_STRINGS)
    return Song(
        "silent_night.mid",
        "Silent Night (Franz Xaver Gruber, 1818)",
        ((0, 78), (12, 76), (27, 82), (30, 76), (33, 58)),
        (
            Part("flute", FLUTE, (Line(SILENT, 0.5, 3, 80, 0.97),)),
            Part("guitar", GUITAR, (Line(guitar, 0.5, 3, 62, 1.0, roll_beats=0.06),)),
            Part("strings", STRINGS, (Line(strings, 0.5, 3, 56, 1.0),)),
        ),
    )


# ---------------------------------------------------------------- Frere Jacques

JACQUES = """
F4:1 G4 A4 F4 | F4:1 G4 A4 F4 | A4:1 Bb4 C5:2 | A4:1 Bb4 C5:2 |
C5:0.5 D5 C5 Bb4 A4:1 F4 | C5:0.5 D5 C5 Bb4 A4:1 F4 | F4:1 C4 F4:2 | F4:1 C4 F4:2
"""


def _frere_jacques() -> Song:
    players = (
        ("flute", FLUTE, 12),
        ("strings", STRINGS, 0),
        ("guitar", GUITAR, -12),
        ("piano", PIANO, 0),
    )
    voices = tuple(
        Part(name, program, (Line(JACQUES, 1, 4, 78, 0.92, 8 * number, transpose=shift),))
        for number, (name, program, shift) in enumerate(players)
    )
    bass = Line("F2:2 C2:2 | " * 13 + "F2:2 F1:2", 1, 4, 70, 0.9)
    return Song(
        "frere_jacques.mid",
        "Frere Jacques, a round in four parts (French, 18th century)",
        ((0, 112), (52, 104), (54, 88)),
        (*voices, Part("bass", BASS, (bass,))),
    )


SONGS = (_maman(), _auld_lang_syne(), _amazing_grace(), _silent_night(), _frere_jacques())
