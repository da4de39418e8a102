"""Preparation of corpora from the command line."""

import re
from pathlib import Path

import numpy as np
import pytest

from spectrodiff.commands import prepare as command
from spectrodiff.commands import program
from spectrodiff.data.prepare.soundfont import SoundfontRenderer
from spectrodiff.data.prepare.summary import Summary
from spectrodiff.data.recordings import Plan
from spectrodiff.data.source import load_source
from tests.support.corpora import write_notes, write_tone
from tests.support.stand_ins import guitarset, maestro, musicnet, slakh, urmp


def main(arguments):
    return program.run(program.main, ["prepare", *arguments])


def slakh_with_list(folder):
    slakh(folder)
    entries = ", ".join(f'"Track0{n}": {{"action": null}}' for n in ("0001", "1501", "1876"))
    (folder / "splits_v2.json").write_text(f"{{{entries}}}")


def own(folder):
    for name in ("a", "b", "c"):
        write_tone(folder / f"{name}.wav", 0.5)
        write_notes(folder / f"{name}.mid", (0.1, 0.2, 60))


@pytest.mark.parametrize(
    ("corpus", "write", "options", "config", "counts"),
    [
        ("maestro", maestro, "", "v3", {"train": 2, "validation": 1}),
        ("slakh", slakh, "", "redux", {"train": 1, "validation": 1, "test": 1}),
        (
            "slakh",
            slakh,
            "--variant original --workers 2",
            "original",
            {"train": 1, "validation": 1, "test": 1},
        ),
        (
            "slakh",
            slakh_with_list,
            "--variant split2 --split_list {source}/splits_v2.json",
            "split2",
            {"train": 1, "validation": 1, "test": 1},
        ),
        ("cerberus4", slakh, "", "redux", {"train": 1, "validation": 1, "test": 1}),
        ("guitarset", guitarset, "", "mic_and_mix", {"train": 2, "validation": 2}),
        ("musicnet", musicnet, "", "plain_mt3", {"train": 1, "validation": 1, "test": 1}),
        ("musicnet", musicnet, "--labels em --splits official", "em_official", {"train": 3}),
        ("urmp", urmp, "", "mt3", {"train": 1, "validation": 1}),
        ("pairs", own, "--name takes", "takes", {"train": 2, "validation": 1}),
    ],
)
def test_each_corpus_is_prepared(tmp_path, capsys, corpus, write, options, config, counts):
    source, data_dir = tmp_path / "source", tmp_path / "data"
    write(source)
    words = options.format(source=source).split()
    assert main([corpus, "--source", str(source), "--data_dir", str(data_dir), *words]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{corpus}/{config} in {data_dir}"
    table = {line.split()[0]: int(line.split()[1]) for line in lines[2 : 2 + len(counts)]}
    assert table == counts
    for split, number in counts.items():
        recordings = list(load_source(data_dir, f"{corpus}/{config}", split))
        assert len(recordings) == number
        for recording in recordings:
            assert np.abs(recording.audio.astype(int)).max() > 1000
            assert len(recording.notes)


@pytest.fixture
def count_renders(monkeypatch):
    """Counts rendered songs; raises KeyboardInterrupt after `limit` of them."""
    calls = {"made": 0, "limit": 1000}

    def render(self, notes):
        if calls["made"] == calls["limit"]:
            raise KeyboardInterrupt
        calls["made"] += 1
        return np.full(round(notes.total_seconds * 16_000), 1000 + calls["made"], np.int16)

    monkeypatch.setattr(SoundfontRenderer, "render", render)
    monkeypatch.setattr(SoundfontRenderer, "__post_init__", lambda self: None)
    return calls


def test_an_interrupted_soundfont_corpus_is_continued(tmp_path, capsys, count_renders):
    arguments = ["soundfont", "--data_dir", str(tmp_path), "--songs", "5", "--style", "narrow"]
    count_renders["limit"] = 3
    assert main(arguments) == 130
    config = tmp_path / "soundfont/narrow_seed0_5"
    assert sorted(path.name for path in config.iterdir()) == [".lock", "rendered"]
    count_renders["limit"] = 1000
    assert main(arguments) == 0
    assert count_renders["made"] == 5  # three before the interruption, two after it
    assert sorted(path.name for path in config.iterdir()) == [".lock", "2.0.0"]
    recordings = [
        recording
        for split in ("train", "validation")
        for recording in load_source(tmp_path, "soundfont/narrow_seed0_5", split)
    ]
    assert {recording.audio[0] for recording in recordings} == set(range(1001, 1006))


def test_hours_are_approximately_those_requested(tmp_path, capsys, count_renders):
    assert main(["soundfont", "--data_dir", str(tmp_path), "--hours", "0.1"]) == 0
    rows = capsys.readouterr().out.splitlines()[2:4]
    assert sum(float(row.split()[2]) for row in rows) == pytest.approx(0.1, rel=0.35)


def test_midi_files_are_rendered(tmp_path, count_renders):
    for name in ("a", "b"):
        write_notes(tmp_path / "songs" / f"{name}.mid", (0.1, 0.2, 60))
    arguments = ["soundfont", "--source", str(tmp_path / "songs"), "--name", "songs"]
    assert main([*arguments, "--data_dir", str(tmp_path)]) == 0
    assert len(load_source(tmp_path, "soundfont/songs", "train")) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["maestro", "--source", "gs://b/maestro"], "error: gs://b/maestro: expected a path on"),
        (["soundfont", "--soundfont", "gs://b/a.sf2"], "error: gs://b/a.sf2: expected a path on"),
        (["maestro", "--source", "nowhere"], "error: nowhere: expected an unpacked MAESTRO"),
        (["slakh", "--source", ".", "--variant", "split2"], "expected an unpacked Slakh2100"),
        (["soundfont", "--soundfont", "none.sf2"], "error: none.sf2: expected a soundfont"),
    ],
)
def test_a_user_error_is_one_line(tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    assert main([*arguments, "--data_dir", str(tmp_path)]) == 1
    captured = capsys.readouterr()
    assert message in captured.err
    assert len(captured.err.splitlines()) == 1
    assert not captured.out


@pytest.mark.parametrize(
    "arguments",
    [
        ["mozart"],
        ["maestro"],
        ["pairs", "--source", "x", "--data_dir", "y", "--name", "a/b"],
        ["pairs", "--source", "x", "--data_dir", "y", "--name", "Nörmal"],
        ["pairs", "--source", "x", "--data_dir", "y", "--name", ""],
        ["pairs", "--source", "x", "--data_dir", "y", "--validation_share", "1.5"],
        ["urmp", "--source", "x", "--data_dir", "y", "--workers", "-1"],
        ["soundfont", "--data_dir", "y", "--hours", "1", "--songs", "2"],
    ],
)
def test_invalid_options_are_refused(arguments, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(arguments)
    (line,) = capsys.readouterr().err.splitlines()
    assert re.match("error: .*expected .*, got |error: .*not allowed with", line)


@pytest.mark.parametrize(("beam", "absolute"), [([], False), (["--beam=--a='b c' --d"], True)])
def test_workers_of_beam_get_absolute_paths(beam, absolute, tmp_path, monkeypatch):
    given = {}

    def plan(source, validation_share):
        given["source"] = source
        return Plan({})

    def prepare(*arguments, beam_options, **_):
        given["options"] = beam_options
        return Summary()

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(command.pairs, "plan", plan)
    monkeypatch.setattr(command, "prepare", prepare)
    assert main(["pairs", "--source", "takes", "--data_dir", "data", *beam]) == 0
    assert given == {
        "source": tmp_path / "takes" if absolute else Path("takes"),
        "options": ["--a=b c", "--d"] if absolute else None,
    }
