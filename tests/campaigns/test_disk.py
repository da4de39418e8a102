"""A short campaign of full and failing disks under functions that write."""

import pytest

from tests.campaigns import disk, harness
from tests.campaigns.disks import device
from tests.campaigns.disks.functions import FUNCTIONS


def test_functions_of_every_kind_on_failing_disks():
    # Functions come before commands, which take longer.
    outcome = harness.run(disk.__name__, range(len(FUNCTIONS)))
    for rounds in (1, 2):
        start = rounds * len(disk.WRITERS)
        again = harness.run(disk.__name__, range(start, start + len(FUNCTIONS)))
        outcome.counts += again.counts
        outcome.faults |= again.faults
    assert not outcome.faults, next(iter(outcome.faults.items()))
    assert outcome.counts.total() == 3 * len(FUNCTIONS)
    assert outcome.counts[disk.REPORTED] > len(FUNCTIONS)


def test_attempts_are_of_all_kinds():
    made = [disk.make(seed) for seed in range(20 * len(disk.WRITERS))]
    for name in disk.WRITERS:
        kinds = {attempt.kind for attempt in made if attempt.writer == name}
        assert len(kinds) > 4
    assert {attempt.kind for attempt in made} == set(device.ERRORS)
    assert disk.make(7) == disk.make(7)


@pytest.fixture
def small(tmp_path, monkeypatch):
    """A disk without mounts and failing calls, as everywhere."""
    monkeypatch.delenv(device.OWN_MOUNTS, raising=False)
    monkeypatch.setattr(device.tempfile, "tempdir", str(tmp_path))
    disk = device.Disk()
    yield disk
    disk.close()
    assert not list(tmp_path.iterdir())


def test_a_disk_without_mounts_limits_files(small):
    path = small.folder / "a"
    with small.failing(device.LIMIT, 5), pytest.raises(OSError, match="File too large"):
        path.write_bytes(bytes(6))
    path.write_bytes(bytes(7))
    assert small.size().of(device.LIMIT) == 7
    small.clear()
    assert not path.exists()
