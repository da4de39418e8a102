"""The transcribe command: notes of its files, names, errors."""

import importlib.util
import logging
from collections import Counter

import jax
import mido
import numpy as np
import pytest
import soundfile

from spectrodiff.audio.features import TRANSCRIPTION, log_mel
from spectrodiff.checkpoints.layouts.mt3 import import_mt3
from spectrodiff.commands import program
from spectrodiff.evaluation.metrics.transcription import transcribe as library
from spectrodiff.evaluation.metrics.transcription.basic_pitch import BasicPitch
from spectrodiff.evaluation.metrics.transcription.mt3 import Mt3Transcriber
from spectrodiff.models.definition import define
from spectrodiff.models.mt3 import Mt3, decode_greedily
from spectrodiff.music.detokenizer import decode_tokens
from spectrodiff.music.vocabulary import Vocabulary
from tests.support.checkpoint_writers import published_mt3, write_t5x
from tests.support.notation import END, OFF, ON, TIE, drum, pitch, shift
from tests.support.notation import program as program_token

SEGMENT = 256 * 128
TOKENS = 24


def main(*arguments):
    return program.run(program.main, ["transcribe", *map(str, arguments)])


@pytest.fixture(scope="module")
def mt3(golden, tmp_path_factory):
    """Folder of random weights."""
    weights = published_mt3(golden)
    # Or nearly all tokens would be shifts beyond the segment.
    weights["decoder/logits_dense/kernel"][:, 13:1004] *= 0.2
    folder = tmp_path_factory.mktemp("mt3")
    write_t5x(folder, weights)
    return folder


@pytest.fixture(autouse=True)
def apart(tmp_path, monkeypatch):
    monkeypatch.setenv("SPECTRODIFF_CACHE", str(tmp_path / "cache"))
    # Random weights never end a segment by themselves.
    monkeypatch.setattr("spectrodiff.checkpoints.layouts.mt3.MAX_TOKENS", TOKENS)


def events(path):
    """Counts (second, is beginning, pitch, velocity, program, is drum) of a MIDI file."""
    counts = Counter()
    for track in mido.MidiFile(path).tracks:
        programs, seconds = {}, 0.0
        for message in track:
            # At 120 beats per minute and 500 ticks per beat a tick is a millisecond.
            seconds += message.time / 1000
            if message.type == "program_change":
                programs[message.channel] = message.program
            if message.type == "note_on":
                is_drum = message.channel == 9
                number = 0 if is_drum else programs[message.channel]
                key = message.note, message.velocity, number, is_drum
                counts[round(seconds, 3), message.velocity > 0, *key] += 1
    return counts


def events_of(notes):
    counts = Counter()
    for row in range(len(notes)):
        number, is_drum = int(notes.program[row]), bool(notes.is_drum[row])
        key, velocity = int(notes.pitch[row]), int(notes.velocity[row])
        counts[round(notes.onset_seconds[row], 3), True, key, velocity, number, is_drum] += 1
        counts[round(notes.offset_seconds[row], 3), False, key, 0, number, is_drum] += 1
    return counts


def noise(seed, num_samples):
    pcm = np.random.default_rng(seed).integers(-5000, 5000, num_samples)
    return (pcm / 32768).astype(np.float32)


def test_the_file_has_the_notes_of_the_tokens(mt3, tmp_path, capsys):
    audio = noise(0, 2 * SEGMENT + 5000)
    soundfile.write(tmp_path / "noise.wav", audio, 16_000, subtype="PCM_16")
    out = tmp_path / "noise.mid"
    arguments = [tmp_path / "noise.wav", "--transcriber", mt3, "--batch_size", 2, "--out", out]
    assert main(*arguments) == 0
    config, params = import_mt3(mt3)
    definition = define(Mt3, config)
    decode = jax.jit(
        lambda params, features: decode_greedily(definition.merge(params), features, TOKENS)
    )
    rows = []
    for start in range(0, len(audio), SEGMENT):
        features = np.asarray(log_mel(audio[start : start + SEGMENT], TRANSCRIPTION))
        features = np.pad(features, [(0, 256 - len(features)), (0, 0)])
        rows.append(np.asarray(decode(params, features[np.newaxis]))[0])
    notes = decode_tokens(rows, [0.0, 2.048, 4.096], Vocabulary(1)).notes
    assert len(notes) > 10
    assert events(out) == events_of(notes)
    assert capsys.readouterr().out.startswith(f"{out}  ")


class Row:
    """Stands for MT3's network: the same tokens for each segment."""

    tokens = (
        *(TIE, shift(10), program_token(40), ON, pitch(60), program_token(0), pitch(48)),
        *(drum(36), shift(30), OFF, pitch(48), program_token(40), pitch(60), END),
    )

    def __init__(self, *arguments, **options):
        self.seen = options

    def __call__(self, audio, report=None):
        report(len(audio) / 16_000)
        return decode_tokens([self.tokens], [0.0], Vocabulary(1)).notes

    name, tells_programs = "MT3", True


@pytest.fixture
def row(monkeypatch):
    monkeypatch.setattr(library, "load_mt3", Row)


def test_instruments_and_drums(row, tmp_path, capsys):
    # Stereo at another rate, in another format.
    both = np.stack([noise(1, 30_000), noise(2, 30_000)], axis=1)
    soundfile.write(tmp_path / "a.flac", both, 48_000)
    assert main(tmp_path / "a.flac", "--transcriber", "mt3", "--out", tmp_path) == 0
    assert events(tmp_path / "a.mid") == {
        (0.1, True, 60, 127, 40, False): 1,
        (0.1, True, 48, 127, 0, False): 1,
        (0.1, True, 36, 127, 0, True): 1,
        (0.11, False, 36, 0, 0, True): 1,
        (0.3, False, 48, 0, 0, False): 1,
        (0.3, False, 60, 0, 40, False): 1,
    }
    line = "2 notes, 1 drum hit, 0.6 s; piano (program 0) 1, violin (program 40) 1"
    assert capsys.readouterr().out == f"{tmp_path}/a.mid  {line}\n"


def write(path, seconds=0.5, amplitude=0.1):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, amplitude * noise(3, round(16_000 * seconds)), 16_000)


def test_files_of_a_folder_keep_their_places(row, tmp_path, capsys, caplog):
    caplog.set_level(logging.INFO)
    for name in ("in/a.wav", "in/more/a.ogg", "in/more/B.FLAC", "other.mp3"):
        write(tmp_path / name)
    (tmp_path / "in/notes.txt").write_text("no audio")
    (tmp_path / "in/more/loop").symlink_to(tmp_path / "in")
    out = tmp_path / "out"
    arguments = [tmp_path / "in", tmp_path / "other.mp3", "--transcriber", "mt3", "--out", out]
    assert main(*arguments) == 0
    found = sorted(str(path.relative_to(out)) for path in out.rglob("*.mid"))
    assert found == ["a.mid", "more/B.mid", "more/a.mid", "other.mid"]
    assert len(capsys.readouterr().out.splitlines()) == 4
    assert f"more/loop in {tmp_path}/in is left out: link to a folder" in caplog.text
    assert caplog.messages[-2:] == ["transcribing: 1 of 2 seconds", "transcribing: 2 of 2 seconds"]


def test_silence_has_no_notes(row, tmp_path, capsys, caplog):
    soundfile.write(tmp_path / "a.wav", np.full(16_000, 3 / 32768), 16_000)
    assert main(tmp_path / "a.wav", "--transcriber", "mt3", "--out", tmp_path) == 0
    assert not events(tmp_path / "a.mid")
    assert capsys.readouterr().out == f"{tmp_path}/a.mid  0 notes, 1.0 s\n"
    assert f"{tmp_path}/a.wav: the audio is silent" in caplog.messages


def test_audio_without_notes_is_reported(row, tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(Row, "tokens", (TIE, END))
    write(tmp_path / "a.wav")
    assert main(tmp_path / "a.wav", "--transcriber", "mt3", "--out", tmp_path) == 0
    assert f"{tmp_path}/a.wav: no notes were found" in caplog.messages


def test_a_damaged_file_is_left_out(row, tmp_path, caplog):
    for name in "abc":
        write(tmp_path / f"{name}.wav")
    whole = (tmp_path / "b.wav").read_bytes()
    (tmp_path / "b.wav").write_bytes(whole[: len(whole) // 2])
    files, out = [tmp_path / f"{name}.wav" for name in "abc"], tmp_path / "out"
    assert main(*files, "--transcriber", "mt3", "--strict", "--out", out) == 1
    assert not out.exists()
    assert main(*files, "--transcriber", "mt3", "--out", out) == 1
    assert sorted(path.name for path in out.iterdir()) == ["a.mid", "c.mid"]
    error = "expected a complete audio file, got a truncated one"
    assert caplog.messages[-1] == f"left out: {tmp_path}/b.wav: {error}"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere.wav"], "error: nowhere.wav: expected an audio file, got no such file"),
        (["."], "error: .: expected audio files in this folder, got none"),
        (["text.wav"], "error: text.wav: expected a readable audio file"),
        (["a.flac", "x/a.wav"], "error: audio files: expected files of different names, got two"),
        (["a.flac", "a.flac", "--out", "a.mid"], "--out: expected a folder for 2 audio files"),
        (["a.flac", "--out", "b.wav"], "--out: expected a folder or a name in .mid, .midi, got"),
        (["a.flac", "--transcriber", "x"], "error: x: expected the T5X checkpoint of MT3, publ"),
        (["a.flac", "--transcriber", "gs://mt3/checkpoints/mt3/"], "got a URL"),
        (["a.flac", "--transcriber", "{mt3}", "--batch_size", "0"], "batch_size: expected a whole"),
        (
            ["a.flac", "--transcriber", "basic_pitch", "--batch_size", "4"],
            "error: batch_size: expected MT3, which has one, got basic-pitch",
        ),
    ],
)
def test_errors_are_one_line(mt3, tmp_path, monkeypatch, capsys, arguments, message):
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.chdir(home)
    if arguments != ["."]:
        write(home / "a.flac")
        (home / "text.wav").write_text("no audio")
    before = sorted(home.rglob("*"))
    assert main(*(argument.format(mt3=mt3) for argument in arguments)) == 1
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.err.count("\n") == 1
    assert not captured.out
    assert sorted(home.rglob("*")) == before


def test_without_basic_pitch_both_transcribers_are_named(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: None)
    write(tmp_path / "a.wav")
    assert main(tmp_path / "a.wav", "--out", tmp_path) == 1
    error = capsys.readouterr().err
    assert "pip install --no-deps basic-pitch" in error
    assert "published at gs://mt3/checkpoints/mt3/, got neither" in error


def test_transcribers_by_name(mt3, monkeypatch):
    assert isinstance(library.open_transcriber(mt3), Mt3Transcriber)
    if importlib.util.find_spec("basic_pitch"):
        assert isinstance(library.open_transcriber(), BasicPitch)
        assert isinstance(library.open_transcriber("basic_pitch"), BasicPitch)


@pytest.mark.skipif(not importlib.util.find_spec("basic_pitch"), reason="needs basic-pitch")
def test_a_scale_comes_back(tmp_path, capsys):
    """Tones with five harmonics, a second apart at 44.1 kHz, in each of two channels."""
    pitches, second = [60, 64, 67, 72], np.arange(33_075) / 44_100
    turns = [440 * 2 ** ((key - 69) / 12) * second for key in pitches]
    tones = [sum(np.sin(2 * np.pi * k * turn) / k for k in range(1, 6)) for turn in turns]
    audio = np.concatenate(
        [np.pad(0.2 * tone * np.exp(-2 * second), (0, 44_100 - len(tone))) for tone in tones]
    )
    soundfile.write(tmp_path / "scale.wav", np.stack([audio, 0.5 * audio], axis=1), 44_100)
    assert main(tmp_path / "scale.wav", "--out", tmp_path / "scale.mid") == 0
    found = sorted(key for key in events(tmp_path / "scale.mid") if key[2] in pitches)
    begun = [key for key in found if key[1]]
    assert [key[2] for key in begun] == pitches
    np.testing.assert_allclose([key[0] for key in begun], [0, 1, 2, 3], atol=0.05)
    ended = [key[0] for key in found if not key[1]]
    assert np.all(np.array(ended) - [0, 1, 2, 3] > 0.4)
    assert np.all(np.array(ended) - [0, 1, 2, 3] < 1)
    # Without instruments, which basic-pitch does not tell.
    assert capsys.readouterr().out.endswith(" notes, 4.0 s\n")
