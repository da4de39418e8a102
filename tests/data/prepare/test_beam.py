"""Preparation on Apache Beam, if installed (it needs an environment of its own)."""

from functools import partial

import numpy as np
import pytest

from spectrodiff.core.errors import ConfigError, CorpusError
from spectrodiff.data.prepare.prepare import prepare
from spectrodiff.data.recordings import Plan
from spectrodiff.data.source import dataset_folder, load_source
from tests.support.stored_recordings import broken, group

pytest.importorskip("apache_beam", reason="apache-beam is not installed")


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--direct_num_workers=2", "--direct_running_mode=multi_processing"],
        ["--runner=PortableRunner", "--job_endpoint=embed", "--environment_type=LOOPBACK"],
    ],
    ids=["alone", "processes", "portable"],
)
def test_beam_writes_the_same_dataset(options, tmp_path):
    groups = [*(group(f"a/{seed}", seed) for seed in range(12)), broken("gone", tmp_path)]
    groups += [group(f"a_{seed}", seed) for seed in range(3)]
    plan = Plan({"train": groups, "test": [group("b", 99)]})
    with_beam = prepare("mine", "beam", plan, tmp_path, beam_options=options)
    without = prepare("mine", "plain", plan, tmp_path)
    assert with_beam.table() == without.table()
    for split in ("train", "test"):
        load = partial(load_source, tmp_path, split=split)
        first = {recording.id: recording for recording in load(name="mine/beam")}
        second = {recording.id: recording for recording in load(name="mine/plain")}
        assert first.keys() == second.keys()
        for id, recording in first.items():
            np.testing.assert_array_equal(recording.audio, second[id].audio)
            np.testing.assert_array_equal(recording.notes.pitch, second[id].notes.pitch)
            assert recording.notes.onset_seconds.dtype == np.float64
    assert not (dataset_folder(tmp_path, "mine", "beam") / "reports").exists()


def test_an_empty_split_is_an_error_on_beam_too(tmp_path):
    plan = Plan({"train": [broken("gone", tmp_path)]})
    with pytest.raises(CorpusError, match=r"no audio file \(gone\)"):
        prepare("mine", "v1", plan, tmp_path, beam_options=[])
    assert not dataset_folder(tmp_path, "mine", "v1").exists()


def test_a_runner_that_there_is_not(tmp_path):
    plan = Plan({"train": [group("a")]})
    for runner in ("Foo", "no.such.Runner", "os.path.nothing"):
        with pytest.raises(ConfigError, match=f"--beam: expected a runner .* got {runner}"):
            prepare("a", "b", plan, tmp_path, beam_options=[f"--runner={runner}"])


def test_a_runner_that_cannot_be_started_is_one_clear_error(tmp_path):
    plan = Plan({"train": [group("a")]})
    # Without a project of its own, this runner refuses every pipeline.
    with pytest.raises(ConfigError, match=r"^--beam: expected a runner that can .* project"):
        prepare("a", "b", plan, tmp_path, beam_options=["--runner=DataflowRunner"])
    assert not dataset_folder(tmp_path, "a", "b").exists()
