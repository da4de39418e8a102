"""Held-back songs by known composers, in the notation of `notation.py`."""

from notation import Line, Part, Song

PIANO, GUITAR, BASS, STRINGS, FLUTE = 0, 24, 33, 48, 73


def bars(chords: str, figures: dict[str, str]) -> str:
    """Joins the figures of all bars; a bar such as C-G7 without a figure consists of two halves."""
    return " | ".join(
        figures.get(bar) or " ".join(figures[half] for half in bar.split("-"))
        for bar in chords.split()
    )


# ---------------------------------------------------------------- Beethoven, Ode to Joy

JOY = """
F#4:1 F#4 G4 A4 | A4:1 G4 F#4 E4 | D4:1 D4 E4 F#4 | F#4:1.5 E4:0.5 E4:2 |
F#4:1 F#4 G4 A4 | A4:1 G4 F#4 E4 | D4:1 D4 E4 F#4 | E4:1.5 D4:0.5 D4:2 |
"""
# The tune returns a beat early, tied over the bar line.
JOY_ANSWER = """
E4:1 E4 F#4 D4 | E4:1 F#4:0.5 G4 F#4:1 D4 | E4:1 F#4:0.5 G4 F#4:1 E4 | D4:1 E4 A3 F#4 |
-:1 F#4 G4 A4 | A4:1 G4 F#4 E4 | D4:1 D4 E4 F#4 | E4:1.5 D4:0.5 D4:2
"""
JOY_CHORDS = """
D-D A7-A7 D-D D-A7 D-D A7-A7 D-D A7-D A7-D A7-D A7-Bm E7-A7 D-D A7-A7 D-D A7-D
"""
JOY_PIANO = {
    "D": "A3+D4+F#4:2",
    "A7": "G3+C#4+E4:2",
    "Bm": "F#3+B3+D4:2",
    "E7": "G#3+B3+D4:2",
}
JOY_BASS = {"D": "D2:2", "A7": "A1:2", "Bm": "B1:2", "E7": "E2:2"}


def _ode_to_joy() -> Song:
    flute = " | ".join(["r:4"] * 8) + f" | {JOY_ANSWER}"
    return Song(
        "beethoven_ode_to_joy.mid",
        "Ode to Joy, from the Ninth Symphony (Ludwig van Beethoven, 1824)",
        ((0, 126), (60, 116), (62, 92)),
        (
            Part("strings", STRINGS, (Line(JOY + JOY_ANSWER, 1, 4, 88, 0.93),)),
            Part("flute", FLUTE, (Line(flute, 1, 4, 76, 0.93, transpose=12),)),
            Part("piano", PIANO, (Line(bars(JOY_CHORDS, JOY_PIANO), 1, 4, 60, 0.9),)),
            Part("bass", BASS, (Line(bars(JOY_CHORDS, JOY_BASS), 1, 4, 76, 0.9),)),
        ),
    )


# ---------------------------------------------------------------- Beethoven, For Elise

# Sixteenths, six to the bar of 3/8.
ELISE_TURN = "E5:1 D#5 E5 B4 D5 C5"
ELISE_RIGHT = f"""
{ELISE_TURN} | A4:2 r:1 C4 E4 A4 | B4:2 r:1 E4 G#4 B4 | C5:2 r:1 E4 E5 D#5 |
{ELISE_TURN} | A4:2 r:1 C4 E4 A4 | B4:2 r:1 E4 C5 B4 |
"""
ELISE_LEFT = "A2:1 E3 A3 r:3", "E2:1 E3 G#3 r:3", "A2:1 E3 A3 r:3"


def _for_elise() -> Song:
    right = f"E5:1 D#5 | {ELISE_RIGHT} A4:4 E5:1 D#5 | {ELISE_RIGHT} A4:6"
    left = " | ".join(("r:6", *ELISE_LEFT) * 4)
    start = 1.5  # beat at which the first full bar starts
    harmony = [start + 1.5 * bar for bar in range(16) if bar % 4]
    return Song(
        "beethoven_for_elise.mid",
        "For Elise, WoO 59, first section (Ludwig van Beethoven, 1810)",
        ((0, 58), (3, 62), (12, 58), (13.5, 64), (22.5, 60), (24, 50)),
        (
            Part(
                "piano",
                PIANO,
                (
                    Line(right, 0.25, 1.5, 70, 1.0, start - 0.5),
                    Line(left, 0.25, 1.5, 56, 1.0, start),
                ),
                tuple((beat + 0.06, beat + 1.2) for beat in harmony),
            ),
        ),
    )


# ---------------------------------------------------------------- Petzold, Minuet in G

# Eighths, six to the bar.
MINUET_RIGHT = """
D5:2 G4:1 A4 B4 C5 | D5:2 G4 G4 | E5:2 C5:1 D5 E5 F#5 | G5:2 G4 G4 |
C5:2 D5:1 C5 B4 A4 | B4:2 C5:1 B4 A4 G4 |
"""
MINUET_LEFT = """
G3+B3+D4:4 A3:2 | B3:6 | C4:6 | B3:6 | A3:6 | G3:6 | D4:2 B3 G3 | D4:2 D3:1 C4 B3 A3 |
B3:4 A3:2 | G3:2 B3 G3 | C4:6 | B3:2 C4:1 B3 A3 G3 | A3:4 F#3:2 | G3:4 B3:2 | C4:2 D4 D3 |
G3:4 G2:2
"""


def _minuet() -> Song:
    right = f"{MINUET_RIGHT} F#4:2 G4:1 A4 B4 G4 | A4:6 | {MINUET_RIGHT} A4:2 B4:1 A4 G4 F#4 | G4:6"
    return Song(
        "petzold_minuet.mid",
        "Minuet in G, BWV Anh. 114, first half (Christian Petzold, about 1725)",
        ((0, 118), (45, 108), (46, 92)),
        (
            Part(
                "piano",
                PIANO,
                (Line(right, 0.5, 3, 78, 0.85), Line(MINUET_LEFT, 0.5, 3, 62, 0.9)),
            ),
        ),
    )


# ---------------------------------------------------------------- Satie, Gymnopedie

GYMNOPEDIE = """
r:3 | r:3 | r:3 | r:3 | r:1 F#5 A5 | G5:1 F#5 C#5 | B4:1 C#5 D5 | A4:3 | F#4:3 | -:3 | -:3 | -:3
"""
# The left hand omits f sharp while the melody holds it.
GYMNOPEDIE_CHORDS = "r:1 B3+D4+F#4:2 | r:1 A3+C#4+F#4:2 | " * 4 + (
    "r:1 B3+D4:2 | r:1 A3+C#4:2 | r:1 B3+D4:2 | r:1 A3+C#4:2"
)


def _gymnopedie() -> Song:
    lines = (
        Line(GYMNOPEDIE, 1, 3, 68, 1.0),
        Line(GYMNOPEDIE_CHORDS, 1, 3, 50, 1.0),
        Line("G2:3 | D2:3 | " * 6, 1, 3, 60, 1.0),
    )
    pedal = tuple((3.0 * bar + 0.15, 3.0 * bar + 2.95) for bar in range(12))
    return Song(
        "satie_gymnopedie.mid",
        "Gymnopedie No. 1, bars 1 to 12 (Erik Satie, 1888)",
        ((0, 74), (30, 68), (33, 60)),
        (Part("piano", PIANO, lines, pedal),),
    )


# ---------------------------------------------------------------- Brahms, Lullaby

# Eighths, six to the bar.
LULLABY = """
G4:1 G4 | Bb4:3 G4:1 G4:2 | Bb4:4 G4:1 Bb4 | Eb5:2 D5:3 C5:1 | C5:2 Bb4 F4:1 G4 |
Ab4:2 F4 F4:1 G4 | Ab4:4 F4:1 Ab4 | D5:1 C5 Bb4:2 D5 | Eb5:4 Eb4:1 Eb4 |
Eb5:4 C5:1 Ab4 | Bb4:4 G4:1 Eb4 | Ab4:2 Bb4 C5 | Bb4:4 Eb4:1 Eb4 |
Eb5:4 C5:1 Ab4 | Bb4:4 G4:1 Eb4 | Ab4:2 G4 F4 | Eb4:4 r:2
"""
LULLABY_CHORDS = "Eb Eb Eb Bb7 Bb7 Bb7 Bb7 Eb Ab Eb Bb7 Eb Ab Eb Bb7"
LULLABY_PIANO = {
    "Eb": "Eb2:2 G3+Bb3+Eb4 G3+Bb3+Eb4",
    "Bb7": "Bb1:2 F3+Ab3+D4 F3+Ab3+D4",
    "Ab": "Ab1:2 Ab3+C4+Eb4 Ab3+C4+Eb4",
}


def _lullaby() -> Song:
    piano = bars(LULLABY_CHORDS, LULLABY_PIANO) + " | Eb2+G3+Bb3+Eb4:6"
    return Song(
        "brahms_lullaby.mid",
        "Lullaby, Op. 49 No. 4 (Johannes Brahms, 1868)",
        ((0, 84), (24, 80), (27, 88), (45, 78), (48, 64)),
        (
            # Bar lines fall on multiples of three beats.
            Part("flute", FLUTE, (Line(LULLABY, 0.5, 3, 80, 0.97, 2),)),
            Part("piano", PIANO, (Line(piano, 0.5, 3, 58, 0.9, 3),)),
        ),
    )


CLASSICS = (_ode_to_joy(), _for_elise(), _minuet(), _gymnopedie(), _lullaby())
