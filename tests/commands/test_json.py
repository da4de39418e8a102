"""Results as JSON: the same numbers as in the text, one document or one a line."""

import argparse
import json
import math
from pathlib import Path

import numpy as np
import pytest
import soundfile

from spectrodiff.commands import program
from spectrodiff.commands.shared.results import plain, print_result
from spectrodiff.inverter.files import save_inverter
from tests.support.corpora import write_notes, write_tone
from tests.support.inverters import random_inverter
from tests.support.midi import meta, midi_bytes, off, on
from tests.support.midi import program as change


@pytest.fixture
def run(capfd):
    """Runs a command with --json; returns the documents on standard output."""

    def command(*arguments, status=0):
        assert program.run(program.main, [*map(str, arguments), "--json"]) == status
        return [json.loads(line) for line in capfd.readouterr().out.splitlines()]

    return command


def test_inspect(run, tmp_path):
    tempos = [meta("set_tempo", tempo=600_000), meta("set_tempo", 500, tempo=400_000)]
    flute = [change(0, 73), on(0, 72), off(250, 72)]
    drums = [on(0, 36, channel=9), on(0, 36, channel=9), on(0, 38, channel=9)]
    (tmp_path / "a.mid").write_bytes(midi_bytes(tempos, flute, drums))
    (tmp_path / "b.mid").write_bytes(b"no song")
    [found] = run("inspect", tmp_path / "a.mid", tmp_path / "b.mid", status=1)
    assert found["song"] == str(tmp_path / "a.mid")
    assert [tempo["tempo"] for tempo in found["tempos"]] == pytest.approx([100.0, 150.0])
    # 500 ticks of 600 ms per 500 ticks.
    assert [tempo["second"] for tempo in found["tempos"]] == pytest.approx([0.0, 0.6])
    assert found["instruments"] == [{"program": 73, "name": "flute", "notes": 1}]
    assert sorted(found["drums"].values()) == [1, 2]
    assert found["notes"] == 4
    assert found["seconds"] == pytest.approx(0.3)  # 250 ticks
    assert isinstance(found["remarks"], list)


def test_fad(run, tmp_path):
    rng = np.random.default_rng(0)
    sides = [tmp_path / "a", tmp_path / "b"]
    for side, shift in zip(sides, (0.0, 1.0), strict=True):
        side.mkdir()
        for number in range(2):
            np.save(side / f"{number}.npy", rng.normal(shift, 1, (400, 3)).astype(np.float32))
    [found] = run("fad", *sides, "--per_file")
    # Means differ by one on each of three axes.
    assert 2.5 < found["interval"]["low"] < found["distance"] < found["interval"]["high"] < 3.5
    assert found["evaluated"] == found["reference"] == {"files": 2, "frames": 800}
    assert sorted(found["per_file"]) == ["0", "1"]
    assert program.run(program.main, ["fad", "a", "b", "--csv", "--json"]) == 1


def test_convert_and_invert(run, tmp_path):
    stored = tmp_path / "stored.safetensors"
    save_inverter(random_inverter("tiny"), stored)
    out = tmp_path / "half.safetensors"
    [found] = run("convert", stored, "-o", out, "--dtype", "float16")
    megabytes = out.stat().st_size / 1e6
    expected = {"out": str(out), "parameters": 147_480, "dtype": "float16"}
    assert found == {**expected, "megabytes": megabytes}
    soundfile.write(tmp_path / "tone.wav", 0.3 * np.sin(np.arange(8000) / 6), 16_000)
    arguments = ["--inverter", stored, "--out", tmp_path / "out.wav"]
    assert run("invert", tmp_path / "tone.wav", *arguments) == [
        {"out": str(tmp_path / "out.wav"), "seconds": 0.5, "inverter": "frame-rate"}
    ]
    assert soundfile.info(tmp_path / "out.wav").duration == 0.5


def test_prepare(run, tmp_path):
    for name in ("a", "b", "c"):
        write_tone(tmp_path / f"in/{name}.wav", 0.5)
        write_notes(tmp_path / f"in/{name}.mid", (0.1, 0.2, 60), (0.2, 0.3, 62))
    [found] = run("prepare", "pairs", "--source", tmp_path / "in", "--data-dir", tmp_path / "data")
    assert found["corpus"] == "pairs/own"
    assert found["data_dir"] == str(tmp_path / "data")
    assert found["recordings"] == {"train": 2, "validation": 1}
    assert found["notes"] == {"train": 4, "validation": 2}
    assert found["skipped"] == []


def test_listening_and_comparing(run, tmp_path):
    songs = {}
    for name, signal in (("a", 1.0), ("b", 2.0)):
        folder = tmp_path / name
        write_tone(folder / "x.wav", 1.0)
        song = {"song": "x", "seconds": 1.0, "checksum": "0", "media": {"model": "x.wav"}}
        songs[name] = [{**song, "scores": {"model": {"signal": signal}}}]
        corpus = {"name": "own/x", "split": "test", "songs": 1, "asked": 1, "seconds": 1.0}
        content = {
            "format": 1,
            "model": name,
            "settings": {"max_minutes": 10.0, "protocol": "aligned"},
            "rows": [{"name": "model", "title": "Model"}],
            "metrics": [{"name": "signal", "title": "signal", "better": "lower"}],
            "corpora": [{**corpus, "scores": {}, "per_song": songs[name]}],
        }
        (folder / "scores.json").write_text(json.dumps(content))
    reports = [tmp_path / "a", tmp_path / "b"]
    [found] = run("compare", *reports)
    [column] = found["corpora"][0]["columns"]
    assert (column["first"], column["second"], column["difference"]) == (1.0, 2.0, -1.0)
    [found] = run("listen", *reports, "-o", tmp_path / "sheet")
    assert Path(found["out"]).parent == tmp_path / "sheet"
    key = json.loads(Path(found["key"]).read_text())
    left, right = sorted(key["files"], key=lambda file: key["files"][file]["report"])[:2]
    head = "sheet,listener,place,corpus,split,song,left,right,answer,strength"
    answers = tmp_path / "answers.csv"
    answers.write_text(f"{head}\r\n{key['sheet']},ada,1,own/x,test,x,{left},{right},left,\r\n")
    [found] = run("tally", found["key"], answers)
    assert (found["first"], found["second"]) == tuple(map(str, reports))
    assert (found["first_better"], found["same"], found["second_better"]) == (1, 0, 0)
    assert (found["listeners"], found["preference"], found["low"]) == (1, 1.0, None)


def test_values_become_what_json_has(capsys):
    values = {Path("a"): (np.float32(0.5), np.arange(2), math.nan, -math.inf, {1: None}, True)}
    assert plain(values) == {"a": [0.5, [0, 1], None, None, {"1": None}, True]}
    for as_json, printed in ((True, '{"a": "\\u001b[31m"}\n'), (False, "text\n")):
        print_result(argparse.Namespace(json=as_json), "text", {"a": "\x1b[31m"})
        assert capsys.readouterr().out == printed
