"""Comparison of MIDI parsers: what players make of files whose notes are known, and agreement."""

import json

import numpy as np
import pytest

from spectrodiff.music.midi.reader import read_midi
from tests.campaigns.mutants.midi import plain_song

# Files that are damaged or too odd for some versions; all others are read as players do.
NOT_MIDO = {
    "bytes_after_end_of_track.mid",
    "channel_prefix_empty.mid",
    "cut_in_the_middle.mid",
    "key_signature_18_flats.mid",
    "key_signature_empty.mid",
    "last_byte_missing.mid",
    "one_track_more_than_header.mid",
    "riff.rmi",
    "running_status_after_sysex.mid",
    "smpte_offset_bad.mid",
    "time_signature_2_bytes.mid",
}
NOT_FLUIDSYNTH = {
    "cut_in_the_middle.mid",
    "key_signature_empty.mid",
    "last_byte_missing.mid",
    "one_track_more_than_header.mid",
    "realtime_in_track.mid",
    "riff.rmi",
    "running_status_after_meta.mid",
    "running_status_after_sysex.mid",
    "time_signature_2_bytes.mid",
}


@pytest.fixture(scope="module")
def cases(midi_cases):
    """Notes of the files that have some, by name."""
    expected = json.loads((midi_cases / "expected.json").read_text())
    return {
        name: np.array(case["notes"], float)
        for name, case in expected.items()
        if case["notes"] and not isinstance(case["notes"], str)
    }


def wrong_cases(benchmark, cases, folder, events) -> set[str]:
    """Returns the names of the files whose notes are not as expected."""
    playing, agreement = benchmark("midi_files.playing"), benchmark("midi_files.agreement")
    wrong = set()
    for name, rows in cases.items():
        try:
            notes = playing.play(*events((folder / name).read_bytes()), pedals=True)
        except Exception:  # mido raises anything
            wrong.add(name)
            continue
        if not all(agreement.agree(notes, rows).values()):
            wrong.add(name)
    return wrong


def test_merged_events_of_mido_give_the_notes(benchmark, cases, midi_cases):
    events = benchmark("midi_files.players").mido_events
    assert wrong_cases(benchmark, cases, midi_cases, events) <= NOT_MIDO


def test_events_of_fluidsynth_give_the_notes(benchmark, cases, midi_cases):
    try:
        fluid = benchmark("midi_files.players").FluidSynth()
    except OSError:
        pytest.skip("needs the library of FluidSynth")
    assert wrong_cases(benchmark, cases, midi_cases, fluid.events) <= NOT_FLUIDSYNTH


def test_reader_agrees_with_merged_events(benchmark):
    """Random ports, programs, banks, pedals, resets and rhythm parts, in any track."""
    playing, agreement = benchmark("midi_files.playing"), benchmark("midi_files.agreement")
    events, num_notes = benchmark("midi_files.players").mido_events, 0
    for seed in range(200):
        data = plain_song(seed)
        notes = read_midi(data)
        times = notes.onset_seconds, notes.offset_seconds
        found = np.stack((*times, notes.pitch, notes.program, notes.is_drum), axis=1)
        wanted = playing.play(*events(data), pedals=True)
        assert all(agreement.agree(found, wanted).values()), seed
        num_notes += len(notes)
    assert num_notes > 5_000


NOTES = np.array(
    [
        (0.0, 0.5, 60, 3, 0),
        (0.0, 0.7, 60, 4, 0),
        (1.0, 1.0, 60, 3, 0),
        (1.0, 1.25, 60, 3, 0),
        (1.5, 2.0, 36, 0, 1),
    ]
)


def changed(row: int, column: int, value: float) -> np.ndarray:
    notes = NOTES.copy()
    notes[row, column] += value
    return notes


@pytest.mark.parametrize(
    ("notes", "wrong"),
    [
        (NOTES[::-1], []),
        (changed(2, 1, 0.01), []),  # of no length
        (changed(4, 1, 0.3), []),  # end of a drum
        (changed(0, 0, 0.0009), []),
        (changed(0, 0, 0.0011), ["notes", "offsets", "programs", "drums"]),
        (changed(0, 2, 1), ["notes", "offsets", "programs", "drums"]),
        (NOTES[1:], ["notes", "offsets", "programs", "drums"]),
        (changed(3, 1, 0.002), ["offsets"]),
        (changed(3, 3, 1), ["programs"]),
        (changed(4, 4, -1), ["drums"]),
    ],
)
def test_agreement(benchmark, notes, wrong):
    found = benchmark("midi_files.agreement").agree(notes, NOTES)
    assert [aspect for aspect, is_right in found.items() if not is_right] == wrong


def test_comparison_of_parsers(benchmark, midi_cases, tmp_path, monkeypatch, capsys):
    script = benchmark("midi_parsers")
    kept = {name: script.PARSERS[name] for name in ("spectrodiff", "mido, merged", "symusic")}
    monkeypatch.setattr(script, "PARSERS", kept)
    monkeypatch.setattr(script, "NUM_NOTES", 160)
    monkeypatch.setattr(script, "ROUNDS", 1)
    folder = tmp_path / "files" / "collection"
    folder.mkdir(parents=True)
    names = ("tempo_in_second_track.mid", "time_signature_2_bytes.mid", "hanging_note.mid")
    for name in (*names, "html.mid"):
        (folder / name).write_bytes((midi_cases / name).read_bytes())
    out = tmp_path / "results.json"
    flags = [str(folder.parent), "--cases", str(midi_cases), "--out", str(out)]
    monkeypatch.setattr("sys.argv", ["midi_parsers.py", *flags])
    script.main()
    results = json.loads(out.read_text())
    assert results["files"] == 4
    assert results["folders"] == {"collection": 4}
    ours = results["parsers"]["spectrodiff"]
    assert (ours["read"], ours["refused"], ours["cases"]) == (3, 0, 39)
    assert ours["right"] == results["judged"]
    assert "| spectrodiff | " in capsys.readouterr().out
