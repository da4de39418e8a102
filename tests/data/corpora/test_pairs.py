import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from spectrodiff.core.errors import CorpusError
from spectrodiff.data.corpora import pairs
from spectrodiff.data.recordings import read_group
from spectrodiff.data.source import load_source
from tests.support.corpora import tone, write_notes, write_tone

CASES = Path(__file__).parents[2] / "music/midi/cases"


def ids(plan) -> dict[str, list[str]]:
    return {split: [group.id for group in groups] for split, groups in plan.splits.items()}


def write_pair(folder, name: str) -> None:
    write_tone(folder / f"{name}.wav", 0.5)
    write_notes(folder / f"{name}.mid", (0.1, 0.2, 60), program=40)


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg", ".mp3", ".WAV"])
@pytest.mark.parametrize("midi", [".mid", ".midi", ".kar", ".rmi", ".MID"])
def test_any_audio_file_with_any_midi_file(tmp_path, suffix, midi):
    soundfile.write(tmp_path / f"a.b{suffix}", tone(1.0, rate=48_000), 48_000)
    write_notes(tmp_path / "notes.mid", (0.1, 0.2, 60), program=40)
    (tmp_path / "notes.mid").rename(tmp_path / f"a.b{midi}")
    (group,) = pairs.plan(tmp_path).splits["train"]
    (recording,) = read_group(group).recordings
    assert recording.id == "a.b"
    assert abs(len(recording.audio) - 16_000) < 800  # MP3 adds padding
    np.testing.assert_array_equal(recording.notes.program, [40])


def test_subfolders_may_be_the_splits(tmp_path):
    for name in ("train/a", "train/more/b", "test/c"):
        write_pair(tmp_path, name)
    assert ids(pairs.plan(tmp_path)) == {"train": ["train/a", "train/more/b"], "test": ["test/c"]}


def test_a_folder_with_only_a_test_split(tmp_path):
    for name in ("test/a", "test/more/b"):
        write_pair(tmp_path, name)
    assert ids(pairs.plan(tmp_path)) == {"test": ["test/a", "test/more/b"]}
    # With recordings outside it, `test` is an ordinary folder.
    write_pair(tmp_path, "c")
    splits = ids(pairs.plan(tmp_path))
    assert sorted(splits["train"] + splits["validation"]) == ["c", "test/a", "test/more/b"]


def test_recordings_stay_in_their_split_when_others_are_added(tmp_path):
    for number in range(20):
        write_pair(tmp_path, f"take{number}")
    before = ids(pairs.plan(tmp_path, 0.25))
    assert sorted(before["train"] + before["validation"]) == sorted(
        f"take{number}" for number in range(20)
    )
    assert 1 <= len(before["validation"]) <= 10
    for number in range(20, 30):
        write_pair(tmp_path, f"take{number}")
    after = ids(pairs.plan(tmp_path, 0.25))
    assert set(before["train"]) < set(after["train"])
    assert set(before["validation"]) <= set(after["validation"])
    assert not ids(pairs.plan(tmp_path, 0.0))["validation"]


def test_two_recordings_are_one_for_each(tmp_path):
    for name in ("a", "b"):
        write_pair(tmp_path, name)
    assert [len(names) for names in ids(pairs.plan(tmp_path, 0.01)).values()] == [1, 1]


def test_incomplete_pairs_are_reported(tmp_path):
    write_pair(tmp_path, "good")
    write_pair(tmp_path, "twice")
    write_tone(tmp_path / "twice.flac", 0.5)
    write_tone(tmp_path / "alone.wav", 0.5)
    write_notes(tmp_path / "silent.mid", (0.1, 0.2, 60))
    write_pair(tmp_path, ".hidden/a")
    (tmp_path / "notes.txt").write_text("")
    plan = pairs.plan(tmp_path)
    assert {(skip.id, skip.reason) for skip in plan.skipped} == {
        ("twice", "several audio or MIDI files with the same name"),
        ("alone", "audio without MIDI"),
        ("silent", "MIDI without audio"),
    }
    assert ids(plan)["train"] == ["good"]


def test_a_folder_without_pairs_is_refused(tmp_path):
    with pytest.raises(CorpusError, match="MIDI files of the same name"):
        pairs.plan(tmp_path)
    with pytest.raises(CorpusError, match="no such folder"):
        pairs.plan(tmp_path / "nowhere")


def test_a_corpus_of_odd_files_lists_what_was_done_with_each(tmp_path):
    """A file of each kind that is left out or changed, prepared by the command."""
    source = tmp_path / "odd"
    write_pair(source, "train/good")
    write_pair(source, "val/good")
    write_pair(source, "bonus/unused")
    write_pair(source, "train/twice")
    write_tone(source / "train/twice.flac", 0.5)
    write_tone(source / "train/alone.wav", 0.5)
    write_pair(source, "train/loud")
    loud = 4 * tone(0.5, peak=0.75)
    soundfile.write(source / "train/loud.wav", loud, 44_100, subtype="FLOAT")
    write_pair(source, "train/silent")
    soundfile.write(source / "train/silent.wav", np.zeros(8000), 16_000)
    write_pair(source, "train/cut")
    whole = (source / "train/cut.wav").read_bytes()
    (source / "train/cut.wav").write_bytes(whole[:9000])
    write_pair(source, "train/late")
    write_notes(source / "train/late.mid", (0.1, 0.2, 60), (0.3, 0.4, 61), (0.4, 0.9, 62))
    write_pair(source, "train/no midi")
    (source / "train/no midi.mid").write_bytes(b"not MIDI, whatever the name says")
    for case in ("cut_in_the_middle", "pitch_bends"):
        write_tone(source / f"train/{case}.wav", 4.0)
        shutil.copy(CASES / f"{case}.mid", source / "train")
    with open(os.fsencode(source) + b"/train/caf\xe9.wav", "w"):
        pass
    (source / "loop").symlink_to(source)
    arguments = ["pairs", "--source", str(source), "--data_dir", str(tmp_path)]
    command = [sys.executable, "-m", "spectrodiff", "prepare", *arguments]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    lines = result.stdout.splitlines()
    listed = lines[lines.index("bonus/unused: left out, outside the folders of the splits") :]
    expected = [
        "bonus/unused: left out, outside the folders of the splits",
        "loop: left out, link to a folder that is read anyway",
        "train/alone: left out, audio without MIDI",
        r"train/caf\xe9.wav: left out, a file name that is not UTF-8",
        "train/cut: left out, expected a complete audio file",
        "train/cut_in_the_middle: left out, damaged MIDI file (track 1 is cut off at byte 76)",
        "train/late: notes cut at the end of the audio",
        "train/loud: louder than full scale, scaled down (by 9.5 dB)",
        "train/no midi: left out, expected a MIDI file",
        "train/pitch_bends: MIDI with oddities (pitch bends (up to 2 semitones) of 1 note ignored)",
        "train/silent: left out, silent audio",
        "train/twice: left out, several audio or MIDI files with the same name (",
    ]
    assert len(listed) == len(expected)
    for line, start in zip(listed, expected, strict=True):
        assert line.startswith(start)
    # The audio of the loud one is not clipped: as few samples at full scale as a sine has.
    audio = {r.id: r.audio for r in load_source(tmp_path, "pairs/own", "train")}["train/loud"]
    assert np.abs(audio.astype(int)).max() == 32767
    assert np.mean(np.abs(audio.astype(int)) > 32000) < 0.15
