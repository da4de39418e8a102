import csv
import io

import numpy as np
import pytest

from spectrodiff.audio.files import write_audio
from spectrodiff.commands import program
from spectrodiff.core.errors import AudioError


@pytest.fixture
def folders(tmp_path):
    rng = np.random.default_rng(0)
    for side, shift in (("a", 0.0), ("b", 1.0)):
        (tmp_path / side).mkdir()
        for number in range(2):
            frames = rng.normal(shift, 1, (400, 3)).astype(np.float32)
            np.save(tmp_path / side / f"{number}.npy", frames)
    return tmp_path


def run(*arguments):
    return program.main(["fad", *map(str, arguments)])


def test_what_is_printed(folders, capsys):
    run(folders / "a", folders / "b", "--per_file")
    title, distance, infinity, ours, theirs, *files = capsys.readouterr().out.splitlines()
    assert title == "stored embeddings"
    assert distance.split()[0] == "distance"
    # Means differ by one on each of three axes.
    value, low, high = (float(distance.split()[place]) for place in (1, 4, 6))
    assert 2.5 < low < value < high < 3.5
    assert infinity.split()[0] == "FAD-infinity"
    assert ours.split() == ["A", "2", "files,", "800", "frames"]
    assert theirs.split() == ["B", "2", "files,", "800", "frames"]
    assert sorted(line.split()[1] for line in files) == ["0", "1"]
    assert float(files[0].split()[0]) >= float(files[1].split()[0])


def test_csv(folders, capsys):
    run(folders / "a", folders / "b", "--per_file", "--csv", "--replicates", "0")
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["file"] for row in rows] == ["", "0", "1"]
    whole = rows[0]
    assert 2.5 < float(whole["distance"]) < 3.5
    assert (whole["low"], whole["files"], whole["frames"]) == ("", "2", "800")
    assert whole["reference_files"] == rows[1]["reference_files"] == "2"


def test_names_in_csv_are_no_formulas_in_a_spreadsheet(folders, capsys):
    (folders / "a/0.npy").rename(folders / "a/=1+1.npy")
    (folders / "a/1.npy").rename(folders / "a/x-1.npy")
    run(folders / "a", folders / "b", "--per_file", "--csv", "--replicates", "0")
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert {row["file"] for row in rows} == {"", "'=1+1", "x-1"}


def test_audio_without_weights(tmp_path, capsys):
    rng = np.random.default_rng(0)
    for side, scale in (("a", 0.1), ("b", 0.2)):
        (tmp_path / side).mkdir()
        write_audio(tmp_path / side / "s.wav", scale * rng.uniform(-1, 1, 32_000), 16_000)
    run(tmp_path / "a", tmp_path / "b")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("log-mel statistics (")
    assert "comparable only with itself" in lines[0]
    assert lines[3].split()[:3] == ["A", "1", "file,"]
    # Twice the level is ln 2 more in the means of 64 bands.
    assert float(lines[1].split()[1]) == pytest.approx(64 * np.log(2) ** 2, rel=0.05)
    (tmp_path / "a/s.wav").write_bytes(b"")
    with pytest.raises(AudioError, match=r"s\.wav"):
        run(tmp_path / "a", tmp_path / "b")
    assert capsys.readouterr().out == ""
