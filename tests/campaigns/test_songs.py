"""A short campaign of songs."""

from tests.campaigns import harness, songs


def test_songs_of_several_threads(golden, monkeypatch):
    monkeypatch.setenv("CAMPAIGN_MODEL", str(golden / "checkpoints/diffusers"))
    outcome = harness.run(songs.__name__, range(1))
    assert not outcome.faults
    assert outcome.counts.total() == 1
