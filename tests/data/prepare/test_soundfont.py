import concurrent.futures
import dataclasses
import itertools
import multiprocessing
import os
import pickle
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import pytest

from spectrodiff.composer.compose import compose
from spectrodiff.composer.settings import NARROW
from spectrodiff.core.errors import ConfigError, CorpusError, MidiError, OutputError
from spectrodiff.data.prepare import soundfont
from spectrodiff.data.prepare.soundfont import SoundfontRenderer
from spectrodiff.music.instruments import instrument
from spectrodiff.music.midi.writer import write_midi
from spectrodiff.music.notes import Notes
from spectrodiff.music.programs import SLAKH_CLASSES
from tests.support.files import small_files

RATE = 16_000
FLUID_R3 = soundfont.DEBIAN_SOUNDFONTS["fluid-soundfont-gm"]
FULL_PEAK = 29_204  # 32767 * 10 ** (-1 / 20)


def _missing() -> str:
    try:
        SoundfontRenderer()
    except CorpusError as error:
        return str(error)
    return ""


needs_fluidsynth = pytest.mark.skipif(bool(_missing()), reason=_missing())


def notes_of(*rows: tuple[float, float, int, int, int, bool], seconds: float) -> Notes:
    """Returns notes from rows of (onset, offset, pitch, velocity, program, is_drum)."""
    columns = [np.array(column) for column in zip(*rows, strict=True)] or [np.zeros(0)] * 6
    return Notes(*columns, total_seconds=seconds)


def level(audio: np.ndarray, start_seconds: float, end_seconds: float) -> float:
    """Returns the root mean square of an interval."""
    interval = audio[round(start_seconds * RATE) : round(end_seconds * RATE)].astype(np.float64)
    return float(np.sqrt(np.mean(interval**2)))


def spectrum_decibels(audio: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns frequencies in Hz, and magnitudes in dB relative to the largest."""
    magnitude = np.abs(np.fft.rfft(audio * np.hanning(len(audio)))) + 1e-9
    frequencies = np.fft.rfftfreq(len(audio), 1 / RATE)
    return frequencies, 20 * np.log10(magnitude / magnitude.max())


# ------------------------------------------------------------------ rendered audio


@needs_fluidsynth
def test_notes_start_at_their_onsets_throughout_a_song():
    # Non-overlapping wood blocks: each hit must be identical and start on the sample of its onset.
    # A clock that is too fast or too slow would shift the last ones.
    onsets = np.cumsum(np.random.default_rng(0).integers(400, 900, 90)) / 1000
    renderer = SoundfontRenderer(gain=1.0)
    hits = notes_of(*[(onset, onset + 0.1, 76, 110, 0, True) for onset in onsets], seconds=62.0)
    audio = renderer.render(hits).astype(np.float64)
    hit = renderer.render(notes_of((0.0, 0.1, 76, 110, 0, True), seconds=0.2)).astype(np.float64)
    lags = np.arange(-100, 101)
    for onset in onsets:
        start = round(onset * RATE)
        likeness = [hit[:1000] @ audio[start + lag :][:1000] for lag in lags]
        assert lags[np.argmax(likeness)] == 0, onset
    assert 50 < onsets.max() < 61


@needs_fluidsynth
def test_audio_starts_at_the_onset():
    # The attack of the hi-hat is nearly a millisecond; an offset by one block would be detected.
    audio = SoundfontRenderer().render(notes_of((0.25, 0.3, 42, 110, 0, True), seconds=1.0))
    delay = np.argmax(np.abs(audio) > 0.05 * FULL_PEAK) / RATE - 0.25
    assert 0 <= delay < 0.001


@needs_fluidsynth
def test_notes_end_at_their_offsets():
    organ = notes_of((0.5, 1.5, 60, 100, 16, False), seconds=3.0)
    audio = SoundfontRenderer().render(organ)
    assert level(audio, 0, 0.49) == 0
    assert level(audio, 0.6, 1.45) > 1000
    assert level(audio, 2.0, 3.0) < 0.01 * level(audio, 0.6, 1.45)


@needs_fluidsynth
@pytest.mark.parametrize(("program", "pitch"), [(73, 81), (40, 69), (33, 45), (0, 60)])
def test_notes_have_their_pitch(program: int, pitch: int):
    audio = SoundfontRenderer().render(notes_of((0.0, 1.9, pitch, 90, program, False), seconds=2.0))
    frequencies, decibels = spectrum_decibels(audio[4000:28000])
    fundamental = 440 * 2 ** ((pitch - 69) / 12)
    # A peak within a quarter tone of the fundamental, and none between its harmonics.
    near = np.abs(np.log2(frequencies[1:] / fundamental)) < 1 / 48
    between = np.abs(np.log2(frequencies[1:] / (1.5 * fundamental))) < 1 / 48
    assert decibels[1:][near].max() > -20
    assert decibels[1:][near].max() > decibels[1:][between].max() + 20


@needs_fluidsynth
def test_nothing_aliases():
    # Aliases of the harmonics of a square wave at 2093 Hz above 8 kHz.
    pitch, program = 96, 80
    audio = SoundfontRenderer().render(
        notes_of((0.0, 1.9, pitch, 100, program, False), seconds=2.0)
    )
    frequencies, decibels = spectrum_decibels(audio[4000:28000])
    fundamental = 440 * 2 ** ((pitch - 69) / 12)
    for harmonic in (4, 5, 6, 7):
        folded = RATE - harmonic * fundamental
        assert decibels[np.abs(frequencies - folded) < 20].max() < -70


@needs_fluidsynth
def test_more_programs_than_midi_channels():
    # Seventeen programs in sequence, then drums: each sounds the same as when rendered alone.
    programs = sorted(SLAKH_CLASSES)[::2]
    assert len(programs) == 17
    rows = [(float(i), i + 0.8, 57, 100, program, False) for i, program in enumerate(programs)]
    rows.append((17.0, 17.1, 38, 100, 0, True))
    render = SoundfontRenderer(gain=0.2).render
    together = render(notes_of(*rows, seconds=18.0)).astype(np.int64)
    for row in (rows[1], rows[16], rows[17]):
        alone = render(notes_of(row, seconds=18.0)).astype(np.int64)
        start = int(row[0]) * RATE
        # Skips the decay of the previous note.
        difference = (together - alone)[start + RATE // 2 : start + 4 * RATE // 5]
        assert np.abs(alone[start : start + RATE // 2]).max() > 200
        assert np.abs(difference).max() < 0.05 * np.abs(alone).max()


@needs_fluidsynth
def test_the_later_of_overlapping_notes_of_a_pitch_sounds_to_its_end():
    rows = (0.0, 1.0, 60, 100, 16, False), (0.5, 2.0, 60, 100, 16, False)
    audio = SoundfontRenderer().render(notes_of(*rows, seconds=2.5))
    assert level(audio, 1.2, 1.9) > 0.5 * level(audio, 0.6, 0.9)


@needs_fluidsynth
def test_drums_ignore_their_offsets():
    # Drum tokens have no offset, so cymbal and whistle must not depend on their durations.
    renderer = SoundfontRenderer()
    short, long = (
        renderer.render(
            notes_of(
                (0.1, 0.1 + held, 49, 99, 0, True), (1.0, 1 + held, 72, 99, 5, True), seconds=3.0
            )
        )
        for held in (0.02, 0.7)
    )
    assert np.array_equal(short, long)


@needs_fluidsynth
def test_velocity_determines_the_level():
    renderer = SoundfontRenderer(gain=0.5)
    soft, loud = (
        level(renderer.render(notes_of((0.0, 1.0, 60, velocity, 0, False), seconds=1.0)), 0, 1)
        for velocity in (40, 110)
    )
    assert loud > 3 * soft


@needs_fluidsynth
@pytest.mark.skipif(
    not FLUID_R3.is_file(), reason="pitch ranges are those of Debian package fluid-soundfont-gm"
)
def test_every_pitch_of_every_instrument_is_audible():
    renderer = SoundfontRenderer(FLUID_R3)
    for program in SLAKH_CLASSES:
        limits = instrument(program)
        pitches = range(limits.low, limits.high + 1)
        rows = [(0.2 * i, 0.2 * i + 0.18, p, 100, program, False) for i, p in enumerate(pitches)]
        audio = renderer.render(notes_of(*rows, seconds=0.2 * len(rows)))
        levels = [level(audio, row[0] + 0.02, row[1]) for row in rows]
        # High harp notes are soft; a pitch without a sample is silent.
        assert min(levels) > 0.01 * np.median(levels), (program, pitches[int(np.argmin(levels))])


# ------------------------------------------------------------------ length, loudness, determinism


@needs_fluidsynth
@pytest.mark.parametrize(
    ("total_seconds", "tail_seconds", "samples"),
    [(1.0, 0.0, 16_000), (1.23456, 0.0, 19_753), (1.0, 0.5, 24_000), (9.0, 0.0, 144_000)],
)
def test_audio_has_the_length_of_the_song(total_seconds: float, tail_seconds: float, samples: int):
    notes = notes_of((0.2, 0.9, 60, 100, 0, False), seconds=total_seconds)
    audio = SoundfontRenderer(tail_seconds=tail_seconds).render(notes)
    assert audio.shape == (samples,)
    assert audio.dtype == np.int16
    assert np.abs(audio).max() == FULL_PEAK


@needs_fluidsynth
def test_a_fixed_gain_is_reduced_only_to_avoid_clipping():
    notes = notes_of((0.0, 1.0, 60, 100, 0, False), seconds=1.0)
    quiet, twice = (SoundfontRenderer(gain=gain).render(notes) for gain in (0.1, 0.2))
    assert np.abs(quiet.astype(int) * 2 - twice).max() <= 2
    assert np.abs(twice).max() < 10_000
    too_loud, full = (SoundfontRenderer(gain=gain).render(notes) for gain in (50.0, None))
    assert np.array_equal(too_loud, full)


@needs_fluidsynth
def test_reverb_is_off_by_default():
    notes = notes_of((0.0, 0.1, 76, 100, 0, True), seconds=3.0)
    dry, wet = (SoundfontRenderer(reverb=reverb).render(notes) for reverb in (False, True))
    assert level(wet, 0.4, 0.6) > 10 > level(dry, 0.4, 0.6)


@needs_fluidsynth
def test_audio_is_identical_in_other_processes():
    renderer = pickle.loads(pickle.dumps(SoundfontRenderer()))
    settings = dataclasses.replace(NARROW, seconds=(5.0, 8.0))
    songs = [compose(0, settings, index) for index in range(3)]
    here = [renderer.render(song) for song in songs]
    spawn = multiprocessing.get_context("spawn")  # forking a process with JAX may deadlock
    with concurrent.futures.ProcessPoolExecutor(2, spawn) as pool:
        there = list(pool.map(renderer.render, songs))
    for one, other in zip(here, there, strict=True):
        assert np.array_equal(one, other)


@needs_fluidsynth
def test_midi_files_and_note_tables_sound_the_same(tmp_path: Path):
    song = compose(0, dataclasses.replace(NARROW, seconds=(5.0, 8.0)))
    write_midi(song, tmp_path / "song.mid")
    from_table, from_file = (
        SoundfontRenderer(gain=0.3).render(source) for source in (song, tmp_path / "song.mid")
    )
    common = min(len(from_table), len(from_file))
    assert common > 4 * RATE
    assert np.array_equal(from_table[:common], from_file[:common])


# ------------------------------------------------------------------ without FluidSynth


@pytest.fixture
def fake_fluidsynth(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Replaces FluidSynth by a shell script, in which $raw is the output file."""

    def install(script: str) -> SoundfontRenderer:
        programs = tmp_path / "bin"
        programs.mkdir()
        program = programs / "fluidsynth"
        program.write_text(
            '#!/bin/sh\nwhile [ "$1" != -F ]; do shift; done\nraw="$2"\n' + script + "\n"
        )
        program.chmod(0o755)
        monkeypatch.setenv("PATH", str(programs), prepend=os.pathsep)
        (tmp_path / "temporary").mkdir()
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
        font = tmp_path / "font.sf2"
        font.write_bytes(b"RIFF")
        return SoundfontRenderer(font, gain=1.0, timeout_seconds=5.0)

    yield install
    assert list((tmp_path / "temporary").iterdir()) == []


HALF_SECOND = notes_of((0.0, 0.4, 60, 100, 0, False), seconds=0.5)


def test_stereo_at_64_khz_becomes_mono_at_16_khz(tmp_path: Path, fake_fluidsynth):
    # The delay of one block (64 samples), then a cosine of 1 kHz that is louder on the left.
    wave = np.cos(2 * np.pi * 1000 * np.arange(64_000) / 64_000)
    stereo = np.concatenate([np.zeros((64, 2)), np.stack([0.6 * wave, 0.2 * wave], 1)])
    stereo.astype(np.float32).tofile(tmp_path / "prepared.raw")
    audio = fake_fluidsynth(f'cp "{tmp_path}/prepared.raw" "$raw"').render(HALF_SECOND)
    expected = 0.4 * 32767 * np.cos(2 * np.pi * 1000 * np.arange(8000) / RATE)
    assert audio.shape == (8000,)
    # Skips the transient of the resampling filter at the start of the wave.
    assert np.abs(audio - expected)[400:].max() <= 1.5


def test_long_songs_are_resampled_in_blocks_without_seams(
    tmp_path: Path, fake_fluidsynth, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(soundfont, "BLOCK_FRAMES", 7000)
    wave = 0.5 * np.sin(2 * np.pi * 440 * np.arange(-64, 64_000) / 64_000)
    np.repeat(wave.astype(np.float32), 2).tofile(tmp_path / "prepared.raw")
    audio = fake_fluidsynth(f'cp "{tmp_path}/prepared.raw" "$raw"').render(HALF_SECOND)
    expected = 0.5 * 32767 * np.sin(2 * np.pi * 440 * np.arange(8000) / RATE)
    assert np.abs(audio - expected)[400:].max() <= 1.5


def test_silence_stays_silent(fake_fluidsynth):
    renderer = dataclasses.replace(fake_fluidsynth("exit 1"), gain=None)
    audio = renderer.render(notes_of(seconds=0.5))  # without notes, FluidSynth is not started
    assert audio.shape == (8000,)
    assert not audio.any()


@pytest.mark.parametrize(
    ("script", "got"),
    [
        ("echo 'fluidsynth: error: no memory' >&2; printf x > \"$raw\"", "error: no memory"),
        ("echo 'Failed to load the SoundFont' >&2; printf x > \"$raw\"", "Failed to load"),
        ("echo 'warning: harmless' >&2; exit 3", "warning: harmless"),
        ("exit 3", "exit status 3"),
        ("exit 0", "0.00 s"),
        ('head -c 128000 /dev/zero > "$raw"', "0.25 s"),
    ],
)
def test_failures_quote_fluidsynth(fake_fluidsynth, script: str, got: str):
    renderer = fake_fluidsynth(script)
    with pytest.raises(CorpusError) as caught:
        renderer.render(HALF_SECOND)
    assert caught.value.subject.endswith("font.sf2")
    assert got in caught.value.got


def test_a_full_disk_is_no_fault_of_the_soundfont(fake_fluidsynth):
    renderer = fake_fluidsynth("echo 'Audio file write error: No space left on device.' >&2")
    with pytest.raises(OutputError, match=r"got No space left on device$"):
        renderer.render(HALF_SECOND)
    with small_files(10), pytest.raises(OutputError, match="got File too large"):
        renderer.render(HALF_SECOND)


def test_the_time_limit_is_enforced(fake_fluidsynth):
    renderer = dataclasses.replace(fake_fluidsynth("exec sleep 60"), timeout_seconds=0.2)
    with pytest.raises(CorpusError, match=r"expected FluidSynth to finish in 0\.2 s"):
        renderer.render(HALF_SECOND)


def test_an_hour_of_suspension_counts_as_a_second(fake_fluidsynth, monkeypatch):
    """Simulates a suspension by a jump of the clock while FluidSynth runs."""
    renderer = dataclasses.replace(fake_fluidsynth("sleep 0.3; exit 3"), timeout_seconds=60)
    jumps = itertools.chain([0.0], itertools.repeat(3600.0))
    clock = subprocess._time
    monkeypatch.setattr(subprocess, "_time", lambda: clock() + next(jumps))
    with pytest.raises(CorpusError, match="exit status 3"):
        renderer.render(HALF_SECOND)


def test_a_broken_midi_file_is_named(tmp_path: Path, fake_fluidsynth):
    (tmp_path / "broken.mid").write_bytes(b"nothing")
    with pytest.raises(MidiError, match=r"broken\.mid"):
        fake_fluidsynth("exit 0").render(tmp_path / "broken.mid")


def test_missing_program_names_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CorpusError, match="Debian package fluidsynth"):
        SoundfontRenderer()


def test_order_of_preference_of_soundfonts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    given, named, first, second = (tmp_path / name for name in ("a.sf2", "b.sf2", "c.sf2", "d.sf3"))
    for path in (given, named, second):
        path.touch()
    monkeypatch.setattr(soundfont, "DEBIAN_SOUNDFONTS", {"package-c": first, "package-d": second})
    monkeypatch.setenv("SPECTRODIFF_SOUNDFONT", str(named))
    assert soundfont.find_soundfont(given) == str(given)
    assert soundfont.find_soundfont() == str(named)
    monkeypatch.delenv("SPECTRODIFF_SOUNDFONT")
    assert soundfont.find_soundfont() == str(second)
    first.touch()
    assert soundfont.find_soundfont() == str(first)


def test_missing_soundfonts_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(CorpusError, match=r"none\.sf2: expected a soundfont"):
        soundfont.find_soundfont(tmp_path / "none.sf2")
    monkeypatch.setenv("SPECTRODIFF_SOUNDFONT", str(tmp_path / "other.sf2"))
    with pytest.raises(CorpusError, match=r"other\.sf2: expected a soundfont"):
        soundfont.find_soundfont()
    monkeypatch.delenv("SPECTRODIFF_SOUNDFONT")
    monkeypatch.setattr(soundfont, "DEBIAN_SOUNDFONTS", {"package-c": tmp_path / "c.sf2"})
    with pytest.raises(CorpusError, match="Debian package package-c"):
        soundfont.find_soundfont()


@pytest.mark.parametrize("changes", [{"gain": 0.0}, {"gain": -1.0}, {"tail_seconds": -0.1}])
def test_invalid_numbers_are_refused(changes: dict, fake_fluidsynth):
    renderer = fake_fluidsynth("exit 0")
    with pytest.raises(ConfigError, match=next(iter(changes))):
        dataclasses.replace(renderer, **changes)


@needs_fluidsynth
def test_a_file_that_is_no_soundfont_is_refused(tmp_path: Path):
    # FluidSynth itself continues with its default soundfont.
    (tmp_path / "text.sf2").write_text("this is no soundfont")
    with pytest.raises(CorpusError, match=r"text\.sf2: expected FluidSynth to render with it"):
        SoundfontRenderer(tmp_path / "text.sf2").render(HALF_SECOND)
