"""Files of the sample command for other programs: stems, sample rate, bits and channels."""

import json
import logging

import numpy as np
import pyloudnorm
import pytest
import soundfile
from scipy.signal import welch

from spectrodiff.commands import sample
from spectrodiff.core.errors import ConfigError, OutputError
from spectrodiff.music.midi.reader import read_midi

FEW = ["--steps", "2"]


@pytest.fixture
def render(golden, tmp_path, monkeypatch):
    """Renders songs of the reference arrays with a tiny model into a folder, which is returned."""
    monkeypatch.setenv("SPECTRODIFF_CACHE", str(tmp_path / "cache"))

    def render(songs, *flags, out="out", inverter="griffin-lim"):
        names = [str(golden / "midi" / f"{name}.mid") for name in songs]
        model = ["--model", str(golden / "checkpoints" / "paddle"), "--inverter", inverter]
        sample.main([*names, *model, *FEW, "--out", str(tmp_path / out), *flags])
        return tmp_path / out

    return render


def read_all(folder, suffix=".wav", **settings):
    """Samples of all audio files of a folder, by name."""
    return {
        path.stem: soundfile.read(path, **settings)[0] for path in sorted(folder.glob(f"*{suffix}"))
    }


def names(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_stems_of_a_song_add_up_to_its_mix(golden, render, capsys, caplog):
    caplog.set_level(logging.INFO)
    folder = render(["band_drums"], "--stems", "--picture")
    stems = read_all(folder, dtype="int16")
    mix = stems.pop("mix")
    assert len(stems) > 2
    assert "drums" in stems
    np.testing.assert_array_equal(mix, sum(stem.astype(int) for stem in stems.values()))
    notes = read_midi(golden / "midi" / "band_drums.mid")
    assert len(mix) == int(notes.total_seconds * 16_000)
    tracks = [*stems, "mix"]
    seconds = f"{len(mix) / 16_000:.1f} s"
    assert capsys.readouterr().out.splitlines() == [
        f"{folder}/{name}.wav  {seconds}" for name in tracks
    ]
    expected = [f"{name}{suffix}" for name in tracks for suffix in (".wav", ".png")]
    assert names(folder) == sorted(expected)
    counted = [text for text in caplog.messages if "segments in 2 steps" in text]
    assert counted[0].startswith(f"1 song, {len(stems)} stems, ")

    assert any("stems and mix limited alike, by up to" in text for text in caplog.messages)
    # Nothing is lowered more than its peaks need.
    assert max(np.abs(audio.astype(int)).max() for audio in [mix, *stems.values()]) > 32_700


def test_a_folder_for_each_of_several_songs_with_one_gain(render, caplog):
    """In 24 bits at 48 kHz on two channels, under a peak and at a common loudness."""
    songs = ["band_drums", "overlaps"]
    flags = ["--stems", "--format", "flac", "--sample_rate", "48000", "--bits", "24"]
    flags += ["--channels", "2", "--loudness", "-30", "--peak", "-3", "--together"]
    folder = render(songs, *flags)
    mixes = []
    for song in songs:
        assert soundfile.info(folder / song / "mix.flac").subtype == "PCM_24"
        assert soundfile.info(folder / song / "mix.flac").samplerate == 48_000
        stems = read_all(folder / song, ".flac", dtype="int32")
        mix = stems.pop("mix")
        np.testing.assert_array_equal(mix[:, 0], mix[:, 1])
        np.testing.assert_array_equal(mix, sum(stem.astype(np.int64) for stem in stems.values()))
        assert np.abs(mix / 2**31).max() <= 10 ** (-3 / 20)
        mixes.append(mix / 2**31)
    # The meter hears both channels.
    measured = pyloudnorm.Meter(48_000).integrated_loudness(np.concatenate(mixes))
    assert measured == pytest.approx(-30, abs=0.2)
    assert not [text for text in caplog.messages if "lowered" in text]


def test_peaks_are_limited_in_all_stems_and_the_mix_alike(render, caplog):
    caplog.set_level(logging.INFO)
    soft = read_all(render(["overlaps"], "--stems", "--loudness", "-40", out="soft"))
    assert not any("limited" in text for text in caplog.messages)
    loud = read_all(render(["overlaps"], "--stems", "--loudness", "0", "--peak", "-6", out="loud"))
    peak = max(np.abs(audio).max() for audio in loud.values())
    assert 0.49 < peak <= 10 ** (-6 / 20)
    assert sum("limited alike" in text for text in caplog.messages) == 1
    # Sample by sample, the gain of every stem is that of the mix.
    mix = loud.pop("mix") / np.where(soft["mix"], soft.pop("mix"), np.nan)
    for name, audio in loud.items():
        heard = np.abs(soft[name]) > 1e-3
        np.testing.assert_allclose(audio[heard] / soft[name][heard], mix[heard], rtol=0.15)


def test_one_instrument_has_a_stem_and_a_mix(render, capfd):
    folder = render(["piano_pedal"], "--stems", "--json")
    stems = read_all(folder, dtype="int16")
    assert list(stems) == ["1_piano", "mix"]
    np.testing.assert_array_equal(*stems.values())
    # Nothing but JSON is on standard output.
    assert [json.loads(line) for line in capfd.readouterr().out.splitlines()] == [
        {"out": str(folder / f"{name}.wav"), "seconds": len(audio) / 16_000, "sample_rate": 16_000}
        for name, audio in stems.items()
    ]


def test_a_new_folder_beside_the_user_and_a_warning_of_other_stems(
    golden, tmp_path, monkeypatch, caplog
):
    monkeypatch.setenv("SPECTRODIFF_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "piano_pedal").mkdir()
    (tmp_path / "piano_pedal" / "2_flute.wav").touch()
    (tmp_path / "piano_pedal" / "notes.txt").touch()
    song, model = golden / "midi" / "piano_pedal.mid", golden / "checkpoints" / "paddle"
    sample.main([str(song), "--model", str(model), *FEW, "--stems"])
    assert {"piano_pedal/1_piano.wav", "piano_pedal/mix.wav"} < set(names(tmp_path))
    assert caplog.messages[-1] == "piano_pedal: 2_flute.wav from before, not in this mix"


def density(path):
    """Frequencies 31.25 Hz apart at multiples of 16 kHz, and power densities."""
    audio, rate = soundfile.read(path)
    return welch(audio, rate, ("kaiser", 14.0), rate * 512 // 16_000)


def test_a_song_at_48_khz_is_that_at_16_khz_with_nothing_above(render):
    flags = ["--loudness", "-30", "--bits", "24"]  # below full scale, so that nothing is limited
    low, high = (
        render(["overlaps"], *flags, "--sample_rate", rate, out=rate) / "overlaps.wav"
        for rate in ("16000", "48000")
    )
    assert soundfile.info(high).samplerate == 48_000
    assert soundfile.info(high).frames == 3 * soundfile.info(low).frames
    (hz, before), (new_hz, after) = density(low), density(high)
    below = hz < 7000
    decibels = 10 * np.log10(after[: len(hz)][below] / before[below])
    np.testing.assert_allclose(new_hz[: len(hz)], hz)
    assert np.abs(decibels).max() < 0.2
    assert 10 * np.log10(after[new_hz > 8200].max() / before.max()) < -80


@pytest.mark.parametrize("rate", [16_000, 22_050, 44_100])
def test_peaks_hold_for_the_samples_that_are_written(render, rate):
    flags = ["--loudness", "-6", "--peak", "-1.3", "--sample_rate", str(rate)]
    for suffix in ("wav", "flac"):
        folder = render(["overlaps"], *flags, "--format", suffix, out=suffix)
        samples, written = soundfile.read(folder / f"overlaps.{suffix}")
        assert written == rate
        assert 0.8 < np.abs(samples).max() <= 10 ** (-1.3 / 20)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--stems", "--format", "ogg"], "--format: expected wav or flac with --stems, since"),
        (["--stems", "--out", "a.wav"], "--out: expected a folder, since each song has several"),
        (["--stems", "--bits", "32", "--format", "flac"], "bits: expected 16 or 24 for flac"),
        (["--out", "a.flac", "--bits", "32"], "bits: expected 16 or 24 for flac, got 32"),
        (["--out", "a.ogg", "--bits", "24"], "bits: expected none for ogg, which is lossy"),
        (
            ["--out", "a.wav", "--format", "flac"],
            "--format: expected wav, as --out a.wav says, or no --format, got flac",
        ),
        (["--out", "a.waw"], r"--out: expected .*, got a.waw \(did you mean .wav\?\)"),
        (["--stems", "--together"], "--together: expected a --loudness"),
    ],
)
def test_impossible_files_are_refused_first(golden, tmp_path, monkeypatch, flags, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=message):
        sample.main([str(golden / "midi" / "overlaps.mid"), *flags])
    assert not list(tmp_path.iterdir())


def test_songs_of_one_name_and_folders_that_are_files(golden, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    song = str(golden / "midi" / "overlaps.mid")
    with pytest.raises(ConfigError, match="songs: expected files of different names, got two"):
        sample.main([song, song, "--stems"])
    (tmp_path / "overlaps").touch()
    with pytest.raises(OutputError, match="overlaps"):
        sample.main([song, "--stems"])
