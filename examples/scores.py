"""Scores of the examples, in the notation of `notation.py`."""

from notation import Line, Part, Song

# ---------------------------------------------------------------- Bach, Prelude in C major

# Bars 1 to 11: the five notes of each chord, in order.
PRELUDE = """
C4 E4 G4 C5 E5 | C4 D4 A4 D5 F5 | B3 D4 G4 D5 F5 | C4 E4 G4 C5 E5 | C4 E4 A4 E5 A5 |
C4 D4 F#4 A4 D5 | B3 D4 G4 D5 G5 | B3 C4 E4 G4 C5 | A3 C4 E4 G4 C5 | D3 A3 D4 F#4 C5 |
G3 B3 D4 G4 B4
"""


def _prelude() -> Song:
    """Returns broken chords: held bass and tenor, and three notes repeated by the right hand."""
    bass, tenor, right = [], [], []
    chords = [chord.split() for chord in PRELUDE.split("|")]
    for low, middle, *upper in chords:
        figure = f"r:2 {' '.join(f'{note}:1' for note in upper * 2)} "
        bass.append(f"{low}:8 " * 2)
        tenor.append(f"r:1 {middle}:7 " * 2)
        right.append(figure * 2)
    # The last chord is broken once and held.
    low, middle, *upper = chords[-1]
    bass[-1] = f"{low}:16"
    tenor[-1] = f"r:1 {middle}:15"
    right[-1] = f"r:2 {upper[0]}:1 {upper[1]} {upper[2]} {upper[0]} {upper[1]} {upper[2]}:9"
    lines = tuple(
        Line(" | ".join(music), 0.25, 4, level, gate=1.0)
        for music, level in ((bass, 62), (tenor, 56), (right, 54))
    )
    pedal = tuple((4.0 * bar + 0.12, 4.0 * bar + 3.95) for bar in range(len(chords)))
    tempo = (0, 66), (2, 70), (16, 72), (28, 74), (36, 70), (40, 64), (42, 50)
    return Song(
        "bach_prelude_in_c.mid",
        "Prelude in C major, BWV 846, bars 1 to 11 (J. S. Bach, 1722)",
        tempo,
        (Part("piano", 0, lines, pedal),),
    )


# ---------------------------------------------------------------- Joplin, The Entertainer

ENTERTAINER_RIGHT = """
D5+D6:1 E5+E6 C5+C6 A4+A5:2 B4+B5:1 G4+G5:2 | D4+D5:1 E4+E5 C4+C5 A3+A4:2 B3+B4:1 G3+G4:2 |
D3+D4:1 E3+E4 C3+C4 A2+A3:2 B2+B3:1 A2+A3 G#2+G#3 | G2+G3:2 r B3+D4+G4:2 D4:1 D#4 |
E4:1 C5:2 E4:1 C5:2 E4:1 C5 | -:4 r:1 E5+C6 F5+D6 F#5+D#6 |
G5+E6:1 E5+C6 F5+D6 G5+E6:2 F5+B5:1 F5+D6:2 | E5+C6:4 r:2 D4:1 D#4 |
E4:1 C5:2 E4:1 C5:2 E4:1 C5 | -:4 r:2 A4:1 G4 |
F#4:1 A4 C5 E5:2 D5:1 C5 A4 | D5:6 D4:1 D#4 |
E4:1 C5:2 E4:1 C5:2 E4:1 C5 | -:4 r:1 E5+C6 F5+D6 F#5+D#6 |
G5+E6:1 E5+C6 F5+D6 G5+E6:2 F5+B5:1 F5+D6:2 | E5+C6:4 r:2 C5:1 D5 |
E5:1 C5 D5 E5:2 C5:1 D5 C5 | E5:1 C5 D5 E5:2 C5:1 D5 C5 |
E5:1 C5 D5 E5:2 B4:1 D5:2 | C5:4 E4+G4+C5:4
"""
# The stride of the left hand in eighths: octave, chord, octave, chord.
ENTERTAINER_LEFT = """
r:8 | r:8 | r:8 | r:4 G1+G2:2 r:2 |
C2+C3:2 E3+G3+C4 Bb1+Bb2 E3+G3+C4 | A1+A2:2 F3+A3+C4 G1+G2 E3+G3+C4 |
G1+G2:2 E3+G3+C4 G1+G2 F3+G3+B3 | C2+C3:2 E3+G3+C4 G1+G2 C2+C3 |
C2+C3:2 E3+G3+C4 Bb1+Bb2 E3+G3+C4 | A1+A2:2 F3+A3+C4 G1+G2 E3+G3+C4 |
D2+D3:2 F#3+A3+C4 D2+D3 F#3+A3+C4 | G1+G2:2 F3+G3+B3 G2+G3 F3+G3+B3 |
C2+C3:2 E3+G3+C4 Bb1+Bb2 E3+G3+C4 | A1+A2:2 F3+A3+C4 G1+G2 E3+G3+C4 |
G1+G2:2 E3+G3+C4 G1+G2 F3+G3+B3 | C2+C3:2 E3+G3+C4 G1+G2 C2+C3 |
C2+C3:2 E3+G3+C4 Bb1+Bb2 E3+G3+C4 | A1+A2:2 F3+A3+C4 Ab1+Ab2 F3+Ab3+C4 |
G1+G2:2 E3+G3+C4 G1+G2 F3+G3+B3 | C2+C3:2 G1+G2 C1+C2:4
"""


def _entertainer() -> Song:
    lines = (
        Line(ENTERTAINER_RIGHT, 0.25, 2, 84, gate=0.9),
        Line(ENTERTAINER_LEFT, 0.25, 2, 64, gate=0.6),
    )
    return Song(
        "joplin_entertainer.mid",
        "The Entertainer, introduction and first strain (Scott Joplin, 1902)",
        ((0, 76), (6, 70), (7, 66), (8, 78), (36, 76), (38, 68), (39, 60)),
        (Part("piano", 0, lines),),
    )


# ---------------------------------------------------------------- Greensleeves

GREENSLEEVES_VERSE = """
C5:2 D5:1 E5:1.5 F#5:0.5 E5:1 | D5:2 B4:1 G4:1.5 A4:0.5 B4:1 |
C5:2 A4:1 A4:1.5 G#4:0.5 A4:1 | B4:2 G#4:1 E4:2 A4:1 |
C5:2 D5:1 E5:1.5 F#5:0.5 E5:1 | D5:2 B4:1 G4:1.5 A4:0.5 B4:1 |
C5:1.5 B4:0.5 A4:1 G#4:1.5 F#4:0.5 G#4:1 | A4:5 r:1 |
"""
GREENSLEEVES_REFRAIN = """
G5:3 G5:1.5 F#5:0.5 E5:1 | D5:2 B4:1 G4:1.5 A4:0.5 B4:1 |
C5:2 A4:1 A4:1.5 G#4:0.5 A4:1 | B4:2 G#4:1 E4:3 |
G5:3 G5:1.5 F#5:0.5 E5:1 | D5:2 B4:1 G4:1.5 A4:0.5 B4:1 |
C5:1.5 B4:0.5 A4:1 G#4:1.5 F#4:0.5 G#4:1 | A4:6
"""
GREENSLEEVES_CHORDS = "Am G Am E Am G AmE Am C G Am E C G AmE Am"
GREENSLEEVES_GUITAR = {
    "Am": "A2:1 E3 A3 C4 A3 E3",
    "G": "G2:1 D3 G3 B3 G3 D3",
    "E": "E2:1 B2 E3 G#3 E3 B2",
    "C": "C3:1 G3 C4 E4 C4 G3",
    "AmE": "A2:1 E3 C4 E2 B2 G#3",
}
GREENSLEEVES_BASS = {
    "Am": "A1:3 E2",
    "G": "G1:3 D2",
    "E": "E2:3 B1",
    "C": "C2:3 G1",
    "AmE": "A1:3 E1",
}
GREENSLEEVES_STRINGS = {
    "Am": "A3+C4+E4:6",
    "G": "G3+B3+D4:6",
    "E": "G#3+B3+E4:6",
    "C": "G3+C4+E4:6",
    "AmE": "A3+C4+E4:3 G#3+B3+E4:3",
}


def _greensleeves() -> Song:
    chords = GREENSLEEVES_CHORDS.split()
    guitar = [GREENSLEEVES_GUITAR[chord] for chord in chords]
    bass = [GREENSLEEVES_BASS[chord] for chord in chords]
    strings = ["r:6"] * 8 + [GREENSLEEVES_STRINGS[chord] for chord in chords[8:]]
    guitar[-1], bass[-1] = "A2+E3+A3+C4+E4:6", "A1:6"
    pickup = 0.5  # beats of the tune before the first bar
    flute = Line(
        f"A4:1 | {GREENSLEEVES_VERSE}{GREENSLEEVES_REFRAIN}", 0.5, 3, 84, gate=0.97, start_beats=2.5
    )
    start = 2.5 + pickup
    return Song(
        "greensleeves.mid",
        "Greensleeves (English, 16th century)",
        ((0, 72), (3, 75), (24, 72), (27, 78), (47, 72), (49, 60)),
        (
            Part("flute", 73, (flute,)),
            Part(
                "guitar",
                24,
                (
                    Line("A2:1 E3 A3 C4 A3", 0.5, 3, 60, gate=1.0),
                    Line(" | ".join(guitar), 0.5, 3, 62, 1.0, start, roll_beats=0.06),
                ),
            ),
            Part("strings", 48, (Line(" | ".join(strings), 0.5, 3, 58, 1.0, start),)),
            Part("bass", 33, (Line(" | ".join(bass), 0.5, 3, 74, 0.9, start),)),
        ),
    )


# ---------------------------------------------------------------- When the Saints Go Marching In

# Written in C, transposed a fourth up to F; two choruses of sixteen bars after a pickup.
SAINTS_TUNE = """
G4:4 | r:1 C4 E4 F4 | G4:4 | r:1 C4 E4 F4 | G4:2 E4 | C4:2 E4 | D4:4 | r:1 E4 E4 D4 |
C4:3 C4:1 | E4:2 G4:1 G4 | G4:1 F4:3 | r:2 E4:1 F4 | G4:2 E4 | C4:2 D4 | C4:4 |
"""
SAINTS_CLARINET = """
r:8 | r:1 E5 G5 E5 C5 G4 A4 B4 | C5:2 r:6 | r:1 G5 E5 C5 D5 D#5 E5 G5 | C5:2 r:6 | r:8 | r:8 |
r:1 B4 D5 F5 G5 F5 D5 B4 | G4:2 r:6 | r:2 E5:1 D5 C5 G4 E4 G4 | Bb4:4 C5:4 |
r:1 C5 A4 C5 F5 C5 A4 F4 | A4:2 r:6 | r:8 | r:4 F4:1 G4 A4 B4 | C5:1 E5 G5 E5 C5 E5 C5:2 | r:8 |
G5:1 E5 C5 G4 A4 C5 E5 G5 | A5:1 G5 E5 C5 D5 D#5 E5 C5 | G5:1 E5 C5 G4 A4 C5 E5 G5 |
A5:1 G5 E5 C5 G4 A4 B4 C5 | D5:1 D#5 E5 G5 C6 G5 E5 C5 | A5:1 G5 E5 C5 A4 C5 E5 C5 |
D5:1 B4 G4 B4 D5 F5 G5 F5 | D5:1 F5 G5 F5 D5 C5 B4 D5 | E5:1 G5 C6 G5 E5 C5 D5 D#5 |
E5:1 C5 Bb4 G4 Bb4 C5 E5 G5 | A5:1 F5 C5 A4 C5 D5 F5 A5 | G#5:1 A5 F5 C5 Ab4 C5 F5 Ab5 |
G5:1 E5 C5 G4 E4 G4 C5 E5 | D5:1 B4 G4 B4 D5 F5 B5 A5 | G5:1 E5 C5 G4 E5 D5 C5:2 | E5:8
"""
SAINTS_TROMBONE = """
r:2 G3:2 A3 G3 | E3:8 | r:2 G3:2 A3 G3 | E3:8 | C4:4 G3:4 | E3:4 G3:4 | F3:6 F3:2 |
D3:2 E3 F3 F#3 | G3:4 E3:4 | Bb3:8 | A3:8 | F3:4 Ab3:4 | G3:8 | F3:4 G3:4 | E3:2 G3 C3:4 |
"""
SAINTS_CHORDS = "C C C C C C G7 G7 C C7 F F-Fm C G7 C C"
SAINTS_GUITAR = {
    "C": "E3+G3+C4+E4:1 " * 4,
    "C7": "E3+Bb3+C4+E4:1 " * 4,
    "F-Fm": "F3+A3+C4+F4:1 " * 2 + "F3+Ab3+C4+F4:1 " * 2,
    "F": "F3+A3+C4+F4:1 " * 4,
    "G7": "F3+G3+B3+D4:1 " * 4,
}
SAINTS_BASS = {
    "C": "C2:2 G1",
    "C7": "C2:2 Bb1",
    "F": "F1:2 C2",
    "F-Fm": "F1:2 Ab1",
    "G7": "G1:2 D2",
}
# Twelve columns per bar: four beats in triplets.
SAINTS_DRUMS = {
    51: "x..x.xx..x.x",  # ride
    44: "...x.....x..",  # hi-hat, pedal
    36: "x.....x.....",  # kick
    38: "...x....ox..",  # snare
}


def _saints() -> Song:
    chords = SAINTS_CHORDS.split() * 2
    guitar = [SAINTS_GUITAR[chord] for chord in chords]
    bass = [SAINTS_BASS[chord] for chord in chords]
    guitar[-1], bass[-1] = "E3+G3+C4+E4:4", "C2:4"
    tune = f"r:1 C4 E4 F4 | {SAINTS_TUNE} r:1 C4 E4 F4 | {SAINTS_TUNE} C5:4"
    trombone = f"r:8 | {SAINTS_TROMBONE} r:8 | {SAINTS_TROMBONE} C3:8"
    drums = [
        Line(" | ".join(["." * 12] + [hits] * 31 + [hits[0] + "." * 11]), 1 / 3, 4, 72, drum=drum)
        for drum, hits in SAINTS_DRUMS.items()
    ]
    drums.append(Line("...ooooxxxxx", 1 / 3, 4, 76, drum=38))  # opening roll
    crashes = [("x" if bar in (0, 16, 31) else ".") + "." * 11 for bar in range(32)]
    drums.append(Line(" | ".join(crashes), 1 / 3, 4, 88, start_beats=4, drum=49))
    return Song(
        "when_the_saints.mid",
        "When the Saints Go Marching In (American spiritual)",
        ((0, 196), (124, 188), (130, 150)),
        (
            Part("trumpet", 56, (Line(tune, 1, 4, 92, gate=0.92, transpose=5),)),
            Part("clarinet", 71, (Line(SAINTS_CLARINET, 0.5, 4, 74, transpose=5),)),
            Part("trombone", 57, (Line(trombone, 0.5, 4, 78, gate=0.9, transpose=5),)),
            Part(
                "guitar",
                24,
                (Line(" | ".join(guitar), 1, 4, 66, 0.55, 4, transpose=5, roll_beats=0.03),),
            ),
            Part("bass", 32, (Line(" | ".join(bass), 1, 4, 84, 0.85, 4, transpose=5),)),
            Part("drums", None, tuple(drums)),
        ),
        swing=2 / 3,
    )


# ---------------------------------------------------------------- Pachelbel, Canon in D

CANON_GROUND = "D3:2 A2 B2 F#2 | G2:2 D2 G2 A2 | "
CANON_VARIATIONS = (
    "F#5:2 E5 D5 C#5 | B4:2 A4 B4 C#5 | ",
    "D5:2 C#5 B4 A4 | G4:2 F#4 G4 E4 | ",
    "D4:1 F#4 A4 G4 F#4 D4 F#4 E4 | D4:1 B3 D4 A4 G4 B4 A4 G4 | ",
    "F#4:1 D4 E4 C#5 D5 F#5 A5 A4 | B4:1 G4 A4 F#4 D4 D5 D5:1.5 C#5:0.5 | ",
    "D5:0.5 C#5 D5 D4 C#4 A4 E4 F#4 D4 D5 C#5 B4 C#5 F#5 A5 B5 | "
    "G5:0.5 F#5 E5 G5 F#5 E5 D5 C#5 B4 A4 G4 F#4 E4 G4 F#4 E4 | ",
)
CANON_HARP = (
    "D3:1 A3 D4 F#4 A2:1 E3 A3 C#4 | B2:1 F#3 B3 D4 F#2:1 C#3 F#3 A3 | "
    "G2:1 D3 G3 B3 D2:1 A2 D3 F#3 | G2:1 D3 G3 B3 A2:1 E3 A3 C#4 | "
)


def _canon() -> Song:
    ground_beats, grounds = 8, 6
    voices = []
    for voice, last in enumerate(("D5:8", "F#4:8", "D4:8")):
        music = "".join(CANON_VARIATIONS[: grounds - 1 - voice]) + last
        voices.append(Line(music, 0.5, 4, 78, 0.97, ground_beats * (1 + voice)))
    return Song(
        "pachelbel_canon.mid",
        "Canon in D, the ground and five variations (Johann Pachelbel, about 1690)",
        ((0, 58), (8, 62), (40, 64), (45, 58), (47, 48), (48, 60)),
        (
            Part("violin", 40, (voices[0],)),
            Part("oboe", 68, (voices[1],)),
            Part("clarinet", 71, (voices[2],)),
            Part("cello", 42, (Line(CANON_GROUND * grounds + "D2:8", 0.5, 4, 70, 0.97),)),
            Part("harp", 46, (Line(CANON_HARP * grounds + "D3:8", 0.25, 2, 60, 1.0),)),
        ),
    )


# ---------------------------------------------------------------- Grieg, Hall of the Mountain King

# Four bars in B minor, answered a fifth higher; from the softest to the loudest.
MOUNTAIN_THEME = """
B2:1 C#3 D3 E3 F#3 D3 F#3:2 | F3:1 C#3 F3:2 E3:1 C3 E3:2 |
B2:1 C#3 D3 E3 F#3 D3 F#3 B3 | A3:1 F#3 D3 F#3 A3:4 |
"""
MOUNTAIN_ANSWER = """
F#3:1 G#3 A#3 B3 C#4 A#3 C#4:2 | D4:1 A#3 D4:2 C#4:1 A#3 C#4:2 |
F#3:1 G#3 A#3 B3 C#4 A#3 C#4:2 | D4:1 A#3 D4:2 C#4:4 |
"""
MOUNTAIN_BASS = "B1:2 r F#2 r | " * 4, "F#1:2 r C#2 r | " * 4
MOUNTAIN_CHORDS = (
    "r:2 D4+F#4:1 r r:2 D4+F#4:1 r | r:2 C#4+F4:1 r r:2 C4+E4:1 r | "
    "r:2 D4+F#4:1 r r:2 D4+F#4:1 r | r:2 D4+F#4:1 r r:2 D4+F#4:1 r | ",
    "r:2 A#3+C#4:1 r r:2 A#3+C#4:1 r | r:2 A#3+D4:1 r r:2 A#3+C#4:1 r | " * 2,
)
MOUNTAIN_TIMPANI = "B2:2 r F#2:1 F#2 r:2 | " * 4, "F#2:2 r F#2:1 F#2 r:2 | " * 4
MOUNTAIN_LEVELS = (36, 42, 50, 58, 70, 80, 92, 100)  # velocity of every four bars
MOUNTAIN_END = "{0}:1 r:3 {0}:1 r:3 | {0}:1 r:7 | {0}:4 r:4"


def _mountain_king() -> Song:
    """Returns one crescendo: each group of instruments enters louder than the ones before."""

    def play(pair: tuple[str, str], first: int, last: int, *, transpose: int = 0) -> list[Line]:
        return [
            Line(pair[four % 2], 0.5, 4, MOUNTAIN_LEVELS[four], 0.8, 16 * four, None, transpose)
            for four in range(first, last)
        ]

    def end(chord: str) -> Line:
        return Line(MOUNTAIN_END.format(chord), 0.5, 4, 100, 0.9, 128)

    def hit(drum: int, bar: str, first: int, last: int) -> list[Line]:
        return [
            Line(" | ".join([bar] * 4), 0.5, 4, MOUNTAIN_LEVELS[four], 0.95, 16 * four, drum)
            for four in range(first, last)
        ]

    tune = MOUNTAIN_THEME, MOUNTAIN_ANSWER
    drums = [
        *hit(36, "x...x...", 4, 8),  # bass drum
        *hit(38, "..x...x.", 4, 6),  # snare
        *hit(38, "..xxx.xx", 6, 8),
        *hit(49, "x.......", 6, 8),  # crash
    ]
    drums += [
        Line("x...x... | x....... | xxxxxxxx", 0.5, 4, 100, 0.95, 128, drum) for drum in (36, 38)
    ]
    drums.append(Line("x....... | x....... | x.......", 0.5, 4, 100, 0.95, 128, 49))
    return Song(
        "grieg_mountain_king.mid",
        "In the Hall of the Mountain King, from Peer Gynt (Edvard Grieg, 1875), abridged",
        (*((8.0 * step, 138 + 4 * step) for step in range(16)), (128.0, 200), (136.0, 120)),
        (
            Part("cello", 42, (*play(tune, 0, 1), *play(MOUNTAIN_BASS, 4, 8, transpose=12))),
            Part("double bass", 43, (*play(MOUNTAIN_BASS, 0, 8), end("B1"))),
            Part("bassoon", 70, tuple(play(tune, 1, 2))),
            Part("violin", 40, tuple(play(tune, 2, 4, transpose=12))),
            Part("clarinet", 71, tuple(play(MOUNTAIN_CHORDS, 2, 6))),
            Part(
                "strings",
                48,
                (
                    *play(tune, 4, 8, transpose=12),
                    *play(tune, 4, 8, transpose=24),
                    end("F#4+B4+D5"),
                ),
            ),
            Part("flute", 73, tuple(play(tune, 5, 8, transpose=24))),
            Part("trumpet", 56, (*play(tune, 6, 8, transpose=12), end("D4+F#4"))),
            Part("horn", 60, (*play(MOUNTAIN_CHORDS, 4, 8, transpose=-12), end("B2+F#3"))),
            Part("timpani", 47, (*play(MOUNTAIN_TIMPANI, 4, 8), end("B2"))),
            Part("drums", None, tuple(drums)),
        ),
    )


SONGS = (_prelude(), _entertainer(), _greensleeves(), _saints(), _canon(), _mountain_king())
