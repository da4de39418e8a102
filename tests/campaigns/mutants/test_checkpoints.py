"""A short campaign of damaged and hostile checkpoints."""

from tests.campaigns import checkpoints, harness
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
