"""The sample command: files it writes, errors, settings."""

import contextlib
import logging
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from spectrodiff.audio.loudness import integrated_loudness
from spectrodiff.commands import sample
from spectrodiff.commands.shared.songs import Songs, check_song
from spectrodiff.core.errors import ConfigError, MidiError
from spectrodiff.diffusion.sampling import PAPER_SAMPLING, Sampling
from spectrodiff.inverter.files import save_inverter
from spectrodiff.models.config import SIZES
from spectrodiff.music.midi.reader import read_midi
from spectrodiff.music.tokenizer import SongTokens
from spectrodiff.synthesis.loading import load
from tests.support.inverters import random_inverter

ROOT = Path(__file__).parents[2]


def run(*arguments, cache=None, **environment):
    command = [sys.executable, str(ROOT / "sample.py"), *map(str, arguments)]
    environment = {**os.environ, **environment}
    if cache is not None:
        environment["SPECTRODIFF_CACHE"] = str(cache)
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


def test_songs_to_a_folder_with_pictures(golden, tmp_path, cache):
    songs = [golden / "midi" / name for name in ("overlaps.mid", "held_chords.mid")]
    model = golden / "checkpoints" / "paddle"
    arguments = (*songs, "--model", model, "--out", tmp_path, "--picture", "--format", "flac")

    def rendered():
        return run(*arguments, "--steps", "3", cache=cache, JAX_COMPILATION_CACHE_DIR="")

    done = rendered()
    assert done.returncode == 0, done.stderr
    assert sorted(done.stdout.splitlines()) == [
        f"{tmp_path}/held_chords.flac  17.8 s",
        f"{tmp_path}/overlaps.flac  5.9 s",
    ]
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "held_chords.flac",
        "held_chords.png",
        "overlaps.flac",
        "overlaps.png",
    ]
    audio, rate = soundfile.read(tmp_path / "overlaps.flac")
    assert rate == 16_000
    assert np.isfinite(audio).all()
    # The next process finds all programs in the cache.
    compiled = {path.name for path in (cache / "compiled").iterdir() if "atime" not in path.name}
    assert compiled
    again = rendered()
    assert again.stdout == done.stdout
    assert {p.name for p in (cache / "compiled").iterdir() if "atime" not in p.name} == compiled


def test_one_song_to_a_file_with_an_untrained_model(golden, tmp_path, cache):
    out = tmp_path / "new" / "song.ogg"
    arguments = ["--model", "untrained", "--steps", 2]
    done = run(golden / "midi" / "overlaps.mid", "--out", out, *arguments, cache=cache)
    assert done.returncode == 0, done.stderr
    assert "this model is untrained and renders noise" in done.stderr
    assert "2 segments in 2 steps of dpmpp, guidance 1.5" in done.stderr
    assert "leave out --model" in done.stderr
    assert soundfile.info(out).samplerate == 16_000


def test_loudness(golden, tmp_path, cache, monkeypatch):
    """Loudness of each song or of all together, and the maximum of the samples."""
    monkeypatch.setenv("SPECTRODIFF_CACHE", str(cache))
    songs = [str(golden / "midi" / name) for name in ("overlaps.mid", "held_chords.mid")]
    model = ["--model", str(golden / "checkpoints" / "paddle"), "--steps", "3"]

    def render(name, *flags):
        sample.main([*songs, *model, "--out", str(tmp_path / name), *flags])
        files = [tmp_path / name / f"{Path(song).stem}.wav" for song in songs]
        return [soundfile.read(file)[0] for file in files]

    plain = render("plain")
    apart = render("apart", "--loudness", "-26", "--peak", "-6")
    together = render("together", "--loudness", "-26", "--together")
    for audio in apart:
        assert np.abs(audio).max() <= 10 ** (-6 / 20) + 1e-4
    meter = [integrated_loudness(audio, 16_000) for audio in render("soft", "--loudness", "-40")]
    assert meter == pytest.approx([-40, -40], abs=0.2)
    # One gain for both songs.
    ratios = [np.std(audio) / np.std(before) for audio, before in zip(together, plain, strict=True)]
    assert ratios[0] == pytest.approx(ratios[1], rel=0.02)
    assert integrated_loudness(np.concatenate(together), 16_000) == pytest.approx(-26, abs=0.3)


def test_phases_from_the_score(golden, tmp_path, cache, monkeypatch):
    """An inverter of the bundled kind takes them unless a flag says no, others if one says yes."""
    monkeypatch.setenv("SPECTRODIFF_CACHE", str(cache))
    song, model = golden / "midi" / "overlaps.mid", golden / "checkpoints" / "paddle"
    tiny = tmp_path / "tiny.safetensors"
    save_inverter(random_inverter("tiny"), tiny)

    def rendered(inverter, *flags):
        out = tmp_path / "song.wav"
        settings = ["--model", str(model), "--inverter", str(inverter), "--steps", "2"]
        sample.main([str(song), *settings, "--format", "wav", "--out", str(out), *flags])
        return soundfile.read(out)[0]

    for inverter, default in ((tiny, True), ("griffin-lim", False)):
        with_phases, without = (
            rendered(inverter, flag) for flag in ("--score_phases", "--no_score_phases")
        )
        assert np.abs(with_phases - without).max() > 0.01
        expected = with_phases if default else without
        np.testing.assert_array_equal(rendered(inverter), expected)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere.mid"], "error: nowhere.mid: expected"),
        (["{midi}/overlaps.mid", "--model", "nonsense"], "error: nonsense: expected a folder"),
        (["{midi}/overlaps.mid", "--steps", "0"], "error: steps: expected a whole number >= 1"),
        (
            ["{midi}/overlaps.mid", "--sampler", "rk4"],
            "error: Sampling.sampler: expected one",
        ),
        (["{midi}/overlaps.mid", "--batch_size", "0"], "error: batch_size: expected a whole"),
        (["{midi}/overlaps.mid", "--batch_size", "-1"], "error: batch_size: expected a whole"),
        (["{midi}/overlaps.mid", "--program_map", "gm"], "Tokenization.program_map: expected one"),
        (["{midi}/overlaps.mid", "--device", "tpu"], "error: device: expected one of auto, cpu"),
        (
            ["{midi}/overlaps.mid", "--inverter", "no.onnx"],
            "error: no.onnx: expected 'griffin-lim', an inverter",
        ),
        (["{midi}/overlaps.mid", "--gin_bindings", "Sampling.step = 3"], "did you mean 'steps'?"),
        (
            ["{midi}/overlaps.mid", "--out", "/proc/nowhere"],
            "error: /proc/nowhere: expected a place",
        ),
        (["{midi}/overlaps.mid", "--out", "song.mp3"], "error: --out: expected a folder or a name"),
        (["{midi}/overlaps.mid", "--loudness", "9"], "error: loudness: expected LUFS in -70..0"),
        (["{midi}/overlaps.mid", "--peak", "1"], "error: --peak: expected decibels of 0 or below"),
        (
            ["{midi}/overlaps.mid", "--max_minutes", "nan"],
            "error: --max_minutes: expected a number",
        ),
        (["{midi}/overlaps.mid", "--max_minutes", "0"], "error: --max_minutes: expected a number"),
        (["{midi}/overlaps.mid", "--together"], "error: --together: expected a --loudness"),
        (["{midi}/dense.mid", "--strict", "--model", "{tiny}"], "at most 64 tokens in a segment"),
    ],
)
def test_errors_are_one_line(golden, tmp_path, cache, arguments, message):
    folders = {"midi": golden / "midi", "tiny": golden / "checkpoints" / "paddle"}
    arguments = [argument.format(**folders) for argument in arguments]
    if "--out" not in arguments:
        arguments += ["--out", str(tmp_path)]
    done = run(*arguments, cache=cache)
    assert done.returncode == 1
    assert done.stdout == ""
    lines = [line for line in done.stderr.splitlines() if "Griffin-Lim" not in line]
    lines = [line for line in lines if not line.startswith("note: ")]
    assert len(lines) == 1, done.stderr
    assert message in lines[0]
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_no_incomplete_file(golden, cache):
    done = run(
        golden / "midi" / "overlaps.mid", "--out", "/dev/full/x.wav", "--steps", 2, cache=cache
    )
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "/dev/full" in done.stderr


def test_a_damaged_song_is_left_out(golden, tmp_path, cache, monkeypatch, caplog):
    monkeypatch.setenv("SPECTRODIFF_CACHE", str(cache))
    (tmp_path / "bad.mid").write_bytes(b"RIFF, not MIDI")
    songs = [str(golden / "midi/overlaps.mid"), str(tmp_path / "bad.mid")]
    songs.append(str(golden / "midi/piano_pedal.mid"))
    arguments = [*songs, "--model", str(golden / "checkpoints/paddle"), "--steps", "1"]
    assert sample.main([*arguments, "--out", str(tmp_path / "out")]) == 1
    written = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert written == ["overlaps.wav", "piano_pedal.wav"]
    last = caplog.records[-1].message
    assert last.startswith(f"left out: {tmp_path}/bad.mid: expected a MIDI file")
    with pytest.raises(MidiError, match=r"bad\.mid"):
        sample.main([*arguments, "--strict", "--out", str(tmp_path / "strict")])
    assert list((tmp_path / "strict").iterdir()) == []


def test_what_is_odd_in_a_song_is_logged_with_its_length(golden, midi_cases, caplog):
    caplog.set_level(logging.INFO)
    cut = midi_cases / "cut_in_the_middle.mid"
    flags = sample.parse_flags([str(cut)])
    songs = Songs(flags)
    assert list(songs.tokenize(load(str(golden / "checkpoints/paddle")))) == [0]
    assert not songs.refused
    assert caplog.messages[-1] == f"{cut}: 3.0 s; track 1 is cut off at byte 76"


@pytest.mark.parametrize(
    ("name", "flags", "message"),
    [
        (
            "cut_in_the_middle.mid",
            ["--refuse_damaged"],
            "a whole MIDI file, got one whose track",
        ),
        (
            "silence_of_2_hours_first.mid",
            [],
            r"at most 60 minutes \(longer ones with --max_minutes\), got 7200.5 s \(2:00:00\)",
        ),
        ("silence_of_2_hours_first.mid", ["--max_minutes", "120"], "at most 120 minutes"),
        ("silence_of_2_hours_first.mid", ["--max_minutes", "120.5"], None),
        ("cut_in_the_middle.mid", ["--strict"], None),
        ("pitch_bends.mid", ["--refuse_damaged"], None),
    ],
)
def test_songs_that_flags_refuse(midi_cases, name, flags, message):
    path = str(midi_cases / name)
    asked = sample.parse_flags([path, *flags])
    refused = pytest.raises(MidiError, match=message) if message else contextlib.nullcontext()
    with refused:
        check_song(path, read_midi(path), asked)


class SlowSynthesizer:
    """A model that needs hours, and records the options it was called with."""

    sampling = Sampling("ddpm", steps=1000, guidance=2.0)
    config = SIZES["tiny"]

    def expected_seconds(self, songs, **options):
        self.options = options
        return 8900.0, 100.0


def test_the_expected_time_is_logged_before_rendering(caplog):
    caplog.set_level(logging.INFO)
    synth, song = SlowSynthesizer(), SongTokens(np.ones((3, 8), np.int32), 768, 768 * 320, ())
    sample.announce(synth, [song, song], {"steps": 500, "batch_size": 4})
    assert synth.options == {"steps": 500, "batch_size": 4}
    assert [record.message for record in caplog.records] == [
        "2 songs, 6 segments in 500 steps of ddpm, guidance 2: compiling and measuring the speed",
        "this takes about 2 h 30 min",
        # 10 of 500 steps, and the same time for inverting.
        "faster, at lower quality: --sampler dpmpp --steps 10 takes about 5 min",
    ]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.2, "1 s"), (99, "99 s"), (101, "2 min"), (5940, "99 min"), (6000, "1 h 40 min")],
)
def test_durations(seconds, words):
    assert sample.in_words(seconds) == words


def test_flags_win_over_bindings_and_other_settings_stay_unset(tmp_path):
    (tmp_path / "some.gin").write_text("STEPS = 3\nSampling.steps = %STEPS\nRendering.seed = 4\n")
    bindings = ("Sampling.guidance = 4.0", "Tokenization.drums = None", "Rendering.batch_size = 2")
    arguments = ["a.mid", "--steps", "7", "--no-ties", "--gin_file", str(tmp_path / "some.gin")]
    for binding in bindings:
        arguments += ["--gin_bindings", binding]
    settings = sample.configure(sample.parse_flags(arguments))
    assert settings.sampling == {"steps": 7, "guidance": 4.0}
    assert settings.tokenization == {"drums": None, "ties": False}
    assert (settings.rendering.seed, settings.rendering.batch_size) == (4, 2)
    unasked = sample.configure(sample.parse_flags(["a.mid"]))
    assert (unasked.sampling, unasked.tokenization) == ({}, {})


def test_flags_of_steps_and_guidance():
    flags = ["--spacing", "logsnr", "--start", "0.96", "--guidance_times", "0.2", "0.8"]
    asked = sample.parse_flags(["a.mid", *flags, "--context_guidance", "2.5"])
    assert sample.configure(asked).sampling == {
        "spacing": "logsnr",
        "start": 0.96,
        "guidance_times": [0.2, 0.8],
        "context_guidance": 2.5,
    }
    binding = ["--gin_bindings", "Sampling.times = (0.9, 0.5)"]
    bound = sample.configure(sample.parse_flags(["a.mid", *binding]))
    assert PAPER_SAMPLING.but(**bound.sampling).times == (0.9, 0.5)
    # A flag that changes the number of steps drops the times.
    flagged = sample.configure(sample.parse_flags(["a.mid", "--steps", "3", *binding]))
    assert PAPER_SAMPLING.but(**flagged.sampling) == Sampling(steps=3)
    with pytest.raises(ConfigError, match="guidance_times: expected two times in"):
        sample.configure(sample.parse_flags(["a.mid", "--guidance_times", "0.8", "0.2"]))


def test_programs_are_not_checked_without_the_model():
    programs = ["--gin_bindings", "Tokenization.programs = (25,)"]
    # Slakh has no class 25, but the model may have another program map.
    settings = sample.configure(sample.parse_flags(["a.mid", *programs]))
    assert settings.tokenization == {"programs": (25,)}
    asked = sample.parse_flags(["a.mid", *programs, "--program_map", "full"])
    assert sample.configure(asked).tokenization == {"programs": (25,), "program_map": "full"}
