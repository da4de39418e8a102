"""MAESTRO v3: piano, recorded on a Disklavier, which provides exact notes.

Hawthorne et al., "Enabling Factorized Piano Music Modeling and Generation with the MAESTRO
Dataset". The folder contains `maestro-v3.0.0.csv`, a table of recordings with their splits, and one
folder per year with `.midi` and `.wav` files.
"""

import functools
from pathlib import Path

from spectrodiff.core.errors import CorpusError, first_line
from spectrodiff.core.json_files import csv_rows, json_of
from spectrodiff.data.corpora.releases import MAESTRO
from spectrodiff.data.recordings import (
    SPLITS,
    Plan,
    RecordingGroup,
    StemReader,
    read_pcm,
    read_recorded_midi,
)

_COLUMNS = ("split", "midi_filename", "audio_filename", "duration")


def plan(source: Path) -> Plan:
    """Plans the corpus with the splits of the release.

    Raises:
        CorpusError: if the table is missing or not in UTF-8, lacks a column, contains an unknown
            split, or names a recording twice.
    """
    table, rows = _read_table(source)
    splits: dict[str, list[RecordingGroup]] = {split: [] for split in SPLITS}
    ids: set[str] = set()
    for row in rows:
        if row["split"] not in splits:
            raise CorpusError(table, f"splits {', '.join(SPLITS)}", repr(row["split"]))
        midi, audio = Path(row["midi_filename"]), Path(row["audio_filename"])
        id = midi.with_suffix("").as_posix()
        if id in ids:
            raise CorpusError(table, "each MIDI file once", f"{midi} again")
        ids.add(id)
        stem = StemReader(
            functools.partial(read_pcm, source / audio, _seconds(table, row["duration"])),
            functools.partial(read_recorded_midi, source / midi),
        )
        splits[row["split"]].append(RecordingGroup.single(id, stem))
    return Plan(splits)


def _read_table(source: Path) -> tuple[Path, list[dict[str, str]]]:
    MAESTRO.require(source)
    for suffix, read in ((".csv", _read_csv), (".json", _read_json)):
        tables = sorted(source.glob(f"maestro-v*{suffix}"))
        if tables:
            rows = read(tables[-1])
            for column in _COLUMNS:
                if not all(row.get(column) for row in rows):
                    raise CorpusError(tables[-1], f"a value of {column} in each row", "none")
            return tables[-1], rows
    raise MAESTRO.lacks(source, "maestro-v*.csv or .json")


def _read_csv(path: Path) -> list[dict[str, str]]:
    # Titles contain commas and quotation marks.
    try:
        return csv_rows(path)
    except (OSError, ValueError) as error:
        raise CorpusError(path, "a CSV table in UTF-8", first_line(error)) from error


def _read_json(path: Path) -> list[dict[str, str]]:
    """Reads a table stored by columns: {column: {row number: value}}."""
    try:
        columns = json_of(path)
        numbers = columns["split"].keys()
        return [{name: str(columns[name][number]) for name in _COLUMNS} for number in numbers]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        got = f"something else ({first_line(error)})"
        raise CorpusError(path, "the columns of MAESTRO v3", got) from error


def _seconds(table: Path, text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise CorpusError(table, "a duration in seconds", repr(text)) from error
