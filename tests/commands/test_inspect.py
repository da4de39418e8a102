"""Descriptions of MIDI files."""

import logging
import os
import subprocess
import sys

import pytest

from spectrodiff.commands import inspect
from spectrodiff.core.errors import MidiError
from tests.support.midi import bend, header, meta, midi_bytes, off, on, program


@pytest.fixture
def song(tmp_path):
    tempos = [meta("set_tempo", tempo=600_000), meta("set_tempo", 500, tempo=400_000)]
    flute = [program(0, 73), bend(0, 8191), on(0, 72), off(250, 72), bend(0, 0)]
    piano = [on(0, 60, channel=1), off(250, 60, 1), on(0, 62, channel=1), off(250, 62, 1)]
    drums = [on(0, key, channel=9) for key in (36, 36, 38)]
    path = tmp_path / "song.mid"
    path.write_bytes(midi_bytes(tempos, flute, piano, drums))
    return path


def test_description(song, capsys):
    assert inspect.main([str(song)]) == 0
    assert capsys.readouterr().out == (
        f"{song}\n"
        "  duration    0.6 s\n"
        "  tempo       100 to 150 beats per minute, 1 change\n"
        "  notes       6\n"
        "  instruments piano (program 0): 2\n"
        "              flute (program 73): 1\n"
        "              drums: 3 (2 bass drum, 1 snare drum)\n"
        "  remarks     pitch bends (up to 2 semitones) of 1 note ignored\n"
    )


def test_song_without_anything(tmp_path, capsys):
    path = tmp_path / "empty.mid"
    path.write_bytes(midi_bytes([]))
    inspect.main([str(path)])
    lines = capsys.readouterr().out.splitlines()[1:]
    assert [line.split() for line in lines] == [
        ["duration", "0.0", "s"],
        ["tempo", "120", "beats", "per", "minute"],
        ["notes", "0"],
        ["instruments", "none"],
        ["remarks", "none"],
    ]


def test_frames_per_second_have_no_tempo():
    assert inspect.describe_tempo([]) == "none: the file counts in frames per second"


def test_files_that_cannot_be_read(song, tmp_path, capsys, caplog):
    caplog.set_level(logging.INFO)
    (tmp_path / "bad.mid").write_bytes(header())
    assert inspect.main([str(tmp_path / "bad.mid"), str(song)]) == 1
    assert capsys.readouterr().out.startswith(f"{song}\n")
    assert caplog.messages == [f"{tmp_path}/bad.mid: expected a MIDI file with tracks, got none"]
    with pytest.raises(MidiError, match=r"bad\.mid"):
        inspect.main([str(tmp_path / "bad.mid")])


def test_a_name_that_is_not_utf8_does_not_end_a_command(song):
    name = os.fsencode(song.parent) + b"/a\xff.mid"
    os.link(song, name)
    command = [sys.executable, "-m", "spectrodiff", "inspect", name, song]
    environment = {**os.environ, "PYTHONIOENCODING": "utf-8:strict"}
    done = subprocess.run(command, capture_output=True, check=True, env=environment)
    assert b"a\\udcff.mid\n" in done.stdout
    assert os.fsencode(song) + b"\n" in done.stdout


def test_names_do_not_command_a_terminal(song, capsys):
    name = song.with_name("a\x1b[31m\x9b2J\r.mid")
    song.rename(name)
    assert inspect.main([str(name)]) == 0
    assert capsys.readouterr().out.startswith(f"{song.parent}/a\\x1b[31m\\x9b2J\\r.mid\n")
    with pytest.raises(MidiError, match=r"/a\\x1b\.mid: expected a readable MIDI file"):
        inspect.main([str(song.with_name("a\x1b.mid"))])
