"""The sample command: stems and formats."""

import numpy as np
import pytest
import soundfile

from spectrodiff.commands import sample
from spectrodiff.core.errors import ConfigError


@pytest.fixture(scope="module")
def songs(golden):
    return [str(golden / "midi" / f"{name}.mid") for name in ("band_drums", "held_chords")]


def run(*arguments):
    return sample.main([*map(str, arguments), "--model", "untrained", "--steps", "1"])


def test_stems_of_one_song(songs, tmp_path, capsys):
    assert run(songs[0], "--stems", "--out", tmp_path, "--channels", 2, "--bits", 24,
               "--sample_rate", 48_000, "--format", "flac") == 0  # fmt: skip
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names[-1] == "mix.flac"
    assert names[-2].endswith("_drums.flac")
    assert len(names) >= 4
    lines = capsys.readouterr().out.splitlines()
    assert sorted(line.split("  ")[0] for line in lines) == [f"{tmp_path}/{n}" for n in names]
    stems = []
    for name in names[:-1]:
        with soundfile.SoundFile(tmp_path / name) as file:
            assert (file.samplerate, file.channels, file.subtype) == (48_000, 2, "PCM_24")
            stems.append(file.read(dtype="int32"))
    mix, _ = soundfile.read(tmp_path / "mix.flac", dtype="int32")
    np.testing.assert_array_equal(np.sum(stems, axis=0), mix)


def test_stems_of_several_songs(songs, tmp_path):
    assert run(*songs, "--stems", "--out", tmp_path) == 0
    assert {path.name for path in tmp_path.iterdir()} == {"band_drums", "held_chords"}
    for folder in tmp_path.iterdir():
        assert (folder / "mix.wav").is_file()
        assert len(list(folder.iterdir())) >= 2


def test_a_song_at_another_rate(songs, tmp_path):
    out = tmp_path / "song.wav"
    assert run(songs[1], "--out", out, "--sample_rate", 44_100, "--channels", 2, "--peak", -6) == 0
    with soundfile.SoundFile(out) as file:
        assert (file.samplerate, file.channels) == (44_100, 2)
        audio = file.read()
    # The limiter acts on what is written.
    assert np.abs(audio).max() <= 10 ** (-6 / 20) + 2**-15


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--stems", "--together", "--loudness", "-20"], "--together: expected songs that"),
        (["--stems", "--picture"], "--picture: expected songs that"),
        (["--stems", "--out", "a.wav"], "--out: expected a folder for stems, got the file a.wav"),
        (["--out", "a.ogg", "--bits", "24"], "bits: expected 16 in .ogg files, got 24"),
        (["--format", "flac", "--bits", "32"], "bits: expected 16 or 24 in .flac files, got 32"),
    ],
)
def test_flags_that_do_not_go_together(songs, flags, message):
    with pytest.raises(ConfigError) as error:
        run(songs[0], *flags)
    assert message in str(error.value)


def test_two_songs_of_one_name(songs, tmp_path):
    with pytest.raises(ConfigError, match="files of different names"):
        run(songs[0], songs[0], "--stems", "--out", tmp_path)
    assert not list(tmp_path.iterdir())
