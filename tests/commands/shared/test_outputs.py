"""Names of the files that commands write."""

from pathlib import Path

import pytest

from spectrodiff.commands.shared.outputs import name_folders, name_outputs
from spectrodiff.core.errors import ConfigError


def names(inputs, out, kind="songs", suffix=".ogg", suffixes=(".wav", ".ogg")):
    return name_outputs(inputs, out, kind=kind, suffix=suffix, suffixes=suffixes)


def test_names_of_output_files(tmp_path):
    assert names(["a.mid", "b.midi"], "out") == [Path("out/a.ogg"), Path("out/b.ogg")]
    assert names(["a.mid"], "x/b.WAV") == [Path("x/b.WAV")]
    for folder in ("take.2", "out.v2", "a.w"):  # unlike any suffix
        assert names(["a.mid"], folder) == [Path(folder) / "a.ogg"]
    # A folder can have the name of an audio file.
    (tmp_path / "songs.wav").mkdir()
    assert names(["a.mid"], str(tmp_path / "songs.wav")) == [tmp_path / "songs.wav/a.ogg"]
    # Names keep their dots and their places below the folder.
    assert names(["x/a.b.mid", "y/a.b.mid", "none"], "o.1") == [
        Path("o.1/x/a.b.ogg"),
        Path("o.1/y/a.b.ogg"),
        Path("o.1/none.ogg"),
    ]


@pytest.mark.parametrize(
    ("inputs", "out", "message"),
    [
        (
            ["a.mid", "a.kar"],
            "out",
            r"songs: expected files of different .*, got two that",
        ),
        (
            ["a.mid", "b.mid"],
            "out.wav",
            r"--out: expected a folder for 2 songs, got the file out",
        ),
        (["a.mid"], "out.MID", r"--out: expected a folder or a name in .wav, .ogg, got out.MID"),
        (["a.mid"], "song.waw", r"got song.waw \(did you mean .wav\?\)"),
        (["a.mid"], "song.og", r"got song.og \(did you mean .ogg\?\)"),
        (["a.mid"], "gs://b/out", r"gs://b/out: expected a path on this machine"),
    ],
)
def test_names_that_cannot_be_written(inputs, out, message):
    with pytest.raises(ConfigError, match=message):
        names(inputs, out)


def test_names_of_output_folders(tmp_path):
    def folders(inputs, out=None):
        return name_folders(inputs, out, kind="songs")

    assert folders(["a.b.mid"]) == [Path("a.b")]
    assert folders(["a.mid"], "out") == [Path("out")]
    # Not the folder above, and not the current one.
    assert folders(["...mid"]) == [Path("...mid")]
    assert folders(["..mid", "...mid"], "out") == [Path("out/..mid"), Path("out/...mid")]
    assert folders(["a.mid", "b.kar"], "out") == [Path("out/a"), Path("out/b")]
    (tmp_path / "songs.wav").mkdir()
    assert folders(["a.mid"], str(tmp_path / "songs.wav")) == [tmp_path / "songs.wav"]
    (tmp_path / "file").touch()
    for out in (str(tmp_path / "file"), "mix.flac"):
        with pytest.raises(ConfigError, match="--out: expected a folder, since each song"):
            folders(["a.mid"], out)
    with pytest.raises(ConfigError, match="a path on this machine"):
        folders(["a.mid"], "gs://bucket/out")
    with pytest.raises(ConfigError, match="songs: expected files of different names"):
        folders(["a.mid", "a.kar"], "out")
