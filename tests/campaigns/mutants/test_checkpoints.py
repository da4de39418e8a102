"""A short campaign of damaged and hostile checkpoints."""

import pickle
import random

import pytest

from tests.campaigns import checkpoints, harness
from tests.campaigns.mutants import hostile
from tests.campaigns.mutants.bases import bases
from tests.campaigns.mutants.checkpoints import Mutant, mutant, smaller

PER_LAYOUT = 6


def test_damaged_checkpoints_are_read_or_refused():
    layouts = sorted(bases())
    outcome = harness.run(checkpoints.__name__, range(PER_LAYOUT * len(layouts)))
    assert not outcome.faults
    for layout in layouts:
        read = outcome.counts[f"{layout} {checkpoints.READ}"]
        refused = outcome.counts[f"{layout} {checkpoints.REFUSED}"]
        assert read + refused == PER_LAYOUT, layout
        assert read, layout
        assert refused, layout


def test_changes_are_left_out_one_at_a_time():
    changes = (("missing", 1), ("missing", 2))
    fewer = list(smaller(Mutant("paddle", changes)))
    assert [made.changes for made in fewer[:2]] == [changes[1:], changes[:1]]
    both = Mutant("paddle", changes).files()
    lost = bases()["paddle"].keys() - both.keys()
    assert len(lost) == 2
    assert {path for made in fewer[2:] for path in made.files().keys() - both.keys()} == lost


def test_seeds_make_different_checkpoints_again():
    assert mutant(77).files() == mutant(77).files()
    assert len({mutant(seed) for seed in range(100)}) > 85


def test_hidden_commands_run_where_they_are_noticed(tmp_path, monkeypatch):
    for name in ("model", "current", "temporary", "home"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "current")
    checkpoints.check_files(tmp_path, {})
    pickle.loads(hostile.hostile_pickle(random.Random(0)))
    with pytest.raises(AssertionError, match="a hidden command ran"):
        checkpoints.check_files(tmp_path, {})


def test_hostile_instructions_are_those_that_run_commands(tmp_path, monkeypatch):
    # Python's own reader, which runs whatever a pickle says.
    monkeypatch.chdir(tmp_path)
    for call in hostile.CALLS:
        pickle.loads(b"\x80\x02" + call + b".")
        assert (tmp_path / hostile.MARKER).exists(), call
        (tmp_path / hostile.MARKER).unlink()
