"""Shorthand for note tables and for token ids (of the vocabulary with V = 1)."""

from collections.abc import Iterable

from spectrodiff.music.notes import Notes

# (onset seconds, offset seconds, pitch, velocity, program, is_drum)
Row = tuple[float, float, int, int, int, bool]

END, OFF, ON, TIE = 1, 1132, 1133, 1134


def note_table(rows: Iterable[Row], total_seconds: float = 0.0) -> Notes:
    columns = list(zip(*rows, strict=True)) or [[]] * 6
    return Notes(*columns, total_seconds=total_seconds)


def note_rows(notes: Notes) -> list[Row]:
    """The rows of a table in its own order."""
    return list(
        zip(
            notes.onset_seconds.tolist(),
            notes.offset_seconds.tolist(),
            notes.pitch.tolist(),
            notes.velocity.tolist(),
            notes.program.tolist(),
            notes.is_drum.tolist(),
            strict=True,
        )
    )


def shift(steps: int) -> int:
    return 3 + steps


def pitch(value: int) -> int:
    return 1004 + value


def program(value: int) -> int:
    return 1135 + value


def drum(value: int) -> int:
    return 1263 + value
