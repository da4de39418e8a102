"""Campaigns notice all kinds of faults, and go on where they stopped."""

import json

from tests.campaigns import failing, harness

NAME = failing.__name__
FAULTS = {
    1: "more than 0.2 s of processor time",
    2: "more than 128 MiB",
    3: "KeyError: 'a key'",
    4: "ended by exit 3",
    5: "ended by SIGABRT",
    6: "ended by SIGKILL, or more than 5 s",
}


def last_lines(outcome):
    return {seed: harness.last_line(text) for seed, text in outcome.faults.items()}


def test_faults_are_noticed():
    outcome = harness.run(NAME, range(9), workers=2)
    assert last_lines(outcome) == FAULTS
    assert outcome.counts == {"whole": 3, harness.FAULT: 6}
    assert str(outcome) == "9 tried, 3 survived (6 fault, 3 whole), 6 faults"


def test_a_campaign_goes_on_where_it_stopped(tmp_path):
    rounds = iter([True, False])
    first = harness.run(NAME, range(7, 22), folder=tmp_path, goes_on=lambda: next(rounds))
    assert first.counts.total() == 5
    # A block that is done is not tried again: its counts are those of the file.
    state = json.loads((tmp_path / "state.json").read_text())
    assert state["done"] == [7]
    state["counts"] = {"elsewhere": 5}
    (tmp_path / "state.json").write_text(json.dumps(state))
    whole = harness.run(NAME, range(7, 22), folder=tmp_path)
    assert whole.counts == {"elsewhere": 5, "whole": 10}


def test_the_smallest_input_with_a_fault_is_found():
    assert harness.smallest(NAME, 3, "KeyError: 'a key'") == bytes([3])


def test_pieces_are_taken_out():
    assert list(harness.smaller_bytes(b"abc")) == [b"c", b"ab", b"bc", b"ac", b"ab"]
    assert list(harness.smaller_bytes(b"")) == []
