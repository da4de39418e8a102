"""Prepared datasets: their contents, and the state of the disk after failures."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from tensorflow_datasets.core import file_adapters

from spectrodiff.core.constants import SAMPLE_RATE
from spectrodiff.core.errors import ConfigError, CorpusError, OutputError
from spectrodiff.data.pieces import PieceLength
from spectrodiff.data.prepare.prepare import prepare
from spectrodiff.data.prepare.summary import Summary
from spectrodiff.data.recordings import Plan, Remark, Skip, read_mono
from spectrodiff.data.source import dataset_folder, load_source
from tests.support.corpora import table, write_tone
from tests.support.stored_recordings import NOTES, broken, group, noise, single


def test_what_is_stored_comes_back_exactly(tmp_path):
    plan = Plan({"train": [group(f"a/{seed}", seed) for seed in range(5)], "test": [group("b", 9)]})
    summary = prepare("mine", "v1", plan, tmp_path)
    assert dataset_folder(tmp_path, "mine", "v1") == tmp_path / "mine/v1/2.0.0"
    source = load_source(tmp_path, "mine/v1", "train")
    assert [recording.id for recording in source] == [f"a/{seed}" for seed in range(5)]
    for seed, recording in enumerate(source):
        assert recording.audio.dtype == np.int16
        expected = np.clip(np.rint(noise(seed) * 32768.0), -32768, 32767)
        np.testing.assert_array_equal(recording.audio, expected)
        for name in ("onset_seconds", "offset_seconds", "pitch", "velocity", "program", "is_drum"):
            stored, given = getattr(recording.notes, name), getattr(NOTES, name)
            assert stored.dtype == given.dtype
            np.testing.assert_array_equal(stored, given)
        # Not a number that float32 could hold.
        assert recording.notes.total_seconds == (SAMPLE_RATE + seed) / SAMPLE_RATE
    assert summary.recordings == {"train": 5, "test": 1}
    assert summary.notes == {"train": 10, "test": 2}
    assert summary.seconds["test"] == (SAMPLE_RATE + 9) / SAMPLE_RATE


def test_tensorflow_is_not_needed(tmp_path):
    prepare("mine", "v1", Plan({"train": [group("a")]}), tmp_path)
    assert load_source(tmp_path, "mine", "train")[0].id == "a"
    assert "tensorflow" not in sys.modules


def test_a_source_can_be_sliced_and_sent_to_another_process(tmp_path):
    plan = Plan({"train": [group(str(number)) for number in range(10)]})
    prepare("mine", "v1", plan, tmp_path)
    source = load_source(tmp_path, "mine/v1", "train[:30%]")
    assert len(source) == 3
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(source.__getitem__, (2,)).id == source[2].id == "2"


def test_many_recordings_are_spread_over_files(tmp_path, monkeypatch):
    from spectrodiff.data.prepare import builder

    monkeypatch.setattr(builder, "SHARD_RECORDINGS", 3)
    groups = [group(str(number)) for number in range(8)]
    # All recordings of the second file are unusable, so that the file is empty.
    groups[3:6] = [broken(str(number), tmp_path) for number in range(3, 6)]
    summary = prepare("mine", "v1", Plan({"train": groups}), tmp_path)
    assert len(list(dataset_folder(tmp_path, "mine", "v1").glob("*.array_record*"))) == 3
    source = load_source(tmp_path, "mine", "train")
    assert [recording.id for recording in source] == ["0", "1", "2", "6", "7"]
    assert summary.recordings["train"] == 5


def test_more_than_tfds_would_keep_in_memory(tmp_path, monkeypatch):
    # Above this size TFDS's own shuffling writes to disk, which needs TensorFlow.
    from tensorflow_datasets.core import shuffle

    monkeypatch.setattr(shuffle, "MAX_MEM_BUFFER_SIZE", 1000)
    plan = Plan({"train": [group(str(number)) for number in range(4)]})
    prepare("mine", "v1", plan, tmp_path)
    assert len(load_source(tmp_path, "mine", "train")) == 4


def test_workers_give_the_same_dataset(tmp_path):
    groups = [*(group(str(seed), seed) for seed in range(6)), broken("gone", tmp_path)]
    one = prepare("mine", "one", Plan({"train": groups}), tmp_path, workers=1)
    two = prepare("mine", "two", Plan({"train": groups}), tmp_path, workers=2)
    assert one == two
    sources = (load_source(tmp_path, f"mine/{config}", "train") for config in ("one", "two"))
    for first, second in zip(*sources, strict=True):
        assert first.id == second.id
        np.testing.assert_array_equal(first.audio, second.audio)


def die() -> np.ndarray:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("unreachable")


def test_a_worker_that_dies_is_an_error(tmp_path):
    # The first whose result is missing is named; a dying worker takes all that are not done yet.
    plan = Plan({"train": [single("deadly", die), group("a"), group("b")]})
    with pytest.raises(CorpusError, match="deadly: expected a running worker process"):
        prepare("mine", "v1", plan, tmp_path, workers=2)
    assert not dataset_folder(tmp_path, "mine", "v1").exists()


def test_the_summary_counts_what_was_left_out(tmp_path):
    write_tone(tmp_path / "long.wav", 1.0)
    cut = single(
        "cut",
        partial(read_mono, tmp_path / "long.wav"),
        partial(table, (0.0, 0.5, 60), (0.5, 2.0, 60), (3.0, 4.0, 60)),
    )
    groups = [cut, *(broken(f"gone{number}", tmp_path) for number in range(4))]
    plan = Plan({"train": groups, "test": []}, [Skip("x", "no labels")])
    plan.remarks["stems left out: no MIDI file"] = 2
    summary = prepare("mine", "v1", plan, tmp_path)
    assert summary.table().splitlines() == [
        "split         recordings     hours       notes",
        "train                  1     0.000           2",
        "skipped 5:",
        "  4 no audio file (gone0, gone1, gone2, ...)",
        "  1 no labels (x)",
        "2 stems left out: no MIDI file",
        "1 notes past the end of the audio left out",
        "1 notes cut at the end of the audio",
    ]
    # The summary is stored beside the data.
    again = prepare("mine", "v1", plan, tmp_path)
    assert again == summary
    stored = json.loads((tmp_path / "mine/v1/2.0.0/preparation.json").read_text())
    assert stored["recordings"] == {"train": 1}


def test_hours_are_hours(tmp_path):
    summary = Summary(seconds={"train": 5400.0})
    summary.recordings["train"] = 1
    assert summary.table().splitlines()[1].split() == ["train", "1", "1.500", "0"]


def test_an_empty_split_is_an_error_with_reasons(tmp_path):
    plan = Plan({"train": [group("a")], "test": [broken("b", tmp_path), broken("c", tmp_path)]})
    with pytest.raises(CorpusError, match=r"split test: .*none; 2 no audio file \(b, c\)"):
        prepare("mine", "v1", plan, tmp_path)
    with pytest.raises(CorpusError, match=r"mine: .*none; 1 no labels \(x\)"):
        prepare("mine", "v1", Plan({"train": []}, [Skip("x", "no labels")]), tmp_path)
    assert not dataset_folder(tmp_path, "mine", "v1").exists()


def test_opening_missing_corpora_and_splits(tmp_path):
    with pytest.raises(CorpusError, match=r"mine/v1: .*got none"):
        load_source(tmp_path, "mine/v1", "train")
    prepare("mine", "v1", Plan({"train": [group("a")]}), tmp_path)
    with pytest.raises(CorpusError, match="only mine with v1"):
        load_source(tmp_path, "mine/v2", "train")
    with pytest.raises(CorpusError, match="one of the splits train, got validation"):
        load_source(tmp_path, "mine/v1", "validation")


def test_a_second_preparation_at_the_same_time_is_refused(tmp_path):
    class Greedy:
        """Starts a preparation while another is running."""

        def __call__(self) -> np.ndarray:
            with pytest.raises(OutputError, match="one preparation at a time"):
                prepare("mine", "v1", Plan({"train": [group("a")]}), tmp_path)
            return noise(0)

    prepare("mine", "v1", Plan({"train": [single("a", Greedy())]}), tmp_path)


def test_pieces_of_another_length_are_not_already_prepared(tmp_path):
    plan = Plan({"train": [group("a")]})
    prepare("mine", "v1", plan, tmp_path, piece_length=PieceLength(20, 258))
    again = prepare("mine", "v1", plan, tmp_path, piece_length=PieceLength(20, 258))
    assert again.recordings == {"train": 1}
    for length in (PieceLength(7, 258), PieceLength(20, 300)):
        expected = f"pieces of {length.frames} frames and {length.following} following ones"
        got = "pieces of 20 frames and 258 following ones; delete the folder"
        with pytest.raises(CorpusError, match=f"v1/2.0.0: expected {expected}, got {got}"):
            prepare("mine", "v1", plan, tmp_path, piece_length=length)
    # The lock is free again.
    prepare("mine", "v2", plan, tmp_path)


def test_beam_that_is_not_installed_is_one_clear_error(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "apache_beam.options.pipeline_options", None)
    with pytest.raises(ConfigError, match="apache-beam"):
        prepare("mine", "v1", Plan({"train": [group("a")]}), tmp_path, beam_options=[])


def test_a_runner_that_beam_does_not_have_is_one_clear_error(tmp_path, monkeypatch):
    class Options:
        """Stands for Beam's options, of which one names the runner."""

        def __init__(self, words):
            self.runner = dict(word.removeprefix("--").split("=") for word in words).get("runner")

        def view_as(self, kind):
            return self

    def create_runner(name):
        raise ValueError(f"Unexpected pipeline runner: {name}.\nValid values are ...")

    options = SimpleNamespace(PipelineOptions=Options, StandardOptions=Options)
    monkeypatch.setitem(sys.modules, "apache_beam", SimpleNamespace())
    monkeypatch.setitem(sys.modules, "apache_beam.options", SimpleNamespace())
    monkeypatch.setitem(sys.modules, "apache_beam.options.pipeline_options", options)
    monkeypatch.setitem(sys.modules, "apache_beam.runners", SimpleNamespace())
    runners = SimpleNamespace(create_runner=create_runner)
    monkeypatch.setitem(sys.modules, "apache_beam.runners.runner", runners)
    plan = Plan({"train": [group("a")]})
    expected = r"--beam: expected a runner of Apache Beam.* got Foo \(Unexpected pipeline runner"
    with pytest.raises(ConfigError, match=expected):
        prepare("mine", "v1", plan, tmp_path, beam_options=["--runner=Foo"])


def test_what_was_done_with_each_recording_is_listed(tmp_path):
    summary = Summary(
        skipped=[Skip("b", "no audio file"), Skip("a", "expected a MIDI file", "a.mid: ...")],
        remarked=[
            Remark("c", "notes cut at the end of the audio", 3),
            Remark("d\x1b", "x", 1, "y"),
        ],
    )
    assert summary.listing().splitlines() == [
        "a: left out, expected a MIDI file (a.mid: ...)",
        "b: left out, no audio file",
        "c: 3 notes cut at the end of the audio",
        r"d\x1b: x (y)",
    ]
    summary.save(tmp_path / "summary.json")
    assert Summary.load(tmp_path / "summary.json") == summary
    summary.skipped *= 100
    lines = summary.listing().splitlines()
    assert len(lines) == 101
    assert lines[-1] == "102 more are listed in preparation.json"
    assert not Summary().listing()


def test_summaries_of_earlier_versions_are_read(tmp_path):
    stored = {"recordings": {"train": 1}, "notes": {}, "remarks": {"x": 2}, "seconds": {}}
    (tmp_path / "summary.json").write_text(json.dumps(stored | {"skipped": []}))
    assert Summary.load(tmp_path / "summary.json").remarks == {"x": 2}


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="a place that can be written to"):
        prepare("mine", "v1", Plan({"train": [group("a")]}), tmp_path / "file")


_IN_A_PROCESS = """
import resource, signal, sys
from pathlib import Path
from spectrodiff.data.pieces import PieceLength
from spectrodiff.data.prepare.prepare import prepare
from spectrodiff.data.recordings import Plan
from tests.support.stored_recordings import stuck, group
{setup}
if __name__ == "__main__":
    groups = {groups}
    prepare("mine", "v1", Plan({{"train": groups}}), Path(sys.argv[1]), workers={workers})
"""


def run_prepare(folder: Path, setup: str, groups: str, workers: int = 1) -> subprocess.Popen:
    script = folder / "script.py"
    script.write_text(_IN_A_PROCESS.format(setup=setup, groups=groups, workers=workers))
    return subprocess.Popen(
        [sys.executable, script, folder],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("limit", [4_000, 40_000])
def test_a_full_disk_is_one_clear_error(tmp_path, limit):
    # A limit on the file size makes writing fail in the middle of a file, like a full disk.
    process = run_prepare(
        tmp_path,
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))",
        "[group(str(number)) for number in range(4)]",
    )
    message = process.communicate()[1].strip().splitlines()[-1]
    assert "OutputError" in message
    assert "File too large" in message
    assert [path.name for path in (tmp_path / "mine/v1").iterdir()] == [".lock"]


@pytest.mark.parametrize("call", ["write", "close"])
def test_errors_of_array_record_are_told(tmp_path, monkeypatch, call):
    def failing(path, examples):
        raise RuntimeError(f"{call}() failed: Input/output error; closing {path}")

    monkeypatch.setattr(file_adapters.ArrayRecordFileAdapter, "write_examples", failing)
    with pytest.raises(OutputError, match=rf"got {call}\(\) failed: Input/output error$"):
        prepare("mine", "v1", Plan({"train": [group("a")]}), tmp_path)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_killed_preparation_leaves_no_complete_dataset(tmp_path, workers):
    reached = tmp_path / "reached"
    os.mkfifo(reached)  # Reading it waits until the other process has written to it.
    process = run_prepare(
        tmp_path,
        "",
        f"[*(group(str(n), n) for n in range(4)), stuck('last', Path({str(reached)!r}))]",
        workers,
    )
    reached.read_text()
    process.kill()
    process.communicate()
    assert not dataset_folder(tmp_path, "mine", "v1").exists()
    assert len(list((tmp_path / "mine/v1").glob("incomplete*"))) == 1
    with pytest.raises(CorpusError):
        load_source(tmp_path, "mine/v1", "train")
    prepare("mine", "v1", Plan({"train": [group("a")]}), tmp_path)
    assert len(load_source(tmp_path, "mine/v1", "train")) == 1
    assert sorted(p.name for p in (tmp_path / "mine/v1").iterdir()) == [".lock", "2.0.0"]
